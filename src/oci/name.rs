//! Names of repositories, tags and images (OCI distribution specification, "Pulling manifests").

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;

/// Why a text is no legal name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a legal {what}")]
pub struct NameError {
    what: &'static str,
    text: String,
}

impl NameError {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(300).collect() }
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $is_legal:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if $is_legal(text) { Ok(Self(text.into())) } else { Err(NameError::new($what, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A repository's name: slash-separated components of lower-case letters, digits and separators, at most 255 bytes.
    /// Being legal, it can stand in a URL's path as it is.
    Repository, "repository name", is_repository
}
name! {
    /// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`. Being legal, it can stand in a URL's path as it is.
    Tag, "tag", is_tag
}

fn is_repository(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && text.split('/').all(is_component)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    alphanumeric(first)
        && alphanumeric(last)
        && bytes
            .split(|&b| alphanumeric(b))
            .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|&first| word(first))
        && bytes.len() <= 128
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// What stands behind a repository's name: a tag, or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// Content that cannot.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// One image: the root of a graph, written `repository:tag` or `repository@digest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Image {
    /// The repository that it lies in.
    pub repository: Repository,
    /// The tag or digest that names it there.
    pub reference: Reference,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = match self.reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        write!(f, "{}{separator}{}", self.repository, self.reference)
    }
}

impl FromStr for Image {
    type Err = NameError;

    /// Reads `repository:tag` or `repository@digest`, without a registry's host.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let illegal = || NameError::new("image (expected repository:tag or repository@digest)", text);
        let (repository, reference) = match text.split_once('@') {
            Some((repository, digest)) => (repository, Reference::Digest(digest.parse().map_err(|_| illegal())?)),
            None => {
                let (repository, tag) = text.rsplit_once(':').ok_or_else(illegal)?;
                (repository, Reference::Tag(tag.parse()?))
            }
        };
        Ok(Self { repository: repository.parse()?, reference })
    }
}

impl Serialize for Image {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names() {
        let longest = "a".repeat(255);
        for name in ["a", "infra-ci", "a/b/c", "a__b", "a_b.c", "a---b", "0/1x", &longest] {
            assert!(name.parse::<Repository>().is_ok(), "{name}");
        }
        let too_long = "a".repeat(256);
        for name in [
            "", "A", "a/", "/a", "a//b", "-a", "a-", "a..b", "a___b", "a._b", "..", "a/../b", "ä", "a b", "a%2fb",
            &too_long,
        ] {
            assert!(name.parse::<Repository>().is_err(), "{name}");
        }
    }

    #[test]
    fn tags() {
        let longest = "a".repeat(128);
        for tag in ["latest", "_x", "1.2.3-rc_1", &longest] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        let too_long = "a".repeat(129);
        for tag in ["", ".a", "-a", "a/b", "a:b", "a b", &too_long] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
    }

    #[test]
    fn images_read_back() {
        let digest = Digest::sha256(b"");
        for text in ["a/b:latest".to_string(), format!("a/b@{digest}")] {
            assert_eq!(text.parse::<Image>().unwrap().to_string(), text);
        }
        for text in ["a", "a:", ":b", "a@b", "A:b"] {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
    }
}
