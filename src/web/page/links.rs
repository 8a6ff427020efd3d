//! Links between pages. They are relative, because every page is directly below the service's root.

use url::form_urlencoded::Serializer;

use crate::oci::Image;
use crate::render::printable;

/// Hexadecimal digits of an abbreviated digest.
const DIGITS: usize = 12;

/// The address of a page with a query; empty parameters are left out.
pub fn address(page: &str, query: &[(&str, &str)]) -> String {
    let mut serializer = Serializer::new(String::new());
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        serializer.append_pair(name, value);
    }
    let query = serializer.finish();
    if query.is_empty() { page.to_string() } else { format!("{page}?{query}") }
}

/// An image and its page.
#[derive(Clone)]
pub struct ImageLink {
    /// `repository:tag`, or an abbreviated digest.
    pub name: String,
    /// The full name.
    pub full: String,
    /// Its page.
    pub address: String,
}

impl ImageLink {
    /// An image of a registry.
    pub fn new(registry: &str, image: &Image) -> Self {
        let Name { short, full } = Name::new(&image.to_string());
        Self { address: address("image", &[("registry", registry), ("image", &full)]), name: short, full }
    }
}

/// A name in which a digest is abbreviated.
pub struct Name {
    /// With an abbreviated digest.
    pub short: String,
    /// The full name.
    pub full: String,
}

impl Name {
    /// A digest, or a name with one.
    pub fn new(text: &str) -> Self {
        let full = printable(text);
        let hex = full.rsplit_once(':').filter(|(before, hex)| {
            hex.len() > DIGITS
                && hex.bytes().all(|b| b.is_ascii_hexdigit())
                && ["sha256", "sha384", "sha512"].iter().any(|name| before.ends_with(name))
        });
        let short = match hex {
            Some((before, hex)) => format!("{before}:{}…", &hex[..DIGITS]),
            None => full.clone(),
        };
        Self { short, full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    #[test]
    fn addresses_escape_any_name() {
        assert_eq!(address("search", &[("q", ""), ("page", "")]), "search");
        assert_eq!(address("search", &[("q", "a&b=c d"), ("page", "2")]), "search?q=a%26b%3Dc+d&page=2");
    }

    #[test]
    fn only_digests_are_abbreviated() {
        let digest = Digest::sha256(b"x").to_string();
        assert_eq!(Name::new(&digest).short, format!("{}…", &digest[..19]));
        assert_eq!(Name::new(&format!("app@{digest}")).short, format!("app@{}…", &digest[..19]));
        for name in ["app:latest", "app:0123456789abcdef0123", "_catalog"] {
            assert_eq!(Name::new(name).short, name);
        }
    }
}
