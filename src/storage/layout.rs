//! Paths in a registry's `v2` directory, as in distribution's `registry/storage/paths.go`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::oci::Digest;

/// The directory of all repositories.
pub const REPOSITORIES: &str = "repositories";
/// The directory of all blobs.
pub const BLOBS: &str = "blobs";
/// In a repository: links to layers and configs. Registry 2 recognises repositories by it.
pub const LAYERS: &str = "_layers";
/// In a repository: revisions and tags. Registry 3 recognises repositories by it.
pub const MANIFESTS: &str = "_manifests";
/// The name of every link.
pub const LINK: &str = "link";
/// The name of every blob's data.
pub const DATA: &str = "data";
/// Directory names of digest algorithms, sorted.
pub const ALGORITHMS: [&str; 3] = ["sha256", "sha384", "sha512"];

/// A repository's directory.
pub fn repository(name: &Path) -> PathBuf {
    Path::new(REPOSITORIES).join(name)
}

/// The directory of a repository's revision links.
pub fn revisions(name: &Path) -> PathBuf {
    repository(name).join(MANIFESTS).join("revisions")
}

/// The directory of a repository's tags.
pub fn tags(name: &Path) -> PathBuf {
    repository(name).join(MANIFESTS).join("tags")
}

/// The directory of a repository's layer links.
pub fn layers(name: &Path) -> PathBuf {
    repository(name).join(LAYERS)
}

/// The directory of a manifest's revision link.
pub fn revision(name: &Path, digest: &Digest) -> PathBuf {
    revisions(name).join(algorithm_and_hex(digest))
}

/// A manifest's revision link.
pub fn revision_link(name: &Path, digest: &Digest) -> PathBuf {
    revision(name, digest).join(LINK)
}

/// A layer's or config's link.
pub fn layer_link(name: &Path, digest: &Digest) -> PathBuf {
    layers(name).join(algorithm_and_hex(digest)).join(LINK)
}

/// A tag's current link.
pub fn tag_current(name: &Path, tag: &Path) -> PathBuf {
    tags(name).join(tag).join("current").join(LINK)
}

/// The directory of a link to a current or former target of a tag.
pub fn tag_index_entry(name: &Path, tag: &Path, digest: &Digest) -> PathBuf {
    tags(name).join(tag).join("index").join(algorithm_and_hex(digest))
}

/// A blob's directory.
pub fn blob(digest: &Digest) -> PathBuf {
    let (algorithm, hex) = parts(digest);
    let prefix = hex.get(..2).unwrap_or(&hex);
    PathBuf::from(format!("{BLOBS}/{algorithm}/{prefix}/{hex}"))
}

/// A blob's data.
pub fn data(digest: &Digest) -> PathBuf {
    blob(digest).join(DATA)
}

fn algorithm_and_hex(digest: &Digest) -> String {
    let (algorithm, hex) = parts(digest);
    format!("{algorithm}/{hex}")
}

/// The algorithm and the hexadecimal digits. Avoids formatting, since a scan builds a million paths.
fn parts(digest: &Digest) -> (Cow<'static, str>, String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match digest.algorithm() {
        Some(algorithm) => {
            let mut hex = String::with_capacity(2 * digest.as_bytes().len());
            for byte in digest.as_bytes() {
                hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
                hex.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
            (Cow::Borrowed(algorithm.as_str()), hex)
        }
        None => {
            let text = digest.to_string();
            let (algorithm, encoded) = text.split_once(':').unwrap_or((&text, ""));
            (Cow::Owned(algorithm.to_string()), encoded.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_distribution() {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let hex = "ab".repeat(32);
        let name = Path::new("team/app");
        assert_eq!(data(&digest), PathBuf::from(format!("blobs/sha256/ab/{hex}/data")));
        let link = |folder: &str| PathBuf::from(format!("repositories/team/app/{folder}/sha256/{hex}/link"));
        assert_eq!(revision_link(name, &digest), link("_manifests/revisions"));
        assert_eq!(layer_link(name, &digest), link("_layers"));
        assert_eq!(tag_index_entry(name, Path::new("1"), &digest).join(LINK), link("_manifests/tags/1/index"));
        assert_eq!(
            tag_current(name, Path::new("1")),
            PathBuf::from("repositories/team/app/_manifests/tags/1/current/link")
        );
    }
}
