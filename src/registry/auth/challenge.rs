//! `WWW-Authenticate` (RFC 9110, section 11.6.1), as far as registries use it.

/// What a 401 asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A user and a password, with the request itself.
    Basic,
    /// A token from a token service (distribution's "Token Authentication Specification").
    Bearer {
        /// URL of the token service.
        realm: String,
        /// The service to name there.
        service: Option<String>,
        /// The scope to ask for.
        scope: Option<String>,
    },
}

/// Reads the first challenge of a known scheme; a header may hold several, and an answer several headers.
pub fn parse_challenges<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for (scheme, parameters) in headers.into_iter().flat_map(split) {
        if scheme.eq_ignore_ascii_case("bearer") {
            let parameter = |name: &str| {
                parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            };
            if let Some(realm) = parameter("realm") {
                return Some(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
            }
        } else if scheme.eq_ignore_ascii_case("basic") {
            basic = Some(Challenge::Basic);
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// Splits `Scheme key="value", key=value, Scheme2 …`.
fn split(header: &str) -> Vec<(String, Parameters)> {
    let mut challenges: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return challenges;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match after.trim_start().strip_prefix('=') {
            Some(value) if !word.is_empty() => {
                let (value, after) = take_value(value.trim_start());
                if let Some((_, parameters)) = challenges.last_mut() {
                    parameters.push((word.to_string(), value));
                }
                rest = after;
            }
            Some(after) => rest = after,
            None => {
                challenges.push((word.to_string(), Parameters::new()));
                rest = after;
            }
        }
    }
}

/// A token, or a quoted string with its escapes resolved; and what follows it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_string(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_string(),
            service: service.map(str::to_string),
            scope: scope.map(str::to_string),
        })
    }

    #[test]
    fn reads_what_registries_send() {
        let parse = |header: &str| parse_challenges([header]);
        assert_eq!(
            parse(r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push""#),
            bearer("https://auth.example/token", Some("reg"), Some("repository:a/b:pull,push"))
        );
        assert_eq!(parse(r#"bearer Realm=http://a/t , service = "x\"y""#), bearer("http://a/t", Some("x\"y"), None));
        assert_eq!(parse(r#"Basic realm="Registry""#), Some(Challenge::Basic));
        assert_eq!(parse(r#"Basic realm="a", Bearer realm="b""#), bearer("b", None, None));
        assert_eq!(parse_challenges([r#"Basic realm="a""#, r#"Bearer realm="b""#]), bearer("b", None, None));
    }

    #[test]
    fn makes_nothing_of_rubbish() {
        for header in
            ["", "Negotiate abc==", "Bearer", r#"Bearer service="x""#, "=,=,=", r#"Digest realm="x"#, "\"\"\"", ",,,"]
        {
            assert_eq!(parse_challenges([header]), None, "{header}");
        }
    }
}
