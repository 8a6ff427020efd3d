//! Which images need an object.

use std::collections::{HashMap, VecDeque};

use super::graph::{Graph, NodeId, RootId};

/// Finds the images that need an object.
pub struct Reach<'a> {
    graph: &'a Graph,
    images: HashMap<NodeId, Vec<RootId>>,
}

impl<'a> Reach<'a> {
    /// For the graph as it is now, without deleted tags.
    pub fn new(graph: &'a Graph) -> Self {
        let mut images: HashMap<NodeId, Vec<RootId>> = HashMap::new();
        for (id, root) in graph.roots.iter().enumerate().filter(|(_, root)| !root.gone) {
            if let Some(node) = root.node {
                images.entry(node).or_default().push(id);
            }
        }
        Self { graph, images }
    }

    /// The images that need a node, in order, and the path to it from the first one's manifest.
    ///
    /// With `wrong_length`, only descriptors with a size other than this count.
    pub fn of(&self, node: NodeId, wrong_length: Option<u64>) -> (Vec<RootId>, Vec<NodeId>) {
        let mut below = HashMap::from([(node, node)]);
        let mut open = VecDeque::from([node]);
        let mut images: Vec<RootId> = Vec::new();
        while let Some(id) = open.pop_front() {
            images.extend(self.images.get(&id).into_iter().flatten());
            for &(parent, size) in &self.graph.nodes[id].parents {
                let counts = id != node || wrong_length.is_none_or(|length| size != Some(length));
                if counts && !below.contains_key(&parent) {
                    below.insert(parent, id);
                    open.push_back(parent);
                }
            }
        }
        images.sort_unstable();
        let mut path: Vec<NodeId> =
            images.first().and_then(|&image| self.graph.roots[image].node).into_iter().collect();
        while let Some(&at) = path.last()
            && at != node
            && let Some(&next) = below.get(&at)
        {
            path.push(next);
        }
        (images, path)
    }
}
