//! Output for terminals: wrapped lines, and escaped control characters.

use std::io::{self, IsTerminal};

use anstyle::Style;
use terminal_size::{Width, terminal_size};
use unicode_width::UnicodeWidthChar;

/// Lines are not wrapped to fewer columns than this.
const MIN_WIDTH: usize = 40;

/// Properties of the output device.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Columns.
    pub width: usize,
    /// Whether colours may be used.
    pub colour: bool,
}

impl Default for Terminal {
    /// 80 columns and no colour, for a file or a pipe.
    fn default() -> Self {
        Self { width: 80, colour: false }
    }
}

impl Terminal {
    /// The width of standard output, with colour unless `NO_COLOR` is set; the default if it is not a terminal.
    pub fn of_stdout() -> Self {
        match terminal_size().filter(|_| io::stdout().is_terminal()) {
            Some((Width(columns), _)) => {
                Self { width: usize::from(columns), colour: std::env::var_os("NO_COLOR").is_none() }
            }
            None => Self::default(),
        }
    }

    /// Writes a coloured lead and a wrapped text after it; continuation lines are indented by two more columns.
    pub(crate) fn write(
        self,
        out: &mut dyn io::Write,
        indent: usize,
        (style, lead): (Style, &str),
        text: &str,
    ) -> io::Result<()> {
        let style = if self.colour { style } else { Style::new() };
        let lead_columns = if lead.is_empty() { 0 } else { lead.len() + 2 };
        let lines = wrap(&printable(text), self.width.max(MIN_WIDTH) - indent, lead_columns, 2);
        let is_alone = lead.is_empty() || lines.first().is_none_or(String::is_empty);
        let gap = if is_alone { "" } else { "  " };
        write!(out, "{:indent$}{style}{lead}{style:#}{gap}", "")?;
        for (n, line) in lines.iter().enumerate() {
            if n > 0 {
                write!(out, "{:1$}", "", indent + 2)?;
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// Writes a wrapped text.
    pub(crate) fn line(self, out: &mut dyn io::Write, indent: usize, text: &str) -> io::Result<()> {
        self.write(out, indent, (Style::new(), ""), text)
    }
}

/// Escapes every character without a width: control characters, which could move the cursor or change colours, and those
/// that reorder or hide other text.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c.width() {
            None | Some(0) => printable.extend(c.escape_default()),
            Some(_) => printable.push(c),
        }
    }
    printable
}

/// Truncates or pads a text to a number of columns.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = printable(text);
    let width = |text: &str| text.chars().filter_map(UnicodeWidthChar::width).sum::<usize>();
    let mut fitted = text;
    if width(&fitted) > columns {
        while width(&fitted) >= columns.max(1) {
            fitted.pop();
        }
        fitted.push('…');
    }
    let missing = columns.saturating_sub(width(&fitted));
    fitted + &" ".repeat(missing)
}

/// Wraps at spaces, or inside a word that is longer than a line. The first line leaves room for `first` columns, the others
/// for `rest`.
fn wrap(text: &str, width: usize, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = first;
    for word in text.split(' ') {
        let space = usize::from(!line.is_empty());
        let columns: usize = word.chars().filter_map(UnicodeWidthChar::width).sum();
        if used + space + columns <= width {
            line.push_str(&" "[..space]);
            used += space;
        } else if !line.is_empty() || used > rest {
            lines.push(std::mem::take(&mut line));
            used = rest;
        }
        for c in word.chars() {
            let columns = c.width().unwrap_or(0);
            if used + columns > width {
                lines.push(std::mem::take(&mut line));
                used = rest;
            }
            line.push(c);
            used += columns;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_and_inside_long_words() {
        assert_eq!(wrap("a bc def", 5, 0, 2), ["a bc", "def"]);
        assert_eq!(wrap("a bc def", 8, 0, 2), ["a bc def"]);
        assert_eq!(wrap("abcdefghij", 5, 0, 2), ["abcde", "fgh", "ij"]);
        assert_eq!(wrap("abcd", 5, 3, 0), ["", "abcd"]);
        assert_eq!(wrap("日本語", 4, 0, 0), ["日本", "語"]);
    }

    #[test]
    fn lead_on_its_own_line_has_no_gap() {
        let mut out = Vec::new();
        let word = "a".repeat(36);
        Terminal { width: 40, colour: false }.write(&mut out, 0, (Style::new(), "BROKEN"), &word).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("BROKEN\n  {word}\n"));
    }

    #[test]
    fn escapes_characters_without_width() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\u{9b}\u{202e}\u{200b}é日"), r"a\u{1b}[2J\r\nb\u{9b}\u{202e}\u{200b}é日");
    }
}
