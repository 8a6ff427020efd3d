//! Untrusted text in shell commands.

/// Quotes a text as one word of a POSIX shell. NUL, which no shell accepts, is removed.
pub fn quoted(text: &str) -> String {
    let text = text.replace('\0', "");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Whether a text is a media type according to RFC 6838. Only then is it safe to paste into a terminal.
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
    fn quoted_text_is_one_shell_word() {
        assert_eq!(quoted("https://registry.example.com:5050/v2/app"), "https://registry.example.com:5050/v2/app");
        for text in ["", "a b", "$(reboot)", "it's", "a;b", "a\nb", "*"] {
            let printed =
                std::process::Command::new("/bin/sh").args(["-c", &format!("printf %s {}", quoted(text))]).output();
            assert_eq!(String::from_utf8(printed.unwrap().stdout).unwrap(), text);
        }
        assert_eq!(quoted("a\0b"), "ab");
    }

    #[test]
    fn only_valid_media_types_are_accepted() {
        assert!(is_media_type("application/vnd.oci.image.manifest.v1+json"));
        for text in ["", "application", "application/", "a/b/c", "a/b c", "a/b\u{1b}[2J", "a/b';reboot;'"] {
            assert!(!is_media_type(text), "{text:?}");
        }
    }
}
