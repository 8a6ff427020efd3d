//! Names at which a collector aborts. Its grammar (`reference.WithName`, and the path expression of its storage drivers)
//! is wider than that of repository names: it allows a host in front.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::engine::Engine;

/// Without a port, because storage drivers reject the colon.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let component = "[a-z0-9]+(?:(?:[._]|__|-*)[a-z0-9]+)*";
    let pattern = format!(r"^(?:{label}(?:\.{label})*/)?({component}(?:/{component})*)$");
    Regex::new(&pattern).expect("a constant expression")
});

const LONGEST: usize = 255;

/// True if a collector accepts a repository name.
pub(super) fn is_repository_name(name: &Path, engine: Engine) -> bool {
    let Some(name) = name.to_str() else { return false };
    let Some(captures) = NAME.captures(name) else { return false };
    match engine {
        Engine::V2 => name.len() <= LONGEST,
        Engine::V3 => captures.get(1).is_some_and(|path| path.len() <= LONGEST),
    }
}

/// True if a storage driver reads a tag's link.
pub(super) fn is_path_component(name: &std::ffi::OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_start_with_a_host() {
        let legal = |name: &str| Engine::ALL.map(|engine| is_repository_name(Path::new(name), engine));
        for name in ["a", "a/b", "a--b/c__d", "Host/app", "ghcr.io/a/b"] {
            assert_eq!(legal(name), [true; 2], "{name}");
        }
        for name in ["", "App", "a b", "a:1/b", "a/B", "a..b", "a/_layers"] {
            assert_eq!(legal(name), [false; 2], "{name}");
        }
        assert_eq!(legal(&format!("ghcr.io/{}", "a".repeat(255))), [false, true]);
    }
}
