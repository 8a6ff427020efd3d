//! Query parameters. Unknown or repeated parameters are rejected, so a typo cannot turn into an empty filter.

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

/// The parsed query.
///
/// # Errors
///
/// 400 for an unknown or repeated parameter.
pub fn parsed<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    query.map(|Query(query)| query).map_err(|rejection| ApiError::bad_request(rejection.body_text()))
}

/// A filter; an empty string means unset.
pub fn given(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// A point in time as in Prometheus's API: RFC 3339 or Unix time in seconds.
///
/// # Errors
///
/// 400 for anything else.
pub fn point_in_time(text: &str) -> Result<SystemTime, ApiError> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time.into());
    }
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=LATEST).contains(&seconds) => {
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds))
        }
        _ => {
            let hint = if text.contains(' ') { "; encode a + in a URL as %2B" } else { "" };
            Err(ApiError::bad_request(format!(
                "since: {text:?} is not a point in time (expected one such as 2026-04-19T09:00:00Z or 1776589200{hint})"
            )))
        }
    }
}

/// The OpenAPI schema of a point in time.
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
    fn points_in_time_are_rfc3339_or_unix_time() {
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
