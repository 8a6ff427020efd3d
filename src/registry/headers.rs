//! The headers that a registry's answers are read by: `Content-Range`, `Link`, `Retry-After`.

use std::time::{Duration, SystemTime};

/// `Content-Range: bytes 5-9/10`, `bytes 5-9/*` or `bytes */10` (RFC 9110, section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First and last byte, both inclusive; `None` where the range could not be served.
    pub range: Option<(u64, u64)>,
    /// Length of the whole object in bytes, where it is known.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads the header; `None` if it makes no sense.
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let total = if total == "*" { None } else { Some(number(total)?) };
        let range = match range {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-')?;
                let (first, last) = (number(first)?, number(last)?);
                if first > last || total.is_some_and(|total| last >= total) {
                    return None;
                }
                Some((first, last))
            }
        };
        if range.is_none() && total.is_none() {
            return None;
        }
        Some(Self { range, total })
    }
}

/// The target of the first `Link` of relation `next` (RFC 8288). The quotes around the relation may be missing, and so may
/// the angle brackets around the target.
pub fn next_link(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let (target, after, is_bare) = match rest.strip_prefix('<') {
            Some(enclosed) => enclosed.split_once('>').map(|(target, after)| (target, after, false))?,
            None => rest.find(';').map(|at| (&rest[..at], &rest[at..], true))?,
        };
        let (parameters, after) = split_unquoted(after, ',');
        let target = target.trim();
        let is_url =
            !is_bare || !(target.is_empty() || target.contains(|c: char| c.is_whitespace() || "<>\"".contains(c)));
        if is_url && is_next(parameters) {
            return Some(target);
        }
        rest = after;
    }
}

/// True if the parameters of a link name the relation `next`.
fn is_next(mut parameters: &str) -> bool {
    while !parameters.is_empty() {
        let (parameter, rest) = split_unquoted(parameters, ';');
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        if name.trim().eq_ignore_ascii_case("rel")
            && value.trim().trim_matches('"').split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        {
            return true;
        }
        parameters = rest;
    }
    false
}

/// What stands before and after the first separator outside of quotes; without one, everything and nothing.
fn split_unquoted(text: &str, separator: char) -> (&str, &str) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            c if c == separator && !is_quoted => return (&text[..at], &text[at + c.len_utf8()..]),
            _ => {}
        }
    }
    (text, "")
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3), as a time to wait from `now` on.
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let parse = ContentRange::parse;
        assert_eq!(parse("bytes 9-9/10"), Some(ContentRange { range: Some((9, 9)), total: Some(10) }));
        assert_eq!(parse("Bytes 0-4/*"), Some(ContentRange { range: Some((0, 4)), total: None }));
        assert_eq!(parse("bytes */10"), Some(ContentRange { range: None, total: Some(10) }));
        for text in [
            "",
            "bytes",
            "bytes */*",
            "bytes 9-8/10",
            "bytes 0-10/10",
            "bytes +1-2/3",
            "lines 1-2/3",
            "bytes 1/2",
            "bytes -1/2",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("bytes 0-99999999999999999999/*"), None);
    }

    #[test]
    fn next_links() {
        assert_eq!(next_link(r#"</v2/_catalog?last=b&n=2>; rel="next""#), Some("/v2/_catalog?last=b&n=2"));
        assert_eq!(next_link("<http://x/a>;rel=next"), Some("http://x/a"));
        assert_eq!(next_link(r#"</p>; rel="prev", </a,b>; title=x; REL="last next""#), Some("/a,b"));
        let first_of_several = r#"</a>; title="x, </b>; y"; rel="next", </c>; rel="next""#;
        assert_eq!(next_link(first_of_several), Some("/a"), "a comma in quotes separates nothing");
        let bare = "https://internal.example/v2/_catalog?last=b&n=2";
        assert_eq!(next_link(&format!("{bare}; rel=next")), Some(bare));
        assert_eq!(next_link(&format!("{bare};rel=\"next\"; x=y")), Some(bare));
        assert_eq!(
            next_link("</p>; rel=prev , /v2/_catalog?next_page=a,b ; rel=next"),
            Some("/v2/_catalog?next_page=a,b")
        );
        for text in [
            "",
            "<",
            "</a>",
            r#"</a>; rel="previous""#,
            "</a; rel=next",
            "garbage",
            "/a",
            "/a; rel=prev",
            "/a b; rel=next",
            "; rel=next",
            r#"</a>; title="; rel=next"#,
            r#"</a>; title="; rel=next; ""#,
        ] {
            assert_eq!(next_link(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 19 Apr 2026 09:00:00 GMT").unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 19 Apr 2026 09:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 19 Apr 2026 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::from_secs(u64::MAX)));
        for text in ["", "-1", "soon", "1.5"] {
            assert_eq!(retry_after(text, now), None, "{text}");
        }
    }
}
