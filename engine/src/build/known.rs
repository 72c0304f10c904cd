//! [`Known`]: a result that is usable as an input, because all of it is in the store.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::digest::BlobDigest;
use crate::path::RelPath;
use crate::store::{ActionResult, Blobs, OutputNode, StoreError};
use crate::tree::{Node, Tree};

/// A result with everything needed to use it as an input.
#[derive(Debug)]
pub struct Known {
    /// What the action left.
    pub result: ActionResult,
    /// The declared outputs as parts of a tree.
    nodes: Vec<(RelPath, Node)>,
}

impl Known {
    /// What stands at `path` of the output tree: a declared output, or something inside a declared directory.
    #[must_use]
    pub fn node(&self, path: &RelPath) -> Option<Node> {
        self.nodes.iter().find_map(|(declared, node)| match path.strip_prefix(declared) {
            None => (path == declared).then(|| node.clone()),
            Some(rest) => match node {
                Node::Directory(tree) => tree.find(&rest).cloned(),
                _ => None,
            },
        })
    }

    /// All outputs, at their paths.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        for (path, node) in &self.nodes {
            // The outputs of an action do not stand in each other's way: they were files of one directory.
            let _ = tree.insert(path, node.clone());
        }
        tree
    }

    /// A result as it is usable: every blob of it is in the store. `None` when one is not.
    pub(super) fn load(result: ActionResult, blobs: &dyn Blobs, trees: &TreeCache) -> Result<Option<Self>, StoreError> {
        let mut nodes = Vec::with_capacity(result.outputs.len());
        let mut needed = vec![result.stdout, result.stderr];
        for output in &result.outputs {
            let node = match &output.node {
                OutputNode::File { digest, executable } => {
                    needed.push(*digest);
                    Node::File { digest: *digest, executable: *executable }
                }
                OutputNode::Directory { tree } => {
                    let Some(tree) = trees.get(*tree, blobs)? else { return Ok(None) };
                    needed.extend(files_of(&tree));
                    Node::Directory(tree)
                }
            };
            nodes.push((output.path.clone(), node));
        }
        needed.retain(|digest| digest.size_bytes() > 0);
        Ok(blobs.find_missing(&needed)?.is_empty().then_some(Self { result, nodes }))
    }
}

/// The blobs of all files of a tree.
pub(super) fn files_of(tree: &Tree) -> Vec<BlobDigest> {
    let mut files = Vec::new();
    tree.walk(&mut |_, node| {
        if let Node::File { digest, .. } = node {
            files.push(*digest);
        }
    });
    files
}

/// Trees read from the store, each decoded once a build.
#[derive(Debug, Default)]
pub(super) struct TreeCache(Mutex<HashMap<BlobDigest, Tree>>);

impl TreeCache {
    fn get(&self, digest: BlobDigest, blobs: &dyn Blobs) -> Result<Option<Tree>, StoreError> {
        let lock = || self.0.lock().expect("nothing panics while it is held");
        if let Some(tree) = lock().get(&digest) {
            return Ok(Some(tree.clone()));
        }
        let Some(bytes) = blobs.get(digest)? else { return Ok(None) };
        // Bytes with the right digest that are no tree were written by something else: not usable, so not there.
        let Ok(tree) = Tree::decode_whole(&bytes, blobs.function()) else { return Ok(None) };
        lock().insert(digest, tree.clone());
        Ok(Some(tree))
    }
}
