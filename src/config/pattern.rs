//! Patterns of filters: anchored regular expressions, which are often confused with globs.

use regex::Regex;

use super::text::shorten;

const BEGIN: &str = "^(?:";
const END: &str = ")$";

/// Compiles a pattern that must match a complete name. It is first compiled without the anchors, whose parentheses would
/// make `a)|(b` valid.
pub(super) fn anchored(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).and_then(|_| Regex::new(&format!("{BEGIN}{pattern}{END}"))).map_err(|error| {
        let text = error.to_string();
        // The other lines of a syntax error show the pattern with a marker.
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let hint = meant(pattern).map(|meant| format!("; did you mean \"{}\"?", shorten(&meant)));
        format!("\"{}\" is not a regular expression: {reason}{}", shorten(pattern), hint.unwrap_or_default())
    })
}

/// A pattern as written in the configuration.
pub(super) fn written(regex: &Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix(BEGIN).and_then(|text| text.strip_suffix(END)).unwrap_or(text)
}

/// A warning if a valid pattern looks like a glob.
pub(super) fn warning(pattern: &str) -> Option<String> {
    let meant = meant(pattern)?;
    let shown = shorten(pattern);
    let meant = shorten(&meant);
    Some(format!(
        "\"{shown}\" looks like a glob, but is a regular expression, where * and ? repeat the previous \
         character; did you mean \"{meant}\"?"
    ))
}

/// The regular expression that was probably meant, if a pattern looks like a glob: a `*` at its start or after a plain
/// character (`team/*`, `app-*`), or a `?` at its end after a separator (`v1.?`), where a repetition makes no sense for
/// names. A `?` after a letter is an ordinary regular expression (`https?`).
fn meant(pattern: &str) -> Option<String> {
    let ends_at = pattern.trim_end_matches('?').len();
    let (mut regex, mut looks_like_a_glob) = (String::new(), false);
    let (mut before, mut in_class) = (Before::Nothing, false);
    for (at, c) in pattern.char_indices() {
        if in_class {
            in_class = c != ']' || before == Before::Escape;
            before = if c == '\\' && before != Before::Escape { Before::Escape } else { Before::Regex };
            regex.push(c);
            continue;
        }
        before = match (before, c) {
            (Before::Escape, _) => Before::Regex,
            (_, '\\') => Before::Escape,
            // `**` is one wildcard.
            (Before::Wildcard, '*') => continue,
            (Before::Nothing | Before::Plain | Before::Separator, '*') => {
                looks_like_a_glob = true;
                regex.push('.');
                Before::Wildcard
            }
            (Before::Separator | Before::Dot, '?') if at >= ends_at => {
                if before == Before::Dot {
                    regex.insert(regex.len() - 1, '\\');
                }
                // One character for each.
                regex.extend(std::iter::repeat_n('.', pattern.len() - at));
                return Some(regex);
            }
            (_, '[') => {
                in_class = true;
                Before::Regex
            }
            (_, '.') => Before::Dot,
            (_, '/' | '-' | '_') => Before::Separator,
            (_, '(' | '|') => Before::Nothing,
            (_, c) if c.is_alphanumeric() => Before::Plain,
            _ => Before::Regex,
        };
        regex.push(c);
    }
    looks_like_a_glob.then_some(regex)
}

/// The character before the current one.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Plain,
    Separator,
    Dot,
    Escape,
    /// A `*` of a glob.
    Wildcard,
    /// Anything else of a regular expression.
    Regex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_regular_expressions_for_globs() {
        for (pattern, expected) in [
            ("team/*", "team/.*"),
            ("*", ".*"),
            ("**", ".*"),
            ("team/**", "team/.*"),
            ("app-*", "app-.*"),
            ("v*", "v.*"),
            ("*-dev", ".*-dev"),
            ("*/app", ".*/app"),
            ("team/*/app", "team/.*/app"),
            ("(team|infra)/*", "(team|infra)/.*"),
            ("(team/*|infra)", "(team/.*|infra)"),
            ("v1.?", r"v1\.."),
            ("v1.??", r"v1\..."),
            ("app-?", "app-."),
            ("[a-c]/*", "[a-c]/.*"),
        ] {
            assert_eq!(meant(pattern).as_deref(), Some(expected), "{pattern}");
            assert!(anchored(expected).is_ok(), "{expected}");
        }
    }

    #[test]
    fn regular_expressions_are_not_globs() {
        for pattern in [
            "team/.*",
            "v[0-9]+",
            "v[0-9]*",
            r"v\d*",
            r"v1\.*",
            ".*",
            ".+",
            "(a|b)*",
            "(?i)team/.*",
            "v?[0-9.]+",
            "https?",
            "releases?",
            "team/app",
            "",
            r"v1\.\d+(-rc\.?\d+)?",
            "[/*]*",
            r"[\]*]",
            "a{1,3}",
            "v1.*?",
            "alpine-?linux",
            "^v.*$",
        ] {
            assert_eq!(meant(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn patterns_are_shown_as_written() {
        assert_eq!(written(&anchored("team/.*").unwrap()), "team/.*");
        assert_eq!(written(&Regex::new("^none$").unwrap()), "^none$");
    }
}
