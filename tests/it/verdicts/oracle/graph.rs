//! Images as a graph, and the bytes that say it: written here, so that nothing of the probe has a part in it.

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use super::plan::{Planned, Shape};

pub type NodeId = usize;

/// Everything that was planned. An object that is the same in two images is one node.
#[derive(Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
    ids: HashMap<String, NodeId>,
}

pub struct Node {
    pub digest: String,
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
    pub edges: Vec<Edge>,
    /// What is to be found of it however well it is served.
    pub flaw: Option<Flaw>,
}

/// What is wrong with an object by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A manifest that is none.
    Malformed,
    /// Docker schema 1, or of an algorithm that nobody knows.
    NotJudged,
    /// Its descriptor says another length.
    WrongLength,
    /// It lies elsewhere, and need not be held.
    Foreign,
}

/// What one object needs of another one.
pub struct Edge {
    pub to: NodeId,
    pub kind: Kind,
    pub platform: Option<&'static str>,
    /// The child that this one attests.
    pub attests: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Manifest,
    Child,
    Config,
    Layer,
}

impl Node {
    pub fn is_manifest(&self) -> bool {
        self.media_type.contains("manifest") || self.media_type.contains("index")
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

impl Graph {
    fn add(&mut self, node: Node) -> NodeId {
        if let Some(&known) = self.ids.get(&node.digest) {
            return known;
        }
        self.ids.insert(node.digest.clone(), self.nodes.len());
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds all of an image. Gives what its tag points to.
    pub fn image(&mut self, plan: &Planned, number: usize) -> NodeId {
        match &plan.shape {
            Shape::Manifest => self.manifest(plan, number, "linux/amd64"),
            Shape::Rubbish => {
                self.odd(plan, json!({"schemaVersion": 2, "layers": format!("none of {number}")}), Flaw::Malformed)
            }
            Shape::SchemaOne => self.odd(
                plan,
                json!({"schemaVersion": 1, "name": format!("{number}"), "fsLayers": [], "history": []}),
                Flaw::NotJudged,
            ),
            Shape::Nested { levels } => {
                let mut root = self.manifest(plan, number, "linux/amd64");
                for _ in 0..*levels {
                    root = self.index(plan, vec![Edge { to: root, kind: Kind::Child, platform: None, attests: None }]);
                }
                root
            }
            Shape::Index { platforms, attestations, twice, rubbish } => {
                let mut edges = Vec::new();
                for &platform in platforms {
                    let child = self.manifest(plan, number, platform);
                    edges.push(Edge { to: child, kind: Kind::Child, platform: Some(platform), attests: None });
                    if *attestations {
                        let of = self.attestation(plan, child);
                        let attests = Some(child);
                        edges.push(Edge { to: of, kind: Kind::Child, platform: Some("unknown/unknown"), attests });
                    }
                }
                if *twice {
                    // The same manifest for another platform: it needs none of its own.
                    let to = edges[0].to;
                    edges.push(Edge { to, kind: Kind::Child, platform: Some("linux/riscv64"), attests: None });
                }
                if *rubbish {
                    let bytes = json!({"schemaVersion": 2, "manifests": {"none of": number}});
                    let to = self.odd(plan, bytes, Flaw::Malformed);
                    edges.push(Edge { to, kind: Kind::Child, platform: None, attests: None });
                }
                self.index(plan, edges)
            }
        }
    }

    fn odd(&mut self, plan: &Planned, json: Value, flaw: Flaw) -> NodeId {
        let bytes = json.to_string().into_bytes();
        self.add(Node { digest: digest(plan, &bytes), media_type: MANIFEST, bytes, edges: vec![], flaw: Some(flaw) })
    }

    fn blob(&mut self, plan: &Planned, media_type: &'static str, seed: &str, flaw: Option<Flaw>) -> NodeId {
        let bytes = match media_type {
            CONFIG => json!({"os": "linux", "architecture": "amd64", "of": seed}).to_string().into_bytes(),
            _ => seed.as_bytes().iter().copied().cycle().take(300).collect(),
        };
        self.add(Node { digest: digest(plan, &bytes), media_type, bytes, edges: vec![], flaw })
    }

    fn manifest(&mut self, plan: &Planned, number: usize, platform: &'static str) -> NodeId {
        let of = format!("{number} {platform}");
        let mut edges = vec![(Kind::Config, self.blob(plan, CONFIG, &of, None))];
        for layer in 0..plan.layers {
            let (seed, flaw) = match layer {
                0 if plan.is_foreign => (format!("foreign {} {platform}", plan.base), Some(Flaw::Foreign)),
                0 => (format!("base {} {platform}", plan.base), None),
                1 if plan.lies => (format!("longer {of}"), Some(Flaw::WrongLength)),
                _ => (format!("layer {layer} of {of}"), None),
            };
            edges.push((Kind::Layer, self.blob(plan, LAYER, &seed, flaw)));
        }
        if plan.is_alien {
            let digest = format!("blake3:{}", &digest(plan, of.as_bytes())[7..39]);
            let (bytes, flaw) = (of.into_bytes(), Some(Flaw::NotJudged));
            edges.push((Kind::Layer, self.add(Node { digest, media_type: LAYER, bytes, edges: vec![], flaw })));
        }
        let edges = edges.into_iter().map(|(kind, to)| Edge { to, kind, platform: None, attests: None }).collect();
        self.pointing(plan, MANIFEST, edges)
    }

    fn attestation(&mut self, plan: &Planned, of: NodeId) -> NodeId {
        let seed = format!("attests {}", self.nodes[of].digest);
        let edges = [(Kind::Config, CONFIG), (Kind::Layer, LAYER)].map(|(kind, media_type)| {
            let to = self.blob(plan, media_type, &seed, None);
            Edge { to, kind, platform: None, attests: None }
        });
        self.pointing(plan, MANIFEST, edges.into())
    }

    fn index(&mut self, plan: &Planned, edges: Vec<Edge>) -> NodeId {
        self.pointing(plan, INDEX, edges)
    }

    /// A manifest that says its edges.
    fn pointing(&mut self, plan: &Planned, media_type: &'static str, edges: Vec<Edge>) -> NodeId {
        let mut json = json!({"schemaVersion": 2, "annotations": {"org.opencontainers.image.title": null}, "x": [1]});
        if !plan.is_terse {
            json["mediaType"] = media_type.into();
            json["annotations"] = json!({"org.opencontainers.image.title": "a title"});
        }
        if media_type == INDEX {
            json["manifests"] = json!([]);
        } else {
            json["layers"] = json!([]);
        }
        for edge in &edges {
            let descriptor = self.descriptor(edge);
            match edge.kind {
                Kind::Config => json["config"] = descriptor,
                Kind::Layer => json["layers"].as_array_mut().unwrap().push(descriptor),
                Kind::Child | Kind::Manifest => json["manifests"].as_array_mut().unwrap().push(descriptor),
            }
        }
        let bytes = json.to_string().into_bytes();
        self.add(Node { digest: digest(plan, &bytes), media_type, bytes, edges, flaw: None })
    }

    fn descriptor(&self, edge: &Edge) -> Value {
        let to = &self.nodes[edge.to];
        let longer = if to.flaw == Some(Flaw::WrongLength) { 7 } else { 0 };
        let mut json = json!({"mediaType": to.media_type, "digest": to.digest, "size": to.bytes.len() + longer});
        if to.flaw == Some(Flaw::Foreign) {
            json["urls"] = json!(["https://elsewhere.example/layer"]);
        }
        if let Some(platform) = edge.platform {
            let parts: Vec<&str> = platform.split('/').collect();
            json["platform"] = json!({"os": parts[0], "architecture": parts[1]});
            if let Some(variant) = parts.get(2) {
                json["platform"]["variant"] = (*variant).into();
            }
        }
        if let Some(attested) = edge.attests {
            json["annotations"] = json!({
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": self.nodes[attested].digest,
            });
        }
        json
    }
}

fn digest(plan: &Planned, bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if plan.is_long {
        format!("sha512:{}", hex(&Sha512::digest(bytes)))
    } else {
        format!("sha256:{}", hex(&Sha256::digest(bytes)))
    }
}
