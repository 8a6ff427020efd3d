//! Descriptors, read leniently: only the members that the graph needs (OCI image specification, descriptor.md).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;

/// The annotation by which BuildKit marks an attestation.
const ATTESTATION_TYPE: &str = "vnd.docker.reference.type";
/// The annotation that names the manifest which an attestation is about.
const ATTESTATION_SUBJECT: &str = "vnd.docker.reference.digest";

/// A pointer from a manifest to another object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type of what it points to, as the manifest says.
    pub media_type: Option<String>,
    /// Digest of what it points to.
    pub digest: Digest,
    /// Length in bytes; `None` where the manifest does not say.
    pub size: Option<u64>,
    /// Platform, on the children of an index.
    pub platform: Option<Platform>,
    /// True if the content may be fetched from elsewhere (`urls`), so that the registry need not hold it.
    pub has_urls: bool,
    /// True for a BuildKit attestation.
    pub attestation: bool,
    /// The manifest that an attestation is about.
    pub attestation_subject: Option<Digest>,
}

/// `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform {
    /// Operating system, as Go names it.
    pub os: String,
    /// CPU architecture, as Go names it.
    pub architecture: String,
    /// Variant of the CPU, such as `v8`.
    pub variant: Option<String>,
}

impl Platform {
    /// True if `self`, as somebody asked for it, covers `other`: a variant that was not asked for does not matter.
    pub fn covers(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// Why a text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a platform (expected OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64)")]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let legal = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() <= 1 && parts.iter().all(legal) => Ok(Self {
                os: (*os).to_string(),
                architecture: (*architecture).to_string(),
                variant: rest.first().map(|variant| (*variant).to_string()),
            }),
            _ => Err(PlatformError(text.chars().take(200).collect())),
        }
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Texts that only people read are kept up to this many characters (RFC 6838 allows a media type 255).
const TEXT_LIMIT: usize = 255;

/// A text, or nothing where something else stands: for members that a puller does not need.
pub(super) struct LenientText(pub(super) Option<String>);

impl<'de> Deserialize<'de> for LenientText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = LenientText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<LenientText, E> {
                let end = text.char_indices().nth(TEXT_LIMIT).map_or(text.len(), |(end, _)| end);
                Ok(LenientText(Some(text[..end].to_string())))
            }
            fn visit_unit<E>(self) -> Result<LenientText, E> {
                Ok(LenientText(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<LenientText, E> {
                Ok(LenientText(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<LenientText, E> {
                Ok(LenientText(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<LenientText, E> {
                Ok(LenientText(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<LenientText, E> {
                Ok(LenientText(None))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<LenientText, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LenientText(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LenientText, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(LenientText(None))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A text that is borrowed where it stands as it is. serde's own `Cow` is a copy each time.
pub(super) struct Text<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_string())))
            }
        }
        deserializer.deserialize_str(Borrowed)
    }
}

/// A member's name as it is spelt in a specification: Go's decoder takes it in any case.
pub(super) fn in_any_case<'a>(key: &'a str, names: &[&'static str]) -> &'a str {
    if names.contains(&key) { key } else { names.iter().find(|name| name.eq_ignore_ascii_case(key)).unwrap_or(&key) }
}

/// Reads a JSON object member by member; the names are taken in any case, and the last of a repeated member wins, as in Go's
/// decoder that registries and runtimes use, where serde's derived code would refuse the object.
macro_rules! lenient_object {
    ($name:ident, $expecting:literal, $names:expr, $partial:ident, |$map:ident, $value:ident, $key:ident| $body:block, $finish:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<$name, A::Error> {
                        let mut $value = $partial::default();
                        while let Some($crate::oci::descriptor::Text(key)) = $map.next_key()? {
                            let $key: &str = $crate::oci::descriptor::in_any_case(&key, $names);
                            $body
                        }
                        $finish($value).map_err(serde::de::Error::custom)
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}
pub(super) use lenient_object;

#[derive(Default)]
struct PartialDescriptor {
    media_type: Option<String>,
    /// Of a repeated member the last one counts, whatever the others are.
    digest: Option<Result<Digest, super::DigestError>>,
    size: Option<u64>,
    platform: Option<LenientPlatform>,
    has_urls: bool,
    annotations: Option<Annotations>,
}

lenient_object!(
    Descriptor,
    "a descriptor",
    &["mediaType", "digest", "size", "platform", "urls", "annotations"],
    PartialDescriptor,
    |map, partial, key| {
        match key {
            "mediaType" => partial.media_type = map.next_value::<LenientText>()?.0,
            "digest" => partial.digest = map.next_value::<Option<Text<'de>>>()?.map(|text| text.0.parse()),
            "size" => partial.size = map.next_value()?,
            "platform" => partial.platform = map.next_value()?,
            "urls" => {
                partial.has_urls = map.next_value::<Option<Vec<IgnoredAny>>>()?.is_some_and(|urls| !urls.is_empty())
            }
            "annotations" => partial.annotations = map.next_value()?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    finish_descriptor
);

fn finish_descriptor(partial: PartialDescriptor) -> Result<Descriptor, String> {
    let digest = partial.digest.ok_or("a descriptor has no digest")?;
    let annotations = partial.annotations.unwrap_or_default();
    Ok(Descriptor {
        media_type: partial.media_type.filter(|text| !text.is_empty()),
        digest: digest.map_err(|error| error.to_string())?,
        size: partial.size,
        platform: partial.platform.and_then(|platform| platform.0),
        has_urls: partial.has_urls,
        attestation: annotations.attestation_type.as_deref() == Some("attestation-manifest"),
        attestation_subject: annotations.attestation_subject.and_then(|text| text.parse().ok()),
    })
}

#[derive(Default)]
struct Annotations {
    attestation_type: Option<String>,
    attestation_subject: Option<String>,
}

lenient_object!(
    Annotations,
    "annotations",
    // Keys, not members.
    &[],
    Annotations,
    |map, partial, key| {
        match key {
            ATTESTATION_TYPE => partial.attestation_type = map.next_value::<LenientText>()?.0,
            ATTESTATION_SUBJECT => partial.attestation_subject = map.next_value::<LenientText>()?.0,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    Ok::<Annotations, String>
);

#[derive(Default)]
struct PartialPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

struct LenientPlatform(Option<Platform>);

lenient_object!(
    LenientPlatform,
    "a platform",
    &["os", "architecture", "variant"],
    PartialPlatform,
    |map, partial, key| {
        match key {
            "os" => partial.os = map.next_value::<LenientText>()?.0,
            "architecture" => partial.architecture = map.next_value::<LenientText>()?.0,
            "variant" => partial.variant = map.next_value::<LenientText>()?.0,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    |partial: PartialPlatform| {
        let platform = partial.os.zip(partial.architecture).map(|(os, architecture)| Platform {
            os,
            architecture,
            variant: partial.variant.filter(|variant| !variant.is_empty()),
        });
        Ok::<LenientPlatform, String>(LenientPlatform(platform))
    }
);

/// The platform that an image's config says it is for; `None` if it says none, or is no such config.
pub fn config_platform(bytes: &[u8]) -> Option<Platform> {
    serde_json::from_slice::<LenientPlatform>(bytes).ok()?.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn a_platform_covers_its_variants() {
        assert!(platform("linux/arm64").covers(&platform("linux/arm64/v8")));
        assert!(!platform("linux/arm/v7").covers(&platform("linux/arm/v6")));
        assert!(!platform("linux/amd64").covers(&platform("windows/amd64")));
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "a/b/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn takes_only_what_the_graph_needs() {
        let digest = Digest::sha256(b"");
        let json = format!(
            r#"{{"mediaType":7,"mediaType":"x/y","size":5,"digest":"sha256:bad","digest":"{digest}","urls":null,
                "platform":{{"os":"linux","architecture":"arm","variant":"","os.features":[1]}},"artifactType":{{}},
                "annotations":{{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"{digest}","n":[]}}}}"#
        );
        let descriptor: Descriptor = serde_json::from_str(&json).unwrap();
        assert_eq!(descriptor.media_type.as_deref(), Some("x/y"));
        assert_eq!(descriptor.size, Some(5));
        assert_eq!(descriptor.platform.unwrap().to_string(), "linux/arm");
        assert!(descriptor.attestation && !descriptor.has_urls);
        assert_eq!(descriptor.attestation_subject, Some(digest));
    }

    #[test]
    fn refuses_what_nobody_could_pull() {
        for json in [
            r#"{"size":1}"#,
            r#"{"digest":"sha256:x"}"#,
            r#"{"digest":1}"#,
            "[]",
            "null",
            r#"["a/b","a:b",1]"#,
            r#"["a:b"]"#,
            r#"{"digest":"a:b","platform":["linux","arm64"]}"#,
            r#"{"digest":"a:b","annotations":["attestation-manifest"]}"#,
            r#"{"digest":"a:b","size":"1"}"#,
        ] {
            assert!(serde_json::from_str::<Descriptor>(json).is_err(), "{json}");
        }
    }
}
