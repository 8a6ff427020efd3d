//! Tokens are for one repository each, whatever it is called and whatever a challenge says.

use std::time::Duration;

use registry_integrity_probe::demo::fault::{answers, in_repository};
use registry_integrity_probe::demo::{Auth, Endpoint, Image, LoggedRequest, Registry, TokenService};
use registry_integrity_probe::report::Outcome;

use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

/// Names inside of each other, and names that begin as others do.
const NAMES: [&str; 12] = ["a", "a/b", "a/b/c", "a/b/c/d", "a/bc", "ab", "ab/c", "a-b", "a.b", "a__b", "b/a", "pull"];

/// Each repository holds an image of its own and one that all of them hold.
async fn nested(tokens: &TokenService) -> Registry {
    let registry = Registry::start().await.unwrap();
    for name in NAMES {
        registry.push(&format!("{name}:own"), &Image::manifest().named(name).with_layers(1));
        registry.push(&format!("{name}:shared"), &Image::manifest().named("shared").with_layers(1));
    }
    registry.require(Auth::bearer(tokens));
    registry
}

fn repository_of(request: &LoggedRequest) -> Option<&str> {
    let path = request.path.strip_prefix("/v2/")?;
    let end = ["/tags/list", "/manifests/", "/blobs/"].iter().find_map(|word| path.rfind(word))?;
    Some(&path[..end])
}

fn token_of(request: &LoggedRequest) -> Option<&str> {
    request.authorization.as_deref()?.strip_prefix("Bearer ")
}

/// Every token that was shown was given for the repository, or the catalog, that it was shown for.
fn assert_own_tokens(registry: &Registry, tokens: &TokenService) {
    let mut shown = 0;
    for request in registry.requests() {
        let (Some(token), Some(scopes)) = (token_of(&request), token_of(&request).and_then(|it| tokens.scopes_of(it)))
        else {
            continue;
        };
        let own = match repository_of(&request) {
            Some(name) => format!("repository:{name}:pull"),
            None => "registry:catalog:*".to_string(),
        };
        assert_eq!(scopes, [own], "{} with {token}", request.path);
        shown += 1;
    }
    assert!(shown > 5 * NAMES.len(), "only {shown} requests showed a token that is known");
}

fn scopes_asked_for(registry: &Registry) -> Vec<String> {
    let asked = registry.requests().into_iter().filter(|request| request.endpoint == Endpoint::Token);
    asked
        .flat_map(|request| {
            let pairs = url::form_urlencoded::parse(request.query.as_bytes()).into_owned();
            pairs.filter(|(name, _)| name == "scope").map(|(_, scope)| scope).collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test]
async fn names_that_begin_as_others_do_have_tokens_of_their_own() {
    let tokens = TokenService::new();
    let registry = nested(&tokens).await;
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2 * NAMES.len() as u64), "{report:#?}");
    assert_own_tokens(&registry, &tokens);
    let refused = registry.requests().into_iter().filter(|request| request.status == Some(401));
    assert!(refused.clone().all(|request| token_of(&request).is_none()), "a token that did not fit was shown");
    let mut asked = scopes_asked_for(&registry);
    asked.sort_unstable();
    let mut own: Vec<String> = NAMES.iter().map(|name| format!("repository:{name}:pull")).collect();
    own.push("registry:catalog:*".to_string());
    own.sort_unstable();
    assert_eq!(asked, own, "one token for each, and no other");
}

#[tokio::test]
async fn a_challenge_that_names_another_repository_gets_no_token_for_it() {
    for scope in [
        "repository:ab:pull",
        "repository:a/b:pull,push,delete",
        "repository:a:pull repository:ab:pull",
        "registry:catalog:*",
    ] {
        let tokens = TokenService::new();
        let registry = nested(&tokens).await;
        let challenge =
            format!("Bearer realm=\"{}/token\",service=\"demo-registry\",scope=\"{scope}\"", registry.url());
        let mut faults = Vec::new();
        for name in ["a/b", "a/b/c"] {
            // The right token is refused once, as if it were over.
            let refused = answers(401).header("Www-Authenticate", &*challenge);
            faults.push(registry.fault(in_repository(name).times(1), refused));
        }
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!((reasons(&report), causes(&report)), (vec![], vec![]), "{scope}");
        assert_eq!(report.images.intact, 2 * NAMES.len() as u64, "{scope}");
        assert!(faults.iter().all(|fault| fault.strikes() == 1), "no challenge was made");
        assert_own_tokens(&registry, &tokens);
        let asked = scopes_asked_for(&registry);
        assert!(asked.iter().all(|scope| scope.matches(':').count() == 2 && !scope.contains("push")), "{asked:?}");
    }
}

#[tokio::test]
async fn expired_tokens_are_renewed_per_repository_mid_sweep() {
    let tokens = TokenService::new().expiring_in(Duration::from_secs(1));
    let registry = nested(&tokens).await;
    let report = Sweeping::of(&registry).with(|target| target.rate_limit = Some(40.0)).sweep().await;
    assert_eq!((report.outcome, report.images.intact), (Outcome::Complete, 2 * NAMES.len() as u64), "{report:#?}");
    assert!(report.duration_seconds > 2.0, "no token can have expired");
    let asked = scopes_asked_for(&registry);
    let most = NAMES.iter().map(|name| {
        let own = format!("repository:{name}:pull");
        asked.iter().filter(|scope| **scope == own).count()
    });
    assert!(most.max() > Some(1), "no token was renewed: {asked:?}");
    let refused = registry.requests().into_iter().filter(|request| request.status == Some(401));
    // One that ends on its way is refused, and asked for again.
    assert!(refused.filter(|request| token_of(request).is_some()).count() <= NAMES.len());
    // Of tokens that have ended the service knows nothing any more, so that those tell nothing here.
    for request in registry.requests() {
        if let (Some(name), Some(scopes)) =
            (repository_of(&request), token_of(&request).and_then(|it| tokens.scopes_of(it)))
        {
            assert_eq!(scopes, [format!("repository:{name}:pull")]);
        }
    }
}
