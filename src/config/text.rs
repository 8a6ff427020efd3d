//! Quotes and suggestions for messages.

/// The known word that is most similar to a misspelt one.
pub(crate) fn most_similar<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let normal: String = written.chars().take(64).collect::<String>().to_lowercase().replace(['-', ' '], "_");
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&normal, word), *word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

/// A text for a message: on one line, and of bounded length.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_similar_words() {
        let known = ["interval", "url", "request_timeout"];
        for (written, similar) in [
            ("intervall", Some("interval")),
            ("Interval", Some("interval")),
            ("uri", Some("url")),
            ("request-timeout", Some("request_timeout")),
            ("requestTimeout", Some("request_timeout")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(most_similar(written, &known), similar, "{written}");
        }
    }
}
