//! What a request of a walk is about.

use super::graph::{NodeId, RootId};

/// An image's reference, or an object of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Root(RootId),
    Node(NodeId),
}
