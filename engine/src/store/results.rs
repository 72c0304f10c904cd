//! Results on disk: one sealed record per action key.
//!
//! The body is a protocol-buffers message of our own, not the Remote Execution API's `ActionResult`: it also holds its
//! key, so that a record that strayed under another name is no result, and how strong its sandbox was.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use prost::Message as _;

use super::atomic::{self, Placed};
use super::layout::Layout;
use super::{ActionResult, Output, OutputNode, StoreError, Strength, failed, standing};
use crate::digest::{ActionKey, BlobDigest, DigestFunction};
use crate::path::RelPath;
use crate::sealed::Seal;
use crate::wire::DigestMessage;

const SEAL: Seal = Seal { kind: *b"RSLT", version: 1 };

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    key: Option<DigestMessage>,
    #[prost(message, repeated, tag = "2")]
    outputs: Vec<OutputRecord>,
    #[prost(message, optional, tag = "3")]
    stdout: Option<DigestMessage>,
    #[prost(message, optional, tag = "4")]
    stderr: Option<DigestMessage>,
    #[prost(uint64, tag = "5")]
    took_ns: u64,
    #[prost(uint32, tag = "6")]
    strength: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OutputRecord {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(message, optional, tag = "2")]
    digest: Option<DigestMessage>,
    /// 1 a file, 2 an executable file, 3 a directory.
    #[prost(uint32, tag = "3")]
    kind: u32,
}

/// The bytes of a result's file.
pub(super) fn encode(key: &ActionKey, result: &ActionResult) -> Vec<u8> {
    let output = |output: &Output| {
        let (digest, kind) = match output.node {
            OutputNode::File { digest, executable: false } => (digest, 1),
            OutputNode::File { digest, executable: true } => (digest, 2),
            OutputNode::Directory { tree } => (tree, 3),
        };
        OutputRecord { path: output.path.to_string(), digest: Some(digest.into()), kind }
    };
    let record = Record {
        key: Some((*key).into()),
        outputs: result.outputs.iter().map(output).collect(),
        stdout: Some(result.stdout.into()),
        stderr: Some(result.stderr.into()),
        took_ns: u64::try_from(result.took.as_nanos()).unwrap_or(u64::MAX),
        strength: match result.strength {
            Strength::Bare => 1,
            Strength::Partial => 2,
            Strength::Full => 3,
        },
    };
    SEAL.close(&record.encode_to_vec())
}

/// The result in the bytes of a file, and the key it is recorded under; `None` when they are not a record of ours.
pub(super) fn decode(bytes: &[u8]) -> Option<(ActionKey, ActionResult)> {
    let record = Record::decode(SEAL.open(bytes)?).ok()?;
    let digest = |message: &Option<DigestMessage>| -> Option<BlobDigest> { message.as_ref()?.parse() };
    let output = |output: &OutputRecord| {
        let digest = digest(&output.digest)?;
        let node = match output.kind {
            1 => OutputNode::File { digest, executable: false },
            2 => OutputNode::File { digest, executable: true },
            3 => OutputNode::Directory { tree: digest },
            _ => return None,
        };
        Some(Output { path: RelPath::new(&output.path).ok()?, node })
    };
    let result = ActionResult {
        outputs: record.outputs.iter().map(output).collect::<Option<_>>()?,
        stdout: digest(&record.stdout)?,
        stderr: digest(&record.stderr)?,
        took: Duration::from_nanos(record.took_ns),
        strength: match record.strength {
            1 => Strength::Bare,
            2 => Strength::Partial,
            3 => Strength::Full,
            _ => return None,
        },
    };
    Some((record.key.as_ref()?.parse()?, result))
}

/// The result under `key` in the file `path`; `None` when there is none that can be understood.
pub(super) fn read(layout: &Layout, path: &Path, key: &ActionKey) -> Result<Option<ActionResult>, StoreError> {
    match layout.read(path) {
        Ok(bytes) => Ok(decode(&bytes).filter(|(found, _)| found == key).map(|(_, result)| result)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", path)(e)),
    }
}

/// Records `result` under `key`, unless a result stands there that is to be kept, and returns the one that stands.
pub(super) fn write(
    layout: &Layout,
    function: DigestFunction,
    key: &ActionKey,
    result: &ActionResult,
) -> Result<ActionResult, StoreError> {
    let path = layout.record(function, key);
    let bytes = encode(key, result);
    if atomic::incoming(layout, &bytes, &path)?.place_first(0o644, &path)? == Placed::Here {
        return Ok(result.clone());
    }
    let found = read(layout, &path, key)?;
    let stands = standing(found.as_ref(), result);
    if found.as_ref() != Some(stands) {
        // Weaker, or unreadable: it makes room.
        atomic::incoming(layout, &bytes, &path)?.place(0o644, &path)?;
    }
    Ok(stands.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (ActionKey, ActionResult) {
        let digest = |bytes: &[u8]| DigestFunction::Sha256.digest(bytes);
        let output = |path, node| Output { path: RelPath::new(path).unwrap(), node };
        let result = ActionResult {
            outputs: vec![
                output("bin/app", OutputNode::File { digest: digest(b"app"), executable: true }),
                output("dir", OutputNode::Directory { tree: digest(b"tree") }),
                output("file", OutputNode::File { digest: digest(b"file"), executable: false }),
            ],
            stdout: digest(b"out"),
            stderr: digest(b""),
            took: Duration::from_millis(1234),
            strength: Strength::Partial,
        };
        (DigestFunction::Sha256.digest(b"key"), result)
    }

    #[test]
    fn records_round_trip_and_anything_else_is_absent() {
        let (key, result) = sample();
        let bytes = encode(&key, &result);
        assert_eq!(decode(&bytes), Some((key, result)));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "torn at {cut}");
        }
        for byte in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1 << (byte % 8);
            assert_eq!(decode(&flipped), None, "flipped in byte {byte}");
        }
    }

    /// Written down once: a change of these bytes makes every store forget its results, and wants a new version.
    #[test]
    fn the_bytes_of_the_sample_are_golden() {
        let (key, result) = sample();
        let digest: BlobDigest = DigestFunction::Sha256.digest(&encode(&key, &result));
        assert_eq!(digest.to_string(), "c97eae240d3989ad69b44b867324cd23df7a21442b9826cd4765dd6195aabaca/482");
    }
}
