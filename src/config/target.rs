//! Reads an entry of `registries`, and defines its defaults.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use regex::Regex;
use url::Url;

use super::fault::Position;
use super::http_client::{is_off, proxy_url, read_credentials, read_tls};
use super::limits::Limits;
use super::pattern;
use super::registry_url::RegistryUrl;
use super::section::Section;
use super::settings::{ByteEvidence, Confirm, Credentials, Evidence, Filter, ImageSelector, Mode, Spread, Target, Tls};
use super::text::{most_similar, shorten};
use super::units::{parse_duration, parse_size, whole_number};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Far more than any registry can handle.
const CONCURRENCY: RangeInclusive<usize> = 1..=1024;
const ATTEMPTS: RangeInclusive<u32> = 1..=100;
/// From one request in 1000 seconds to a million per second.
const RATES: RangeInclusive<f64> = 0.001..=1e6;

const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Settings of `global`, which apply to every registry.
pub(super) struct Global {
    /// `None` if invalid.
    interval: Option<Duration>,
    request_timeout: Duration,
    sweep_timeout: Option<Duration>,
    limits: Limits,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            interval: Some(INTERVAL),
            request_timeout: Duration::from_secs(30),
            sweep_timeout: None,
            limits: Limits::default(),
        }
    }
}

impl Global {
    /// Reads the mapping `global`.
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let mut global = Self::default();
        global.interval = read_interval(section, global.interval);
        section.set(&mut global.request_timeout, "request_timeout", positive_duration);
        section.set(&mut global.sweep_timeout, "sweep_timeout", |text| {
            parse_duration(text).map(|timeout| Some(timeout).filter(|timeout| !timeout.is_zero()))
        });
        section.section("limits", |section| global.limits.read(section));
        global
    }
}

/// `None` if invalid.
fn read_interval(section: &mut Section<'_, '_>, default: Option<Duration>) -> Option<Duration> {
    if section.has("interval") { section.scalar("interval", positive_duration) } else { default }
}

impl Target {
    /// A registry with default settings. Its name is the URL's host, with the port if it is not the scheme's default.
    pub fn with_defaults(url: Url) -> Self {
        let Global { request_timeout, sweep_timeout, .. } = Global::default();
        let host = url.host_str().unwrap_or_default();
        Self {
            name: url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}")),
            url,
            mode: Mode::Authoritative,
            interval: INTERVAL,
            request_timeout,
            sweep_timeout,
            concurrency: 32,
            rate_limit: None,
            spread: Spread::Auto,
            evidence: Evidence { byte: ByteEvidence::Within(24 * HOUR), content: None, content_budget: None },
            confirm: Confirm { attempts: 3, delay: Duration::from_secs(2) },
            limits: Limits::default(),
            repositories: Filter::default(),
            shard: None,
            tags: Filter::default(),
            platforms: Vec::new(),
            images: Vec::new(),
            credentials: Credentials::None,
            tls: Tls::default(),
            proxy_url: None,
        }
    }

    /// Reads an entry of `registries`. The second value is the position of its name, or of the URL that names it; `None` if
    /// both are invalid. File paths are relative to `folder`.
    pub(super) fn read(section: &mut Section<'_, '_>, global: &Global, folder: &Path) -> (Self, Option<Position>) {
        if !section.has("url") {
            section.fault_at("url", "missing (example: https://registry.example.com:5050)");
        }
        let url = section.scalar("url", RegistryUrl::parse);
        let name = section.scalar("name", name);
        let named_at = match (&name, &url) {
            (Some(_), _) => Some(section.position_of("name")),
            (None, Some(_)) if !section.has("name") => Some(section.position_of("url")),
            _ => None,
        };
        // A merged name or URL is positioned in another registry's entry, further up.
        let named_at = named_at.map(|at| at.max(section.position));
        let RegistryUrl { url, authority } = url.unwrap_or_else(RegistryUrl::stand_in);

        let mut target = Self::with_defaults(url);
        target.name = name.unwrap_or_else(|| authority.clone());
        let interval = read_interval(section, global.interval);
        target.interval = interval.unwrap_or(INTERVAL);
        target.request_timeout = global.request_timeout;
        target.sweep_timeout = global.sweep_timeout;
        section.set(&mut target.mode, "mode", mode);
        section.set(&mut target.concurrency, "concurrency", |text| whole_number(text, CONCURRENCY));
        section.set(&mut target.rate_limit, "rate_limit", rate_limit);
        section.set(&mut target.spread, "spread", spread);
        if let Spread::Over(spread) = target.spread
            && let Some(interval) = interval
            && spread > interval
        {
            let interval = humantime::format_duration(interval);
            section.fault_at("spread", format!("longer than the interval of {interval}"));
        }
        let evidence = &mut target.evidence;
        section.section("evidence", |section| {
            section.set(&mut evidence.byte, "byte", byte_evidence);
            section.set(&mut evidence.content, "content", content_evidence);
            section.set(&mut evidence.content_budget, "content_budget", |text| {
                parse_size(text).map(|budget| Some(budget).filter(|&budget| budget > 0))
            });
        });
        let confirm = &mut target.confirm;
        section.section("confirm", |section| {
            section.set(&mut confirm.attempts, "attempts", |text| whole_number(text, ATTEMPTS));
            section.set(&mut confirm.delay, "delay", parse_duration);
        });
        target.limits = global.limits;
        section.section("limits", |section| target.limits.read(section));
        target.repositories = section.section("repositories", read_filter).unwrap_or_default();
        target.tags = section.section("tags", read_filter).unwrap_or_default();
        target.platforms = section.list("platforms", str::parse);
        target.images = section.list("images", |text| image(text, &authority));
        target.credentials = read_credentials(section, folder);
        target.tls = section.section("tls_config", |section| read_tls(section, folder)).unwrap_or_default();
        section.set(&mut target.proxy_url, "proxy_url", proxy_url);
        (target, named_at)
    }
}

fn read_filter(section: &mut Section<'_, '_>) -> Filter {
    Filter { include: read_patterns(section, "include"), exclude: read_patterns(section, "exclude") }
}

fn read_patterns(section: &mut Section<'_, '_>, key: &'static str) -> Vec<Regex> {
    section.list_with_warnings(key, |text| pattern::anchored(text).map(|regex| (regex, pattern::warning(text))))
}

fn name(text: &str) -> Result<String, &'static str> {
    if (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control) {
        Ok(text.to_string())
    } else {
        Err("expected 1 to 255 characters without control characters")
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "authoritative" => Ok(Mode::Authoritative),
        "pull_through" => Ok(Mode::PullThrough),
        _ => {
            let hint = most_similar(text, &["authoritative", "pull_through"]);
            let hint = hint.map(|mode| format!(" (did you mean {mode}?)")).unwrap_or_default();
            Err(format!("expected authoritative or pull_through, found \"{}\"{hint}", shorten(text)))
        }
    }
}

fn spread(text: &str) -> Result<Spread, String> {
    match text {
        "auto" => Ok(Spread::Auto),
        _ => duration_or(text, "auto").map(Spread::Over),
    }
}

fn byte_evidence(text: &str) -> Result<ByteEvidence, String> {
    if is_off(text) { Ok(ByteEvidence::Off) } else { duration_or(text, "off").map(ByteEvidence::Within) }
}

fn content_evidence(text: &str) -> Result<Option<Duration>, String> {
    if is_off(text) { Ok(None) } else { duration_or(text, "off").map(Some) }
}

fn duration_or(text: &str, word: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("expected {word} or a duration; {error}"))
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be greater than 0".to_string()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn rate_limit(text: &str) -> Result<Option<f64>, String> {
    match text.parse::<f64>() {
        Ok(0.0) => Ok(None),
        Ok(rate) if RATES.contains(&rate) => Ok(Some(rate)),
        _ => Err(format!(
            "expected requests per second, from {} to {}, or 0 for no limit, found \"{}\"",
            RATES.start(),
            RATES.end(),
            shorten(text)
        )),
    }
}

fn image(text: &str, authority: &str) -> Result<ImageSelector, String> {
    let inside = text.strip_prefix(authority).is_some_and(|rest| rest.starts_with('/'));
    if inside || text.contains("://") {
        return Err(format!(
            "\"{}\" includes the registry's host (expected only the image, such as app:latest)",
            shorten(text)
        ));
    }
    let selector = if text.contains([':', '@']) {
        text.parse().map(ImageSelector::Image)
    } else {
        text.parse().map(ImageSelector::Repository)
    };
    selector.map_err(|_| {
        let shown = shorten(text);
        format!("\"{shown}\" is not an image (examples: app, app:latest, app@sha256:…; repositories are lowercase)")
    })
}
