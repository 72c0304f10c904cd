//! Tests of the way from directories to trees and back.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::capture::{CaptureProblem, capture};
use super::materialize::{MaterializeError, Written, materialize, materialize_file_if_changed};
use super::scan::{IngestError, scan};
use super::stat_cache::{FileState, Problem, StatCache, digest_files};
use super::sync::sync_tree;
use crate::digest::{BlobDigest, DigestFunction};
use crate::path::RelPath;
use crate::store::memory::MemoryStore;
use crate::store::{Blobs, OutputNode, fixed_mtime};
use crate::tree::{Node, Tree};

const FUNCTION: DigestFunction = DigestFunction::Blake3;

fn paths(texts: &[&str]) -> Vec<RelPath> {
    texts.iter().map(|text| RelPath::new(text).unwrap()).collect()
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn digest(text: &str) -> BlobDigest {
    FUNCTION.digest(text.as_bytes())
}

/// A moment at which everything written so far is long past.
fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(8_000_000_000)
}

/// A moment before anything was written, so that every stamp is racy.
fn earlier() -> SystemTime {
    SystemTime::UNIX_EPOCH
}

fn look(root: &Path, path: &str, cache: &mut StatCache) -> BlobDigest {
    match digest_files(root, &paths(&[path]), cache).remove(0).unwrap() {
        FileState::File { digest, .. } => digest,
        link @ FileState::Symlink { .. } => panic!("{link:?}"),
    }
}

/// Plants a wrong digest under the present stamp of a file: whoever answers with it did not read the file.
fn poisoned(root: &Path, path: &str, looked: SystemTime) -> StatCache {
    let mut cache = StatCache::new(FUNCTION, looked);
    look(root, path, &mut cache);
    let right = *digest("text").hash();
    let bytes = cache.to_bytes();
    let mut body = bytes[24..].to_vec();
    if let Some(at) = body.windows(32).position(|window| window == right) {
        body[at] ^= 1;
    }
    let sealed = crate::sealed::Seal { kind: *b"STAT", version: 1 }.close(&body);
    StatCache::from_bytes(&sealed, FUNCTION, looked)
}

#[test]
fn a_file_that_looks_the_same_is_not_read_and_one_that_does_not_is() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", "text");
    let mut cache = poisoned(dir.path(), "f", later());
    assert_ne!(look(dir.path(), "f", &mut cache), digest("text"), "answered from the record");
    for change in [
        |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap(),
        |path: &Path| {
            // A copy that keeps the times of the original, in its place.
            let times = FileTimes::new().set_modified(fs::metadata(path).unwrap().modified().unwrap());
            fs::write(path.with_extension("new"), "text").unwrap();
            File::options().write(true).open(path.with_extension("new")).unwrap().set_times(times).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        },
    ] {
        let mut cache = poisoned(dir.path(), "f", later());
        change(&dir.path().join("f"));
        assert_eq!(look(dir.path(), "f", &mut cache), digest("text"));
    }
}

#[test]
fn a_racily_clean_file_is_read_every_time() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", "text");
    let mut cache = StatCache::new(FUNCTION, earlier());
    assert_eq!(look(dir.path(), "f", &mut cache), digest("text"));
    assert!(cache.is_empty(), "its stamp proves nothing");
    let mut cache = StatCache::new(FUNCTION, later());
    look(dir.path(), "f", &mut cache);
    assert_eq!(cache.len(), 1);
}

#[test]
fn the_cache_survives_a_round_trip_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", "text");
    let mut cache = StatCache::new(FUNCTION, later());
    look(dir.path(), "f", &mut cache);
    let bytes = cache.to_bytes();
    assert_eq!(StatCache::from_bytes(&bytes, FUNCTION, later()).len(), 1);
    assert!(StatCache::from_bytes(&bytes, DigestFunction::Sha256, later()).is_empty());
    assert!(StatCache::from_bytes(&bytes[..bytes.len() - 1], FUNCTION, later()).is_empty());
    assert!(StatCache::from_bytes(b"", FUNCTION, later()).is_empty());
    // Nobody asks for the file any more.
    let mut bytes = bytes;
    for _ in 0..40 {
        bytes = StatCache::from_bytes(&bytes, FUNCTION, later()).to_bytes();
    }
    assert!(StatCache::from_bytes(&bytes, FUNCTION, later()).is_empty());
}

#[test]
fn a_scan_is_a_tree_and_every_problem_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "src/a.txt", "a");
    write(root, "tool.sh", "#!");
    fs::set_permissions(root.join("tool.sh"), Permissions::from_mode(0o755)).unwrap();
    symlink("../tool.sh", root.join("src/link")).unwrap();
    symlink("../../etc", root.join("src/out")).unwrap();
    symlink("/etc", root.join("absolute")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut cache = StatCache::new(FUNCTION, later());

    let scanned = scan(root, &paths(&["src/a.txt", "src/link", "tool.sh"]), &mut cache).unwrap();
    let mut expected = Tree::new();
    for (path, node) in paths(&["src/a.txt", "src/link", "tool.sh"]).iter().zip([
        Node::File { digest: digest("a"), executable: false },
        Node::Symlink { target: "../tool.sh".into() },
        Node::File { digest: digest("#!"), executable: true },
    ]) {
        expected.insert(path, node).unwrap();
    }
    assert_eq!(scanned.tree, expected);
    assert_eq!(scanned.stamps.len(), 3);

    let bad = paths(&["absolute", "gone", "pipe", "src", "src/a.txt", "src/out"]);
    let errors = scan(root, &bad, &mut cache).unwrap_err();
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "`absolute` is a symbolic link to `/etc`, which leaves the tree",
            "`gone` does not exist",
            "`pipe` is neither a file nor a symbolic link",
            "`src` is neither a file nor a symbolic link",
            "`src/out` is a symbolic link to `../../etc`, which leaves the tree",
        ]
    );
}

#[test]
fn sources_are_ingested_once_and_only_with_the_bytes_they_had() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "f", "text");
    write(dir.path(), "g", "other");
    let scanned = scan(dir.path(), &paths(&["f", "g"]), &mut StatCache::new(FUNCTION, later())).unwrap();
    let store = MemoryStore::new(FUNCTION);
    assert!(scanned.sources.ingest(digest("text"), &store).unwrap());
    assert!(!scanned.sources.ingest(digest("nowhere"), &store).unwrap());
    assert_eq!(store.get(digest("text")).unwrap().unwrap(), b"text");
    write(dir.path(), "f", "edited");
    assert!(scanned.sources.ingest(digest("text"), &store).unwrap(), "the store has it");
    write(dir.path(), "g", "edited");
    match scanned.sources.ingest(digest("other"), &store).unwrap_err() {
        IngestError::File(error) => assert_eq!(error.to_string(), "`g` changed during the build"),
        IngestError::Store(error) => panic!("{error}"),
    }
    fs::remove_file(dir.path().join("g")).unwrap();
    let error = scanned.sources.ingest(digest("other"), &store).unwrap_err();
    assert!(matches!(error, IngestError::File(e) if matches!(e.problem, Problem::Missing)));
}

/// A tree with one of everything, its blobs in the store.
fn sample(store: &MemoryStore) -> Tree {
    let mut tree = Tree::new();
    let mut add = |path, node| tree.insert(&RelPath::new(path).unwrap(), node).unwrap();
    add("dir/file", Node::File { digest: store.put(b"text").unwrap(), executable: false });
    add("dir/deep/tool", Node::File { digest: store.put(b"#!").unwrap(), executable: true });
    add("dir/deep/link", Node::Symlink { target: "../file".into() });
    add("dir/dangling", Node::Symlink { target: "nothing".into() });
    add("empty", Node::Directory(Tree::new()));
    tree
}

#[test]
fn a_tree_becomes_a_directory_and_a_tree_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new(FUNCTION);
    let tree = sample(&store);
    let to = dir.path().join("to");
    materialize(&tree, &to, &store).unwrap();
    for (path, mode) in [("", 0o755), ("dir", 0o755), ("dir/file", 0o644), ("dir/deep/tool", 0o755), ("empty", 0o755)] {
        let meta = fs::metadata(to.join(path)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o7777, mode, "{path}");
        assert_eq!(meta.modified().unwrap(), fixed_mtime(), "{path}");
    }
    assert_eq!(fs::symlink_metadata(to.join("dir/dangling")).unwrap().modified().unwrap(), fixed_mtime());

    let outputs = capture(dir.path(), &paths(&["to"]), &store).unwrap();
    let OutputNode::Directory { tree: whole } = outputs[0].node else { panic!("{outputs:?}") };
    assert_eq!(Tree::decode_whole(&store.get(whole).unwrap().unwrap(), FUNCTION).unwrap(), tree);

    store.remove_blob(digest("text"));
    match materialize(&tree, &dir.path().join("again"), &store).unwrap_err() {
        MaterializeError::Lost { digest: lost, path } => {
            assert_eq!((lost, path), (digest("text"), dir.path().join("again/dir/file")));
        }
        MaterializeError::Store(error) => panic!("{error}"),
    }
}

#[test]
fn outputs_are_captured_by_name_and_nothing_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new(FUNCTION);
    let secret = tempfile::tempdir().unwrap();
    write(secret.path(), "key", "secret");
    write(dir.path(), "out/file", "text");
    symlink(secret.path(), dir.path().join("sneaky")).unwrap();
    symlink(secret.path().join("key"), dir.path().join("stolen")).unwrap();
    write(dir.path(), "tree/ok", "ok");
    symlink("../out/file", dir.path().join("tree/leaves")).unwrap();
    write(dir.path(), "names/bad\\name", "");
    fs::create_dir(dir.path().join("special")).unwrap();
    let pipe = dir.path().join("special/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();

    let outputs = capture(dir.path(), &paths(&["out/file"]), &store).unwrap();
    assert_eq!(outputs[0].node, OutputNode::File { digest: digest("text"), executable: false });
    let problem = |path| capture(dir.path(), &paths(&[path]), &store).unwrap_err();
    assert!(matches!(problem("none").problem, CaptureProblem::Missing));
    assert!(matches!(problem("out/file/below").problem, CaptureProblem::Missing));
    assert!(matches!(problem("sneaky/key").problem, CaptureProblem::IsALink));
    assert!(matches!(problem("stolen").problem, CaptureProblem::IsALink));
    assert_eq!(
        problem("tree").to_string(),
        "output `tree/leaves` is a symbolic link to `../out/file`, which leaves the output"
    );
    assert!(matches!(problem("names").problem, CaptureProblem::BadName { name } if name == "bad\\name"));
    assert_eq!(problem("special").path.as_str(), "special/pipe");
    assert_eq!(store.find_missing(&[digest("secret")]).unwrap(), [digest("secret")]);
}

#[test]
fn a_workspace_file_is_replaced_at_once_or_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new(FUNCTION);
    let (one, two) = (store.put(b"one").unwrap(), store.put(b"two").unwrap());
    let to = dir.path().join("target/out");
    let make = |digest, executable| materialize_file_if_changed(digest, executable, &to, &store).unwrap();
    assert_eq!(make(one, false), Written::Replaced);
    let before = fs::metadata(&to).unwrap();
    assert_eq!(make(one, false), Written::Unchanged);
    let after = fs::metadata(&to).unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    assert!(after.modified().unwrap() > fixed_mtime(), "people see when it was made");
    assert_eq!(make(two, false), Written::Replaced, "same size, other bytes");
    assert_eq!(fs::read(&to).unwrap(), b"two");
    assert_eq!(make(two, true), Written::Replaced);
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o755);

    // A link in the way is replaced, never written through.
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    fs::remove_file(&to).unwrap();
    symlink(&elsewhere, &to).unwrap();
    assert_eq!(make(one, false), Written::Replaced);
    assert_eq!(fs::read(&elsewhere).unwrap(), b"mine");

    let lost = materialize_file_if_changed(digest("lost"), false, &to, &store).unwrap_err();
    assert!(matches!(lost, MaterializeError::Lost { .. }));
    assert_eq!(fs::read(&to).unwrap(), b"one", "the old one is still whole");
    assert_eq!(fs::read_dir(to.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_directory_of_a_workspace_becomes_the_tree_by_the_least_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new(FUNCTION);
    let tree = sample(&store);
    let to = dir.path().join("target/out");
    assert_eq!(sync_tree(&tree, &to, &store).unwrap(), Written::Replaced);
    assert_eq!(sync_tree(&tree, &to, &store).unwrap(), Written::Unchanged);

    // Everything in the way: a stale file, a link out, a directory for a file, a file for a directory.
    let precious = tempfile::tempdir().unwrap();
    write(precious.path(), "mine", "mine");
    write(&to, "stale/file", "");
    symlink(precious.path(), to.join("leads-out")).unwrap();
    fs::remove_file(to.join("dir/file")).unwrap();
    write(&to, "dir/file/below", "");
    fs::remove_dir(to.join("empty")).unwrap();
    symlink(precious.path(), to.join("empty")).unwrap();
    let tool = fs::metadata(to.join("dir/deep/tool")).unwrap();
    assert_eq!(sync_tree(&tree, &to, &store).unwrap(), Written::Replaced);
    assert_eq!(fs::metadata(to.join("dir/deep/tool")).unwrap().ino(), tool.ino(), "not touched");
    assert_eq!(fs::read(precious.path().join("mine")).unwrap(), b"mine");

    let outputs = capture(dir.path(), &paths(&["target/out"]), &store).unwrap();
    let OutputNode::Directory { tree: whole } = outputs[0].node else { panic!("{outputs:?}") };
    assert_eq!(Tree::decode_whole(&store.get(whole).unwrap().unwrap(), FUNCTION).unwrap(), tree);
}
