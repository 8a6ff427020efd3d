//! Media types of manifests. The OCI ones are oci-spec's; it has no constants for Docker's and for former ones.

use oci_spec::image::{MediaType, ToDockerV2S2};

/// `Accept` header for manifests. It names every type, because distribution 2.x answers 404 for an OCI index that is not
/// named, whatever `*/*` says, and ACR and GCR do so for any type. With schema 2 only, a registry replaces a Docker list by
/// its linux/amd64 child.
pub const MANIFEST_ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json, \
     application/vnd.cncf.oras.artifact.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v1+prettyjws, \
     application/vnd.docker.distribution.manifest.v1+json, \
     */*";

/// Types that do not describe the content.
const GENERIC_TYPES: &[&str] =
    &["", "application/json", "application/octet-stream", "binary/octet-stream", "text/json", "text/plain"];

/// True for an OCI index or a Docker list.
pub(super) fn is_index_type(media_type: &str) -> bool {
    let index = MediaType::ImageIndex;
    media_type == index.as_ref() || index.to_docker_v2s2().is_ok_and(|docker| media_type == docker)
}

/// True for the types that registries serve from the manifests endpoint, which are those in [`MANIFEST_ACCEPT`]. Clients
/// fetch everything else as a blob.
pub(super) fn is_manifest_type(media_type: &str) -> bool {
    let media_type = without_parameters(media_type);
    MANIFEST_ACCEPT.split(", ").any(|known| known != "*/*" && known.eq_ignore_ascii_case(media_type))
}

/// True for a type that names content other than a manifest.
pub(super) fn is_foreign_type(media_type: &str) -> bool {
    let media_type = without_parameters(media_type);
    !is_manifest_type(media_type) && !GENERIC_TYPES.iter().any(|generic| generic.eq_ignore_ascii_case(media_type))
}

pub(super) fn without_parameters(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_header_names_all_manifest_types() {
        for media_type in [MediaType::ImageIndex, MediaType::ImageManifest] {
            assert!(is_manifest_type(media_type.as_ref()));
            assert!(is_manifest_type(media_type.to_docker_v2s2().unwrap()));
        }
        assert!(is_manifest_type(MediaType::ArtifactManifest.as_ref()));
        assert!(!is_manifest_type(MediaType::ImageConfig.as_ref()));
    }

    #[test]
    fn index_and_docker_list_are_indexes() {
        assert!(is_index_type(MediaType::ImageIndex.as_ref()));
        assert!(is_index_type("application/vnd.docker.distribution.manifest.list.v2+json"));
        assert!(!is_index_type(MediaType::ImageManifest.as_ref()));
    }
}
