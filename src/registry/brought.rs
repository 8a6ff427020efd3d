//! How much of an object an answer brought.

use super::{Answer, Body};

/// How much of an object came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// Its headers, or bytes before its end.
    Less,
    /// Its last byte.
    End,
    /// All of its bytes.
    Everything,
}

impl Answer {
    /// How much of an object of so many bytes came; `None`: its length is not known.
    pub fn brings(&self, size: Option<u64>) -> Brought {
        let (Body::Whole(_) | Body::Hashed { .. }) = self.body else { return Brought::Less };
        if self.status != 206 {
            return Brought::Everything;
        }
        let Some(((first, last), end)) = self.content_range.and_then(|it| it.range.zip(it.total.or(size))) else {
            return Brought::Less;
        };
        match (first, last >= end.saturating_sub(1)) {
            (0, true) => Brought::Everything,
            (_, true) => Brought::End,
            (_, false) => Brought::Less,
        }
    }

    /// True if bytes came that are not the end of the object.
    pub fn is_of_another_range(&self) -> bool {
        self.status == 206 && matches!(self.body, Body::Whole(_) | Body::Hashed { .. })
    }
}
