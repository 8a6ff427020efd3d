//! `Range` headers (RFC 9110, section 14), parsed like Go's server does.

/// A range of bytes, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first byte.
    pub first: usize,
    /// The last byte.
    pub last: usize,
}

/// Why a range cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// The header is invalid or contains several ranges.
    Invalid,
    /// It starts after the end.
    Unsatisfiable,
}

impl Range {
    /// Parses the header for a body of the given length.
    pub fn read(header: &str, length: usize) -> Result<Self, RangeError> {
        let range = header.strip_prefix("bytes=").ok_or(RangeError::Invalid)?;
        let (first, last) = range.split_once('-').ok_or(RangeError::Invalid)?;
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| RangeError::Invalid);
        let (first, last) = match (first.trim(), last.trim()) {
            ("", suffix) => (length.saturating_sub(number(suffix)?), length),
            (first, "") => (number(first)?, length),
            (first, last) => (number(first)?, number(last)?),
        };
        if first > last {
            return Err(RangeError::Invalid);
        }
        match length.checked_sub(1) {
            Some(end) if first <= end => Ok(Self { first, last: last.min(end) }),
            _ => Err(RangeError::Unsatisfiable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_ranges_like_go() {
        for (header, expected) in [
            ("bytes=0-0", Ok(Range { first: 0, last: 0 })),
            ("bytes=3-9", Ok(Range { first: 3, last: 4 })),
            ("bytes=3-", Ok(Range { first: 3, last: 4 })),
            ("bytes=-2", Ok(Range { first: 3, last: 4 })),
            ("bytes=-9", Ok(Range { first: 0, last: 4 })),
            ("bytes=5-5", Err(RangeError::Unsatisfiable)),
            ("bytes=2-1", Err(RangeError::Invalid)),
            ("bytes=x", Err(RangeError::Invalid)),
            ("bytes=0-0,2-2", Err(RangeError::Invalid)),
        ] {
            assert_eq!(Range::read(header, 5), expected, "{header}");
        }
        assert_eq!(Range::read("bytes=0-0", 0), Err(RangeError::Unsatisfiable));
    }
}
