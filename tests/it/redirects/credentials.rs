//! Redirects whose target holds a user and a password: nobody is told them.

use std::path::Path;

use registry_integrity_probe::demo::{Auth, Registry};

use crate::testkit::free_address;
use crate::testkit::front::{Front, Heard, Plan, Reply};
use crate::testkit::in_process::registry;
use crate::testkit::probe::Outcome;
use crate::testkit::reports::assert_intact;
use crate::testkit::sweep_command::{as_probe, assert_silent, sweep_of};
use crate::testkit::sweeping::Sweeping;

/// Blobs lie at this authority.
fn to(authority: String) -> impl Fn(&Heard, &mut Reply) + Send + Sync + 'static {
    move |heard, reply| {
        if heard.is_of_blob() && reply.status != 401 {
            *reply = Reply {
                status: 307,
                headers: Vec::new(),
                pieces: Vec::new(),
                is_cut: false,
                is_reset_without_error: false,
            };
            reply.set("location", format!("http://{authority}{}?X-Signature=secret-signature", heard.target));
            reply.set("content-length", 0);
        }
    }
}

async fn storage(status: Option<u16>) -> (Registry, Front) {
    let storage = registry().await;
    let front = Plan::before(storage.address())
        .changing(move |_, reply| reply.status = status.unwrap_or(reply.status))
        .start()
        .await;
    (storage, front)
}

async fn swept_by_the_binary(url: &str, folder: &Path) -> Outcome {
    let outcome = sweep_of(folder, &format!("name: r, url: '{url}', evidence: {{byte: 0s}}")).run().await;
    assert_silent(&outcome, folder, &["secret", "dXNlcjpz"]);
    outcome
}

#[tokio::test]
async fn no_authorization_is_made_of_a_password_in_a_redirect() {
    let (registry, (_storage, storage)) = (registry().await, storage(None).await);
    let authority = format!("user:secret-pw@{}", storage.address());
    let front = Plan::before(registry.address()).changing(to(authority)).start().await;
    registry.require(Auth::basic("probe", "hunter2"));
    let url = format!("http://{}", front.address());
    assert_intact(&Sweeping::over(&url).with(as_probe).sweep().await, "redirected");
    let heard = storage.heard();
    assert!(!heard.is_empty());
    let host = storage.address().to_string();
    for heard in heard {
        assert_eq!(heard.header("authorization"), None, "{heard:#?}");
        assert_eq!(heard.header("host"), Some(host.as_str()), "{heard:#?}");
        assert_eq!(heard.header("referer"), None, "{heard:#?}");
        assert!(heard.target.starts_with("/v2/app/blobs/sha256:"), "{heard:#?}");
        assert!(heard.target.ends_with("?X-Signature=secret-signature"), "{heard:#?}");
    }
}

#[tokio::test]
async fn a_password_in_a_redirect_reaches_no_output_however_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry().await;
    for (status, code) in [(None, 0), (Some(401), 3), (Some(403), 3), (Some(503), 3), (Some(302), 3)] {
        let (_storage, storage) = storage(status).await;
        let authority = format!("user:secret-pw@{}", storage.address());
        let front = Plan::before(registry.address()).changing(to(authority)).start().await;
        let outcome = swept_by_the_binary(&format!("http://{}", front.address()), folder.path()).await;
        assert_eq!(outcome.code, Some(code), "{status:?}: {outcome:?}");
        assert!(storage.heard().iter().all(|heard| heard.header("authorization").is_none()));
    }
    // Where nobody listens, and where nobody knows the name.
    let nowhere = [format!("user:secret-pw@{}", free_address()), "user:secret-pw@r.invalid".into()];
    for authority in nowhere {
        let front = Plan::before(registry.address()).changing(to(authority.clone())).start().await;
        let outcome = swept_by_the_binary(&format!("http://{}", front.address()), folder.path()).await;
        assert_eq!(outcome.code, Some(3), "{authority}: {outcome:?}");
        assert!(outcome.stdout.contains("unreachable"), "{}", outcome.stdout);
    }
    let front = Plan::before(registry.address()).changing(to("user:secret-pw@".into())).start().await;
    let outcome = swept_by_the_binary(&format!("http://{}", front.address()), folder.path()).await;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stdout.contains("a redirect leads nowhere"), "{}", outcome.stdout);
}

/// The registry's own host, with somebody else's password in front: still the registry, and still with its own.
#[tokio::test]
async fn redirect_with_userinfo_keeps_the_registry_credentials() {
    let registry = registry().await;
    registry.require(Auth::basic("probe", "hunter2"));
    let front = Plan::before(registry.address())
        .changing(|heard, reply| {
            if heard.is_of_blob() && reply.status != 401 && !heard.target.ends_with("?again") {
                *reply = Reply {
                    status: 307,
                    headers: Vec::new(),
                    pieces: Vec::new(),
                    is_cut: false,
                    is_reset_without_error: false,
                };
                let host = heard.header("host").unwrap();
                reply.set("location", format!("http://user:secret-pw@{host}{}?again", heard.target));
                reply.set("content-length", 0);
            }
        })
        .start()
        .await;
    let report = Sweeping::over(&format!("http://{}", front.address())).with(as_probe).sweep().await;
    assert_intact(&report, "to the registry itself");
    let again: Vec<_> = front.heard().into_iter().filter(|heard| heard.target.ends_with("?again")).collect();
    assert!(!again.is_empty());
    let own = Some("Basic cHJvYmU6aHVudGVyMg==");
    assert!(again.iter().all(|heard| heard.header("authorization") == own), "{again:#?}");
}
