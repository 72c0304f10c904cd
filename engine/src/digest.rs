//! Digests: hash and size of some bytes, typed by what the bytes are.

use std::fmt;
use std::hash::{Hash, Hasher as StdHasher};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::str::FromStr;

use sha2::Digest as _;

/// The hash behind every digest of one workspace. The names and ids are those of the Remote Execution API's
/// `DigestFunction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestFunction {
    /// BLAKE3, 256 bits: what a workspace uses unless it talks to a remote cache.
    Blake3,
    /// SHA-256: the one function nearly every remote cache speaks.
    Sha256,
}

impl DigestFunction {
    /// The name used in paths and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }

    /// Digests bytes in memory.
    #[must_use]
    pub fn digest<K>(self, bytes: &[u8]) -> Digest<K> {
        let hash = match self {
            Self::Blake3 => *blake3::hash(bytes).as_bytes(),
            Self::Sha256 => sha2::Sha256::digest(bytes).into(),
        };
        Digest::from_parts(hash, bytes.len() as u64)
    }

    /// Digests a stream to its end, in bounded memory.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    pub fn digest_reader<K>(self, reader: &mut dyn Read) -> io::Result<Digest<K>> {
        let mut hasher = self.hasher();
        // Most files are small, and making a large buffer takes longer than reading one of those.
        let mut small = [0; 8 * 1024];
        let mut large = Vec::new();
        loop {
            let buffer = if large.is_empty() { &mut small[..] } else { &mut large[..] };
            let n = match reader.read(buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            hasher.update(&buffer[..n]);
            if n == buffer.len() && large.is_empty() {
                large = vec![0; 128 * 1024];
            }
        }
    }

    /// A hasher to be fed piece by piece.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        let state = match self {
            Self::Blake3 => State::Blake3(Box::default()),
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
        };
        Hasher { state, size: 0 }
    }
}

impl fmt::Display for DigestFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An unfinished digest.
pub struct Hasher {
    state: State,
    size: u64,
}

enum State {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        match &mut self.state {
            // Below this, splitting the work over threads costs more than it saves.
            State::Blake3(h) if bytes.len() >= 512 * 1024 => {
                h.update_rayon(bytes);
            }
            State::Blake3(h) => {
                h.update(bytes);
            }
            State::Sha256(h) => h.update(bytes),
        }
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish<K>(self) -> Digest<K> {
        let hash = match self.state {
            State::Blake3(h) => *h.finalize().as_bytes(),
            State::Sha256(h) => h.finalize().into(),
        };
        Digest::from_parts(hash, self.size)
    }
}

/// Marks a digest of uninterpreted bytes.
#[derive(Debug)]
pub enum Blob {}
/// Marks a digest of a directory in canonical form.
#[derive(Debug)]
pub enum Directory {}
/// Marks the digest of an action.
#[derive(Debug)]
pub enum ActionMessage {}

/// The digest of a file's bytes.
pub type BlobDigest = Digest<Blob>;
/// The digest of a tree's root directory, in the Remote Execution API's `Directory` form.
pub type TreeDigest = Digest<Directory>;
/// The digest of everything that may affect an action's outputs (the Remote Execution API's *action digest*).
pub type ActionKey = Digest<ActionMessage>;

/// Hash and size of some bytes. `K` says what the bytes are, so that one kind can't be passed for another.
pub struct Digest<K> {
    hash: [u8; 32],
    size_bytes: u64,
    kind: PhantomData<fn() -> K>,
}

impl<K> Digest<K> {
    /// A digest from its parts: the raw hash and the number of bytes that were hashed.
    #[must_use]
    pub const fn from_parts(hash: [u8; 32], size_bytes: u64) -> Self {
        Self { hash, size_bytes, kind: PhantomData }
    }

    /// The raw hash.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// How many bytes were hashed.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The hash in lower-case hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.hash {
            text.push(DIGITS[usize::from(byte >> 4)] as char);
            text.push(DIGITS[usize::from(byte & 15)] as char);
        }
        text
    }

    /// The first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.hex();
        text.truncate(8);
        text
    }

    /// The same bytes seen as a plain blob: directories and actions are stored as blobs too.
    #[must_use]
    pub const fn as_blob(&self) -> BlobDigest {
        Digest::from_parts(self.hash, self.size_bytes)
    }
}

impl<K> Clone for Digest<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Digest<K> {}
impl<K> PartialEq for Digest<K> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.size_bytes == other.size_bytes
    }
}
impl<K> Eq for Digest<K> {}
impl<K> PartialOrd for Digest<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Digest<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.hash, self.size_bytes).cmp(&(other.hash, other.size_bytes))
    }
}
impl<K> Hash for Digest<K> {
    fn hash<H: StdHasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// `hash/size`, the form used in files and messages.
impl<K> fmt::Display for Digest<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hex(), self.size_bytes)
    }
}

impl<K> fmt::Debug for Digest<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…/{}", self.short(), self.size_bytes)
    }
}

/// The text is not `hash/size` with 64 hexadecimal digits and a decimal size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDigest(pub String);

impl fmt::Display for BadDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a digest (64 hexadecimal digits, `/`, size)", self.0.escape_debug())
    }
}

impl std::error::Error for BadDigest {}

impl<K> FromStr for Digest<K> {
    type Err = BadDigest;
    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest(text.to_owned());
        let (hex, size) = text.split_once('/').ok_or_else(bad)?;
        let size_bytes = size.parse().map_err(|_| bad())?;
        let hash = parse_hex(hex).ok_or_else(bad)?;
        Ok(Self::from_parts(hash, size_bytes))
    }
}

/// Thirty-two bytes from 64 lower-case hexadecimal digits. Upper case is refused: a digest has one spelling.
#[must_use]
pub fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let bytes = hex.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (i, pair) in bytes.chunks_exact(2).enumerate() {
        hash[i] = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_functions_agree_with_their_published_vectors() {
        let b: BlobDigest = DigestFunction::Blake3.digest(b"");
        assert_eq!(b.hex(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        let s: BlobDigest = DigestFunction::Sha256.digest(b"abc");
        assert_eq!(s.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(s.size_bytes(), 3);
    }

    #[test]
    fn streams_and_slices_agree() {
        let bytes: Vec<u8> = (0..1_000_000u32).map(|i| i as u8).collect();
        for f in [DigestFunction::Blake3, DigestFunction::Sha256] {
            let whole: BlobDigest = f.digest(&bytes);
            assert_eq!(whole, f.digest_reader(&mut &bytes[..]).unwrap());
            let mut pieces = f.hasher();
            pieces.update(&bytes[..700_000]);
            pieces.update(&bytes[700_000..]);
            assert_eq!(whole, pieces.finish());
        }
    }

    #[test]
    fn text_round_trips_and_has_one_spelling() {
        let d: BlobDigest = DigestFunction::Blake3.digest(b"x");
        assert_eq!(d.to_string().parse::<BlobDigest>(), Ok(d));
        assert!(d.to_string().to_uppercase().parse::<BlobDigest>().is_err());
        assert!("00/1".parse::<BlobDigest>().is_err());
    }
}
