//! What a registry may cost at most, whatever it sends.

use std::ops::RangeInclusive;

use super::section::{Section, shorten};
use super::target::whole_number;
use super::units::parse_size;

/// Bounds of what is read, kept and tried. What goes beyond one is unverified with `protocol`, never a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a manifest.
    pub manifest_bytes: u64,
    /// Levels of indexes below a tag.
    pub depth: u8,
    /// Objects that one manifest names.
    pub descriptors: usize,
    /// Objects of one repository.
    pub objects: usize,
    /// Names in a tag list.
    pub tags: usize,
    /// Names in the catalog.
    pub repositories: usize,
    /// Bytes of a blob that are read to the end where a server ignores that only its last byte was asked for.
    pub unranged_bytes: u64,
    /// Bytes of a page of a list, and of all names of one.
    pub list_page_bytes: u64,
    /// Header lines of an answer.
    pub response_headers: usize,
    /// Redirects that are followed for one answer.
    pub redirects: u32,
    /// Times that passing trouble is tried again.
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

/// All bodies in memory share 32 MiB, and a manifest is kept whole.
const MANIFEST_BYTES: RangeInclusive<u64> = 1024..=32 << 20;
/// They are hashed as they come, and not kept.
const UNRANGED_BYTES: RangeInclusive<u64> = 1024..=1 << 30;
const LIST_PAGE_BYTES: RangeInclusive<u64> = 1024..=256 << 20;
/// Graphs are walked level by level, so that depth itself costs nothing; nobody nests so deep.
const DEPTH: RangeInclusive<u8> = 1..=64;
const COUNT: RangeInclusive<usize> = 1..=10_000_000;
/// Fewer than a registry needs to answer at all make no sense, and many more are an attack.
const RESPONSE_HEADERS: RangeInclusive<usize> = 16..=1000;
const REDIRECTS: RangeInclusive<u32> = 0..=20;
const RETRIES: RangeInclusive<u32> = 0..=20;

impl Limits {
    /// Reads the mapping `limits`: what it does not name stays as it is.
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
