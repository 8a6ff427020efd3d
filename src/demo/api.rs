//! The responses of distribution 2.8, including its messages and quirks.

use serde_json::{Value, json};

use super::content::media_type;
use super::paging::{Page, Paging, Query, Rejection, Sizes};
use super::range::{Range, RangeError};
use super::route::Route;
use super::store::{Held, Store};
use super::wire::{Answer, Request};
use crate::oci::{Digest, Platform, Repository, parse_manifest};

const JSON: &str = "application/json; charset=utf-8";
const CATALOG_PAGE: usize = 100;
const CATALOG_PAGE_LIMIT: usize = 1000;

/// The response of a registry without faults.
pub fn answer(store: &Store, tags_page: Option<usize>, request: &Request) -> Answer {
    let is_list = matches!(request.route, Route::Catalog | Route::Tags { .. });
    let allowed: &[&str] = if is_list { &["GET"] } else { &["GET", "HEAD"] };
    if !allowed.contains(&request.method.as_str()) {
        return text(405, "Method not allowed").header("Allow", allowed.join(", "));
    }
    if request.route.repository().is_some_and(|name| name.parse::<Repository>().is_err()) {
        return text(404, "404 page not found");
    }
    match &request.route {
        Route::Ping => base(200).header("Content-Type", JSON).body("{}"),
        Route::Catalog => catalog(store, request),
        Route::Tags { repository } => tags(store, tags_page, repository, request),
        Route::Manifest { repository, reference } => manifest(store, repository, reference, request),
        Route::Blob { repository, digest } => blob(store, repository, digest, request),
        Route::Token | Route::Other => text(404, "404 page not found"),
    }
}

/// An error response of the OCI distribution specification; a `null` detail is left out.
pub fn error(status: u16, code: &str, message: &str, detail: Value) -> Answer {
    let mut error = json!({"code": code, "message": message});
    if !detail.is_null() {
        error["detail"] = detail;
    }
    json_answer(status, &json!({"errors": [error]}))
}

/// A JSON response with a final line feed, as Go's encoder writes it.
pub fn json_answer(status: u16, body: &Value) -> Answer {
    base(status).header("Content-Type", JSON).body(format!("{body}\n"))
}

fn base(status: u16) -> Answer {
    Answer::new(status).header("Docker-Distribution-Api-Version", "registry/2.0")
}

fn text(status: u16, message: &str) -> Answer {
    base(status)
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("X-Content-Type-Options", "nosniff")
        .body(format!("{message}\n"))
}

fn catalog(store: &Store, request: &Request) -> Answer {
    let sizes = Sizes { default: CATALOG_PAGE, limit: CATALOG_PAGE_LIMIT };
    page(&request.paging, store.names(), sizes, request, |names| json!({"repositories": names}))
}

fn tags(store: &Store, limit: Option<usize>, name: &str, request: &Request) -> Answer {
    let Some(tags) = store.repository(name).and_then(|repository| repository.tags.as_ref()) else {
        return error(404, "NAME_UNKNOWN", "repository name not known to registry", json!({"name": name}));
    };
    let listed = |names: Vec<String>| json!({"name": name, "tags": names});
    let names = tags.keys().cloned().collect();
    match limit {
        Some(limit) => {
            let cap = request.paging.cap.unwrap_or(limit).min(limit);
            let paging = Paging { cap: Some(cap), ..(*request.paging).clone() };
            page(&paging, names, Sizes { default: limit, limit }, request, listed)
        }
        None if tags.is_empty() => json_answer(200, &json!({"name": name, "tags": null})),
        None => json_answer(200, &listed(names)),
    }
}

/// The requested page of a list.
fn page(
    paging: &Paging,
    names: Vec<String>,
    sizes: Sizes,
    request: &Request,
    body: impl Fn(Vec<String>) -> Value,
) -> Answer {
    let query = Query { path: &request.path, parameters: &|name| request.parameter(name) };
    match paging.page(names, sizes, &query) {
        Ok(Page { names, next }) => {
            let answer = json_answer(200, &body(names));
            next.into_iter().fold(answer, |answer, next| answer.header("Link", format!("<{next}>; rel=\"next\"")))
        }
        Err(Rejection { status, code, message, detail }) => error(status, code, message, detail),
    }
}

fn manifest(store: &Store, name: &str, reference: &str, request: &Request) -> Answer {
    let is_tag = reference.parse::<Digest>().is_err();
    let Some((digest, held)) = store.repository(name).and_then(|repository| repository.manifest(reference)) else {
        let detail = if is_tag { json!({"Tag": reference}) } else { json!({"Name": name, "Revision": reference}) };
        return error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail);
    };
    if !is_readable_manifest(&held.bytes) {
        return error(500, "UNKNOWN", "unknown error", json!({}));
    }
    let unknown = |message| error(404, "MANIFEST_UNKNOWN", message, Value::Null);
    match held.media_type.as_str() {
        media_type::OCI_MANIFEST if !accepts(request, media_type::OCI_MANIFEST) => {
            unknown("OCI manifest found, but accept header does not support OCI manifests")
        }
        media_type::OCI_INDEX if !accepts(request, media_type::OCI_INDEX) && says_media_type(&held.bytes) => {
            unknown("OCI index found, but accept header does not support OCI indexes")
        }
        media_type::DOCKER_LIST if is_tag && !accepts(request, media_type::DOCKER_LIST) => {
            match default_child(&held.bytes) {
                Some(_) if !accepts(request, media_type::DOCKER_MANIFEST) => inconvertible(),
                Some(child) => manifest(store, name, &child.to_string(), request),
                None => unknown("manifest unknown"),
            }
        }
        media_type::DOCKER_MANIFEST if is_tag && !accepts(request, media_type::DOCKER_MANIFEST) => inconvertible(),
        media_type => sent(held, digest, held.promised, 0, base(200).header("Content-Type", media_type)),
    }
}

/// Whether `Accept` names a media type; wildcards do not count.
fn accepts(request: &Request, media_type: &str) -> bool {
    let accept = request.headers.iter().filter(|(name, _)| name == "accept");
    accept.flat_map(|(_, value)| value.split(',')).any(|part| part.split(';').next().map(str::trim) == Some(media_type))
}

fn says_media_type(manifest: &[u8]) -> bool {
    parse_manifest(manifest).is_ok_and(|manifest| manifest.media_type.is_some())
}

/// distribution would convert the manifest to schema 1 for this client, which fails for most images.
fn inconvertible() -> Answer {
    error(400, "MANIFEST_INVALID", "manifest invalid", json!({}))
}

/// The child that is served to clients without support for manifest lists.
fn default_child(list: &[u8]) -> Option<Digest> {
    let children = parse_manifest(list).ok()?.manifests;
    let is_default = |platform: &Platform| platform.os == "linux" && platform.architecture == "amd64";
    children.into_iter().find(|child| child.platform.as_ref().is_some_and(is_default)).map(|child| child.digest)
}

/// distribution parses a manifest before serving it, and fails if it cannot.
fn is_readable_manifest(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes)
        .is_ok_and(|json| matches!(json.get("schemaVersion").and_then(Value::as_u64), Some(1 | 2)))
}

fn blob(store: &Store, name: &str, digest: &str, request: &Request) -> Answer {
    let Ok(digest) = digest.parse::<Digest>() else {
        return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", json!({}));
    };
    let Some(held) = store.repository(name).and_then(|repository| repository.blobs.get(&digest)) else {
        return error(404, "BLOB_UNKNOWN", "blob unknown to registry", json!(digest));
    };
    let answer = base(200).header("Cache-Control", "max-age=31536000").header("Accept-Ranges", "bytes");
    match request.header("range").map(|range| Range::read(range, held.promised)) {
        None => sent(held, &digest, held.promised, 0, answer.header("Content-Type", "application/octet-stream")),
        Some(Ok(Range { first, last })) => {
            let answer = Answer { status: 206, ..answer }
                .header("Content-Range", format!("bytes {first}-{last}/{}", held.promised))
                .header("Content-Type", "application/octet-stream");
            sent(held, &digest, last - first + 1, first, answer)
        }
        Some(Err(error)) => unsatisfied(error, held, &digest, answer),
    }
}

/// distribution has already set the blob's length: a shorter message is sent with the rest missing, a longer one is not
/// sent.
fn unsatisfied(error: RangeError, held: &Held, digest: &Digest, answer: Answer) -> Answer {
    let mut answer = Answer { status: 416, ..answer }
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("X-Content-Type-Options", "nosniff");
    answer.remove_header("Accept-Ranges");
    let message = match error {
        RangeError::Invalid => "invalid range\n",
        RangeError::Unsatisfiable => {
            answer.set_header("Content-Range", format!("bytes */{}", held.promised));
            "invalid range: failed to overlap\n"
        }
    };
    sent(held, digest, held.promised, 0, answer).body(if message.len() <= held.promised { message } else { "" })
}

/// `length` bytes of an object starting at `first`, or as many as exist.
fn sent(held: &Held, digest: &Digest, length: usize, first: usize, answer: Answer) -> Answer {
    let first = first.min(held.bytes.len());
    let bytes = held.bytes.slice(first..first.saturating_add(length).min(held.bytes.len()));
    answer
        .header("Content-Length", length.to_string())
        .header("Docker-Content-Digest", digest.to_string())
        .header("Etag", format!("\"{digest}\""))
        .body(bytes)
}
