//! Reports as JUnit XML in the dialect of Jenkins, which other CI servers read too.
//!
//! A registry is a suite. Each failure is a failed test case, and each unverified object a test case with an error. A suite
//! without findings has one passed test case, because some servers treat an empty suite as a broken run. If there was no
//! image to check, that test case is skipped.

use std::io;

use super::text::{failed, totals, unverified_object};
use crate::report::Verdict;
use crate::report::{Failure, ImageState, Report, Unverified};

/// Writes a `testsuites` document.
pub fn junit(reports: &[Report], out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites>")?;
    for report in reports {
        write_suite(report, out)?;
    }
    writeln!(out, "</testsuites>")
}

fn write_suite(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let name = attribute(&report.registry);
    let (failures, errors) = (report.failures.len(), report.unverified.len());
    let verdict = Verdict::of(report);
    let tests = failures + errors + usize::from(matches!(verdict, Verdict::Intact | Verdict::Empty));
    let seconds = report.duration_seconds;
    // Without the `Z`, which Ant's schema does not allow.
    let timestamp = humantime::format_rfc3339_seconds(report.started_at).to_string();
    let timestamp = timestamp.trim_end_matches('Z');
    write!(out, "  <testsuite name={name} tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"")?;
    if verdict == Verdict::Empty {
        write!(out, " skipped=\"1\"")?;
    }
    writeln!(out, " time=\"{seconds:.3}\" timestamp=\"{timestamp}\">")?;
    write_properties(report, out)?;
    let case = format!("<testcase classname={name} name=\"all images\" time=\"{seconds:.3}\"");
    match verdict {
        Verdict::Intact => writeln!(out, "    {case}/>")?,
        Verdict::Empty => {
            writeln!(out, "    {case}>")?;
            writeln!(out, "      <skipped message={}/>", attribute(&format!("EMPTY: {}", totals(report))))?;
            writeln!(out, "    </testcase>")?;
        }
        Verdict::Unverified | Verdict::Broken => {}
    }
    for failure in &report.failures {
        write_failure(failure, report, out)?;
    }
    for entry in &report.unverified {
        write_unverified(entry, report, out)?;
    }
    writeln!(out, "    <system-out>{}</system-out>", element(&totals(report)))?;
    writeln!(out, "  </testsuite>")
}

fn write_properties(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let images = ImageState::ALL.map(|state| (format!("images.{state}"), report.images.get(state).to_string()));
    let of_sweep = [
        ("url".to_string(), report.url.clone()),
        ("outcome".to_string(), report.outcome.to_string()),
        ("repositories".to_string(), report.repositories.to_string()),
        ("objects".to_string(), report.objects.total().to_string()),
    ];
    writeln!(out, "    <properties>")?;
    for (name, value) in of_sweep.into_iter().chain(images) {
        writeln!(out, "      <property name={} value={}/>", attribute(&name), attribute(&value))?;
    }
    writeln!(out, "    </properties>")
}

fn write_failure(failure: &Failure, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let images: Vec<String> = failure.images.iter().map(ToString::to_string).collect();
    let text = format!("{}\nbreaks {}\nfound through {}", failure.detail, images.join(", "), failure.path.join(" > "));
    let finding = Finding {
        element: "failure",
        repository: &failure.repository,
        name: format!("{}: {}", failed(failure), failure.reference()),
        kind: failure.reason.as_str(),
        message: &failure.detail,
        text,
    };
    finding.write(report, out)
}

fn write_unverified(entry: &Unverified, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    let finding = Finding {
        element: "error",
        repository: entry.repository.as_deref().unwrap_or_default(),
        name: format!("{}: {}", unverified_object(entry), entry.reference),
        kind: entry.cause.as_str(),
        message: &entry.detail,
        text: entry.detail.clone(),
    };
    finding.write(report, out)
}

/// A test case that did not pass.
struct Finding<'a> {
    element: &'static str,
    repository: &'a str,
    name: String,
    kind: &'static str,
    message: &'a str,
    text: String,
}

impl Finding<'_> {
    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        // CI servers group test cases by the dots in the class name.
        let class = format!("{}.{}", report.registry, self.repository);
        let class = attribute(class.trim_end_matches('.'));
        writeln!(out, "    <testcase classname={class} name={}>", attribute(&self.name))?;
        write!(out, "      <{} type={} message={}>", self.element, attribute(self.kind), attribute(self.message))?;
        writeln!(out, "{}</{}>", element(&self.text), self.element)?;
        writeln!(out, "    </testcase>")
    }
}

/// A quoted attribute. Line breaks and tabs are references, because parsers would turn them into spaces.
fn attribute(text: &str) -> String {
    let mut escaped = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => escaped.push_str(&format!("&#{};", u32::from(c))),
            _ => push(&mut escaped, c),
        }
    }
    escaped.push('"');
    escaped
}

fn element(text: &str) -> String {
    let mut escaped = String::new();
    text.chars().for_each(|c| push(&mut escaped, c));
    escaped
}

/// Escapes a character. Those that XML forbids even as references (XML 1.0, "Characters") use Rust's escapes.
fn push(escaped: &mut String, c: char) {
    match c {
        '&' => escaped.push_str("&amp;"),
        '<' => escaped.push_str("&lt;"),
        '>' => escaped.push_str("&gt;"),
        '\n' | '\t' => escaped.push(c),
        '\u{FFFE}' | '\u{FFFF}' => escaped.extend(c.escape_unicode()),
        _ if c.is_control() => escaped.extend(c.escape_default()),
        _ => escaped.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_characters_are_escaped() {
        assert_eq!(attribute("a\"b<c>&'\n"), "\"a&quot;b&lt;c&gt;&amp;'&#10;\"");
        assert_eq!(element("]]>\u{0}\u{1b}[31m\r\n\u{FFFE}é"), "]]&gt;\\u{0}\\u{1b}[31m\\r\n\\u{fffe}é");
    }
}
