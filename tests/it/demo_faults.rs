//! Each fault of the in-process registry does what its name says, seen from the wire.

use std::time::{Duration, Instant};

use registry_integrity_probe::demo::fault::{
    Effect, Fault, Selector, answers, answers_html, answers_json, answers_range, answers_with, at, claims_digest,
    claims_length, cuts_body_after, delays, drops_connection, endless_body, everything, hangs, hides_total,
    ignores_last, ignores_range, in_repository, links_absolutely, links_to_itself, links_unquoted, lists_endlessly,
    loses_link, many_headers, on, on_tag, pads_body_to, redirects_to, refuses_pages_over, repeats_entries, resets,
    slow_body, stalls_body_after, without_digest,
};
use registry_integrity_probe::demo::{Auth, Endpoint, Image, Part, Registry, TokenService};
use registry_integrity_probe::oci::{Digest, MANIFEST_ACCEPT};
use serde_json::Value;

use crate::testkit::push::http_client;
use crate::testkit::raw_http::{Ask, End, RawAnswer, ask};
use crate::testkit::tls::{PrivateCa, TlsFront};

/// Long enough for an answer on a busy machine, short enough to wait for one that never comes.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// A registry that holds `web:1` and `api:1`, the same image.
struct Faulty {
    registry: Registry,
    image: Image,
}

impl Faulty {
    async fn start() -> Self {
        let registry = Registry::start().await.unwrap();
        let image = Image::manifest().with_layer_size(100);
        registry.push("web:1", &image);
        registry.push("api:1", &image);
        Self { registry, image }
    }

    fn layer(&self) -> &Part {
        self.image.layers().next().unwrap()
    }

    fn fault(&self, selector: Selector, effect: Effect) -> Fault {
        self.registry.fault(selector, effect)
    }

    fn ask(&self, method: &str, target: &str) -> Ask {
        ask(self.registry.address(), method, target).header("Accept", MANIFEST_ACCEPT)
    }

    async fn get(&self, target: &str) -> RawAnswer {
        self.ask("GET", target).send().await
    }

    /// What becomes of the layer's blob under an effect.
    async fn get_layer_under(&self, effect: Effect) -> RawAnswer {
        self.get_layer_with(effect, self.ask("GET", &self.blob()).at_most(1 << 20)).await
    }

    /// The same, where no end is to be expected.
    async fn get_layer_for_a_while_under(&self, effect: Effect) -> RawAnswer {
        self.get_layer_with(effect, self.ask("GET", &self.blob()).patience(SHORT_PATIENCE)).await
    }

    async fn get_layer_with(&self, effect: Effect, ask: Ask) -> RawAnswer {
        let fault = self.fault(on(&self.layer().digest), effect);
        let answer = ask.send().await;
        fault.lift();
        assert_eq!(fault.strikes(), 1);
        answer
    }

    async fn get_layer_range_under(&self, effect: Effect) -> RawAnswer {
        self.get_layer_with(effect, self.ask("GET", &self.blob()).header("Range", "bytes=99-99")).await
    }

    fn blob(&self) -> String {
        format!("/v2/web/blobs/{}", self.layer().digest)
    }

    async fn catalog_under(&self, effect: Effect, query: &str) -> RawAnswer {
        let fault = self.fault(at(Endpoint::Catalog), effect);
        let answer = self.ask("GET", &format!("/v2/_catalog{query}")).send().await;
        fault.lift();
        answer
    }
}

fn json(answer: &RawAnswer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn a_selector_strikes_what_it_names_and_nothing_else() {
    let faulty = Faulty::start().await;
    let layer = faulty.layer().digest.clone();
    let (blob, other_blob) = (faulty.blob(), format!("/v2/api/blobs/{layer}"));
    let manifest = format!("/v2/web/manifests/{}", faulty.image.root().digest);
    let all = [
        ("GET", blob.as_str()),
        ("HEAD", blob.as_str()),
        ("GET", other_blob.as_str()),
        ("GET", "/v2/web/manifests/1"),
        ("GET", manifest.as_str()),
        ("GET", "/v2/web/tags/list"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/"),
    ];
    for (selector, struck) in [
        (on(&layer), vec![0, 1, 2]),
        (on(&layer).in_repository("web"), vec![0, 1]),
        (on(&layer).head_only(), vec![1]),
        (on(&layer).get_only(), vec![0, 2]),
        (on(&layer).ranged_only(), vec![]),
        (on_tag("1"), vec![3]),
        (in_repository("web"), vec![0, 1, 3, 4, 5]),
        (in_repository("web").at(Endpoint::Manifest), vec![3, 4]),
        (at(Endpoint::Tags), vec![5]),
        (at(Endpoint::Catalog), vec![6]),
        (everything(), vec![0, 1, 2, 3, 4, 5, 6, 7]),
        (everything().times(2), vec![0, 1]),
        (everything().after(3).times(2), vec![3, 4]),
        (on(&Digest::sha256(b"nothing")), vec![]),
    ] {
        let fault = faulty.fault(selector.clone(), answers(418));
        let mut hit = Vec::new();
        for (number, (method, target)) in all.iter().enumerate() {
            if faulty.ask(method, target).send().await.status == Some(418) {
                hit.push(number);
            }
        }
        fault.lift();
        assert_eq!(hit, struck, "{selector:?}");
        assert_eq!(fault.strikes(), struck.len());
    }
    faulty.fault(on(&layer).ranged_only(), answers(418));
    assert_eq!(faulty.ask("GET", &blob).header("Range", "bytes=0-0").send().await.status, Some(418));
    assert_eq!(faulty.get(&blob).await.status, Some(200));
}

#[tokio::test]
async fn a_fault_can_be_lifted_and_reinstated() {
    let faulty = Faulty::start().await;
    let fault = faulty.fault(everything(), answers(503));
    assert_eq!(faulty.get("/v2/").await.status, Some(503));
    fault.lift();
    assert_eq!(faulty.get("/v2/").await.status, Some(200));
    fault.reinstate();
    assert_eq!(faulty.get("/v2/").await.status, Some(503));
}

#[tokio::test]
async fn a_rate_strikes_the_same_requests_for_the_same_seed() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let faulty = Faulty::start().await;
        faulty.fault(everything().at_rate(0.3, seed), answers(500));
        let mut statuses = Vec::new();
        for _ in 0..100 {
            statuses.push(faulty.get("/v2/").await.status.unwrap());
        }
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let struck = runs[0].iter().filter(|status| **status == 500).count();
    assert!((15..45).contains(&struck), "{struck} of 100 at a rate of 0.3");
}

#[tokio::test]
async fn statuses_come_with_the_body_that_was_chosen() {
    let faulty = Faulty::start().await;
    let answer = faulty.get_layer_under(answers(404)).await;
    assert_eq!((answer.status, &json(&answer)["errors"][0]["code"]), (Some(404), &Value::from("BLOB_UNKNOWN")));
    let answer = faulty.get_layer_under(answers(429).header("Retry-After", "7")).await;
    assert_eq!(json(&answer)["errors"][0]["code"], "TOOMANYREQUESTS");
    assert_eq!(answer.header("retry-after"), Some("7"));
    let answer = faulty.get_layer_under(answers_html(502)).await;
    assert_eq!((answer.status, answer.header("content-type")), (Some(502), Some("text/html")));
    let answer = faulty.get_layer_under(answers_with(503, "text/plain", "")).await;
    assert_eq!((answer.status, answer.body.len()), (Some(503), 0));
    let answer = faulty.get_layer_under(answers_with(200, "application/json", "[]")).await;
    assert_eq!((answer.status, answer.text().as_str()), (Some(200), "[]"));
}

#[tokio::test]
async fn connections_break_as_told() {
    let faulty = Faulty::start().await;
    for (effect, end) in [(drops_connection(), End::Closed), (resets(), End::Reset), (hangs(), End::Open)] {
        let answer = faulty.get_layer_for_a_while_under(effect).await;
        assert_eq!((answer.status, answer.body.len(), answer.end), (None, 0, end));
    }
    for (effect, end) in [(cuts_body_after(7), End::Closed), (stalls_body_after(7), End::Open)] {
        let answer = faulty.get_layer_for_a_while_under(effect).await;
        assert_eq!((answer.status, answer.header("content-length")), (Some(200), Some("100")));
        assert_eq!((&answer.body[..], answer.end), (&faulty.layer().bytes[..7], end));
    }
    let fault = faulty.fault(on(&faulty.layer().digest), cuts_body_after(0));
    let head = faulty.ask("HEAD", &faulty.blob()).send().await;
    assert_eq!((head.status, head.header("content-length")), (Some(200), Some("100")));
    assert_eq!(fault.strikes(), 1);
}

#[tokio::test]
async fn a_registry_that_goes_down_refuses_until_it_comes_back() {
    let faulty = Faulty::start().await;
    faulty.registry.go_down().await;
    assert!(tokio::net::TcpStream::connect(faulty.registry.address()).await.is_err());
    faulty.registry.come_back().await.unwrap();
    assert_eq!(faulty.get(&faulty.blob()).await.status, Some(200));
}

#[tokio::test]
async fn bodies_take_their_time_and_lie_about_their_length() {
    let faulty = Faulty::start().await;
    let start = Instant::now();
    let answer = faulty.get_layer_under(delays(Duration::from_millis(50)).and(answers(404))).await;
    assert_eq!(answer.status, Some(404));
    assert!(start.elapsed() >= Duration::from_millis(50));
    let answer = faulty.get_layer_for_a_while_under(slow_body(Duration::from_millis(40))).await;
    assert!((1..50).contains(&answer.body.len()), "{} bytes", answer.body.len());
    assert_eq!(answer.end, End::Open);
    let answer = faulty.get_layer_under(endless_body()).await;
    assert!(answer.body.len() > 1_000_000, "{} bytes", answer.body.len());
    assert_eq!((answer.header("content-length"), answer.end), (None, End::Open));
    for claimed in [7, 700] {
        let answer = faulty.get_layer_under(claims_length(claimed)).await;
        assert_eq!(answer.header("content-length"), Some(claimed.to_string().as_str()));
        assert_eq!((answer.body.len(), answer.end), (100, End::Closed));
    }
    // Who keeps connections open notices too: there is no more to come.
    faulty.fault(on(&faulty.layer().digest), claims_length(700));
    let answer = http_client().get(format!("{}{}", faulty.registry.url(), faulty.blob())).send().await.unwrap();
    assert!(!answer.bytes().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn heads_may_be_long() {
    let faulty = Faulty::start().await;
    let answer = faulty.get_layer_under(many_headers(500)).await;
    assert_eq!(answer.headers.iter().filter(|(name, _)| name.starts_with("x-filler-")).count(), 500);
}

#[tokio::test]
async fn ranges_are_not_what_was_asked_for() {
    let faulty = Faulty::start().await;
    let answer = faulty.get_layer_range_under(ignores_range()).await;
    assert_eq!((answer.status, answer.body.len()), (Some(200), 100));
    let answer = faulty.get_layer_range_under(answers_range(0, 4)).await;
    assert_eq!((answer.status, answer.header("content-range")), (Some(206), Some("bytes 0-4/100")));
    assert_eq!(answer.body.len(), 5);
    let answer = faulty.get_layer_range_under(hides_total()).await;
    assert_eq!((answer.status, answer.header("content-range")), (Some(206), Some("bytes 99-99/*")));
}

#[tokio::test]
async fn digests_are_claimed_wrongly_or_not_at_all() {
    let faulty = Faulty::start().await;
    let other = Digest::sha256(b"other");
    let answer = faulty.get_layer_under(claims_digest(&other)).await;
    assert_eq!(answer.header("docker-content-digest"), Some(other.to_string().as_str()));
    let answer = faulty.get_layer_under(without_digest()).await;
    assert_eq!((answer.status, answer.header("docker-content-digest")), (Some(200), None));
}

#[tokio::test]
async fn signed_storage_url_serves_get_but_not_head() {
    let (faulty, storage) = (Faulty::start().await, Registry::start().await.unwrap());
    storage.push("web:1", &faulty.image);
    storage.fault(everything().head_only(), answers(403));
    faulty.fault(at(Endpoint::Blob), redirects_to(storage.url()));
    let answer = faulty.get(&faulty.blob()).await;
    assert_eq!(answer.status, Some(307));
    assert_eq!(answer.header("location"), Some(format!("{}{}", storage.url(), faulty.blob()).as_str()));
    let url = format!("{}{}", faulty.registry.url(), faulty.blob());
    assert_eq!(http_client().get(&url).send().await.unwrap().bytes().await.unwrap(), faulty.layer().bytes);
    assert_eq!(http_client().head(&url).send().await.unwrap().status(), 403);
    assert_eq!(storage.request_count(), 2);
}

#[tokio::test]
async fn a_redirect_to_the_registry_itself_is_a_loop() {
    let faulty = Faulty::start().await;
    let fault = faulty.fault(at(Endpoint::Blob), redirects_to(faulty.registry.url()));
    let url = format!("{}{}", faulty.registry.url(), faulty.blob());
    assert!(http_client().get(&url).send().await.unwrap_err().is_redirect());
    assert!(fault.strikes() > 5);
}

#[tokio::test]
async fn catalogs_mislead() {
    let faulty = Faulty::start().await;
    let first_page = ["api"];
    let link = |answer: &RawAnswer| answer.header("link").map(str::to_string);
    let absolute = format!("<{}/v2/_catalog?last=api&n=1>; rel=\"next\"", faulty.registry.url());
    assert_eq!(link(&faulty.catalog_under(links_absolutely(), "?n=1").await), Some(absolute));
    let unquoted = "</v2/_catalog?last=api&n=1>; rel=next".to_string();
    assert_eq!(link(&faulty.catalog_under(links_unquoted(), "?n=1").await), Some(unquoted));
    let itself = "</v2/_catalog?n=1&last=api>; rel=\"next\"".to_string();
    assert_eq!(link(&faulty.catalog_under(links_to_itself(), "?n=1&last=api").await), Some(itself));
    let cut = faulty.catalog_under(loses_link(), "?n=1").await;
    assert_eq!((link(&cut), &json(&cut)["repositories"]), (None, &Value::from(first_page.to_vec())));
    let again = faulty.catalog_under(ignores_last(), "?n=1&last=api").await;
    assert_eq!(json(&again)["repositories"], Value::from(first_page.to_vec()));
    let twice = faulty.catalog_under(repeats_entries(), "").await;
    assert_eq!(json(&twice)["repositories"], Value::from(vec!["api", "api", "web", "web"]));
    assert_eq!(twice.end, End::Closed);
    assert_eq!(faulty.catalog_under(answers_json("null"), "").await.text(), "null");
    let padded = faulty.catalog_under(pads_body_to(100_000), "").await;
    assert_eq!((padded.body.len(), &json(&padded)["repositories"][1]), (100_000, &Value::from("web")));
    let refused = faulty.catalog_under(refuses_pages_over(100), "?n=101").await;
    assert_eq!(json(&refused)["errors"][0]["code"], "PAGINATION_NUMBER_INVALID");
    assert_eq!(faulty.catalog_under(refuses_pages_over(100), "?n=100").await.status, Some(200));
}

#[tokio::test]
async fn endless_lists_have_new_names_on_every_page() {
    let faulty = Faulty::start().await;
    faulty.fault(everything(), lists_endlessly());
    for (list, member) in [("/v2/_catalog", "repositories"), ("/v2/web/tags/list", "tags")] {
        let mut target = list.to_string();
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let page = faulty.get(&target).await;
            names.extend(json(&page)[member].as_array().unwrap().iter().map(ToString::to_string));
            target = page.header("link").unwrap().trim_start_matches('<').split('>').next().unwrap().to_string();
        }
        assert_eq!(names.len(), 300, "{list}");
    }
}

#[tokio::test]
async fn bearer_tokens_open_what_they_were_asked_for() {
    let (faulty, service) = (Faulty::start().await, Registry::start().await.unwrap());
    let tokens =
        TokenService::new().for_user("probe", "secret").expiring_in(Duration::from_secs(300)).as_access_token();
    service.issue(&tokens);
    faulty.registry.require(Auth::bearer_from(&format!("{}/token", service.url()), &tokens));
    let challenge = faulty.get("/v2/web/tags/list").await;
    let expected =
        format!("Bearer realm=\"{}/token\",service=\"demo-registry\",scope=\"repository:web:pull\"", service.url());
    assert_eq!((challenge.status, challenge.header("www-authenticate")), (Some(401), Some(expected.as_str())));
    let token_of = async |scope: &str| {
        let ask = ask(service.address(), "GET", &format!("/token?service=demo-registry&scope={scope}"));
        ask.header("Authorization", "Basic cHJvYmU6c2VjcmV0").send().await
    };
    assert_eq!(ask(service.address(), "GET", "/token").send().await.status, Some(401));
    let issued = token_of("repository:web:pull").await;
    assert_eq!(json(&issued)["expires_in"], 300);
    let bearer = format!("Bearer {}", json(&issued)["access_token"].as_str().unwrap());
    let with_token = async |target: &str| faulty.ask("GET", target).header("Authorization", &bearer).send().await;
    assert_eq!(with_token("/v2/web/tags/list").await.status, Some(200));
    let refused = with_token("/v2/api/tags/list").await;
    assert!(refused.header("www-authenticate").unwrap().ends_with("error=\"insufficient_scope\""));
    assert_eq!(tokens.grants()[0].scopes, ["repository:web:pull"]);
    tokens.revoke_all();
    assert_eq!(with_token("/v2/web/tags/list").await.status, Some(401));

    service.fault(at(Endpoint::Token), answers_with(200, "application/json", "rubbish"));
    assert_eq!(token_of("registry:catalog:*").await.text(), "rubbish");
}

#[tokio::test]
async fn tokens_of_the_registry_itself_expire() {
    let faulty = Faulty::start().await;
    let tokens = TokenService::new().expiring_in(Duration::ZERO);
    faulty.registry.require(Auth::bearer(&tokens));
    let challenge = faulty.get("/v2/_catalog").await;
    assert!(challenge.header("www-authenticate").unwrap().contains(&format!("{}/token", faulty.registry.url())));
    let issued = faulty.get("/token?scope=registry:catalog:*").await;
    let bearer = format!("Bearer {}", json(&issued)["token"].as_str().unwrap());
    let late = faulty.ask("GET", "/v2/_catalog").header("Authorization", &bearer).send().await;
    assert!(late.header("www-authenticate").unwrap().contains("invalid_token"));
}

#[tokio::test]
async fn requests_are_remembered() {
    let faulty = Faulty::start().await;
    faulty.fault(on_tag("gone"), hangs());
    let basic = "Basic cHJvYmU6c2VjcmV0";
    faulty.ask("GET", &faulty.blob()).header("Range", "bytes=0-0").header("Authorization", basic).send().await;
    faulty.ask("HEAD", "/v2/web/manifests/gone").patience(SHORT_PATIENCE).send().await;
    faulty.get("/v2/_catalog?n=5").await;
    let requests = faulty.registry.requests();
    let [blob, hung, catalog] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!((blob.method.as_str(), blob.endpoint, blob.status), ("GET", Endpoint::Blob, Some(206)));
    assert_eq!((blob.range.as_deref(), blob.authorization.as_deref()), (Some("bytes=0-0"), Some(basic)));
    assert_eq!(blob.host, Some(faulty.registry.address().to_string()));
    assert_eq!((hung.method.as_str(), hung.status), ("HEAD", None));
    assert_eq!((catalog.path.as_str(), catalog.query.as_str()), ("/v2/_catalog", "n=5"));
    faulty.registry.clear_requests();
    assert_eq!((faulty.registry.requests().len(), faulty.registry.request_count()), (0, 0));
}

#[tokio::test]
async fn the_most_requests_in_flight_are_known() {
    let faulty = Faulty::start().await;
    faulty.fault(everything(), delays(SHORT_PATIENCE));
    let asks = (0..7).map(|_| faulty.get("/v2/"));
    futures_util::future::join_all(asks).await;
    assert_eq!(faulty.registry.most_in_flight(), 7);
    faulty.get("/v2/").await;
    faulty.registry.clear_requests();
    faulty.get("/v2/").await;
    assert_eq!(faulty.registry.most_in_flight(), 1);
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let faulty = Faulty::start().await;
    let client = http_client();
    for _ in 0..50 {
        let answer = client.get(format!("{}{}", faulty.registry.url(), faulty.blob())).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap(), faulty.layer().bytes);
        let answer = client.head(format!("{}/v2/web/manifests/absent", faulty.registry.url())).send().await.unwrap();
        assert_eq!(answer.status(), 404);
    }
    assert_eq!(faulty.registry.connection_count(), 1);
}

#[tokio::test]
#[expect(clippy::disallowed_types, reason = "a client that trusts what the test makes")]
async fn tls_lets_in_whom_it_knows() {
    let faulty = Faulty::start().await;
    let ca = PrivateCa::new();
    let server = ca.server(&["localhost", "127.0.0.1"]);
    let open = TlsFront::start(faulty.registry.address(), &server).await;
    let mutual = TlsFront::start_for_clients_of(&ca, faulty.registry.address(), &server).await;
    let root = reqwest::Certificate::from_pem(&std::fs::read(ca.ca_file()).unwrap()).unwrap();
    let client = ca.client("probe");
    let identity = [std::fs::read(&client.cert_file).unwrap(), std::fs::read(&client.key_file).unwrap()].concat();
    let identity = reqwest::Identity::from_pem(&identity).unwrap();
    assert!(http_client().get(open.url("localhost")).send().await.is_err(), "nobody trusts the authority yet");
    let trusting = || reqwest::Client::builder().no_proxy().tls_certs_only([root.clone()]);
    let (anonymous, known) = (trusting().build().unwrap(), trusting().identity(identity).build().unwrap());
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(anonymous.get(open.url(host) + "/v2/").send().await.unwrap().status(), 200);
    }
    assert!(anonymous.get(mutual.url("localhost") + "/v2/").send().await.is_err());
    assert_eq!(known.get(mutual.url("localhost") + "/v2/").send().await.unwrap().status(), 200);
}
