//! Images in words that make them again, so that a case which fails can be made smaller.

use proptest::prelude::*;

/// One tag's image.
#[derive(Clone, Debug)]
pub struct Planned {
    pub repository: usize,
    pub shape: Shape,
    /// Images of one base share their first layers.
    pub base: usize,
    pub layers: usize,
    /// The first layer lies elsewhere, and the registry need not hold it.
    pub is_foreign: bool,
    /// The second layer's descriptor says another length.
    pub lies: bool,
    /// One more layer has a digest of an algorithm that nobody knows.
    pub is_alien: bool,
    /// Digests are SHA-512.
    pub is_long: bool,
    /// No manifest says its own media type.
    pub is_terse: bool,
    pub more: More,
}

/// What else points into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    Nothing,
    /// Another tag of it.
    Tag,
    /// A tag of its first child.
    TagOfChild,
    /// A tag that is listed and points nowhere.
    DanglingTag,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Manifest,
    Index {
        platforms: Vec<&'static str>,
        attestations: bool,
        /// The first child stands for one platform more.
        twice: bool,
        /// One more child is no manifest.
        rubbish: bool,
    },
    /// A manifest in indexes in each other.
    Nested {
        levels: usize,
    },
    /// A manifest that is none, under its right digest.
    Rubbish,
    /// What nobody checks.
    SchemaOne,
}

const PLATFORMS: [&str; 5] = ["linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm", "windows/amd64"];

/// Sets of platforms that somebody may want; none: all.
pub const WANTED: [&[&str]; 7] = [
    &[],
    &["linux/amd64"],
    &["linux/arm"],
    &["linux/arm/v7"],
    &["linux/arm64/v8", "windows/amd64"],
    &["Linux/aarch64", "linux/arm/6"],
    &["linux/riscv64"],
];

pub fn planned() -> impl Strategy<Value = Planned> {
    let index = (
        prop::sample::subsequence(PLATFORMS.to_vec(), 1..4),
        any::<bool>(),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.1),
    );
    let shape = prop_oneof![
        6 => Just(Shape::Manifest),
        8 => index.prop_map(|(platforms, attestations, twice, rubbish)| Shape::Index { platforms, attestations, twice, rubbish }),
        2 => (1..11usize).prop_map(|levels| Shape::Nested { levels }),
        1 => Just(Shape::Rubbish),
        1 => Just(Shape::SchemaOne),
    ];
    let more = prop_oneof![
        8 => Just(More::Nothing),
        2 => Just(More::Tag),
        2 => Just(More::TagOfChild),
        1 => Just(More::DanglingTag),
    ];
    let odd = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.15),
        any::<bool>(),
    );
    (0..3usize, shape, 0..3usize, 1..4usize, odd, more).prop_map(|(repository, shape, base, layers, odd, more)| {
        let (is_foreign, lies, is_alien, is_long, is_terse) = odd;
        Planned { repository, shape, base, layers, is_foreign, lies, is_alien, is_long, is_terse, more }
    })
}
