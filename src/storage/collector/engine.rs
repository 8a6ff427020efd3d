//! The collectors that are modelled.

use serde::{Serialize, Serializer};

/// The registry version that collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Engine {
    /// distribution 2.x, `registry:2`.
    #[value(name = "2")]
    V2,
    /// distribution 3.x, `registry:3`.
    #[value(name = "3")]
    V3,
}

impl Engine {
    /// Both versions, in order.
    pub const ALL: [Self; 2] = [Self::V2, Self::V3];

    /// The major version.
    pub fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

/// A registry version and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Collector {
    /// The registry version.
    pub engine: Engine,
    /// True with `--delete-untagged` (`-m`).
    pub delete_untagged: bool,
}

impl Collector {
    /// All four combinations, in order.
    pub const ALL: [Self; 4] = [
        Self { engine: Engine::V2, delete_untagged: false },
        Self { engine: Engine::V2, delete_untagged: true },
        Self { engine: Engine::V3, delete_untagged: false },
        Self { engine: Engine::V3, delete_untagged: true },
    ];
}
