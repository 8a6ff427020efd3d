//! The graph view of a manifest: whatever its type, what it needs so that somebody can pull it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Descriptor;
use super::descriptor::{LenientText, lenient_object};

/// All four manifest types in one header. distribution 2.x answers a type that is not named here with 404, and `*/*`
/// does not count; a Docker list would be replaced by its linux/amd64 child if only schema 2 were named.
pub const MANIFEST_ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// What a manifest points to. An image has a config and layers, an index has manifests; an artifact is either. The
/// members decide, since `mediaType` may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// `mediaType`, where it is said.
    pub media_type: Option<String>,
    /// `manifests`: the children of an index.
    pub manifests: Vec<Descriptor>,
    /// `config`.
    pub config: Option<Descriptor>,
    /// `layers`, and `blobs` of the former OCI artifact manifest.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// How many objects it names.
    pub fn descriptors(&self) -> usize {
        self.manifests.len() + usize::from(self.config.is_some()) + self.layers.len()
    }
}

/// Why bytes are no manifest that can be walked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Nobody could pull this.
    #[error("not a manifest: {0}")]
    Malformed(String),
    /// Docker schema 1: its digest leaves out its signatures, and it names its layers without sizes.
    #[error("a Docker schema 1 manifest, which this program does not check")]
    SchemaOne,
}

/// Reads a manifest's bytes.
///
/// # Errors
///
/// [`ManifestError`] if they are no JSON object that names a config, layers or manifests.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    // Go replaces what is no UTF-8, and goes on.
    let partial = serde_json::from_slice::<Partial>(bytes).or_else(|error| match String::from_utf8_lossy(bytes) {
        Cow::Owned(text) => serde_json::from_str(&text),
        Cow::Borrowed(_) => Err(error),
    });
    let partial = partial.map_err(|error| ManifestError::Malformed(shortened(&error)))?;
    let Partial { media_type, manifests, config, layers, blobs, is_schema_one } = partial;
    if is_schema_one {
        return Err(ManifestError::SchemaOne);
    }
    if manifests.is_none() && config.is_none() && layers.is_none() && blobs.is_none() {
        return Err(ManifestError::Malformed("it names no config, layers or manifests".to_string()));
    }
    let mut layers = layers.flatten().unwrap_or_default();
    layers.extend(blobs.flatten().unwrap_or_default());
    Ok(Manifest { media_type, manifests: manifests.flatten().unwrap_or_default(), config: config.flatten(), layers })
}

/// An error may quote a text of any length from the manifest.
fn shortened(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}

/// The outer `Option` tells an absent member from a `null`.
#[derive(Default)]
struct Partial {
    media_type: Option<String>,
    manifests: Option<Option<Vec<Descriptor>>>,
    config: Option<Option<Descriptor>>,
    layers: Option<Option<Vec<Descriptor>>>,
    blobs: Option<Option<Vec<Descriptor>>>,
    is_schema_one: bool,
}

lenient_object!(
    Partial,
    "a manifest (a JSON object)",
    &["mediaType", "manifests", "config", "layers", "blobs", "fsLayers"],
    Partial,
    |map, partial, key| {
        match key {
            "mediaType" => partial.media_type = map.next_value::<LenientText>()?.0.filter(|text| !text.is_empty()),
            "manifests" => partial.manifests = Some(map.next_value()?),
            "config" => partial.config = Some(map.next_value()?),
            "layers" => partial.layers = Some(map.next_value()?),
            "blobs" => partial.blobs = Some(map.next_value()?),
            "fsLayers" => {
                partial.is_schema_one = true;
                map.next_value::<IgnoredAny>()?;
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    Ok::<Partial, String>
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn parse(json: &str) -> Result<Manifest, ManifestError> {
        parse_manifest(json.as_bytes())
    }

    #[test]
    fn the_members_tell_what_it_is() {
        let d = Digest::sha256(b"x");
        let image =
            parse(&format!(r#"{{"config":{{"digest":"{d}","size":1}},"layers":[{{"digest":"{d}"}}]}}"#)).unwrap();
        assert_eq!(image.config.unwrap().size, Some(1));
        assert_eq!(image.layers[0].size, None);
        let index =
            parse(&format!(r#"{{"mediaType":null,"manifests":[{{"digest":"{d}","size":1}}],"annotations":[]}}"#))
                .unwrap();
        assert_eq!(index.manifests.len(), 1);
        assert_eq!(parse(r#"{"manifests":null}"#).unwrap(), Manifest::default());
        assert_eq!(parse(r#"{"blobs":[]}"#).unwrap(), Manifest::default());
    }

    #[test]
    fn what_go_reads_is_read() {
        let d = Digest::sha256(b"x");
        let json =
            format!(r#"{{"Config":{{"\u0044igest":"{d}","SIZE":1}},"LAYERS":[{{"digest":"{d}","URLs":["u"]}}]}}"#);
        let image = parse(&json).unwrap();
        assert_eq!((image.config.unwrap().size, image.layers[0].has_urls), (Some(1), true));
        let index = format!(r#"{{"manifests":[{{"digest":"{d}","platform":{{"OS":"linux","architecture":"?"}}}}]}}"#);
        let latin_1: Vec<u8> = index.bytes().map(|byte| if byte == b'?' { 0xfc } else { byte }).collect();
        let platform = parse_manifest(&latin_1).unwrap().manifests.remove(0).platform.unwrap();
        assert_eq!(platform.to_string(), "linux/\u{fffd}");
        assert!(parse_manifest(b"{\"layers\":[]\xfc}").is_err());
    }

    #[test]
    fn what_is_no_manifest_is_malformed() {
        for json in [
            "",
            "{}",
            "[]",
            "null",
            "{",
            "\u{feff}{\"layers\":[]}",
            r#"{"layers":{}}"#,
            r#"{"layers":[{}]}"#,
            r#"{"layers":[["a/b","a:b",1]]}"#,
            r#"{"config":["a/b","a:b",1]}"#,
            r#"[null,[],null,[]]"#,
            r#"{"errors":[]}"#,
        ] {
            assert!(matches!(parse(json), Err(ManifestError::Malformed(_))), "{json}");
        }
        assert_eq!(parse(r#"{"schemaVersion":1,"fsLayers":[]}"#), Err(ManifestError::SchemaOne));
    }
}
