//! Optional pagination with `limit`. A page starts after the last entry of the previous one, so that entries that appear or
//! disappear in the meantime hide no others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::web::api_error::ApiError;

/// Maximum number of entries on a page.
pub const LIMIT: usize = 10_000;
/// Bytes of a name that determine the position of an entry, because a cursor must fit into a request.
const NAME_BYTES: usize = 300;

/// The requested page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    /// The cursor from the previous page.
    cursor: Option<String>,
}

/// The end of a page.
#[derive(Serialize, Deserialize)]
struct Cursor<Place> {
    /// The position of its last entry.
    place: Place,
    /// How many entries at this position have been returned so far.
    given: usize,
}

impl Page {
    /// Parses the parameters; `None` if the query does not ask for pages.
    ///
    /// # Errors
    ///
    /// 400 if they are invalid.
    pub fn parse(limit: Option<&str>, cursor: Option<String>) -> Result<Option<Self>, ApiError> {
        let limit = match limit.map(str::parse) {
            None if cursor.is_none() => return Ok(None),
            None => LIMIT,
            Some(Ok(limit)) if (1..=LIMIT).contains(&limit) => limit,
            Some(_) => return Err(ApiError::bad_request(format!("limit: expected a number from 1 to {LIMIT}"))),
        };
        Ok(Some(Self { limit, cursor }))
    }

    /// The entries of the page in order of their positions, and the cursor of the next page if there is one.
    ///
    /// # Errors
    ///
    /// 404 if the cursor is not from this list.
    pub fn of<T, Place: Ord + Serialize + DeserializeOwned>(
        &self,
        entries: impl IntoIterator<Item = T>,
        place: impl Fn(&T) -> Place,
    ) -> Result<(Vec<T>, Option<String>), ApiError> {
        let mut entries: Vec<(Place, T)> = entries.into_iter().map(|entry| (place(&entry), entry)).collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let begin = match &self.cursor {
            None => 0,
            Some(text) => {
                let Cursor { place, given } = decode::<Place>(text)?;
                let first = entries.partition_point(|(it, _)| *it < place);
                let after = entries.partition_point(|(it, _)| *it <= place);
                first.saturating_add(given).min(after)
            }
        };
        let end = begin.saturating_add(self.limit).min(entries.len());
        let next = (end < entries.len()).then(|| {
            let last = &entries[end - 1].0;
            let first = entries.partition_point(|(it, _)| it < last);
            encode(&Cursor { place: last, given: end - first })
        });
        let page = entries.into_iter().skip(begin).take(end - begin).map(|(_, entry)| entry).collect();
        Ok((page, next))
    }
}

/// The part of a name that determines the position of an entry.
pub fn clipped(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_string()
}

fn encode(cursor: &impl Serialize) -> String {
    // Numbers and strings always serialize.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode<Place: DeserializeOwned>(text: &str) -> Result<Cursor<Place>, ApiError> {
    let cursor = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    cursor.ok_or_else(|| ApiError::not_found("cursor: not from a page of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages of some entries, which `change` modifies after each page.
    fn pages(limit: &str, mut entries: Vec<(u8, char)>, change: impl Fn(&mut Vec<(u8, char)>)) -> Vec<String> {
        let mut cursor = None;
        let mut pages = Vec::new();
        loop {
            let page = Page::parse(Some(limit), cursor).unwrap().unwrap();
            let (some, next) = page.of(entries.iter().copied(), |(place, _)| *place).unwrap();
            pages.push(some.into_iter().map(|(_, name)| name).collect());
            if next.is_none() {
                return pages;
            }
            cursor = next;
            change(&mut entries);
        }
    }

    #[test]
    fn pages_of_any_size_make_up_the_list() {
        let entries = vec![(3, 'f'), (1, 'a'), (2, 'b'), (2, 'c'), (2, 'd'), (2, 'e')];
        for (limit, expected) in [
            ("1", &["a", "b", "c", "d", "e", "f"][..]),
            ("2", &["ab", "cd", "ef"]),
            ("4", &["abcd", "ef"]),
            ("6", &["abcdef"]),
            ("10000", &["abcdef"]),
        ] {
            assert_eq!(pages(limit, entries.clone(), |_| {}), expected, "{limit}");
        }
        assert_eq!(pages("5", Vec::new(), |_| {}), [""]);
    }

    #[test]
    fn changes_between_pages_hide_no_other_entry() {
        let entries = vec![(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')];
        let gone = |entries: &mut Vec<(u8, char)>| entries.retain(|(place, _)| *place > 2);
        assert_eq!(pages("2", entries.clone(), gone), ["ab", "cd", "e"]);
        let came = |entries: &mut Vec<(u8, char)>| entries.insert(0, (0, 'x'));
        assert_eq!(pages("2", entries, came), ["ab", "cd", "e"]);
    }

    #[test]
    fn invalid_parameters_are_rejected() {
        for limit in ["", "0", "-1", "10001", "a", "1.5", "99999999999999999999"] {
            assert!(Page::parse(Some(limit), None).is_err(), "{limit}");
        }
        assert_eq!(Page::parse(None, Some("x".to_string())).unwrap().unwrap().limit, LIMIT);
        assert_eq!(Page::parse(None, None).unwrap(), None);
        let text = URL_SAFE_NO_PAD.encode(r#"{"place":"a","given":1}"#);
        for cursor in ["", "?", "e30", &text, &URL_SAFE_NO_PAD.encode("{")] {
            let page = Page::parse(Some("1"), Some(cursor.to_string())).unwrap().unwrap();
            assert!(page.of([1u8], |place| *place).is_err(), "{cursor}");
        }
        let far = URL_SAFE_NO_PAD.encode(format!(r#"{{"place":1,"given":{}}}"#, usize::MAX));
        let page = Page::parse(Some("1"), Some(far)).unwrap().unwrap();
        assert_eq!(page.of([1u8, 1, 2], |place| *place).unwrap().0, [2]);
    }

    #[test]
    fn long_names_are_clipped_at_characters() {
        assert_eq!(clipped("short"), "short");
        assert_eq!(clipped(&"ü".repeat(200)).len(), 300);
        assert_eq!(clipped(&format!("a{}", "ü".repeat(200))).len(), 299);
    }
}
