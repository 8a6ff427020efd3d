//! Lists in pages, for who asks for that with `limit`. A page begins behind the last entry of the one before it, so that
//! what came or went in the meantime hides nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::web::api_error::ApiError;

/// Entries of a page, at most.
pub const LIMIT: usize = 10_000;
/// Bytes of a name that count for an entry's place: a cursor must fit into a request, and a registry may name anything.
const NAME_BYTES: usize = 300;

/// Which page is asked for; `None`: everything at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    limit: usize,
    /// Where the page before it ended, as its client got it.
    cursor: Option<String>,
}

/// Where a page ended.
#[derive(Serialize, Deserialize)]
struct Cursor<Place> {
    /// The place of its last entry.
    place: Place,
    /// How many entries of that same place it and the pages before it had.
    given: usize,
}

impl Page {
    /// Reads what a query says about pages.
    ///
    /// # Errors
    ///
    /// 400, if that makes no sense.
    pub fn parse(limit: Option<&str>, cursor: Option<String>) -> Result<Option<Self>, ApiError> {
        let limit = match limit.map(str::parse) {
            None if cursor.is_none() => return Ok(None),
            None => LIMIT,
            Some(Ok(limit)) if (1..=LIMIT).contains(&limit) => limit,
            Some(_) => return Err(ApiError::bad_request(format!("limit: not a number from 1 to {LIMIT}"))),
        };
        Ok(Some(Self { limit, cursor }))
    }

    /// The entries of the page out of all, in the order of their places, and the cursor of the next page if there is one.
    ///
    /// # Errors
    ///
    /// 404, if the cursor is none of this list.
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
                let behind = entries.partition_point(|(it, _)| *it <= place);
                first.saturating_add(given).min(behind)
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

/// As much of a name as counts for an entry's place.
pub fn clipped(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_string()
}

fn encode(cursor: &impl Serialize) -> String {
    // Numbers and strings alone, which always are JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode<Place: DeserializeOwned>(text: &str) -> Result<Cursor<Place>, ApiError> {
    let cursor = URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice(&json).ok());
    cursor.ok_or_else(|| ApiError::not_found("cursor: no page of this list named it as its next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages of some entries, of which `change` makes others after each page.
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
    fn pages_make_up_the_list_whatever_their_size() {
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
    fn what_comes_and_goes_between_pages_hides_nothing_else() {
        let entries = vec![(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')];
        let gone = |entries: &mut Vec<(u8, char)>| entries.retain(|(place, _)| *place > 2);
        assert_eq!(pages("2", entries.clone(), gone), ["ab", "cd", "e"]);
        let came = |entries: &mut Vec<(u8, char)>| entries.insert(0, (0, 'x'));
        assert_eq!(pages("2", entries, came), ["ab", "cd", "e"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
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
    fn a_long_name_is_clipped_between_characters() {
        assert_eq!(clipped("short"), "short");
        assert_eq!(clipped(&"ü".repeat(200)).len(), 300);
        assert_eq!(clipped(&format!("a{}", "ü".repeat(200))).len(), 299);
    }
}
