//! What queries have in common. A misspelt or repeated key is refused, lest a filter pass for one that everything matches.

use std::time::{Duration, SystemTime};

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::web::api_error::ApiError;

/// The end of the year 9999, where RFC 3339 ends too.
const LATEST: f64 = 253_402_300_799.0;

/// The query as it was sent.
///
/// # Errors
///
/// 400, if there is a key in it that is not known, or that comes twice.
pub fn parsed<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(query)| query).map_err(|rejection| ApiError::bad_request(rejection.body_text()))
}

/// A filter; an empty one is none.
pub fn given(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// A point in time, as Prometheus's API takes them: RFC 3339, or seconds of Unix time.
///
/// # Errors
///
/// 400, if it is neither.
pub fn point_in_time(text: &str) -> Result<SystemTime, ApiError> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time.into());
    }
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LATEST).contains(&seconds) => {
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
        }
        _ => {
            let hint = if text.contains(' ') { "; a + in a URL is written %2B" } else { "" };
            Err(ApiError::bad_request(format!(
                "since: no point in time, such as 2026-04-19T09:00:00Z or 1776589200{hint}: {text:?}"
            )))
        }
    }
}

/// A point in time in the API's description.
pub struct PointInTime;

impl PartialSchema for PointInTime {
    fn schema() -> RefOr<Schema> {
        let date_time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let rfc3339 = ObjectBuilder::new().schema_type(Type::String).format(Some(date_time));
        let unix = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0.0)).maximum(Some(LATEST));
        AnyOfBuilder::new().item(rfc3339).item(unix).into()
    }
}

impl ToSchema for PointInTime {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_rfc_3339_or_unix_time() {
        let nine = SystemTime::UNIX_EPOCH + Duration::from_secs(1_776_589_200);
        for text in
            ["2026-04-19T09:00:00Z", "2026-04-19t11:00:00.000+02:00", "1776589200", "1776589200.0", "1.7765892e9"]
        {
            assert_eq!(point_in_time(text).unwrap(), nine, "{text}");
        }
        assert!(point_in_time("0001-01-01T00:00:00Z").unwrap() < SystemTime::UNIX_EPOCH);
        for text in ["", "yesterday", "2026-04-19", "2026-04-19T11:00:00 02:00", "-1", "1e300", "NaN", "inf"] {
            assert!(point_in_time(text).is_err(), "{text}");
        }
    }
}
