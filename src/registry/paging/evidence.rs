//! How a registry pages, and signs that a page is truncated.

/// Number of consecutive pages without a new name after which the list is considered endless. A few are legal: a registry
/// that shows each user only some names may filter a page down to none.
pub const BARREN_PAGES: u32 = 10;
/// No registry is known to truncate silently at fewer names than this.
const SMALLEST_USUAL_CAP: usize = 50;

/// What the pages of a list have shown so far.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations")]
pub struct Facts {
    /// A page may have been full.
    pub may_be_truncated: bool,
    /// Links carry a token instead of a name.
    pub has_tokens: bool,
    /// `n` does not limit the page.
    pub ignores_size: bool,
    /// The first page is repeated for any `last`.
    pub ignores_last: bool,
    /// A page of one name carries a link to the next.
    pub links: bool,
    /// A page without a link was not the last one, or a link led back to the first page.
    pub links_mislead: bool,
    /// A page that may be full is unordered.
    pub is_unordered: bool,
    /// A link promises more names, but following it brought none.
    pub more_is_linked: bool,
}

/// Why the end of a list is not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Known names are repeated after the last one.
    Again,
    /// The request for the names after the last one is rejected.
    Refused(String),
    /// The names are unordered.
    Unordered,
    /// A link leads to a page that was read before.
    Circle,
    /// Too many linked pages without a new name.
    Barren,
}

impl Doubt {
    /// The explanation for the report.
    pub fn reason(&self) -> String {
        match self {
            Self::Again => "the registry repeats known names when asked for those after the last one".to_string(),
            Self::Refused(detail) => {
                format!("the registry rejects the request for the names after the last one ({detail})")
            }
            Self::Unordered => "a full page is unordered, so names may be missing".to_string(),
            Self::Circle => "the links of its pages form a circle".to_string(),
            Self::Barren => format!("{BARREN_PAGES} consecutive pages brought no new name").to_string(),
        }
    }
}

/// Numbers at which registries truncate pages silently: 50, 100, 200, 250, 500, 1000 and so on, and powers of two.
pub fn is_usual_cap(count: usize) -> bool {
    let mut significant = count;
    while significant >= 100 && significant.is_multiple_of(10) {
        significant /= 10;
    }
    count >= SMALLEST_USUAL_CAP && (count.is_power_of_two() || matches!(significant, 10 | 20 | 25 | 50))
}

/// True if the names are in an order that registries use: by bytes, by path components, or by the directory walk of
/// distribution 2.x, where `a/_layers` stands for `a`.
pub fn is_in_order(names: &[String]) -> bool {
    let by_components = |a: &String, b: &String| a.split('/').le(b.split('/'));
    let as_walked = |a: &String, b: &String| a.split('/').chain(["_"]).le(b.split('/').chain(["_"]));
    names.is_sorted() || names.is_sorted_by(by_components) || names.is_sorted_by(as_walked)
}
