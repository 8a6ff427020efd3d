//! The references that a collector reads from a manifest: Go's `encoding/json` decodes it into distribution's types
//! (`registry/storage/manifeststore.go`, `manifest/*/`), which reject more than clients do.

use serde_json::{Map, Value};

use super::engine::Engine;
use crate::oci::Digest;

pub(super) const SCHEMA_TWO: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(super) const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A type that Go decodes into. `null` fits all of them.
enum Type {
    Text,
    Integer,
    Bytes,
    Texts,
    TextByName,
    Object(&'static [(&'static str, Type)]),
    Objects(&'static [(&'static str, Type)]),
}
use Type::{Bytes, Integer, Object, Objects, Text, TextByName, Texts};

type Members = &'static [(&'static str, Type)];

const VERSIONED: Members = &[("schemaVersion", Integer), ("mediaType", Text)];
const PLATFORM: Members =
    &[("architecture", Text), ("os", Text), ("os.version", Text), ("os.features", Texts), ("variant", Text)];
const LIST_PLATFORM: Members = &[
    ("architecture", Text),
    ("os", Text),
    ("os.version", Text),
    ("os.features", Texts),
    ("variant", Text),
    ("features", Texts),
];

/// A descriptor's members, with a platform of a given type.
macro_rules! descriptor {
    ($platform:expr, $($more:expr),*) => {
        &[
            ("mediaType", Text),
            ("size", Integer),
            ("digest", Text),
            ("urls", Texts),
            ("annotations", TextByName),
            ("platform", Object($platform)),
            $($more),*
        ]
    };
}

const DESCRIPTOR_2: Members = descriptor!(PLATFORM,);
const DESCRIPTOR_3: Members = descriptor!(PLATFORM, ("data", Bytes), ("artifactType", Text));
const LIST_DESCRIPTOR_2: Members = descriptor!(LIST_PLATFORM,);
const LIST_DESCRIPTOR_3: Members = descriptor!(LIST_PLATFORM, ("data", Bytes), ("artifactType", Text));

/// The digests that the collectors of [`Engine::ALL`] mark for a manifest, without invalid ones; or why they reject the
/// manifest, which aborts a collection.
pub fn references(bytes: &[u8]) -> [Result<Vec<Digest>, String>; 2] {
    // Go replaces invalid UTF-8.
    let text = String::from_utf8_lossy(bytes);
    match serde_json::from_str(&text) {
        Ok(value) => Engine::ALL.map(|engine| references_of(&value, engine)),
        Err(error) => [(); 2].map(|()| Err(format!("not JSON: {error}"))),
    }
}

fn references_of(value: &Value, engine: Engine) -> Result<Vec<Digest>, String> {
    let empty = Map::new();
    let manifest = match value {
        Value::Object(members) => members,
        Value::Null => &empty,
        _ => return Err("not a JSON object".to_string()),
    };
    check(manifest, VERSIONED)?;
    let version = member(manifest, "schemaVersion").and_then(Value::as_i64).unwrap_or(0);
    match (version, text_of(manifest, "mediaType"), engine) {
        (1, _, Engine::V2) => schema_one(manifest),
        (2, SCHEMA_TWO | OCI_IMAGE, _) => image(manifest, engine),
        (2, LIST, _) => index(manifest, engine, true),
        (2, OCI_INDEX, _) => index(manifest, engine, false),
        (2, "", _) => {
            let references = index(manifest, engine, false)?;
            if member(manifest, "manifests").is_some() { Ok(references) } else { image(manifest, engine) }
        }
        (2, media_type, _) => Err(format!("unrecognized manifest content type {media_type:?}")),
        (version, ..) => Err(format!("unrecognized manifest schema version {version}")),
    }
}

fn image(manifest: &Map<String, Value>, engine: Engine) -> Result<Vec<Digest>, String> {
    let is_oci = text_of(manifest, "mediaType") != SCHEMA_TWO;
    match engine {
        Engine::V2 => check(manifest, &[("config", Object(DESCRIPTOR_2)), ("layers", Objects(DESCRIPTOR_2))])?,
        Engine::V3 => check(manifest, &[("config", Object(DESCRIPTOR_3)), ("layers", Objects(DESCRIPTOR_3))])?,
    }
    if is_oci {
        check(manifest, &[("annotations", TextByName)])?;
    }
    let config = member(manifest, "config").and_then(Value::as_object);
    Ok(config.into_iter().chain(objects(manifest, "layers")).filter_map(|it| digest(it, "digest")).collect())
}

fn index(manifest: &Map<String, Value>, engine: Engine, is_list: bool) -> Result<Vec<Digest>, String> {
    match (engine, is_list) {
        (Engine::V2, _) => check(manifest, &[("manifests", Objects(LIST_DESCRIPTOR_2))])?,
        (Engine::V3, true) => check(manifest, &[("manifests", Objects(LIST_DESCRIPTOR_3))])?,
        (Engine::V3, false) => {
            check(manifest, &[("manifests", Objects(DESCRIPTOR_3)), ("annotations", TextByName)])?;
        }
    }
    Ok(objects(manifest, "manifests").filter_map(|it| digest(it, "digest")).collect())
}

fn schema_one(manifest: &Map<String, Value>) -> Result<Vec<Digest>, String> {
    check(manifest, &[("name", Text), ("tag", Text), ("architecture", Text)])?;
    check(
        manifest,
        &[("fsLayers", Objects(&[("blobSum", Text)])), ("history", Objects(&[("v1Compatibility", Text)]))],
    )?;
    Ok(objects(manifest, "fsLayers").filter_map(|it| digest(it, "blobSum")).collect())
}

/// Go matches member names case-insensitively.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let exact = object.get(name);
    exact
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
        .filter(|value| !value.is_null())
}

fn text_of<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    member(object, name).and_then(Value::as_str).unwrap_or("")
}

fn digest(object: &Map<String, Value>, name: &str) -> Option<Digest> {
    text_of(object, name).parse().ok()
}

fn objects<'a>(object: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    member(object, name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn check(object: &Map<String, Value>, members: &[(&str, Type)]) -> Result<(), String> {
    for (name, expected) in members {
        if let Some(value) = member(object, name)
            && !fits(value, expected)?
        {
            return Err(format!("{name:?} has another type than the registry expects"));
        }
    }
    Ok(())
}

fn fits(value: &Value, expected: &Type) -> Result<bool, String> {
    let all =
        |fit: fn(&Value) -> bool| value.as_array().is_some_and(|them| them.iter().all(|it| it.is_null() || fit(it)));
    Ok(match expected {
        Text => value.is_string(),
        Integer => value.is_i64(),
        Bytes => value.as_str().is_some_and(is_base64) || value.is_array(),
        Texts => all(Value::is_string),
        TextByName => value.as_object().is_some_and(|it| it.values().all(|value| value.is_null() || value.is_string())),
        Object(members) => match value.as_object() {
            Some(object) => return check(object, members).map(|()| true),
            None => false,
        },
        Objects(members) => match value.as_array() {
            Some(values) => {
                for value in values.iter().filter(|value| !value.is_null()) {
                    match value.as_object() {
                        Some(object) => check(object, members)?,
                        None => return Ok(false),
                    }
                }
                true
            }
            None => false,
        },
    })
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(json: &str) -> [Result<Vec<Digest>, String>; 2] {
        references(json.as_bytes())
    }

    fn descriptor(digest: &Digest) -> String {
        format!(r#"{{"digest":"{digest}","size":1}}"#)
    }

    #[test]
    fn reads_config_layers_and_manifests_without_subject() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let (one, other) = (descriptor(&a), descriptor(&b));
        let image = format!(r#"{{"schemaVersion":2,"Config":{one},"layers":[{other},null],"subject":{other}}}"#);
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{one}],"config":{other}}}"#);
        let typeless = format!(r#"{{"schemaVersion":2,"manifests":[{one}]}}"#);
        for found in both(&image) {
            assert_eq!(found.unwrap(), [a.clone(), b.clone()]);
        }
        for found in [index, typeless].iter().flat_map(|json| both(json)) {
            assert_eq!(found.unwrap(), std::slice::from_ref(&a));
        }
    }

    #[test]
    fn rejects_what_go_rejects() {
        let wrong = [
            "",
            "[]",
            "null",
            "{}",
            r#"{"schemaVersion":"2"}"#,
            r#"{"schemaVersion":2,"mediaType":"text/plain"}"#,
            r#"{"schemaVersion":2,"layers":[{"size":"1"}]}"#,
            r#"{"schemaVersion":2,"layers":[{"size":1.5}]}"#,
            r#"{"schemaVersion":2,"config":[]}"#,
            r#"{"schemaVersion":2,"manifests":[{"platform":{"os":1}}]}"#,
        ];
        for json in wrong {
            assert!(both(json).iter().all(Result::is_err), "{json}");
        }
    }

    #[test]
    fn engines_differ_in_types() {
        let annotated = r#"{"schemaVersion":2,"manifests":[],"annotations":{"n":1}}"#;
        let old = r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:x"}]}"#;
        for json in [annotated, old] {
            let [two, three] = both(json);
            assert!(two.is_ok() && three.is_err(), "{json}");
        }
    }
}
