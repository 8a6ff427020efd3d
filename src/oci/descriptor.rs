//! Descriptors, read leniently: only the members that the graph needs (OCI image specification, descriptor.md).

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::loose::{Loose, lenient_object};
use super::media_type::is_manifest_type;
use super::{Digest, DigestError, Platform};

/// The annotation by which BuildKit marks an attestation.
const ATTESTATION_TYPE: &str = "vnd.docker.reference.type";
/// The annotation that names the manifest which an attestation is about.
const ATTESTATION_SUBJECT: &str = "vnd.docker.reference.digest";

/// Maximum number of unusable descriptors in a list.
const MOST_UNUSABLE: usize = 16;

/// A pointer from a manifest to another object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type of what it points to, as the manifest says.
    pub media_type: Option<String>,
    /// Digest of what it points to.
    pub digest: Digest,
    /// Length in bytes; `None` where the manifest does not say.
    pub size: Option<u64>,
    /// True if the manifest states a negative length: some clients take it for an unknown one, others refuse to pull.
    pub has_negative_size: bool,
    /// Platform, on the children of an index.
    pub platform: Option<Platform>,
    /// True if the content may be fetched from elsewhere (`urls`), so that the registry need not hold it.
    pub has_urls: bool,
    /// True for a BuildKit attestation.
    pub attestation: bool,
    /// The manifest that an attestation is about.
    pub attestation_subject: Option<Digest>,
}

/// A descriptor that no client can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Which one, and what is wrong with it, in words.
    pub what: String,
    /// Its platform, where it names one.
    pub platform: Option<Platform>,
}

impl Unusable {
    /// What is wrong with a manifest that names these, in words; `None` if there are none.
    pub fn summary<'a>(mut unusable: impl Iterator<Item = &'a Self>) -> Option<String> {
        let first = &unusable.next()?.what;
        Some(match unusable.count() {
            0 => first.clone(),
            more => format!("{first}; {more} more of its descriptors lead nowhere"),
        })
    }
}

impl Descriptor {
    /// True for an entry of an index that registries serve as a manifest. A type that is not stated may be one.
    pub(super) fn is_manifest(&self) -> bool {
        self.media_type.as_deref().is_none_or(is_manifest_type)
    }
}

#[derive(Default)]
struct PartialDescriptor {
    media_type: Option<String>,
    /// Of a repeated member the last one counts, whatever the others are.
    digest: Option<Result<Digest, DigestError>>,
    size: Option<u64>,
    has_negative_size: bool,
    platform: Option<Platform>,
    has_urls: bool,
    annotations: Option<Annotations>,
    /// A member whose value is of a type that no client reads there.
    wrong_member: Option<&'static str>,
}

impl PartialDescriptor {
    fn set_size(&mut self, size: &Loose<'_>) {
        (self.size, self.has_negative_size) = match *size {
            Loose::Null => (None, false),
            Loose::Unsigned(size) => (Some(size), false),
            Loose::Negative => (None, true),
            _ => return self.wrong_member = Some("size"),
        };
    }
}

lenient_object!(
    PartialDescriptor,
    "a descriptor",
    &["mediaType", "digest", "size", "platform", "urls", "annotations"],
    PartialDescriptor,
    |map, partial, key| {
        match key {
            "mediaType" => partial.media_type = map.next_value::<Loose<'de>>()?.into_filled_text(),
            "digest" => match map.next_value::<Loose<'de>>()? {
                Loose::Null => partial.digest = None,
                Loose::Text(text) => partial.digest = Some(text.parse()),
                _ => partial.wrong_member = Some("digest"),
            },
            "size" => partial.set_size(&map.next_value()?),
            "platform" => match map.next_value::<Loose<'de, NamedPlatform>>()? {
                Loose::Null => partial.platform = None,
                Loose::Object(NamedPlatform(platform)) => partial.platform = platform,
                _ => partial.wrong_member = Some("platform"),
            },
            "urls" => match map.next_value::<Loose<'de>>()? {
                Loose::Null => partial.has_urls = false,
                Loose::List { is_empty } => partial.has_urls = !is_empty,
                _ => partial.wrong_member = Some("urls"),
            },
            "annotations" => match map.next_value::<Loose<'de, Annotations>>()? {
                Loose::Null => partial.annotations = None,
                Loose::Object(annotations) => partial.annotations = Some(annotations),
                _ => partial.wrong_member = Some("annotations"),
            },
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    std::convert::identity
);

/// A descriptor, or what is wrong with it.
pub(super) struct Entry(pub(super) Result<Descriptor, Unusable>);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let partial = match Loose::<'de, PartialDescriptor>::deserialize(deserializer)? {
            Loose::Object(partial) => partial,
            _ => return Ok(Self(Err(Unusable { what: "is not an object".to_string(), platform: None }))),
        };
        let unusable = |what| Ok(Self(Err(Unusable { what, platform: partial.platform.clone() })));
        if let Some(member) = partial.wrong_member {
            return unusable(format!("has a value of the wrong type in its member {member:?}"));
        }
        let digest = match partial.digest {
            None => return unusable("has no digest".to_string()),
            Some(Err(error)) => return unusable(format!("has no usable digest: {}", shortened(&error))),
            Some(Ok(digest)) => digest,
        };
        let annotations = partial.annotations.unwrap_or_default();
        Ok(Self(Ok(Descriptor {
            media_type: partial.media_type,
            digest,
            size: partial.size,
            has_negative_size: partial.has_negative_size,
            platform: partial.platform,
            has_urls: partial.has_urls,
            attestation: annotations.attestation_type.as_deref() == Some("attestation-manifest"),
            attestation_subject: annotations.attestation_subject.and_then(|text| text.parse().ok()),
        })))
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Entry(entry) = Entry::deserialize(deserializer)?;
        entry.map_err(|unusable| D::Error::custom(format!("the descriptor {}", unusable.what)))
    }
}

/// An error may quote a text of any length from the manifest.
pub(super) fn shortened(error: &impl fmt::Display) -> String {
    error.to_string().chars().take(200).collect()
}

/// The descriptors of a list.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) usable: Vec<Descriptor>,
    /// With their place in the list.
    pub(super) unusable: Vec<(usize, Unusable)>,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some(Entry(entry)) = list.next_element()? {
                    match entry {
                        Ok(descriptor) => entries.usable.push(descriptor),
                        Err(unusable) => {
                            entries.unusable.push((entries.usable.len() + entries.unusable.len(), unusable));
                        }
                    }
                    if entries.unusable.len() > MOST_UNUSABLE {
                        return Err(A::Error::custom(format!("more than {MOST_UNUSABLE} descriptors are unusable")));
                    }
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(List)
    }
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
            ATTESTATION_TYPE => partial.attestation_type = map.next_value::<Loose<'de>>()?.into_text(),
            ATTESTATION_SUBJECT => partial.attestation_subject = map.next_value::<Loose<'de>>()?.into_text(),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    std::convert::identity
);

#[derive(Default)]
struct PartialPlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

/// A platform; `None` if its operating system or architecture is absent or empty, so that it may be any.
struct NamedPlatform(Option<Platform>);

lenient_object!(
    NamedPlatform,
    "a platform",
    &["os", "architecture", "variant"],
    PartialPlatform,
    |map, partial, key| {
        match key {
            "os" => partial.os = map.next_value::<Loose<'de>>()?.into_filled_text(),
            "architecture" => partial.architecture = map.next_value::<Loose<'de>>()?.into_filled_text(),
            "variant" => partial.variant = map.next_value::<Loose<'de>>()?.into_filled_text(),
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
    },
    |partial: PartialPlatform| {
        let PartialPlatform { os, architecture, variant } = partial;
        NamedPlatform(os.zip(architecture).map(|(os, architecture)| Platform { os, architecture, variant }))
    }
);

/// The platform that an image's config says it is for; `None` if it says none, or is no such config.
pub fn config_platform(bytes: &[u8]) -> Option<Platform> {
    serde_json::from_slice::<NamedPlatform>(bytes).ok()?.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_are_ignored() {
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
    fn an_empty_platform_may_be_any() {
        let digest = Digest::sha256(b"");
        for platform in ["{}", "null", r#"{"os":"","architecture":""}"#, r#"{"os":"linux","architecture":""}"#] {
            let json = format!(r#"{{"digest":"{digest}","platform":{platform}}}"#);
            assert_eq!(serde_json::from_str::<Descriptor>(&json).unwrap().platform, None, "{platform}");
        }
        assert_eq!(config_platform(br#"{"os":"","architecture":"amd64"}"#), None);
    }

    #[test]
    fn a_negative_size_is_no_size() {
        let json = format!(r#"{{"digest":"{}","size":-1}}"#, Digest::sha256(b""));
        let descriptor: Descriptor = serde_json::from_str(&json).unwrap();
        assert_eq!((descriptor.size, descriptor.has_negative_size), (None, true));
    }

    #[test]
    fn unusable_descriptors_are_errors() {
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
