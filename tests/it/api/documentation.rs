//! `docs/api.md`, by its own examples: each has the members of the real answer, no fewer and no others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use registry_integrity_probe::check::progress::Progress;
use registry_integrity_probe::report::Cause;
use serde_json::Value;

use super::service::Watched;
use crate::testkit::sample::{partial, unjudged_layer};

const PAGE: &str = include_str!("../../../docs/api.md");

/// What an answer looks like, whatever it says. Elements of a list look like all of them together, and what may be `null`
/// looks like what it is otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shape {
    Unknown,
    Flag,
    Number,
    Text,
    List(Box<Shape>),
    Members(BTreeMap<String, Shape>),
}

impl Shape {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Unknown,
            Value::Bool(_) => Self::Flag,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(list) => Self::List(Box::new(list.iter().map(Self::of).fold(Self::Unknown, Self::and))),
            Value::Object(members) => {
                Self::Members(members.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, shape) | (shape, Self::Unknown) => shape,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.and(*b))),
            (Self::Members(mut a), Self::Members(b)) => {
                for (name, shape) in b {
                    let before = a.remove(&name).unwrap_or(Self::Unknown);
                    a.insert(name, before.and(shape));
                }
                Self::Members(a)
            }
            (shape, _) => shape,
        }
    }

    /// Where two shapes differ, if they do.
    fn difference(&self, other: &Self, at: &str) -> Option<String> {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => None,
            (Self::List(a), Self::List(b)) => a.difference(b, &format!("{at}[]")),
            (Self::Members(a), Self::Members(b)) => {
                let missing = a.keys().filter(|name| !b.contains_key(*name));
                let further = b.keys().filter(|name| !a.contains_key(*name));
                let named = missing.chain(further).next().map(|name| format!("{at}.{name} is only on one side"));
                named.or_else(|| a.iter().find_map(|(name, shape)| shape.difference(&b[name], &format!("{at}.{name}"))))
            }
            (a, b) => (a != b).then(|| format!("{at} is {a:?} and {b:?}")),
        }
    }
}

/// What is asked, and what the page says that it is answered.
fn examples() -> Vec<(&'static str, Value)> {
    let asked = PAGE.split("curl -s 'http://127.0.0.1:10500").skip(1);
    asked
        .map(|rest| {
            let (path, rest) = rest.split_once('\'').unwrap();
            let (_, json) = rest.split_once("```json\n").unwrap();
            (path, serde_json::from_str(json.split("```").next().unwrap()).unwrap())
        })
        .collect()
}

#[test]
fn shapes_differ_where_members_do() {
    let shape = |text: &str| Shape::of(&serde_json::from_str(text).unwrap());
    let one = shape(r#"{"a": [{"b": 1, "c": null}, {"b": 2, "c": "x"}], "d": {}}"#);
    assert_eq!(one.difference(&shape(r#"{"a": [{"b": 3, "c": "y"}], "d": {}}"#), ""), None);
    for other in
        [r#"{"a": [{"b": 1}], "d": {}}"#, r#"{"a": [{"b": "1", "c": "x"}], "d": {}}"#, r#"{"a": [], "d": {}, "e": 1}"#]
    {
        assert!(one.difference(&shape(other), "").is_some(), "{other}");
    }
}

#[tokio::test]
async fn every_example_has_the_members_of_the_real_answer() {
    let over = Watched::after_the_incident().await;
    let fresh = Watched::demo().await;
    fresh.sweep().await;
    for watched in [&over, &fresh] {
        let mirror = watched.service.state.registry("mirror").unwrap();
        mirror
            .finish_sweep(partial("mirror", vec![unjudged_layer("y", Cause::Timeout, &["app:1"])]), SystemTime::now());
        watched
            .service
            .state
            .registry("private")
            .unwrap()
            .begin_sweep(SystemTime::now(), Arc::new(Progress::default()));
    }
    let examples = examples();
    assert_eq!(examples.len(), 6, "an example was not read");
    for (path, example) in examples {
        let watched = if path.contains("state=resolved") { &over } else { &fresh };
        let answer = watched.service.found(&path.replace("2026-04-19", "2020-04-19")).await;
        let (example, answer) = (Shape::of(&example), Shape::of(&answer));
        assert_eq!(example.difference(&answer, ""), None, "{path}");
        assert_ne!(answer, Shape::Unknown, "{path}");
    }
}
