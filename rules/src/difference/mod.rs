//! Two artifacts that should have been the same → where they differ, in what, and what commonly does that.
//!
//! Pure functions over bytes, which may be anything. [`describe`] looks into what it recognises: WebAssembly section by
//! section, also nested; tar and ar archives member by member, also compressed by zstd; text line by line. Whatever it does
//! not, it tells by the first byte. [`describe_trees`] does that for each file of two directories.
//!
//! What is deliberately not here: who made the artifacts, and whether they had to be the same.

use std::fmt;

use run_engine::digest::BlobDigest;
use run_engine::path::RelPath;
use run_engine::tree::{Node, Tree};

mod archive;
pub mod cause;
mod text;
mod wasm;

use cause::Cause;

/// One place where two artifacts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where, from the outside in: `module 0 / code / function 12 "foo"`; empty for the whole of it.
    pub place: String,
    /// In what, as a sentence that shows both sides: the first one first.
    pub what: String,
    /// What commonly does that, where it is recognised.
    pub cause: Option<Cause>,
}

/// Where two artifacts differ: the first few places, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// The first of them, at most [`TOLD_MAX`].
    pub told: Vec<Difference>,
    /// How many more were seen.
    pub n_more: usize,
}

/// How many differences are told one by one.
pub const TOLD_MAX: usize = 8;

/// How much is unpacked of a compressed artifact, in bytes; one that holds more is told by its first byte.
const UNPACKED_MAX: u64 = 256 * 1024 * 1024;

/// How deep artifacts are looked for in artifacts.
const DEPTH_MAX: usize = 16;

/// Where `a` and `b` differ. Empty only when they are the same.
#[must_use]
pub fn describe(a: &[u8], b: &[u8]) -> Differences {
    let mut found = Differences::default();
    compare(&Place::default(), a, b, &mut found);
    found
}

/// Where two directories differ: in which paths there are, in what stands there, and in what the files hold, as far as `read`
/// has them.
#[must_use]
pub fn describe_trees(a: &Tree, b: &Tree, read: &mut dyn FnMut(BlobDigest) -> Option<Vec<u8>>) -> Differences {
    let mut found = Differences::default();
    let (first, second) = (a.flatten(), b.flatten());
    let paths: std::collections::BTreeSet<&RelPath> = first.keys().chain(second.keys()).collect();
    for path in paths {
        let place = Place::default().inside(path);
        match (first.get(path), second.get(path)) {
            (Some(a), Some(b)) => compare_nodes(&place, a, b, read, &mut found),
            (Some(_), None) => found.add(&place, "is only in the first".to_owned(), None),
            (None, _) => found.add(&place, "is only in the second".to_owned(), None),
        }
    }
    found
}

fn compare_nodes(
    place: &Place,
    a: &Node,
    b: &Node,
    read: &mut dyn FnMut(BlobDigest) -> Option<Vec<u8>>,
    found: &mut Differences,
) {
    match (a, b) {
        (Node::File { digest: a, executable: x }, Node::File { digest: b, executable: y }) => {
            if x != y {
                let name = |executable: bool| if executable { "executable" } else { "not executable" };
                found.add(place, format!("is {} in the first and {} in the second", name(*x), name(*y)), None);
            }
            if a != b {
                match (read(*a), read(*b)) {
                    (Some(a), Some(b)) if a != b => compare(place, &a, &b, found),
                    _ => found.add(place, format!("has other content: {a} and {b}"), None),
                }
            }
        }
        (Node::Symlink { target: a }, Node::Symlink { target: b }) => {
            if a != b {
                let (a, b) = (a.escape_debug(), b.escape_debug());
                found.add(place, format!("leads to `{a}` in the first and to `{b}` in the second"), None);
            }
        }
        (Node::Directory(a), Node::Directory(b)) if a == b => {}
        (a, b) => found.add(place, format!("is {} in the first and {} in the second", kind(a), kind(b)), None),
    }
}

const fn kind(node: &Node) -> &'static str {
    match node {
        Node::File { .. } => "a file",
        Node::Symlink { .. } => "a link",
        Node::Directory(_) => "a directory",
    }
}

/// Where a comparison has got to.
#[derive(Debug, Clone, Default)]
struct Place {
    names: Vec<String>,
    /// Where the compared bytes begin, in the first and in the second artifact, since the last one that was unpacked.
    at: (usize, usize),
}

impl Place {
    /// Something with a name, inside.
    fn inside(&self, name: impl fmt::Display) -> Self {
        let mut place = self.clone();
        place.names.push(name.to_string());
        place
    }

    /// So much further on.
    fn further(mut self, a: usize, b: usize) -> Self {
        self.at = (self.at.0 + a, self.at.1 + b);
        self
    }

    /// Where offsets begin anew, because what is compared stands in no artifact as it is.
    const fn anew(mut self) -> Self {
        self.at = (0, 0);
        self
    }
}

impl Differences {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.told.is_empty() && self.n_more == 0
    }

    fn add(&mut self, place: &Place, what: String, cause: Option<Cause>) {
        if self.told.len() < TOLD_MAX {
            self.told.push(Difference { place: place.names.join(" / "), what, cause });
        } else {
            self.n_more += 1;
        }
    }

    const fn n_seen(&self) -> usize {
        self.told.len() + self.n_more
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.what)?,
            place => write!(f, "{place}: {}", self.what)?,
        }
        match &self.cause {
            None => Ok(()),
            Some(cause) => write!(f, "\n  {cause}: {}", cause.remedy()),
        }
    }
}

/// A line for each, and one below for what commonly does that.
impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, difference) in self.told.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            difference.fmt(f)?;
        }
        match self.n_more {
            0 => Ok(()),
            n => write!(f, "\nand {n} more"),
        }
    }
}

/// Adds what differs, at least one thing unless both are the same.
fn compare(place: &Place, a: &[u8], b: &[u8], found: &mut Differences) {
    if a == b {
        return;
    }
    let before = found.n_seen();
    if place.names.len() < DEPTH_MAX {
        look_inside(place, a, b, found);
    }
    // What looks like something known may be broken in a way that hides the difference.
    if found.n_seen() == before {
        bytes(place, a, b, found);
    }
}

fn look_inside(place: &Place, a: &[u8], b: &[u8], found: &mut Differences) {
    let both = |magic: &[u8]| a.starts_with(magic) && b.starts_with(magic);
    if both(wasm::MAGIC) {
        wasm::compare(place, a, b, found);
    } else if both(archive::ZSTD) {
        if let (Some(a), Some(b)) = (archive::unpack(a), archive::unpack(b)) {
            compare(&place.clone().anew(), &a, &b, found);
        }
    } else if both(archive::AR) {
        archive::compare_ar(place, a, b, found);
    } else if archive::is_tar(a) && archive::is_tar(b) {
        archive::compare_tar(place, a, b, found);
    } else if let (Some(first), Some(second)) = (text::as_text(a), text::as_text(b)) {
        text::compare(place, first, second, found);
    }
}

/// Two stretches of bytes that are not the same, told by the first place where they differ.
fn bytes(place: &Place, a: &[u8], b: &[u8], found: &mut Differences) {
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let cause = cause::recognise(a, b, at);
    let whole = (place.at.0 + at, place.at.1 + at);
    let place_of_it = match whole.0 == whole.1 {
        true => format!("at byte {}", whole.0),
        false => format!("at byte {} of the first and {} of the second", whole.0, whole.1),
    };
    let shown = match (cause::printable(a, at), cause::printable(b, at)) {
        (Some(a), Some(b)) if a != b => format!("{} and {}", quoted(a), quoted(b)),
        _ => format!("{} and {}", hex(a, at), hex(b, at)),
    };
    let sizes = match a.len() == b.len() {
        true => String::new(),
        false => format!(" (of {} and {} bytes)", a.len(), b.len()),
    };
    found.add(place, format!("differs {place_of_it}: {shown}{sizes}"), cause);
}

/// The next few bytes from `at`.
fn hex(bytes: &[u8], at: usize) -> String {
    const SHOWN: usize = 8;
    match bytes.get(at..) {
        None | Some([]) => "its end".to_owned(),
        Some(rest) => {
            let digits: String = rest.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
            digits + if rest.len() > SHOWN { "…" } else { "" }
        }
    }
}

/// A text as it can be shown on a line.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 100;
    let shown: String = text.chars().take(SHOWN).collect();
    format!("\"{}{}\"", shown.escape_debug(), if shown.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests;
