//! Pushes made-up images to real registries (OCI distribution specification, "Pushing").
#![expect(clippy::disallowed_types, reason = "tests talk to registries and to the probe as outsiders")]

use std::sync::LazyLock;
use std::time::Duration;

use registry_integrity_probe::demo::{Image, Part, Role};

/// Where to push, and as whom.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The registry, without a slash at the end.
    pub url: String,
    /// User and password, if it asks for them.
    pub credentials: Option<(String, String)>,
}

/// No exchange of a test takes longer, unless it never ends.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A client that ignores the environment, with connections of its own that it keeps open.
pub fn http_client() -> reqwest::Client {
    client_with(|builder| builder)
}

/// A client that ignores the environment, and opens a connection for each request. One for all tests, because each client
/// reads the machine's certificate authorities.
pub fn shared_client() -> &'static reqwest::Client {
    // Tests have a runtime each, which an idle connection would not outlive.
    static CLIENT: LazyLock<reqwest::Client> =
        LazyLock::new(|| client_with(|builder| builder.pool_max_idle_per_host(0)));
    &CLIENT
}

fn client_with(change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> reqwest::Client {
    // Another test of the binary may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy().timeout(TIME_LIMIT);
    change(builder).build().expect("a client without files to read")
}

impl Destination {
    /// A registry that asks for nothing.
    pub fn open(url: impl Into<String>) -> Self {
        Self { url: url.into(), credentials: None }
    }

    /// Pushes an image as `repository:tag`, or by its digest alone as `repository`.
    ///
    /// # Panics
    ///
    /// If the registry refuses any part of it.
    pub async fn push(&self, name: &str, image: &Image) {
        let (repository, tag) = name.split_once(':').map_or((name, None), |(repository, tag)| (repository, Some(tag)));
        for part in image.parts().iter().filter(|part| part.urls.is_empty()) {
            let digest = part.digest.to_string();
            match part.role {
                Role::Config | Role::Layer => self.push_blob(repository, part).await,
                Role::Child => self.push_manifest(repository, &digest, part).await,
                Role::Root => self.push_manifest(repository, tag.unwrap_or(&digest), part).await,
            }
        }
    }

    /// Uploads a config or layer, whether or not the registry has it.
    ///
    /// # Panics
    ///
    /// If the registry refuses it.
    pub async fn push_blob(&self, repository: &str, part: &Part) {
        let begun = self.request(reqwest::Method::POST, &format!("{}/v2/{repository}/blobs/uploads/", self.url));
        let begun = begun.send().await.expect("the registry begins an upload");
        assert_eq!(begun.status(), 202, "an upload of {} to {repository}", part.digest);
        let location = begun.headers()["location"].to_str().expect("a location in ASCII");
        let mut upload = begun.url().join(location).expect("a location that is a URL");
        upload.query_pairs_mut().append_pair("digest", &part.digest.to_string());
        let done = self.request(reqwest::Method::PUT, upload.as_str()).body(part.bytes.clone());
        let done = done.header("Content-Type", "application/octet-stream").send().await.expect("an answer");
        assert_eq!(done.status(), 201, "{} in {repository}: {}", part.digest, done.text().await.unwrap_or_default());
    }

    /// Puts a manifest under a tag or digest.
    ///
    /// # Panics
    ///
    /// If the registry refuses it.
    pub async fn push_manifest(&self, repository: &str, reference: &str, part: &Part) {
        let url = format!("{}/v2/{repository}/manifests/{reference}", self.url);
        let put = self.request(reqwest::Method::PUT, &url).header("Content-Type", &part.media_type);
        let answer = put.body(part.bytes.clone()).send().await.expect("an answer");
        assert_eq!(answer.status(), 201, "{repository} {reference}: {}", answer.text().await.unwrap_or_default());
    }

    fn request(&self, method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
        let request = shared_client().request(method, url);
        match &self.credentials {
            Some((username, password)) => request.basic_auth(username, Some(password)),
            None => request,
        }
    }
}
