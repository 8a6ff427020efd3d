//! The style sheet, the script and the icon.

use std::sync::LazyLock;

use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::headline::Standing;
use crate::oci::Digest;
use crate::web::rendered::{IMMUTABLE, Rendered};

const STYLE: &str = include_str!("../../../templates/page.css");
const SCRIPT: &str = include_str!("../../../templates/page.js");

/// Allows resources of this service only, and nothing inline.
pub const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

/// Relative address of the style sheet.
pub static STYLE_ADDRESS: LazyLock<String> = LazyLock::new(|| format!("page.css?{}", version(STYLE)));
/// Relative address of the script.
pub static SCRIPT_ADDRESS: LazyLock<String> = LazyLock::new(|| format!("page.js?{}", version(SCRIPT)));

fn version(content: &str) -> String {
    Digest::sha256(content.as_bytes()).as_bytes().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

static STYLE_SHEET: LazyLock<Rendered> = LazyLock::new(|| Rendered::file("text/css; charset=utf-8", STYLE));
static SCRIPT_FILE: LazyLock<Rendered> = LazyLock::new(|| Rendered::file("text/javascript; charset=utf-8", SCRIPT));

/// `GET /page.css`.
pub async fn style(headers: HeaderMap) -> Response {
    STYLE_SHEET.answer(&headers)
}

/// `GET /page.js`.
pub async fn script(headers: HeaderMap) -> Response {
    SCRIPT_FILE.answer(&headers)
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct IconQuery {
    standing: String,
}

/// `GET /icon.svg?standing=`: shows the overall state in the browser's tab.
pub async fn icon(Query(query): Query<IconQuery>) -> Response {
    let (colour, mark) = match Standing::ALL.into_iter().find(|standing| standing.as_str() == query.standing) {
        Some(Standing::Intact) => ("#1a7f37", "M17 33l10 10 20-22"),
        Some(Standing::Broken) => ("#cf222e", "M20 20l24 24M44 20L20 44"),
        _ => ("#9a6700", "M32 16v22M32 47v1"),
    };
    let icon = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><rect width=\"64\" height=\"64\" rx=\"14\" \
         fill=\"{colour}\"/><path d=\"{mark}\" fill=\"none\" stroke=\"#fff\" stroke-width=\"7\" stroke-linecap=\"round\" \
         stroke-linejoin=\"round\"/></svg>"
    );
    ([(header::CONTENT_TYPE, "image/svg+xml")], [(header::CACHE_CONTROL, IMMUTABLE)], icon).into_response()
}
