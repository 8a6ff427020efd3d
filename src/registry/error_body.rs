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

/// The code of an error as object storages write it, in XML; `None` if the bytes are none.
pub fn storage_code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_code.then(|| code.to_string())
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

    #[test]
    fn only_a_storage_s_error_has_a_storage_s_code() {
        let s3 = b"<?xml version=\"1.0\"?>\n<Error><Code>ExpiredToken</Code><Message>m</Message></Error>";
        assert_eq!(storage_code(s3).as_deref(), Some("ExpiredToken"));
        let long = format!("<Code>{}</Code>", "a".repeat(65));
        for body in ["", "<Code>", "<Code></Code>", "<Code>a b</Code>", "<Code>a", "</Code>x<Code>", long.as_str()] {
            assert_eq!(storage_code(body.as_bytes()), None, "{body}");
        }
    }
}
