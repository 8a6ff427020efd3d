//! Durations, sizes and numbers, in the configuration and on the command line.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::text::shorten;

/// Longest duration; sums of such times cannot overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: {reason} (examples: 500ms, 15m, 1h30m, 1d)")]
pub struct DurationError {
    text: String,
    reason: String,
}

/// Reads a duration as Prometheus writes it (`1h30m`, `1d`, `500ms`, `0`) or as humantime does (`1h 30m`, `2 days`).
///
/// A year is 365.25 days, as in humantime.
///
/// # Errors
///
/// [`DurationError`] if it is neither, or over 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = |reason: &str| DurationError { text: clipped(text), reason: reason.to_string() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err(error("negative values are not allowed"));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error("the unit is missing"));
    }
    // humantime panics on sums close to 2^64 seconds; numbers of nine digits stay far below.
    if text.len() > 64 || text.split(|c: char| !c.is_ascii_digit()).any(|number| number.len() > 9) {
        return Err(error("it is too long"));
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(error("it is longer than 100 years")),
        Err(humantime::DurationError::UnknownUnit { unit, .. }) if !unit.is_empty() => {
            Err(error(&format!("{unit:?} is not a unit")))
        }
        Err(humantime::DurationError::UnknownUnit { .. }) => Err(error("a unit is missing")),
        Err(_) => Err(error("expected numbers with units")),
    }
}

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size: {reason} (examples: 1048576, 500kB, 20MiB)")]
pub struct SizeError {
    text: String,
    reason: &'static str,
}

/// Reads a number of bytes, with or without a unit. `kB`, `MB`, `GB`, `TB` are powers of 1000, `KiB`, `MiB`, `GiB`, `TiB`
/// of 1024; the `B` is optional, as in Kubernetes, and case does not matter.
///
/// # Errors
///
/// [`SizeError`] if it is not a size, not a whole number of bytes, or too large for 64 bits.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let error = |reason| SizeError { text: clipped(text), reason };
    if text.starts_with('-') {
        return Err(error("negative values are not allowed"));
    }
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim().to_ascii_lowercase();
    let factor: u128 = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1,
        "k" => 1000,
        "m" => 1000_u128.pow(2),
        "g" => 1000_u128.pow(3),
        "t" => 1000_u128.pow(4),
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return Err(error("unknown unit")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.contains('.') {
        return Err(error("it does not start with a number"));
    }
    if whole.len() > 20 || fraction.len() > 12 {
        return Err(error("it has too many digits"));
    }
    let digits = |digits: &str| digits.bytes().fold(0, |value, digit| value * 10 + u128::from(digit - b'0'));
    let scale = fraction.bytes().fold(1, |scale: u128, _| scale * 10);
    let bytes = (digits(whole) * scale + digits(fraction)) * factor;
    if !bytes.is_multiple_of(scale) {
        return Err(error("it is not a whole number of bytes"));
    }
    u64::try_from(bytes / scale).map_err(|_| error("it is too large"))
}

/// A text that `{:?}` will escape, of bounded length.
fn clipped(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Reads a whole number in a range.
pub(super) fn whole_number<T: std::str::FromStr + PartialOrd + Display>(
    text: &str,
    range: RangeInclusive<T>,
) -> Result<T, String> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("expected a whole number from {} to {}, found \"{}\"", range.start(), range.end(), shorten(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_of_prometheus_and_humantime() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("2 days", 172_800_000),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_explained() {
        for (text, reason) in [
            ("15", "the unit is missing"),
            ("1h30", "a unit is missing"),
            ("5 parsecs", "\"parsecs\" is not a unit"),
            ("", "expected numbers with units"),
            ("-5m", "negative values are not allowed"),
            ("soon", "expected numbers with units"),
            ("101y", "it is longer than 100 years"),
            ("18446744073709551615s 1000000000ns", "it is too long"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().reason, reason, "{text}");
        }
    }

    #[test]
    fn reads_sizes_with_decimal_and_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("512B", 512),
            ("500kB", 500_000),
            ("20MiB", 20 << 20),
            ("20 mib", 20 << 20),
            ("1.5GiB", 3 << 29),
            ("20M", 20_000_000),
            ("20Mi", 20 << 20),
            ("2TB", 2_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn invalid_sizes_are_explained() {
        for (text, reason) in [
            ("", "it does not start with a number"),
            ("MiB", "it does not start with a number"),
            (".5MiB", "it does not start with a number"),
            ("1.MiB", "it does not start with a number"),
            ("1.2.3MiB", "it does not start with a number"),
            ("-1", "negative values are not allowed"),
            ("20 parsecs", "unknown unit"),
            ("20MiB/s", "unknown unit"),
            ("0.5B", "it is not a whole number of bytes"),
            ("18446744073709551616", "it is too large"),
            ("99999999TiB", "it is too large"),
            ("999999999999999999999", "it has too many digits"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().reason, reason, "{text}");
        }
    }
}
