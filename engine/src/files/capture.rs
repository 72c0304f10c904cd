//! Directory → declared outputs: what an action left behind goes into the store, and nothing else does.
//!
//! Nothing in the directory is trusted: no link is followed, on the way to an output or below it.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rayon::prelude::*;

use super::stamp::{Kind, Stamp};
use crate::digest::BlobDigest;
use crate::path::{RelPath, under};
use crate::store::{Blobs, Output, OutputNode, StoreError, failed};
use crate::tree::{Node, Tree};

/// An output can't be collected.
#[derive(Debug)]
pub struct CaptureError {
    /// Which file, relative to the directory outputs are declared in.
    pub path: RelPath,
    /// Why not.
    pub problem: CaptureProblem,
}

/// What is wrong with an output.
#[derive(Debug)]
pub enum CaptureProblem {
    /// It was declared, and nothing is there.
    Missing,
    /// It is a socket, a pipe or a device.
    NotAFile,
    /// It was declared, and is a symbolic link or stands below one.
    IsALink,
    /// It is a symbolic link that is absolute or leaves the output it is part of.
    LinkLeaves {
        /// Where it points.
        target: String,
    },
    /// A name or link target in it is not UTF-8, or holds what no path may hold.
    BadName {
        /// The name, as well as it can be shown.
        name: String,
    },
    /// It can't be read or stored.
    Store(StoreError),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output `{}` ", self.path)?;
        match &self.problem {
            CaptureProblem::Missing => f.write_str("was declared but not made"),
            CaptureProblem::NotAFile => f.write_str("is neither a file nor a directory nor a symbolic link"),
            CaptureProblem::IsALink => f.write_str("is, or stands below, a symbolic link; declare what it points to"),
            CaptureProblem::LinkLeaves { target } => {
                write!(f, "is a symbolic link to `{}`, which leaves the output", target.escape_debug())
            }
            CaptureProblem::BadName { name } => {
                write!(f, "holds the name `{}`, which can't be part of a path", name.escape_debug())
            }
            CaptureProblem::Store(error) => write!(f, "can't be kept: {error}"),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            CaptureProblem::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// Collects the declared outputs, which are relative to `dir`, into the store, in order of path: a file by its content,
/// a directory as the [`Tree::encode_whole`] bytes of everything in it.
///
/// Whatever wrote to `dir` must have ended.
///
/// # Errors
/// [`CaptureError`] for the first output, in order of path, that is missing or can't be kept.
pub fn capture(dir: &Path, declared: &[RelPath], blobs: &dyn Blobs) -> Result<Vec<Output>, CaptureError> {
    let mut declared: Vec<&RelPath> = declared.iter().collect();
    declared.sort_unstable();
    declared.dedup();
    declared.into_iter().map(|path| capture_one(dir, path, blobs)).collect()
}

fn capture_one(dir: &Path, path: &RelPath, blobs: &dyn Blobs) -> Result<Output, CaptureError> {
    let stamp = stamp_without_links(dir, path)?;
    let node = match stamp.kind() {
        Kind::File => {
            let (digest, executable) = keep_file(dir, path, &stamp, blobs)?;
            OutputNode::File { digest, executable }
        }
        Kind::Directory => {
            let tree = capture_tree(dir, path, blobs)?;
            let kept = blobs.put(&tree.encode_whole(blobs.function()));
            OutputNode::Directory { tree: kept.map_err(|e| error(path, CaptureProblem::Store(e)))? }
        }
        Kind::Symlink => return Err(error(path, CaptureProblem::IsALink)),
        Kind::Other => return Err(error(path, CaptureProblem::NotAFile)),
    };
    Ok(Output { path: path.clone(), node })
}

/// The stamp of an output, none of whose parents may be a link.
fn stamp_without_links(dir: &Path, path: &RelPath) -> Result<Stamp, CaptureError> {
    let mut parents: Vec<RelPath> = std::iter::successors(path.parent(), RelPath::parent).collect();
    parents.reverse();
    for parent in &parents {
        if stamp_of(dir, path, parent)?.kind() == Kind::Symlink {
            return Err(error(path, CaptureProblem::IsALink));
        }
    }
    stamp_of(dir, path, path)
}

fn stamp_of(dir: &Path, declared: &RelPath, path: &RelPath) -> Result<Stamp, CaptureError> {
    let absolute = dir.join(path);
    Stamp::of(&absolute).map_err(|e| {
        let is_missing = matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        let cannot = |e| CaptureProblem::Store(failed("read", &absolute)(e));
        error(declared, if is_missing { CaptureProblem::Missing } else { cannot(e) })
    })
}

/// Something below a declared directory, yet to be stored.
struct Found {
    /// Relative to the directory outputs are declared in.
    path: RelPath,
    stamp: Stamp,
}

fn capture_tree(dir: &Path, top: &RelPath, blobs: &dyn Blobs) -> Result<Tree, CaptureError> {
    let mut found = Vec::new();
    walk(dir, top, &mut found)?;
    let nodes = found.par_iter().map(|found| node(dir, found, blobs)).collect::<Result<Vec<_>, _>>()?;
    let mut tree = Tree::new();
    for (found, node) in found.iter().zip(nodes) {
        let below = found.path.strip_prefix(top).expect("the walk started there");
        let target = match &node {
            Node::Symlink { target } => Some(target.to_string()),
            _ => None,
        };
        tree.insert(&below, node).map_err(|_| {
            let target = target.expect("a walk meets each path once, so only links are refused");
            error(&found.path, CaptureProblem::LinkLeaves { target })
        })?;
    }
    Ok(tree)
}

/// Lists everything below `path`, in order of name.
fn walk(dir: &Path, path: &RelPath, found: &mut Vec<Found>) -> Result<(), CaptureError> {
    let absolute = dir.join(path);
    let cannot = |e| error(path, CaptureProblem::Store(failed("read", &absolute)(e)));
    let mut names = Vec::new();
    for entry in fs::read_dir(&absolute).map_err(cannot)? {
        names.push(entry.map_err(cannot)?.file_name());
    }
    names.sort_unstable();
    for name in names {
        let below = name
            .to_str()
            .and_then(|name| RelPath::new(name).ok())
            .ok_or_else(|| error(path, CaptureProblem::BadName { name: name.to_string_lossy().into_owned() }))?;
        let below = under(Some(path), &below);
        let stamp = stamp_of(dir, &below, &below)?;
        found.push(Found { path: below.clone(), stamp });
        if stamp.kind() == Kind::Directory {
            walk(dir, &below, found)?;
        }
    }
    Ok(())
}

fn node(dir: &Path, found: &Found, blobs: &dyn Blobs) -> Result<Node, CaptureError> {
    match found.stamp.kind() {
        Kind::File => {
            let (digest, executable) = keep_file(dir, &found.path, &found.stamp, blobs)?;
            Ok(Node::File { digest, executable })
        }
        Kind::Directory => Ok(Node::Directory(Tree::new())),
        Kind::Symlink => link_node(&dir.join(&found.path), &found.path),
        Kind::Other => Err(error(&found.path, CaptureProblem::NotAFile)),
    }
}

/// Stores a file's content; its digest, and whether it may be executed.
fn keep_file(dir: &Path, path: &RelPath, stamp: &Stamp, blobs: &dyn Blobs) -> Result<(BlobDigest, bool), CaptureError> {
    let kept = blobs.put_file(&dir.join(path));
    Ok((kept.map_err(|e| error(path, CaptureProblem::Store(e)))?, stamp.is_executable()))
}

fn link_node(absolute: &Path, path: &RelPath) -> Result<Node, CaptureError> {
    let target =
        fs::read_link(absolute).map_err(|e| error(path, CaptureProblem::Store(failed("read", absolute)(e))))?;
    match target.to_str() {
        Some(target) => Ok(Node::Symlink { target: target.into() }),
        None => Err(error(path, CaptureProblem::BadName { name: target.to_string_lossy().into_owned() })),
    }
}

fn error(path: &RelPath, problem: CaptureProblem) -> CaptureError {
    CaptureError { path: path.clone(), problem }
}
