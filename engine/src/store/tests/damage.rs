//! Torn files, strangers in the store, directories that are none, disks that are full.

use std::process::Command;

use super::*;

#[test]
fn torn_and_flipped_files_are_missing_and_gone_and_can_be_put_again() {
    for damage in [|bytes: &mut Vec<u8>| bytes.truncate(3), |bytes: &mut Vec<u8>| bytes[2] ^= 1] {
        let (dir, store) = disk();
        let digest = Blobs::put(&store, b"content").unwrap();
        for use_it in [
            |s: &DiskStore, d, _: &Path| Blobs::get(s, d).unwrap().is_some(),
            |s: &DiskStore, d, to: &Path| s.copy_to(d, false, to).unwrap(),
            |s: &DiskStore, d, _: &Path| s.lend(d, true).unwrap().is_some(),
        ] {
            let to = dir.path().join("to");
            assert!(use_it(&store, digest, &to), "good, and seen to be good");
            let _ = fs::remove_file(&to);
            for path in files_of(&store, digest) {
                overwrite(&path, damage);
            }
            assert!(!use_it(&store, digest, &to));
            assert!(!to.exists());
            assert_eq!(files_of(&store, digest), [] as [PathBuf; 0]);
            assert_eq!(store.find_missing(&[digest]).unwrap(), [digest]);
            Blobs::put(&store, b"content").unwrap();
        }
    }
}

#[test]
fn a_torn_file_is_seen_without_being_read() {
    let (_dir, store) = disk();
    let digest = Blobs::put(&store, b"content").unwrap();
    overwrite(&files_of(&store, digest)[0], |bytes| bytes.truncate(3));
    assert_eq!(store.find_missing(&[digest]).unwrap(), [digest]);
    Blobs::put(&store, b"content").unwrap();
    overwrite(&files_of(&store, digest)[0], |bytes| bytes.truncate(3));
    Blobs::put(&store, b"content").unwrap();
    assert_eq!(Blobs::get(&store, digest).unwrap().unwrap(), b"content");
}

#[test]
fn a_damaged_twin_does_not_hide_a_good_file() {
    let (_dir, store) = disk();
    let digest = Blobs::put(&store, b"content").unwrap();
    store.lend(digest, true).unwrap().unwrap();
    overwrite(&store.layout.blob(DigestFunction::Blake3, digest, false), |bytes| bytes[0] ^= 1);
    assert_eq!(Blobs::get(&store, digest).unwrap().unwrap(), b"content");
    assert_eq!(files_of(&store, digest).len(), 1);
}

#[test]
fn a_twin_is_not_trusted_by_whoever_puts_the_blob() {
    let (dir, store) = disk();
    let digest = Blobs::put(&store, b"content").unwrap();
    let twin = store.lend(digest, true).unwrap().unwrap();
    fs::remove_file(store.layout.blob(DigestFunction::Blake3, digest, false)).unwrap();
    overwrite(&twin, |bytes| bytes[0] ^= 1);
    let other = DiskStore::open(dir.path(), DigestFunction::Blake3).unwrap();
    Blobs::put(&other, b"content").unwrap();
    assert_eq!(Blobs::get(&other, digest).unwrap().unwrap(), b"content");
    assert!(!twin.exists(), "what rotted is gone");
}

#[test]
fn a_record_that_cannot_be_read_is_absent_and_makes_room() {
    let (_dir, store) = disk();
    let blob = Blobs::put(&store, b"x").unwrap();
    let (one, two) = (result(blob, Strength::Full), result(blob, Strength::Bare));
    Results::put(&store, &key("k"), &one).unwrap();
    let path = store.layout.record(DigestFunction::Blake3, &key("k"));
    overwrite(&path, |bytes| bytes.truncate(40));
    assert_eq!(Results::get(&store, &key("k")).unwrap(), None);
    assert_eq!(Results::put(&store, &key("k"), &two).unwrap(), two);
    assert_eq!(Results::get(&store, &key("k")).unwrap(), Some(two));
    let stray = store.layout.record(DigestFunction::Blake3, &key("other"));
    fs::create_dir_all(stray.parent().unwrap()).unwrap();
    fs::rename(&path, &stray).unwrap();
    assert_eq!(Results::get(&store, &key("other")).unwrap(), None, "recorded under another key");
}

#[test]
fn a_file_where_a_directory_should_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    fs::write(&root, "").unwrap();
    let error = DiskStore::open(&root, DigestFunction::Blake3).unwrap_err();
    assert_eq!(error.path, root);

    let (dir, store) = disk();
    fs::write(dir.path().join("cas"), "").unwrap();
    let error = Blobs::put(&store, b"x").unwrap_err();
    assert!(error.path.starts_with(dir.path().join("cas")), "{error}");
    let digest = DigestFunction::Blake3.digest(b"x");
    assert!(store.find_missing(&[digest]).is_err() && Blobs::get(&store, digest).is_err());
}

#[test]
fn two_functions_share_a_store_and_nothing_else() {
    let (dir, blake3) = disk();
    let sha256 = DiskStore::open(dir.path(), DigestFunction::Sha256).unwrap();
    let one = Blobs::put(&blake3, b"x").unwrap();
    let two = Blobs::put(&sha256, b"x").unwrap();
    assert_ne!(one, two);
    assert_eq!(sha256.find_missing(&[one, two]).unwrap(), [one]);
    assert_eq!(blake3.stats().unwrap().per_function.len(), 2);
}

/// Fills a small file system of its own, in a mount namespace of its own, through a child of this test.
#[test]
fn a_full_disk_is_an_error_with_a_place_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$1\" && shift && exec \"$@\"";
    let mut child = Command::new("unshare");
    child.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(dir.path());
    child.arg(std::env::current_exe().unwrap());
    child.args(["--exact", "store::tests::damage::child_fills_the_disk", "--ignored", "--nocapture"]);
    child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let output = child.spawn().and_then(|mut child| {
        write!(child.stdin.take().unwrap(), "{}", dir.path().display())?;
        child.wait_with_output()
    });
    let text = output.as_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if !text.contains("running 1 test") {
        // No namespaces here: said where a person looks, since the test proves nothing then.
        writeln!(std::io::stderr(), "SKIPPED: a full disk can't be made here: {output:?}").unwrap();
        return;
    }
    assert!(output.unwrap().status.success(), "{text}");
}

#[test]
#[ignore = "run by the test above, on a file system of 256 KiB"]
fn child_fills_the_disk() {
    let root = std::io::read_to_string(std::io::stdin()).unwrap();
    if root.is_empty() {
        return;
    }
    let store = DiskStore::open(Path::new(&root), DigestFunction::Blake3).unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let bytes = vec![u8::try_from(kept.len()).unwrap(); 20_000 + kept.len()];
        match Blobs::put(&store, &bytes) {
            Ok(digest) => kept.push(digest),
            Err(error) => break error,
        }
    };
    assert_eq!(error.cause.kind(), io::ErrorKind::StorageFull, "{error}");
    assert!(error.path.starts_with(&root) && kept.len() > 5, "{error}");
    assert_eq!(fs::read_dir(store.layout.tmp()).unwrap().count(), 0);
    let verified = store.verify_all().unwrap().unwrap();
    assert_eq!((verified.n_blobs, verified.n_corrupt), (kept.len() as u64, 0));
    store.collect(0).unwrap().unwrap();
    Blobs::put(&store, b"there is room again").unwrap();
}
