//! The errors that a registry explains in a body (OCI distribution specification, "Error Codes").

use serde::Deserialize;

use crate::oci::Object;

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Object<Error>>,
}

#[derive(Deserialize)]
struct Error {
    code: String,
}

/// The first code of an OCI error body; `None` if the bytes are none, as when a proxy in front answered.
pub fn error_code(body: &[u8]) -> Option<String> {
    let Object(Errors { errors }) = serde_json::from_slice(body).ok()?;
    let Object(Error { code }) = errors.into_iter().next()?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_code.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_oci_error_has_a_code() {
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m","detail":{}},{"code":"X"}]}"#;
        assert_eq!(error_code(body).as_deref(), Some("MANIFEST_UNKNOWN"));
        for body in [
            "",
            "<html>404</html>",
            "{}",
            r#"{"errors":[]}"#,
            r#"{"errors":null}"#,
            r#"{"errors":[{"code":"a b"}]}"#,
            r#"[[{"code":"DENIED"}]]"#,
            r#"{"errors":[["DENIED"]]}"#,
        ] {
            assert_eq!(error_code(body.as_bytes()), None, "{body}");
        }
    }
}
