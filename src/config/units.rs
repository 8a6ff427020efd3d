//! How durations and sizes are written, in the configuration and on the command line.

use std::time::Duration;

/// Longer than anything that makes sense here, and short enough that no later sum of times overflows.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration: {reason} (expected one such as 500ms, 15m, 1h30m or 1d)")]
pub struct DurationError {
    text: String,
    reason: String,
}

/// Reads a duration as Prometheus writes it (`1h30m`, `1d`, `500ms`, `0`) or as humantime does (`1h 30m`, `2 days`).
///
/// Where the two differ, humantime is followed: a year is 365.25 days.
///
/// # Errors
///
/// [`DurationError`] if it is neither, or longer than 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = |reason: &str| DurationError { text: shorten(text), reason: reason.to_string() };
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error("its unit is missing"));
    }
    // humantime's sums overflow, and panic, close to 2^64 seconds: numbers of nine digits stay far below.
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
        Err(_) => Err(error("it is not a row of numbers with units")),
    }
}

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size: {reason} (expected bytes, such as 1048576, 500kB or 20MiB)")]
pub struct SizeError {
    text: String,
    reason: &'static str,
}

/// Reads a number of bytes: plain, or with a unit. `kB`, `MB`, `GB`, `TB` are powers of 1000, `KiB`, `MiB`, `GiB`, `TiB`
/// of 1024; the `B` may be left out, as Kubernetes does, and case does not matter.
///
/// # Errors
///
/// [`SizeError`] if it is none, is not a whole number of bytes, or does not fit 64 bits.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let error = |reason| SizeError { text: shorten(text), reason };
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
        _ => return Err(error("its unit is unknown")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.contains('.') {
        return Err(error("it does not begin with a number"));
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
    u64::try_from(bytes / scale).map_err(|_| error("it does not fit 64 bits"))
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_prometheus_and_humantime_write_them() {
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
    fn what_is_no_duration_says_why() {
        for (text, reason) in [
            ("15", "its unit is missing"),
            ("1h30", "a unit is missing"),
            ("5 parsecs", "\"parsecs\" is not a unit"),
            ("", "it is not a row of numbers with units"),
            ("-5m", "it is not a row of numbers with units"),
            ("soon", "it is not a row of numbers with units"),
            ("101y", "it is longer than 100 years"),
            ("18446744073709551615s 1000000000ns", "it is too long"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().reason, reason, "{text}");
        }
    }

    #[test]
    fn sizes_with_decimal_and_binary_units() {
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
    fn what_is_no_size_says_why() {
        for (text, reason) in [
            ("", "it does not begin with a number"),
            ("MiB", "it does not begin with a number"),
            (".5MiB", "it does not begin with a number"),
            ("1.MiB", "it does not begin with a number"),
            ("1.2.3MiB", "it does not begin with a number"),
            ("-1", "its unit is unknown"),
            ("20 parsecs", "its unit is unknown"),
            ("20MiB/s", "its unit is unknown"),
            ("0.5B", "it is not a whole number of bytes"),
            ("18446744073709551616", "it does not fit 64 bits"),
            ("99999999TiB", "it does not fit 64 bits"),
            ("999999999999999999999", "it has too many digits"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().reason, reason, "{text}");
        }
    }
}
