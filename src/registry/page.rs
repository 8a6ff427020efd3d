//! The names on one page of a list, not read beyond a limit: a page of 16 MiB holds four million names of one letter.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{List, Trouble};
use crate::report::Cause;

/// What one page says.
#[derive(Debug)]
pub struct Page {
    /// As many names as are read; `null` is a list of none.
    pub names: Vec<String>,
    /// True if there are more.
    pub is_cut: bool,
}

impl Page {
    /// Reads a page. An answer that names no list at all is not an empty list.
    ///
    /// # Errors
    ///
    /// [`Cause::Protocol`] if it is no page.
    pub fn read(body: &[u8], list: &List, most: usize) -> Result<Self, Trouble> {
        let member = if *list == List::Catalog { "repositories" } else { "tags" };
        let mut text = serde_json::Deserializer::from_slice(body);
        let page = Reader { member, most }.deserialize(&mut text).and_then(|page| text.end().map(|()| page));
        let page = page.map_err(|error| {
            // It may quote a text of any length.
            let error: String = error.to_string().chars().take(200).collect();
            Trouble::new(Cause::Protocol, format!("the response is not a valid list: {error}"))
        })?;
        page.ok_or_else(|| Trouble::new(Cause::Protocol, "the response contains no list"))
    }
}

/// Reads the object that holds the list.
struct Reader {
    member: &'static str,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Option<Page>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Page>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Option<Page>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with a member \"{}\"", self.member)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<Page>, A::Error> {
        let mut page = None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.member {
                members.next_value::<IgnoredAny>()?;
            } else if page.replace(members.next_value_seed(Names { most: self.most })?).is_some() {
                return Err(A::Error::custom("it holds two lists"));
            }
        }
        Ok(page)
    }
}

/// Reads the list.
struct Names {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Names {
    type Value = Page;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names {
    type Value = Page;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names")
    }
    fn visit_unit<E>(self) -> Result<Page, E> {
        Ok(Page { names: Vec::new(), is_cut: false })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Page, A::Error> {
        let mut page = Page { names: Vec::new(), is_cut: false };
        while page.names.len() < self.most
            && let Some(name) = items.next_element()?
        {
            page.names.push(name);
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            page.is_cut = true;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, most: usize) -> Result<(Vec<String>, bool), String> {
        let page = Page::read(body.as_bytes(), &List::Catalog, most);
        page.map(|page| (page.names, page.is_cut)).map_err(|trouble| trouble.detail)
    }

    #[test]
    fn a_list_is_read_to_its_limit_and_what_follows_is_noticed() {
        let both = r#"{"tags":[1],"repositories":["a","b"]}"#;
        assert_eq!(read(both, 2), Ok((vec!["a".to_string(), "b".to_string()], false)));
        assert_eq!(read(both, 1), Ok((vec!["a".to_string()], true)));
        assert_eq!(read(r#"{"repositories":null}"#, 1), Ok((vec![], false)));
        assert_eq!(read(r#"{"repositories":[]}"#, 1), Ok((vec![], false)));
    }

    #[test]
    fn what_names_no_list_is_no_empty_list() {
        for body in
            ["", "{}", "[]", "null", r#"{"tags":[]}"#, r#"{"repositories":{}}"#, r#"{"repositories":[1]}"#, "{}x"]
        {
            assert!(read(body, 9).is_err(), "{body}");
        }
        assert!(read(r#"{"repositories":["a"],"repositories":[]}"#, 9).is_err());
        assert!(read(r#"{"repositories":[]}<html>"#, 9).is_err());
    }
}
