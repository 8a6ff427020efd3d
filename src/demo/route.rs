//! The paths of the registry API (OCI distribution specification, "API").

/// An endpoint with the names from the path, which are not validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`
    Ping,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<repository>/tags/list`
    Tags {
        /// The repository.
        repository: String,
    },
    /// `/v2/<repository>/manifests/<reference>`
    Manifest {
        /// The repository.
        repository: String,
        /// A tag or a digest.
        reference: String,
    },
    /// `/v2/<repository>/blobs/<digest>`
    Blob {
        /// The repository.
        repository: String,
        /// The digest.
        digest: String,
    },
    /// `/token`, the token service.
    Token,
    /// Anything else.
    Other,
}

/// The kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2/`
    Ping,
    /// The list of repositories.
    Catalog,
    /// A list of tags.
    Tags,
    /// A manifest, by tag or by digest.
    Manifest,
    /// A config or layer.
    Blob,
    /// The token service.
    Token,
    /// Anything else.
    Other,
}

impl Route {
    /// Parses a path.
    pub fn of(path: &str) -> Self {
        if path == "/token" {
            return Self::Token;
        }
        let Some(rest) = path.strip_prefix("/v2/") else { return Self::Other };
        match rest {
            "" => return Self::Ping,
            "_catalog" => return Self::Catalog,
            _ => {}
        }
        if let Some(repository) = rest.strip_suffix("/tags/list") {
            return Self::Tags { repository: repository.to_string() };
        }
        let mut parts = rest.rsplitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(reference), Some("manifests"), Some(repository)) => {
                Self::Manifest { repository: repository.to_string(), reference: reference.to_string() }
            }
            (Some(digest), Some("blobs"), Some(repository)) => {
                Self::Blob { repository: repository.to_string(), digest: digest.to_string() }
            }
            _ => Self::Other,
        }
    }

    /// The kind of the route.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Ping => Endpoint::Ping,
            Self::Catalog => Endpoint::Catalog,
            Self::Tags { .. } => Endpoint::Tags,
            Self::Manifest { .. } => Endpoint::Manifest,
            Self::Blob { .. } => Endpoint::Blob,
            Self::Token => Endpoint::Token,
            Self::Other => Endpoint::Other,
        }
    }

    /// The repository in the path.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Tags { repository } | Self::Manifest { repository, .. } | Self::Blob { repository, .. } => {
                Some(repository)
            }
            _ => None,
        }
    }

    /// The tag or digest in the path.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Manifest { reference, .. } => Some(reference),
            Self::Blob { digest, .. } => Some(digest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_paths_of_the_specification() {
        assert_eq!(Route::of("/v2/"), Route::Ping);
        assert_eq!(Route::of("/v2/_catalog"), Route::Catalog);
        assert_eq!(Route::of("/v2/a/b/tags/list"), Route::Tags { repository: "a/b".to_string() });
        assert_eq!(
            Route::of("/v2/a/manifests/manifests/latest"),
            Route::Manifest { repository: "a/manifests".to_string(), reference: "latest".to_string() }
        );
        assert_eq!(
            Route::of("/v2/a/blobs/sha256:00"),
            Route::Blob { repository: "a".to_string(), digest: "sha256:00".to_string() }
        );
        assert_eq!(Route::of("/token"), Route::Token);
        assert_eq!(Route::of("/"), Route::Other);
    }
}
