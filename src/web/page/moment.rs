//! Points in time and other quantities in readable form.

use std::fmt;
use std::time::{Duration, SystemTime};

use askama::filters::HtmlSafe;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// A shorter range is written with seconds.
const SHORT: Duration = Duration::from_secs(300);

/// A point in time.
pub struct Moment {
    /// RFC 3339.
    pub at: String,
    /// Date, time and zone.
    pub exact: String,
    /// Relative to the time of the request.
    pub ago: String,
}

impl Moment {
    /// A point in time, relative to `now`.
    pub fn new(at: SystemTime, now: SystemTime) -> Self {
        let text = humantime::format_rfc3339_seconds(at).to_string();
        let ago = match (now.duration_since(at), at.duration_since(now)) {
            (_, Ok(ahead)) if ahead.as_secs() > 0 => format!("in {}", duration(ahead)),
            (Ok(since), _) if since.as_secs() > 0 => format!("{} ago", duration(since)),
            _ => "just now".to_string(),
        };
        Self { exact: text.replacen('T', " ", 1).replace('Z', " UTC"), at: text, ago }
    }
}

/// HTML with the relative time, and the exact one as its title. It contains no text from outside.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\" title=\"{}\">{}</time>", self.at, self.exact, self.ago)
    }
}

impl HtmlSafe for Moment {}

/// A duration in its largest unit.
pub fn duration(length: Duration) -> String {
    match length.as_secs() {
        1 => "1 second".to_string(),
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}

/// A time of day, with the date unless it is today: `02:00 UTC`.
pub fn clock(at: SystemTime, now: SystemTime) -> String {
    format!("{} UTC", Clock::new(at, now, false).both())
}

/// A range of time in a sentence: `between 02:00 and 02:15 UTC`.
pub fn between(from: SystemTime, to: SystemTime, now: SystemTime) -> String {
    let (from, to) = clocks(from, to, now);
    match (&from.day, &to.day) {
        (Some(day), Some(same)) if day == same => format!("on {day} between {} and {} UTC", from.time, to.time),
        _ => format!("between {} and {} UTC", from.both(), to.both()),
    }
}

/// A range of time in parentheses: `02:00-02:15 UTC`.
pub fn range(from: SystemTime, to: SystemTime, now: SystemTime) -> String {
    let (from, to) = clocks(from, to, now);
    if from.day == to.day {
        format!("{}-{} UTC", from.both(), to.time)
    } else {
        format!("{} - {} UTC", from.both(), to.both())
    }
}

fn clocks(from: SystemTime, to: SystemTime, now: SystemTime) -> (Clock, Clock) {
    let with_seconds = to.duration_since(from).unwrap_or_default() < SHORT;
    (Clock::new(from, now, with_seconds), Clock::new(to, now, with_seconds))
}

struct Clock {
    /// `None`: today.
    day: Option<String>,
    time: String,
}

impl Clock {
    fn new(at: SystemTime, now: SystemTime, with_seconds: bool) -> Self {
        let (text, today) = (humantime::format_rfc3339_seconds(at), humantime::format_rfc3339_seconds(now));
        let (text, today) = (text.to_string(), today.to_string());
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
        let month: usize = part(5..7).parse().unwrap_or_default();
        let month = month.checked_sub(1).and_then(|index| MONTHS.get(index)).unwrap_or(&"");
        let is_this_year = today.get(..4) == text.get(..4);
        let year = if is_this_year { String::new() } else { format!(" {}", part(0..4)) };
        let day = format!("{} {month}{year}", part(8..10).trim_start_matches('0'));
        let time = part(if with_seconds { 11..19 } else { 11..16 }).to_string();
        Self { day: (today.get(..10) != text.get(..10)).then_some(day), time }
    }

    fn both(&self) -> String {
        match &self.day {
            Some(day) => format!("{day} {}", self.time),
            None => self.time.clone(),
        }
    }
}

/// `1 image`, `2 images`, `2 repositories`.
pub fn counted(count: u64, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

/// A number of bytes, with a binary unit.
pub fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = (63 - count.leading_zeros()) / 10;
    let tenths = (u128::from(count) * 10) >> (10 * power);
    let unit = units[power as usize - 1];
    if tenths < 100 { format!("{}.{} {unit}", tenths / 10, tenths % 10) } else { format!("{} {unit}", tenths / 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn ranges_contain_the_date_unless_it_is_today() {
        let now = at("2026-04-19T12:00:00Z");
        let shown = |from, to| between(at(from), at(to), now);
        assert_eq!(shown("2026-04-19T02:00:03Z", "2026-04-19T02:15:04Z"), "between 02:00 and 02:15 UTC");
        assert_eq!(shown("2026-04-19T02:00:03Z", "2026-04-19T02:00:08Z"), "between 02:00:03 and 02:00:08 UTC");
        assert_eq!(shown("2026-04-13T02:00:00Z", "2026-04-13T02:15:00Z"), "on 13 Apr between 02:00 and 02:15 UTC");
        assert_eq!(shown("2026-04-18T23:50:00Z", "2026-04-19T00:05:00Z"), "between 18 Apr 23:50 and 00:05 UTC");
        assert_eq!(
            shown("2025-12-31T23:50:00Z", "2026-01-01T00:05:00Z"),
            "between 31 Dec 2025 23:50 and 1 Jan 00:05 UTC"
        );
        let range = |from, to| range(at(from), at(to), now);
        assert_eq!(range("2026-04-19T02:00:03Z", "2026-04-19T02:00:08Z"), "02:00:03-02:00:08 UTC");
        assert_eq!(range("2026-04-13T02:00:00Z", "2026-04-13T02:15:00Z"), "13 Apr 02:00-02:15 UTC");
        assert_eq!(range("2026-04-18T23:50:00Z", "2026-04-19T00:05:00Z"), "18 Apr 23:50 - 00:05 UTC");
    }

    #[test]
    fn moment_renders_relative_and_exact_time() {
        let moment = Moment::new(at("2026-04-19T09:00:00Z"), at("2026-04-19T12:00:00Z"));
        let shown = r#"<time datetime="2026-04-19T09:00:00Z" title="2026-04-19 09:00:00 UTC">3 h ago</time>"#;
        assert_eq!(moment.to_string(), shown);
    }

    #[test]
    fn relative_times_before_and_after_now() {
        let now = at("2026-04-19T12:00:00Z");
        let shown = |text| Moment::new(at(text), now).ago;
        assert_eq!(shown("2026-04-19T11:59:55Z"), "5 seconds ago");
        assert_eq!(shown("2026-04-19T09:00:00Z"), "3 h ago");
        assert_eq!(shown("2026-04-19T12:10:00Z"), "in 10 min");
        assert_eq!(shown("2026-04-19T12:00:00Z"), "just now");
        assert_eq!(Moment::new(at("2026-04-19T09:00:00Z"), now).exact, "2026-04-19 09:00:00 UTC");
    }

    #[test]
    fn sizes_use_binary_units() {
        let shown: Vec<String> = [0, 1023, 1024, 1536, 10 << 20, 1_500_000_000, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 MiB", "1.3 GiB", "15 EiB"]);
    }
}
