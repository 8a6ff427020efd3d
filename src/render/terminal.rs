//! Lines that fit a terminal, and text that cannot play tricks on it.

use std::io::{self, IsTerminal};

use anstyle::Style;
use terminal_size::{Width, terminal_size};
use unicode_width::UnicodeWidthChar;

/// Narrower than this, lines are no longer folded.
const MIN_WIDTH: usize = 40;

/// How to write for people.
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
    /// Standard output's: its width, and colour unless `NO_COLOR` is set; the default if it is no terminal.
    pub fn of_stdout() -> Self {
        match terminal_size().filter(|_| io::stdout().is_terminal()) {
            Some((Width(columns), _)) => {
                Self { width: usize::from(columns), colour: std::env::var_os("NO_COLOR").is_none() }
            }
            None => Self::default(),
        }
    }

    /// Writes a coloured lead and a text behind it, folded; what is folded is indented by two more.
    pub(crate) fn write(
        self,
        out: &mut dyn io::Write,
        indent: usize,
        (style, lead): (Style, &str),
        text: &str,
    ) -> io::Result<()> {
        let style = if self.colour { style } else { Style::new() };
        let lead_columns = if lead.is_empty() { 0 } else { lead.len() + 2 };
        let lines = fold(&printable(text), self.width.max(MIN_WIDTH) - indent, lead_columns, 2);
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

    /// Writes a text, folded.
    pub(crate) fn line(self, out: &mut dyn io::Write, indent: usize, text: &str) -> io::Result<()> {
        self.write(out, indent, (Style::new(), ""), text)
    }
}

/// Escapes every character that takes no column of its own: control characters, which could move the cursor or recolour
/// what follows, and those that reorder or hide what is around them.
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

/// A text in exactly so many columns: cut off, or filled up with spaces.
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

/// Folds at spaces, or inside a word that is longer than a line. `first` columns of the first line are taken already, and
/// `rest` of every other one.
fn fold(text: &str, width: usize, first: usize, rest: usize) -> Vec<String> {
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
    fn folds_at_spaces_and_inside_long_words() {
        assert_eq!(fold("a bc def", 5, 0, 2), ["a bc", "def"]);
        assert_eq!(fold("a bc def", 8, 0, 2), ["a bc def"]);
        assert_eq!(fold("abcdefghij", 5, 0, 2), ["abcde", "fgh", "ij"]);
        assert_eq!(fold("abcd", 5, 3, 0), ["", "abcd"]);
        assert_eq!(fold("日本語", 4, 0, 0), ["日本", "語"]);
    }

    #[test]
    fn a_lead_that_stands_alone_has_no_gap_behind_it() {
        let mut out = Vec::new();
        let word = "a".repeat(36);
        Terminal { width: 40, colour: false }.write(&mut out, 0, (Style::new(), "BROKEN"), &word).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("BROKEN\n  {word}\n"));
    }

    #[test]
    fn escapes_what_takes_no_column() {
        assert_eq!(printable("a\u{1b}[2J\r\nb\u{9b}\u{202e}\u{200b}é日"), r"a\u{1b}[2J\r\nb\u{9b}\u{202e}\u{200b}é日");
    }
}
