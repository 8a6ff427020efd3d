//! A fast check for the usual case: both collectors read a manifest like clients.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::manifest::{LIST, OCI_IMAGE, OCI_INDEX, SCHEMA_TWO};
use crate::oci::Object;

/// True if Go decodes the manifest into all of distribution's types, with the references that clients use: config and
/// layers of an image, or manifests of an index. False means nothing.
pub fn is_plain(bytes: &[u8]) -> bool {
    let Ok(Object(manifest)) = serde_json::from_slice::<Object<Plain<'_>>>(bytes) else { return false };
    let is_image = manifest.manifests.is_none();
    let is_index = !is_image && manifest.config.is_none() && manifest.layers.is_none();
    manifest.schema_version == 2
        && match manifest.media_type.as_deref() {
            Some(SCHEMA_TWO | OCI_IMAGE) => is_image,
            Some(LIST | OCI_INDEX) => is_index,
            None => is_image || is_index,
            Some(_) => false,
        }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Plain<'a> {
    schema_version: i64,
    #[serde(borrow)]
    media_type: Option<Cow<'a, str>>,
    config: Option<Object<Descriptor>>,
    layers: Option<Vec<Object<Descriptor>>>,
    manifests: Option<Vec<Object<Descriptor>>>,
    #[serde(rename = "annotations")]
    _annotations: Option<TextByName>,
    #[serde(rename = "subject")]
    _subject: Option<Object<Descriptor>>,
    #[serde(rename = "artifactType")]
    _artifact_type: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Descriptor {
    #[serde(rename = "mediaType")]
    _media_type: Option<Text>,
    #[serde(rename = "digest")]
    _digest: Text,
    #[serde(rename = "size")]
    _size: Option<i64>,
    #[serde(rename = "urls")]
    _urls: Option<Vec<Text>>,
    #[serde(rename = "annotations")]
    _annotations: Option<TextByName>,
    #[serde(rename = "platform")]
    _platform: Option<Object<Platform>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    #[serde(rename = "os")]
    _os: Option<Text>,
    #[serde(rename = "architecture")]
    _architecture: Option<Text>,
    #[serde(rename = "variant")]
    _variant: Option<Text>,
    #[serde(rename = "os.version")]
    _os_version: Option<Text>,
    #[serde(rename = "os.features")]
    _os_features: Option<Vec<Text>>,
}

/// An ignored string.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl Visitor<'_> for AnyText {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(AnyText)
    }
}

/// An ignored map of strings.
struct TextByName;

impl<'de> Deserialize<'de> for TextByName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = TextByName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextByName, A::Error> {
                while map.next_entry::<Text, Text>()?.is_some() {}
                Ok(TextByName)
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_manifests_are_not_plain() {
        let descriptor = format!(r#"{{"digest":"sha256:{}","size":1,"platform":{{"os":"linux"}}}}"#, "0".repeat(64));
        let image = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#);
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{descriptor}]}}"#);
        assert!(is_plain(image.as_bytes()) && is_plain(index.as_bytes()));
        for odd in [
            image.replace("config", "Config"),
            image.replace("schemaVersion\":2", "schemaVersion\":1"),
            image.replace("\"size\":1", "\"size\":1.5"),
            image.replace("[{", "[null,{"),
            image.replace("\"layers\"", "\"manifests\":[],\"layers\""),
            index.replace("index.v1", "image.v1"),
            index.replace("\"os\":\"linux\"", "\"os\":1"),
            index.replace("\"manifests\"", "\"annotations\":{\"a\":1},\"manifests\""),
            // Arrays by position, which Go rejects.
            image.replace(&descriptor, r#"["a/b","sha256:00",1,null,null,null]"#),
            image.replace(r#"{"os":"linux"}"#, r#"["linux",null,null,null,null]"#),
            format!(r#"[2,"{OCI_IMAGE}",{descriptor},[],null,null,null,null]"#),
            String::new(),
        ] {
            assert!(!is_plain(odd.as_bytes()), "{odd}");
        }
    }
}
