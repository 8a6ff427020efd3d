//! JSON members that may hold a value of any type, and JSON objects that are read member by member.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A member's value, as far as its type matters. Well-formed JSON of any type is read to its end, so that what stands after it
/// can still be read.
pub(super) enum Loose<'de, T = IgnoredAny> {
    Null,
    Text(Cow<'de, str>),
    Unsigned(u64),
    Negative,
    /// Another scalar: a truth value, or a number that is no 64-bit integer.
    Scalar,
    List {
        is_empty: bool,
    },
    Object(T),
}

impl<T> Loose<'_, T> {
    /// The text, shortened; `None` if it is something else.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => {
                let end = text.char_indices().nth(TEXT_LIMIT).map_or(text.len(), |(end, _)| end);
                Some(text[..end].to_string())
            }
            _ => None,
        }
    }

    /// The text, shortened; `None` if it is empty or something else.
    pub(super) fn into_filled_text(self) -> Option<String> {
        self.into_text().filter(|text| !text.is_empty())
    }
}

/// Texts that only people read are kept up to this many characters (RFC 6838 allows a media type 255).
const TEXT_LIMIT: usize = 255;

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Loose<'de, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Loose<'de, T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Loose::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Loose::Scalar)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Loose::Scalar)
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Loose::Unsigned(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(u64::try_from(number).map_or(Loose::Negative, Loose::Unsigned))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Loose::Text(Cow::Owned(text.to_string())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let is_empty = list.next_element::<IgnoredAny>()?.is_none();
                while !is_empty && list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::List { is_empty })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Loose::Object)
            }
        }
        deserializer.deserialize_any(Any(PhantomData))
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
                struct Members;
                impl<'de> Visitor<'de> for Members {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<$name, A::Error> {
                        let mut $value = $partial::default();
                        while let Some($crate::oci::loose::Text(key)) = $map.next_key()? {
                            let $key: &str = $crate::oci::loose::in_any_case(&key, $names);
                            $body
                        }
                        Ok($finish($value))
                    }
                }
                deserializer.deserialize_map(Members)
            }
        }
    };
}
pub(super) use lenient_object;
