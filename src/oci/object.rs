//! A JSON object where one belongs, and nothing else in its place.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What a JSON object says. The code that serde derives also takes a list, whose entries it reads as the members in the
/// order in which this program happens to declare them; whatever comes from outside is wrapped in this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Point {
        x: u8,
        y: Option<u8>,
    }

    #[test]
    fn a_list_is_no_object() {
        let Object(Point { x, y }) = serde_json::from_str(r#"{"y":2,"x":1,"z":[]}"#).unwrap();
        assert_eq!((x, y), (1, Some(2)));
        assert!(serde_json::from_str::<Point>("[1,2]").is_ok(), "what is to be prevented");
        for json in ["[1,2]", "[]", "null", "1", "\"x\"", "[[1,2]]", r#"{"x":[1]}"#] {
            assert!(serde_json::from_str::<Object<Point>>(json).is_err(), "{json}");
        }
    }
}
