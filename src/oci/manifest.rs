//! The lenient view of a manifest of any type: the objects that a client needs to pull it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Descriptor;
use super::descriptor::{Entries, Entry, Unusable, shortened};
use super::loose::{Loose, lenient_object};
use super::media_type::{is_foreign_type, is_index_type, is_manifest_type, without_parameters};

/// The objects that a manifest names. An image has a config and layers, an index has manifests, an artifact may have either.
/// Its members decide, because `mediaType` may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// `mediaType`, where it is said.
    pub media_type: Option<String>,
    /// The children of an index: those of its `manifests` that are manifests.
    pub manifests: Vec<Descriptor>,
    /// `config`.
    pub config: Option<Descriptor>,
    /// `layers`, `blobs` of the former OCI artifact manifest, and the entries of an index that are no manifests, such as
    /// BuildKit's cache and containerd's checkpoints have.
    pub layers: Vec<Descriptor>,
    /// Descriptors that no client can follow.
    pub unusable: Vec<Unusable>,
}

impl Manifest {
    /// Number of objects that it names.
    pub fn descriptors(&self) -> usize {
        self.manifests.len() + usize::from(self.config.is_some()) + self.layers.len()
    }

    /// True for an index, even without children.
    pub fn is_index(&self) -> bool {
        !self.manifests.is_empty() || self.media_type.as_deref().is_some_and(is_index_type)
    }
}

/// Why bytes are no manifest that can be walked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Nobody could pull this.
    #[error("not a manifest: {0}")]
    Malformed(String),
    /// The same of content that nothing calls a manifest.
    #[error("not a manifest, nor called one: {0}")]
    Untyped(String),
    /// Docker schema 1: its digest leaves out its signatures, and it names its layers without sizes.
    #[error("a Docker schema 1 manifest, which this program does not check")]
    SchemaOne,
}

/// Reads a manifest's bytes, as far as nothing but the bytes is known.
///
/// # Errors
///
/// [`ManifestError`] if they are no JSON object that names a config, layers or manifests.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let Partial { media_type, manifests, config, layers, blobs, is_schema_one } =
        read(bytes).map_err(|error| ManifestError::Malformed(shortened(&error)))?;
    if is_schema_one {
        return Err(ManifestError::SchemaOne);
    }
    if manifests.is_none() && config.is_none() && layers.is_none() && blobs.is_none() {
        return Err(ManifestError::Malformed("it names no config, layers or manifests".to_string()));
    }
    let mut unusable = Vec::new();
    let mut usable = |member: &str, entries: Option<Option<Entries>>| {
        let Entries { usable, unusable: more } = entries.flatten().unwrap_or_default();
        let placed = |(index, it): (usize, Unusable)| Unusable { what: format!("{member}[{index}] {}", it.what), ..it };
        unusable.extend(more.into_iter().map(placed));
        usable
    };
    let (entries, mut layers, blobs) =
        (usable("manifests", manifests), usable("layers", layers), usable("blobs", blobs));
    let config = match config.flatten() {
        Some(Entry(Err(it))) => {
            unusable.push(Unusable { what: format!("config {}", it.what), ..it });
            None
        }
        Some(Entry(Ok(config))) => Some(config),
        None => None,
    };
    let (manifests, no_manifests) = entries.into_iter().partition(Descriptor::is_manifest);
    layers.extend(blobs);
    layers.extend(no_manifests);
    Ok(Manifest { media_type, manifests, config, layers, unusable })
}

/// Reads the bytes that a registry serves at the manifests' endpoint, under the types that its `Content-Type` and a
/// descriptor give. Content of a type that is no manifest's names nothing, whatever it looks like.
///
/// # Errors
///
/// As for [`parse_manifest`]; [`ManifestError::Untyped`] if all types are absent or generic.
pub fn parse_manifest_of_type(bytes: &[u8], types: [Option<&str>; 2]) -> Result<Manifest, ManifestError> {
    let parsed = parse_manifest(bytes);
    if parsed == Err(ManifestError::SchemaOne) {
        return parsed;
    }
    let own_type = match &parsed {
        Ok(manifest) => manifest.media_type.clone(),
        Err(_) => serde_json::from_slice::<OwnType>(bytes).ok().and_then(|OwnType(own)| own),
    };
    let types = || own_type.as_deref().into_iter().chain(types.into_iter().flatten());
    if types().any(is_manifest_type) {
        return parsed;
    }
    match (types().find(|it| is_foreign_type(it)), parsed) {
        (Some(foreign), _) => {
            let media_type = Some(without_parameters(foreign).chars().take(255).collect());
            Ok(Manifest { media_type, ..Manifest::default() })
        }
        (None, Err(ManifestError::Malformed(why))) => Err(ManifestError::Untyped(why)),
        (None, parsed) => parsed,
    }
}

fn read(bytes: &[u8]) -> Result<Partial, serde_json::Error> {
    // Go's decoder replaces invalid UTF-8.
    serde_json::from_slice(bytes).or_else(|error| match String::from_utf8_lossy(bytes) {
        Cow::Owned(text) => serde_json::from_str(&text),
        Cow::Borrowed(_) => Err(error),
    })
}

/// The outer `Option` tells an absent member from a `null`.
#[derive(Default)]
struct Partial {
    media_type: Option<String>,
    manifests: Option<Option<Entries>>,
    config: Option<Option<Entry>>,
    layers: Option<Option<Entries>>,
    blobs: Option<Option<Entries>>,
    is_schema_one: bool,
}

lenient_object!(
    Partial,
    "a manifest (a JSON object)",
    &["mediaType", "manifests", "config", "layers", "blobs", "fsLayers"],
    Partial,
    |map, partial, key| {
        match key {
            "mediaType" => partial.media_type = map.next_value::<Loose<'de>>()?.into_filled_text(),
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
    std::convert::identity
);

/// The `mediaType` of any JSON object.
#[derive(Default)]
struct OwnType(Option<String>);

lenient_object!(
    OwnType,
    "a JSON object",
    &["mediaType"],
    OwnType,
    |map, own, key| {
        match key {
            "mediaType" => own.0 = map.next_value::<Loose<'de>>()?.into_filled_text(),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    std::convert::identity
);

#[cfg(test)]
mod tests {
    use oci_spec::image::MediaType;

    use super::*;
    use crate::oci::Digest;

    fn parse(json: &str) -> Result<Manifest, ManifestError> {
        parse_manifest(json.as_bytes())
    }

    #[test]
    fn members_decide_the_kind() {
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
    fn content_that_go_accepts_is_read() {
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
    fn other_content_is_malformed() {
        for json in [
            "",
            "{}",
            "[]",
            "null",
            "{",
            "\u{feff}{\"layers\":[]}",
            r#"{"layers":{}}"#,
            r#"[null,[],null,[]]"#,
            r#"{"errors":[]}"#,
        ] {
            assert!(matches!(parse(json), Err(ManifestError::Malformed(_))), "{json}");
        }
        assert_eq!(parse(r#"{"schemaVersion":1,"fsLayers":[]}"#), Err(ManifestError::SchemaOne));
    }

    #[test]
    fn an_unusable_descriptor_hides_no_other() {
        let d = Digest::sha256(b"x");
        for (descriptor, what) in [
            ("{}", "has no digest"),
            (r#"{"digest":""}"#, "has no usable digest: \"\" is not a digest"),
            (r#"{"digest":null}"#, "has no digest"),
            (r#"{"digest":"sha256:x"}"#, "has no usable digest: \"sha256:x\" is not a digest"),
            (r#"{"digest":"a:b","size":"1"}"#, "has a value of the wrong type in its member \"size\""),
            (r#"{"digest":"a:b","size":1.5}"#, "has a value of the wrong type in its member \"size\""),
            (r#"{"digest":"a:b","urls":{}}"#, "has a value of the wrong type in its member \"urls\""),
            (r#"["a/b","a:b",1]"#, "is not an object"),
            ("null", "is not an object"),
        ] {
            let list = format!(r#"[{{"digest":"{d}"}},{descriptor},{{"digest":"{d}"}}]"#);
            let image = parse(&format!(r#"{{"config":{{"digest":"{d}"}},"layers":{list}}}"#)).unwrap();
            assert_eq!((image.config.is_some(), image.layers.len(), image.unusable.len()), (true, 2, 1));
            assert!(image.unusable[0].what.starts_with(&format!("layers[1] {what}")), "{:?}", image.unusable);
            if descriptor != "null" {
                let image = parse(&format!(r#"{{"config":{descriptor},"layers":[{{"digest":"{d}"}}]}}"#)).unwrap();
                assert_eq!((image.config, image.layers.len()), (None, 1));
                assert!(image.unusable[0].what.starts_with(&format!("config {what}")), "{:?}", image.unusable);
            }
        }
        let many = vec!["{}"; 17].join(",");
        assert!(parse(&format!(r#"{{"layers":[{many}]}}"#)).is_err(), "this is rubbish");
    }

    #[test]
    fn entries_of_an_index_that_are_no_manifests_are_layers() {
        let d = Digest::sha256(b"x");
        let entry = |media_type: &str| format!(r#"{{"digest":"{d}","mediaType":{media_type}}}"#);
        for (media_type, is_manifest) in [
            ("null", true),
            (r#""""#, true),
            (r#""application/vnd.oci.image.manifest.v1+json""#, true),
            (r#""application/vnd.oci.image.index.v1+json; charset=utf-8""#, true),
            (r#""application/vnd.docker.distribution.manifest.v2+json""#, true),
            (r#""application/vnd.docker.distribution.manifest.v1+prettyjws""#, true),
            (r#""application/vnd.oci.artifact.manifest.v1+json""#, true),
            (r#""application/vnd.buildkit.cacheconfig.v0""#, false),
            (r#""application/vnd.oci.image.layer.v1.tar+gzip""#, false),
            (r#""application/vnd.oci.image.config.v1+json""#, false),
            (r#""application/vnd.containerd.container.criu.checkpoint.criu.tar""#, false),
            (r#""*/*""#, false),
        ] {
            let index = parse(&format!(r#"{{"manifests":[{}]}}"#, entry(media_type))).unwrap();
            let found = (index.manifests.len(), index.layers.len());
            assert_eq!(found, if is_manifest { (1, 0) } else { (0, 1) }, "{media_type}");
        }
        let cache = format!(r#"{{"mediaType":"{}","manifests":[{}]}}"#, MediaType::ImageIndex, entry(r#""a/b""#));
        assert!(parse(&cache).unwrap().is_index());
    }

    #[test]
    fn content_of_another_type_names_nothing() {
        let d = Digest::sha256(b"x");
        let image = "application/vnd.oci.image.manifest.v1+json";
        let typed = |own: &str| format!(r#"{{"mediaType":"{own}","layers":[{{"digest":"{d}"}}]}}"#);
        let typeless = format!(r#"{{"layers":[{{"digest":"{d}"}}]}}"#);
        let layers = |json: &str, content_type: Option<&str>| {
            parse_manifest_of_type(json.as_bytes(), [content_type, None]).map(|manifest| manifest.layers.len())
        };
        for (own, content_type, count) in [
            (image, None, 1),
            (image, Some("application/vnd.example.thing+json"), 1),
            ("application/vnd.example.thing+json", None, 0),
            ("application/vnd.example.thing+json", Some("application/json"), 0),
            ("application/vnd.example.thing+json", Some(image), 1),
        ] {
            assert_eq!(layers(&typed(own), content_type), Ok(count), "{own} {content_type:?}");
        }
        assert_eq!(layers(&typeless, Some("application/vnd.example.thing+json")), Ok(0));
        for generic in [None, Some("application/json; charset=utf-8"), Some("application/octet-stream"), Some(image)] {
            assert_eq!(layers(&typeless, generic), Ok(1), "{generic:?}");
            let is_untyped = matches!(layers("no JSON", generic), Err(ManifestError::Untyped(_)));
            assert_eq!(is_untyped, generic != Some(image), "{generic:?}");
            let of_descriptor = parse_manifest_of_type(b"no JSON", [generic, Some(image)]);
            assert!(matches!(of_descriptor, Err(ManifestError::Malformed(_))), "{generic:?}");
            assert!(matches!(
                layers(&format!(r#"{{"mediaType":"{image}"}}"#), generic),
                Err(ManifestError::Malformed(_))
            ));
        }
        let foreign = parse_manifest_of_type(b"no JSON", [Some("application/vnd.example.thing; v=1"), None]).unwrap();
        assert_eq!(foreign.media_type.as_deref(), Some("application/vnd.example.thing"));
        let no_list = br#"{"mediaType":"application/vnd.example.thing","layers":{}}"#;
        assert_eq!(parse_manifest_of_type(no_list, [None, None]).unwrap().descriptors(), 0);
        let schema_one = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        assert_eq!(parse_manifest_of_type(schema_one, [Some("application/x"), None]), Err(ManifestError::SchemaOne));
    }
}
