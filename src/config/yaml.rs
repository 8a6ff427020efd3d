//! YAML as a tree of nodes with positions. Scalars keep their text, because the key decides their meaning: `0123` may be a
//! password or a name.
//!
//! Aliases and merge keys (`<<`) are resolved here; tags other than YAML's own are rejected.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::fault::{Fault, Position};

/// Maximum nodes of a file, including those that aliases repeat.
const NODE_LIMIT: usize = 100_000;
/// Maximum nesting of lists and mappings.
const DEPTH_LIMIT: usize = 32;

/// One value. An alias has its own position, and shares the value of its anchor.
#[derive(Debug)]
pub(crate) struct Node {
    pub position: Position,
    pub value: Rc<Value>,
    /// Nodes in this one, including itself and those that aliases repeat.
    nodes: usize,
}

#[derive(Debug)]
pub(crate) enum Value {
    Scalar { text: String, plain: bool },
    List(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// True for a null value: `key:`, `~`, `null`.
    pub fn is_null(&self) -> bool {
        matches!(&*self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Its text, if it is a scalar.
    pub fn text(&self) -> Option<&str> {
        match &*self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Its type for messages, without its content.
    pub fn kind(&self) -> &'static str {
        match &*self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// Reads the document of a file; `None` if it is empty or not YAML.
pub(super) fn parse(text: &str, faults: &mut Vec<Fault>) -> Option<Rc<Node>> {
    let mut tree = Tree { open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, faults };
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let taken = match next {
            Ok((event, span)) => tree.take(event, position(span.start)),
            // The parser's message quotes at most one character of the text.
            Err(error) => Err(position(*error.marker()).fault(format!("invalid YAML: {}", error.info()))),
        };
        match taken {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(fault) => {
                tree.faults.push(fault);
                return None;
            }
        }
    }
    tree.root
}

fn position(marker: Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

enum Progress {
    More,
    Done,
}

struct Tree<'f> {
    open: Vec<Collection>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    root: Option<Rc<Node>>,
    faults: &'f mut Vec<Fault>,
}

/// An open list or mapping; a mapping's items alternate between key and value.
struct Collection {
    position: Position,
    anchor: usize,
    items: Vec<Rc<Node>>,
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<Progress, Fault> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                self.faults.push(position.fault("a second YAML document starts here (expected one)"));
                return Ok(Progress::Done);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.reject_tag(tag.as_deref(), position);
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.close(position, anchor, value)?;
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                self.reject_tag(tag.as_deref(), position);
                if self.open.len() == DEPTH_LIMIT {
                    return Err(position.fault(format!("nested deeper than {DEPTH_LIMIT} levels")));
                }
                self.open.push(Collection { position, anchor, items: Vec::new() });
            }
            Event::SequenceEnd => {
                if let Some(list) = self.open.pop() {
                    self.close(list.position, list.anchor, Value::List(list.items))?;
                }
            }
            Event::MappingEnd => {
                if let Some(mapping) = self.open.pop() {
                    let entries = self.merge(&mapping.items);
                    self.close(mapping.position, mapping.anchor, Value::Mapping(entries))?;
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Node { position, value: Rc::clone(&node.value), nodes: node.nodes };
                    self.count(node.nodes, position)?;
                    self.place(Rc::new(node));
                }
                None => return Err(position.fault("this alias refers to itself")),
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(Progress::More)
    }

    /// Does not quote the tag: in `password: !abc` it is a password without quotes.
    fn reject_tag(&mut self, tag: Option<&Tag>, position: Position) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            self.faults.push(position.fault("YAML tags are not supported (quote a value that starts with !)"));
        }
    }

    fn close(&mut self, position: Position, anchor: usize, value: Value) -> Result<(), Fault> {
        let nodes = 1 + match &value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(|item| item.nodes).sum(),
            Value::Mapping(entries) => entries.iter().map(|(key, value)| key.nodes + value.nodes).sum(),
        };
        let node = Rc::new(Node { position, value: Rc::new(value), nodes });
        // The parser numbers anchors from 1.
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.count(1, position)?;
        self.place(node);
        Ok(())
    }

    fn count(&mut self, nodes: usize, position: Position) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > NODE_LIMIT {
            return Err(position.fault(format!("the file has more than {NODE_LIMIT} values, aliases included")));
        }
        Ok(())
    }

    fn place(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(collection) => collection.items.push(node),
            None => self.root = Some(node),
        }
    }

    /// A mapping's entries, plus those of `<<` for keys that it does not set.
    fn merge(&mut self, items: &[Rc<Node>]) -> Vec<(Rc<Node>, Rc<Node>)> {
        let is_merge = |key: &Node| matches!(&*key.value, Value::Scalar { text, plain: true } if text == "<<");
        let pairs = || items.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
        let mut entries: Vec<_> =
            pairs().filter(|(key, _)| !is_merge(key)).map(|(key, value)| (Rc::clone(key), Rc::clone(value))).collect();
        let mut set: HashSet<String> = entries.iter().filter_map(|(key, _)| key.text()).map(str::to_string).collect();
        for (_, value) in pairs().filter(|(key, _)| is_merge(key)) {
            let sources = match &*value.value {
                Value::List(sources) => sources.as_slice(),
                _ => std::slice::from_ref(value),
            };
            for source in sources {
                let Value::Mapping(merged) = &*source.value else {
                    let message = format!("`<<`: expected a mapping or a list of mappings, found {}", source.kind());
                    self.faults.push(source.position.fault(message));
                    continue;
                };
                let fresh = merged.iter().filter(|(key, _)| key.text().is_none_or(|key| set.insert(key.to_string())));
                entries.extend(fresh.cloned());
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree on one line, with line and column before each key.
    fn show(node: &Node) -> String {
        match &*node.value {
            Value::Scalar { text, .. } => text.clone(),
            Value::List(items) => format!("[{}]", items.iter().map(|item| show(item)).collect::<Vec<_>>().join(", ")),
            Value::Mapping(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    format!("{}:{} {}={}", key.position.line, key.position.column, show(key), show(value))
                });
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn read(text: &str) -> Result<String, Vec<String>> {
        let mut faults = Vec::new();
        let tree = parse(text, &mut faults);
        match tree {
            Some(tree) if faults.is_empty() => Ok(show(&tree)),
            _ => Err(faults.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn scalars_keep_text_and_keys_position() {
        assert_eq!(read("a: 0123\nä: {b: [1.50, off]}\n"), Ok("{1:1 a=0123, 2:1 ä={2:5 b=[1.50, off]}}".to_string()));
    }

    #[test]
    fn duplicate_keys_are_kept_for_the_reader() {
        assert_eq!(read("a: 1\na: 2"), Ok("{1:1 a=1, 2:1 a=2}".to_string()));
    }

    #[test]
    fn own_and_earlier_keys_override_merged_ones() {
        let text = "- &x {a: 1, b: 1}\n- &y {b: 2, c: 2}\n- <<: [*x, *y]\n  a: 3\n";
        assert_eq!(
            read(text),
            Ok("[{1:7 a=1, 1:13 b=1}, {2:7 b=2, 2:13 c=2}, {4:3 a=3, 1:13 b=1, 2:13 c=2}]".to_string())
        );
        assert_eq!(read("\"<<\": {a: 1}"), Ok("{1:1 <<={1:8 a=1}}".to_string()));
    }

    #[test]
    fn nodes_of_aliases_are_bounded() {
        let mut text = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
        for level in 1..20 {
            let below = level - 1;
            text += &format!("- &a{level} [{}]\n", vec![format!("*a{below}"); 10].join(", "));
        }
        assert_eq!(read(&text), Err(vec!["5:43: the file has more than 100000 values, aliases included".to_string()]));
    }

    #[test]
    fn recursive_aliases_are_rejected() {
        assert_eq!(read("&a [*a]"), Err(vec!["1:5: this alias refers to itself".to_string()]));
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(read(&format!("{}{}", "[".repeat(32), "]".repeat(32))).is_ok());
        assert_eq!(
            read(&format!("{}{}", "[".repeat(33), "]".repeat(33))),
            Err(vec!["1:33: nested deeper than 32 levels".to_string()])
        );
    }
}
