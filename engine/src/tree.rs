//! `Tree`: a directory as an immutable value, with canonical bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prost::Message as _;

use crate::digest::{BlobDigest, DigestFunction, TreeDigest};
use crate::path::RelPath;
use crate::wire::{DirectoryMessage, DirectoryNode, FileNode, SymlinkNode, TreeMessage};

/// A directory: names to files, symbolic links and directories. Cloning is cheap and subtrees are shared.
///
/// Its digest is that of its Remote Execution API `Directory` message: names, bytes, executable bits and link targets,
/// and nothing else (no times, owners or other permissions).
#[derive(Clone, Default)]
pub struct Tree(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: BTreeMap<Box<str>, Node>,
    /// Filled on first use. A tree belongs to one workspace, which has one digest function.
    digest: OnceLock<(DigestFunction, TreeDigest)>,
}

/// One entry of a [`Tree`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A file.
    File {
        /// Its content.
        digest: BlobDigest,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points: relative to its own directory, never out of the tree.
        target: Box<str>,
    },
    /// A directory, possibly empty.
    Directory(Tree),
}

/// Two different things were to stand at one path of a tree, or a link would leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub path: RelPath,
    /// What is wrong there, as a clause.
    pub why: &'static str,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.why)
    }
}

impl std::error::Error for Conflict {}

/// A message from a store or a wire is not a tree: a name, digest or link in it is not allowed, or a part is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTree(pub String);

impl fmt::Display for BadTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed directory: {}", self.0)
    }
}

impl std::error::Error for BadTree {}

impl Tree {
    /// The tree with no entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries, sorted by name (bytewise, as the Remote Execution API asks).
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.entries.iter().map(|(name, node)| (&**name, node))
    }

    /// The entry of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.0.entries.get(name)
    }

    /// How many entries it has; those of its directories are not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// What stands at `path`.
    #[must_use]
    pub fn find(&self, path: &RelPath) -> Option<&Node> {
        let mut tree = self;
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            let node = tree.0.entries.get(part)?;
            match node {
                _ if parts.peek().is_none() => return Some(node),
                Node::Directory(below) => tree = below,
                _ => return None,
            }
        }
        None
    }

    /// Puts `node` at `path`, making the directories above it. Putting again what is there already changes nothing, and
    /// two directories are merged.
    ///
    /// # Errors
    /// [`Conflict`] when something else stands there, a file stands where a directory is needed, or the node is a link
    /// that is absolute or leaves this tree.
    pub fn insert(&mut self, path: &RelPath, node: Node) -> Result<(), Conflict> {
        let conflict = |why| Conflict { path: path.clone(), why };
        if let Node::Symlink { target } = &node
            && !stays_inside(path, target)
        {
            return Err(conflict("is a symbolic link that leaves its tree"));
        }
        let (parents, name) = match path.parent() {
            Some(parent) => (Some(parent), path.file_name()),
            None => (None, path.as_str()),
        };
        let mut entries = self.entries_mut();
        for part in parents.iter().flat_map(RelPath::parts) {
            let node = entries.entry(part.into()).or_insert_with(|| Node::Directory(Self::new()));
            let Node::Directory(below) = node else {
                return Err(conflict("lies below something that is not a directory"));
            };
            entries = below.entries_mut();
        }
        match (entries.get_mut(name), node) {
            (None, node) => {
                entries.insert(name.into(), node);
                Ok(())
            }
            (Some(Node::Directory(here)), Node::Directory(there)) => here.merge_below(path, &there),
            (Some(here), node) if *here == node => Ok(()),
            (Some(_), _) => Err(conflict("is there twice, with different content")),
        }
    }

    /// Puts everything in `other` below `at`, or at the root when that is `None`.
    ///
    /// # Errors
    /// [`Conflict`] at the first path where the two differ.
    pub fn merge(&mut self, at: Option<&RelPath>, other: &Self) -> Result<(), Conflict> {
        if let Some(at) = at {
            return self.insert(at, Node::Directory(other.clone()));
        }
        if self.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        for (name, node) in other.entries() {
            let path = RelPath::new(name).expect("names in a tree were checked on the way in");
            self.insert(&path, node.clone())?;
        }
        Ok(())
    }

    /// Merges with conflicts named from `base`, for errors that a person can find again.
    fn merge_below(&mut self, base: &RelPath, other: &Self) -> Result<(), Conflict> {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ok(());
        }
        self.merge(None, other).map_err(|e| Conflict { path: base.join(&e.path), why: e.why })
    }

    /// The entries, for changing: what was known of the digest no longer holds.
    fn entries_mut(&mut self) -> &mut BTreeMap<Box<str>, Node> {
        if Arc::get_mut(&mut self.0).is_none() {
            self.0 = Arc::new(Inner { entries: self.0.entries.clone(), digest: OnceLock::new() });
        }
        let inner = Arc::get_mut(&mut self.0).expect("made unique above");
        inner.digest = OnceLock::new();
        &mut inner.entries
    }

    /// The digest of the canonical bytes.
    #[must_use]
    pub fn digest(&self, function: DigestFunction) -> TreeDigest {
        let compute = || function.digest(&self.encode(function));
        let (known, digest) = *self.0.digest.get_or_init(|| (function, compute()));
        if known == function { digest } else { compute() }
    }

    /// The canonical bytes: the encoded `Directory` message, in which directories below appear by digest.
    #[must_use]
    pub fn encode(&self, function: DigestFunction) -> Vec<u8> {
        self.message(function).encode_to_vec()
    }

    fn message(&self, function: DigestFunction) -> DirectoryMessage {
        let mut message = DirectoryMessage::default();
        for (name, node) in self.entries() {
            let name = name.to_owned();
            match node {
                Node::File { digest, executable } => {
                    message.files.push(FileNode { name, digest: Some((*digest).into()), is_executable: *executable });
                }
                Node::Directory(tree) => {
                    let digest = Some(tree.digest(function).into());
                    message.directories.push(DirectoryNode { name, digest });
                }
                Node::Symlink { target } => {
                    message.symlinks.push(SymlinkNode { name, target: target.to_string() });
                }
            }
        }
        message
    }

    /// The whole tree as one `Tree` message: what a store keeps for a directory an action left behind.
    #[must_use]
    pub fn encode_whole(&self, function: DigestFunction) -> Vec<u8> {
        fn visit(
            tree: &Tree,
            function: DigestFunction,
            seen: &mut std::collections::HashSet<TreeDigest>,
            out: &mut Vec<DirectoryMessage>,
        ) {
            for (_, node) in tree.entries() {
                if let Node::Directory(below) = node
                    && seen.insert(below.digest(function))
                {
                    out.push(below.message(function));
                    visit(below, function, seen, out);
                }
            }
        }
        let mut children = Vec::new();
        visit(self, function, &mut std::collections::HashSet::new(), &mut children);
        TreeMessage { root: Some(self.message(function)), children }.encode_to_vec()
    }

    /// Reads what [`Tree::encode_whole`] wrote. Nothing in the bytes is trusted: names and links are checked.
    ///
    /// # Errors
    /// [`BadTree`] when the bytes are not such a message or name what may not be in a tree.
    pub fn decode_whole(bytes: &[u8], function: DigestFunction) -> Result<Self, BadTree> {
        let message = TreeMessage::decode(bytes).map_err(|e| BadTree(e.to_string()))?;
        let children: BTreeMap<TreeDigest, &DirectoryMessage> =
            message.children.iter().map(|m| (function.digest(&m.encode_to_vec()), m)).collect();
        let root = message.root.as_ref().ok_or_else(|| BadTree("the root is missing".into()))?;
        let mut tree = Self::from_message(root, &mut |digest| children.get(&digest).map(|m| (*m).clone()), 0)?;
        // The digest is that of what was read, not of what the sender called it.
        tree.entries_mut();
        Ok(tree)
    }

    /// Builds a tree from a `Directory` message, asking `find` for the directories below by digest.
    fn from_message(
        message: &DirectoryMessage,
        find: &mut dyn FnMut(TreeDigest) -> Option<DirectoryMessage>,
        depth: usize,
    ) -> Result<Self, BadTree> {
        /// Deeper than any real tree, shallower than our stack.
        const DEPTH_MAX: usize = 256;
        if depth > DEPTH_MAX {
            return Err(BadTree(format!("more than {DEPTH_MAX} directories deep")));
        }
        let mut tree = Self::new();
        let digest_of = |name: &str, digest: &Option<crate::wire::DigestMessage>| {
            digest
                .as_ref()
                .and_then(crate::wire::DigestMessage::parse)
                .map(|d: BlobDigest| d)
                .ok_or_else(|| BadTree(format!("`{}` has no digest we can read", name.escape_debug())))
        };
        for file in &message.files {
            let node = Node::File { digest: digest_of(&file.name, &file.digest)?, executable: file.is_executable };
            tree.insert_name(&file.name, node)?;
        }
        for link in &message.symlinks {
            tree.insert_name(&link.name, Node::Symlink { target: link.target.as_str().into() })?;
        }
        for directory in &message.directories {
            let digest = digest_of(&directory.name, &directory.digest)?;
            let below = find(TreeDigest::from_parts(*digest.hash(), digest.size_bytes()))
                .ok_or_else(|| BadTree(format!("directory `{}` is missing", directory.name.escape_debug())))?;
            let below = Self::from_message(&below, find, depth + 1)?;
            tree.insert_name(&directory.name, Node::Directory(below))?;
        }
        if depth == 0 { tree.check_links(None).map_err(|e| BadTree(e.to_string())).map(|()| tree) } else { Ok(tree) }
    }

    /// Adds an entry whose name came from outside. Links are checked once the whole tree is known.
    fn insert_name(&mut self, name: &str, node: Node) -> Result<(), BadTree> {
        let bad = |why: &str| BadTree(format!("`{}` {why}", name.escape_debug()));
        if name.contains('/') || RelPath::new(name).is_err() {
            return Err(bad("is not a file name"));
        }
        match self.entries_mut().insert(name.into(), node) {
            None => Ok(()),
            Some(_) => Err(bad("is there twice")),
        }
    }

    fn check_links(&self, at: Option<&RelPath>) -> Result<(), Conflict> {
        for (name, node) in self.entries() {
            let path = crate::path::under(at, &RelPath::new(name).expect("checked on the way in"));
            match node {
                Node::Symlink { target } if !stays_inside(&path, target) => {
                    return Err(Conflict { path, why: "is a symbolic link that leaves its tree" });
                }
                Node::Directory(below) => below.check_links(Some(&path))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Every file and link with its path from the root, in path order within each directory.
    pub fn walk(&self, visit: &mut dyn FnMut(&RelPath, &Node)) {
        self.walk_from(None, visit);
    }

    fn walk_from(&self, at: Option<&RelPath>, visit: &mut dyn FnMut(&RelPath, &Node)) {
        for (name, node) in self.entries() {
            let path = crate::path::under(at, &RelPath::new(name).expect("checked on the way in"));
            match node {
                Node::Directory(below) => below.walk_from(Some(&path), visit),
                node => visit(&path, node),
            }
        }
    }

    /// Every file and link, as a sorted map.
    #[must_use]
    pub fn flatten(&self) -> BTreeMap<RelPath, Node> {
        let mut all = BTreeMap::new();
        self.walk(&mut |path, node| {
            all.insert(path.clone(), node.clone());
        });
        all
    }
}

/// Whether a link at `path` pointing to `target` stays inside the tree that `path` is relative to.
fn stays_inside(path: &RelPath, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return false;
    }
    let mut depth = path.parts().count() - 1;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.entries == other.0.entries
    }
}

impl Eq for Tree {}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn file(content: &str) -> Node {
        Node::File { digest: DigestFunction::Sha256.digest(content.as_bytes()), executable: false }
    }

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.insert(&path("src/lib.rs"), file("fn main() {}")).unwrap();
        tree.insert(
            &path("run.sh"),
            Node::File { digest: DigestFunction::Sha256.digest(b"#!/bin/sh"), executable: true },
        )
        .unwrap();
        tree.insert(&path("src/link"), Node::Symlink { target: "../run.sh".into() }).unwrap();
        tree.insert(&path("empty"), Node::Directory(Tree::new())).unwrap();
        tree
    }

    /// The bytes are the Remote Execution API's: checked against an encoding written out by hand, tag by tag, so that
    /// a change of library or of field order can't pass unseen.
    #[test]
    fn canonical_bytes_are_those_of_the_directory_message() {
        let mut tree = Tree::new();
        let digest: BlobDigest = DigestFunction::Sha256.digest(b"hi");
        tree.insert(&path("b"), Node::File { digest, executable: true }).unwrap();
        tree.insert(&path("a"), Node::Symlink { target: "b".into() }).unwrap();
        let mut expected = Vec::new();
        let mut node = vec![0x0a, 1, b'b', 0x12, 68, 0x0a, 64];
        node.extend(digest.hex().bytes());
        node.extend([0x10, 2, 0x20, 1]);
        expected.extend([0x0a, u8::try_from(node.len()).unwrap()]);
        expected.extend(&node);
        expected.extend([0x1a, 6, 0x0a, 1, b'a', 0x12, 1, b'b']);
        assert_eq!(tree.encode(DigestFunction::Sha256), expected);
    }

    /// A digest computed once and written down: changing it means every store goes cold.
    #[test]
    fn the_digest_of_the_sample_is_golden() {
        assert_eq!(
            sample().digest(DigestFunction::Sha256).to_string(),
            "d0581d2b0b3b2ad1c882ebd397f04d829381b77fbcf11e3f4365486c316d11bb/236"
        );
        assert_eq!(Tree::new().digest(DigestFunction::Sha256).size_bytes(), 0);
    }

    #[test]
    fn insertion_order_does_not_matter_and_sharing_is_safe() {
        let one = sample();
        let mut two = Tree::new();
        for (p, n) in one.flatten().into_iter().rev() {
            two.insert(&p, n).unwrap();
        }
        assert_ne!(one, two, "flatten leaves out empty directories");
        two.insert(&path("empty"), Node::Directory(Tree::new())).unwrap();
        assert_eq!(one.digest(DigestFunction::Blake3), two.digest(DigestFunction::Blake3));
        let before = one.digest(DigestFunction::Blake3);
        let mut changed = one.clone();
        changed.insert(&path("src/new.rs"), file("x")).unwrap();
        assert_eq!(one.digest(DigestFunction::Blake3), before);
        assert_ne!(changed.digest(DigestFunction::Blake3), before);
    }

    #[test]
    fn conflicts_and_escapes_are_refused_by_name() {
        let mut tree = sample();
        assert_eq!(tree.insert(&path("src/lib.rs"), file("other")).unwrap_err().path, path("src/lib.rs"));
        assert!(tree.insert(&path("run.sh/x"), file("x")).is_err());
        for target in ["/etc/passwd", "../../x", "a/../../../x", ""] {
            assert!(tree.insert(&path("src/bad"), Node::Symlink { target: target.into() }).is_err(), "{target}");
        }
        let mut other = Tree::new();
        other.insert(&path("lib.rs"), file("third")).unwrap();
        assert_eq!(tree.merge(Some(&path("src")), &other).unwrap_err().path, path("src/lib.rs"));
    }

    #[test]
    fn whole_trees_round_trip_and_hostile_ones_are_refused() {
        let tree = sample();
        let bytes = tree.encode_whole(DigestFunction::Blake3);
        let back = Tree::decode_whole(&bytes, DigestFunction::Blake3).unwrap();
        assert_eq!(back, tree);
        assert_eq!(back.digest(DigestFunction::Blake3), tree.digest(DigestFunction::Blake3));
        for name in ["../x", "a/b", "", "."] {
            let message = TreeMessage {
                root: Some(DirectoryMessage {
                    symlinks: vec![SymlinkNode { name: name.into(), target: "x".into() }],
                    ..Default::default()
                }),
                children: vec![],
            };
            assert!(Tree::decode_whole(&message.encode_to_vec(), DigestFunction::Blake3).is_err(), "{name:?}");
        }
        assert!(Tree::decode_whole(b"\xff\xff\xff", DigestFunction::Blake3).is_err());
    }
}
