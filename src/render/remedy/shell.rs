//! Words that a POSIX shell takes as they are.

/// One word of a shell, whatever is in the text.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A media type as RFC 6838 spells it. A manifest may say anything, and what it says is to be pasted into a terminal.
pub fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() <= 127
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("https://registry.example.com:5050/v2/app"), "https://registry.example.com:5050/v2/app");
        for text in ["", "a b", "$(reboot)", "it's", "a;b", "a\nb", "*"] {
            let printed =
                std::process::Command::new("/bin/sh").args(["-c", &format!("printf %s {}", quoted(text))]).output();
            assert_eq!(String::from_utf8(printed.unwrap().stdout).unwrap(), text);
        }
    }

    #[test]
    fn only_media_types_are_media_types() {
        assert!(is_media_type("application/vnd.oci.image.manifest.v1+json"));
        for text in ["", "application", "application/", "a/b/c", "a/b c", "a/b\u{1b}[2J", "a/b';reboot;'"] {
            assert!(!is_media_type(text), "{text:?}");
        }
    }
}
