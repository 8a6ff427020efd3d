//! Bounds on the resources that a registry can use.

use std::ops::RangeInclusive;

use super::section::Section;
use super::text::shorten;
use super::units::{parse_size, whole_number};

/// Bounds of what is read, stored and retried. Objects beyond a bound are unverified (`protocol`), never broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest_bytes: u64,
    /// Levels of indexes below a tag.
    pub depth: u8,
    /// Descriptors in a manifest.
    pub descriptors: usize,
    /// Objects of one repository.
    pub objects: usize,
    /// Names in a tag list.
    pub tags: usize,
    /// Names in the catalog.
    pub repositories: usize,
    /// Size of a blob that is read completely if the server ignores `Range`.
    pub unranged_bytes: u64,
    /// Bytes of a list's page, and of all names in a list.
    pub list_page_bytes: u64,
    /// Header lines of a response.
    pub response_headers: usize,
    /// Redirects of one request.
    pub redirects: u32,
    /// Retries after a temporary error.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // distribution specification, "Pushing Manifests"
            manifest_bytes: 4 << 20,
            depth: 8,
            descriptors: 10_000,
            objects: 500_000,
            tags: 250_000,
            repositories: 250_000,
            unranged_bytes: 64 << 10,
            list_page_bytes: 16 << 20,
            response_headers: 100,
            redirects: 5,
            retries: 4,
        }
    }
}

/// A manifest is kept in memory, where all bodies share 32 MiB.
const MANIFEST_BYTES: RangeInclusive<u64> = 1024..=32 << 20;
/// Such bodies are hashed in chunks and not kept.
const UNRANGED_BYTES: RangeInclusive<u64> = 1024..=1 << 30;
const LIST_PAGE_BYTES: RangeInclusive<u64> = 1024..=256 << 20;
/// Depth costs nothing, since graphs are walked level by level; real images nest two or three levels.
const DEPTH: RangeInclusive<u8> = 1..=64;
const COUNT: RangeInclusive<usize> = 1..=10_000_000;
/// No registry works with fewer, and many more are an attack.
const RESPONSE_HEADERS: RangeInclusive<usize> = 16..=1000;
const REDIRECTS: RangeInclusive<u32> = 0..=20;
const RETRIES: RangeInclusive<u32> = 0..=20;

impl Limits {
    /// Reads the mapping `limits`; absent keys keep their values.
    pub(super) fn read(&mut self, section: &mut Section<'_, '_>) {
        section.set(&mut self.manifest_bytes, "manifest_bytes", |text| size(text, MANIFEST_BYTES));
        section.set(&mut self.depth, "depth", |text| whole_number(text, DEPTH));
        section.set(&mut self.descriptors, "descriptors", |text| whole_number(text, COUNT));
        section.set(&mut self.objects, "objects", |text| whole_number(text, COUNT));
        section.set(&mut self.tags, "tags", |text| whole_number(text, COUNT));
        section.set(&mut self.repositories, "repositories", |text| whole_number(text, COUNT));
        section.set(&mut self.unranged_bytes, "unranged_bytes", |text| size(text, UNRANGED_BYTES));
        section.set(&mut self.list_page_bytes, "list_page_bytes", |text| size(text, LIST_PAGE_BYTES));
        section.set(&mut self.response_headers, "response_headers", |text| whole_number(text, RESPONSE_HEADERS));
        section.set(&mut self.redirects, "redirects", |text| whole_number(text, REDIRECTS));
        section.set(&mut self.retries, "retries", |text| whole_number(text, RETRIES));
    }
}

fn size(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    if range.contains(&size) {
        return Ok(size);
    }
    let (least, most) = (range.start() >> 10, range.end() >> 20);
    Err(format!("expected from {least}KiB to {most}MiB, found \"{}\"", shorten(text)))
}
