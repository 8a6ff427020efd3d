//! Images as people type them: `app`, `registry.example.com:5050/team/app:1@sha256:…` (docker's reference grammar).

use std::fmt;
use std::str::FromStr;

use crate::oci::{Digest, DigestError, NameError, Reference, Repository, Tag};

/// Docker Hub's name in front of an image.
const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub's registry answers.
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

/// An image with its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The registry's host, with its port if one is written.
    pub host: String,
    /// The repository.
    pub repository: Repository,
    /// The tag; `latest` if neither tag nor digest is written.
    pub tag: Option<Tag>,
    /// The digest, which decides if it is written.
    pub digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// A URL.
    #[error("{0:?} is a URL (expected the image alone, such as registry.example.com/app:1; --plain-http for http)")]
    Url(String),
    /// The registry's part is none.
    #[error("{0:?} is not a registry's host (expected one such as registry.example.com:5050)")]
    Host(String),
    /// The name is none, or the tag.
    #[error("{0} (repositories are in lower case; an image is such as app:1 or registry.example.com/app:1)")]
    Name(#[from] NameError),
    /// What stands behind the `@` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageName {
    /// What is verified: the digest, or the tag if there is none.
    pub fn reference(&self) -> Option<Reference> {
        let tag = || self.tag.clone().map(Reference::Tag);
        self.digest.clone().map(Reference::Digest).or_else(tag)
    }

    /// Host and port to ask: Docker Hub's registry has another name than its images.
    pub fn registry_host(&self) -> &str {
        if self.host == DOCKER_HUB { DOCKER_HUB_REGISTRY } else { &self.host }
    }

    /// True if the registry is on this machine, where container tools do without TLS.
    pub fn is_local(&self) -> bool {
        let host = match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.host,
        };
        let address: Result<std::net::IpAddr, _> = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, ImageNameError> {
        if text.contains("://") {
            return Err(ImageNameError::Url(text.chars().take(200).collect()));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it, a port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse()?)),
            _ => (name, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_string()),
            Some(_) => (DOCKER_HUB, name.to_string()),
            None => (DOCKER_HUB, format!("library/{name}")),
        };
        let host = match host {
            "index.docker.io" | DOCKER_HUB_REGISTRY => DOCKER_HUB,
            other => other,
        };
        let path = if host == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path };
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if !host.bytes().all(legal) || url::Url::parse(&format!("https://{host}")).is_err() {
            return Err(ImageNameError::Host(host.chars().take(200).collect()));
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".parse()?) } else { tag };
        Ok(Self { host: host.to_string(), repository: path.parse()?, tag, digest })
    }
}

/// Docker's rule: what stands before the first slash is a host if it could be none of a repository's parts, or is
/// `localhost`.
fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_docker_hub_s() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("grafana/grafana", "docker.io/grafana/grafana:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
            ("registry.example.com/app", "registry.example.com/app:latest"),
            ("registry:5000/app:1", "registry:5000/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("Registry/app", "Registry/app:latest"),
            ("[::1]:5000/team/app:1", "[::1]:5000/team/app:1"),
        ] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), full, "{text}");
        }
        assert_eq!("nginx".parse::<ImageName>().unwrap().registry_host(), "registry-1.docker.io");
    }

    #[test]
    fn a_digest_decides_over_a_tag() {
        let digest = Digest::sha256(b"");
        let name: ImageName = format!("r.example/app:1@{digest}").parse().unwrap();
        assert_eq!(name.reference(), Some(Reference::Digest(digest.clone())));
        assert_eq!(name.to_string(), format!("r.example/app:1@{digest}"));
        let name: ImageName = format!("r.example/app@{digest}").parse().unwrap();
        assert_eq!(name.tag, None);
    }

    #[test]
    fn what_is_no_image_says_what_is_expected() {
        for (text, said) in [
            ("https://r.example/app", "is a URL"),
            ("docker://app", "is a URL"),
            ("r.example/App", "lower case"),
            ("app:", "\"\" is not a legal tag"),
            ("app@sha256:12", "is not a digest"),
            ("r.example:port/app", "not a registry's host"),
            ("r.exa mple/app", "not a registry's host"),
            ("", "not a legal repository"),
        ] {
            let error = text.parse::<ImageName>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn this_machine_s_registries_are_local() {
        for (host, local) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.1.2.3", true),
            ("[::1]:5000", true),
            ("localhost.example.com", false),
            ("192.168.0.1:5000", false),
        ] {
            assert_eq!(format!("{host}/app").parse::<ImageName>().unwrap().is_local(), local, "{host}");
        }
    }
}
