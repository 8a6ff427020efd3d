//! The errors that a registry explains in a body (OCI distribution specification, "Error Codes").

use serde::Deserialize;

use crate::oci::Object;
use crate::report::Cause;

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Object<Error>>,
}

#[derive(Deserialize)]
struct Error {
    code: String,
}

/// The code of an OCI error body: the first that says why the registry refuses to answer, otherwise the first. `None` if
/// the bytes are no such body, as when a proxy in front answered.
pub fn error_code(body: &[u8]) -> Option<String> {
    let Object(Errors { errors }) = serde_json::from_slice(body).ok()?;
    let codes = || errors.iter().map(|Object(Error { code })| code);
    let code = codes().find(|code| refusal(code).is_some()).or_else(|| codes().next())?;
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_code.then(|| code.clone())
}

/// The cause that a code names, if it says that the registry does not answer the question: then the status, such as the 404
/// of a registry that hides what a client may not see, says nothing of the object.
pub fn refusal(code: &str) -> Option<Cause> {
    let is_any_of = |codes: &[&str]| codes.iter().any(|it| it.eq_ignore_ascii_case(code));
    match () {
        () if is_any_of(&["DENIED", "UNAUTHORIZED", "FORBIDDEN"]) => Some(Cause::Unauthorized),
        () if is_any_of(&["TOOMANYREQUESTS", "TOO_MANY_REQUESTS", "TOO_MANY_REQUEST"]) => Some(Cause::RateLimited),
        () if is_any_of(&["UNSUPPORTED"]) => Some(Cause::Protocol),
        () => None,
    }
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
    fn a_refusal_outweighs_what_else_is_said() {
        let body = br#"{"errors":[{"code":"NAME_UNKNOWN"},{"code":"denied"}]}"#;
        assert_eq!(error_code(body).as_deref(), Some("denied"));
        for (code, cause) in [
            ("DENIED", Some(Cause::Unauthorized)),
            ("UNAUTHORIZED", Some(Cause::Unauthorized)),
            ("TOOMANYREQUESTS", Some(Cause::RateLimited)),
            ("UNSUPPORTED", Some(Cause::Protocol)),
            ("MANIFEST_UNKNOWN", None),
            ("BLOB_UNKNOWN", None),
            ("NAME_UNKNOWN", None),
        ] {
            assert_eq!(refusal(code), cause, "{code}");
        }
    }

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
