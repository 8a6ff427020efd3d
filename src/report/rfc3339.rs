//! Points in time as reports write them, for `#[serde(with = "rfc3339")]`: RFC 3339 in UTC, to the second.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes one.
///
/// # Errors
///
/// The serializer's.
pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
}

/// Reads one.
///
/// # Errors
///
/// If the text is none.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map_err(de::Error::custom)
}
