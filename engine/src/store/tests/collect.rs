//! The collector: who goes, who stays, and what it may never do.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::super::volume::{Handle, Os, Seen, Volume};
use super::*;

/// Makes a file look as if it was last used on a day long ago.
fn age(path: &Path, day: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * day);
    let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

/// A blob last used on `day`.
fn blob(store: &DiskStore, text: &str, day: u64) -> BlobDigest {
    let digest = Blobs::put(store, text.as_bytes()).unwrap();
    age(&files_of(store, digest)[0], day);
    digest
}

/// A result last used on `day`, standing for one blob last used on day 1.
fn action(store: &DiskStore, text: &str, day: u64) -> BlobDigest {
    let output = blob(store, text, 1);
    Results::put(store, &key(text), &result(output, Strength::Full)).unwrap();
    age(&store.layout.record(DigestFunction::Blake3, &key(text)), day);
    output
}

fn bytes(store: &DiskStore) -> u64 {
    let usage = store.stats().unwrap().per_function[&DigestFunction::Blake3];
    usage.blob_bytes + usage.result_bytes
}

#[test]
fn the_least_recently_used_goes_first_and_no_result_outlives_its_blobs() {
    let (_dir, store) = disk();
    let old = action(&store, "an old action", 10);
    let young = action(&store, "a younger action", 20);
    let loose = blob(&store, "nobody's blob, used in between", 15);
    assert_eq!(store.collect(bytes(&store)).unwrap().unwrap().freed_bytes, 0, "under the cap nothing goes");

    let done = store.collect(bytes(&store) - 1).unwrap().unwrap();
    assert_eq!((done.n_blobs, done.n_results), (1, 1));
    assert_eq!(store.find_missing(&[old, young, loose]).unwrap(), [old]);
    assert_eq!(Results::get(&store, &key("an old action")).unwrap(), None);
    assert!(Results::get(&store, &key("a younger action")).unwrap().is_some());

    store.collect(bytes(&store) - 1).unwrap().unwrap();
    assert_eq!(store.find_missing(&[young, loose]).unwrap(), [loose], "the action was used later");
    let done = store.collect(0).unwrap().unwrap();
    assert_eq!((done.n_blobs, done.kept_bytes), (1, 0));
}

#[test]
fn a_running_build_keeps_what_it_has_seen() {
    let (dir, store) = disk();
    let digests: Vec<_> = (0..5).map(|i| blob(&store, &format!("blob {i}"), 3)).collect();
    let build = DiskStore::open(dir.path(), DigestFunction::Blake3).unwrap();
    let lease = build.lease().unwrap();
    let to = dir.path().join("to");
    assert_eq!(build.find_missing(&digests[..1]).unwrap(), []);
    assert!(Blobs::get(&build, digests[1]).unwrap().is_some());
    assert!(build.copy_to(digests[2], false, &to).unwrap());
    Blobs::put(&build, b"blob 3").unwrap();
    store.collect(0).unwrap().unwrap();
    assert_eq!(build.find_missing(&digests).unwrap(), digests[4..], "only what it never asked for is gone");
    drop(lease);
    // The collector's own lease must start later than the build's touches.
    std::thread::sleep(Duration::from_millis(20));
    store.collect(0).unwrap().unwrap();
    assert_eq!(store.find_missing(&digests).unwrap(), digests);
}

/// The operating system's files, and a build that uses one at the moment before it is put aside.
#[derive(Debug, Default)]
struct Meddler {
    used: Mutex<Option<PathBuf>>,
}

impl Volume for Meddler {
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        Os.make_directory(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Os.list(directory)
    }

    fn look(&self, path: &Path) -> io::Result<Seen> {
        Os.look(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        Os.open(path)
    }

    fn open_lock(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        Os.open_lock(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Handle>> {
        Os.create(path)
    }

    fn create_temporary(&self, directory: &Path, prefix: &str) -> io::Result<(Box<dyn Handle>, PathBuf)> {
        Os.create_temporary(directory, prefix)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.used.lock().unwrap().take_if(|used| used == from).is_some() {
            Os.touch(from)?;
        }
        Os.rename(from, to)
    }

    fn rename_first(&self, from: &Path, to: &Path) -> io::Result<()> {
        Os.rename_first(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Os.remove(path)
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        Os.touch(path)
    }

    fn date(&self, path: &Path, time: SystemTime) -> io::Result<()> {
        Os.date(path, time)
    }
}

#[test]
fn what_is_used_in_the_last_moment_is_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let meddler = Arc::new(Meddler::default());
    let store =
        DiskStore::open_on(Arc::clone(&meddler) as Arc<dyn Volume>, dir.path(), DigestFunction::Blake3).unwrap();
    let (used, unused) = (blob(&store, "used", 1), blob(&store, "not used", 1));
    *meddler.used.lock().unwrap() = files_of(&store, used).pop();
    assert_eq!(store.collect(0).unwrap().unwrap().n_blobs, 1);
    assert_eq!(store.find_missing(&[used, unused]).unwrap(), [unused]);
    assert!(meddler.used.lock().unwrap().is_none(), "it was used while the collector held it");
}

#[test]
fn what_is_lent_is_in_use_although_it_looks_old() {
    let (_dir, store) = disk();
    let (lent, other) = (blob(&store, "lent", 1), blob(&store, "other", 2));
    let lease = store.lease().unwrap();
    let path = store.lend(lent, false).unwrap().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), fixed_mtime());
    store.collect(0).unwrap().unwrap();
    drop(lease);
    assert_eq!(store.find_missing(&[lent, other]).unwrap(), [other]);
    store.collect(0).unwrap().unwrap();
    assert_eq!(store.find_missing(&[lent]).unwrap(), [lent], "nobody uses it any more");
}

#[test]
fn what_a_collector_held_when_it_died_is_put_back() {
    let (_dir, store) = disk();
    let (held, again) = (blob(&store, "held", 1), blob(&store, "made again", 1));
    for digest in [held, again] {
        let path = &files_of(&store, digest)[0];
        fs::rename(path, store.layout.aside(DigestFunction::Blake3, path)).unwrap();
    }
    assert_eq!(Blobs::put(&store, b"made again").unwrap(), again);
    store.collect(u64::MAX).unwrap().unwrap();
    assert_eq!(store.find_missing(&[held, again]).unwrap(), []);
    assert_eq!(fs::read_dir(store.layout.tmp()).unwrap().count(), 0);
}

#[test]
fn looking_at_everything_is_no_use() {
    let (_dir, store) = disk();
    let digest = action(&store, "one", 10);
    let files = [files_of(&store, digest)[0].clone(), store.layout.record(DigestFunction::Blake3, &key("one"))];
    let used = || files.each_ref().map(|file| fs::metadata(file).unwrap().accessed().unwrap());
    let before = used();
    store.verify_all().unwrap().unwrap();
    store.collect(u64::MAX).unwrap().unwrap();
    assert_eq!(used(), before);
}

#[test]
fn using_a_result_makes_it_young() {
    let (_dir, store) = disk();
    action(&store, "one", 10);
    action(&store, "two", 11);
    let lease = store.lease().unwrap();
    Results::get(&store, &key("one")).unwrap().unwrap();
    drop(lease);
    store.collect(bytes(&store) - 1).unwrap().unwrap();
    assert!(Results::get(&store, &key("one")).unwrap().is_some());
    assert_eq!(Results::get(&store, &key("two")).unwrap(), None);
}

#[test]
fn directories_hold_on_to_what_is_in_them() {
    let (_dir, store) = disk();
    let file = blob(&store, "a file in a directory", 1);
    let mut tree = crate::tree::Tree::new();
    let node = crate::tree::Node::File { digest: file, executable: false };
    tree.insert(&RelPath::new("a/b").unwrap(), node).unwrap();
    let tree = Blobs::put(&store, &tree.encode_whole(DigestFunction::Blake3)).unwrap();
    let mut with_tree = result(tree, Strength::Full);
    with_tree.outputs[0].node = OutputNode::Directory { tree };
    Results::put(&store, &key("t"), &with_tree).unwrap();
    let loose = blob(&store, "loose", 2);
    store.collect(bytes(&store) - 1).unwrap().unwrap();
    assert_eq!(store.find_missing(&[file, loose]).unwrap(), [loose]);
    for path in files_of(&store, file) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(store.collect(u64::MAX).unwrap().unwrap().n_results, 1, "it promises what is lost");
}

#[test]
fn abandoned_temporary_files_go_and_fresh_ones_stay() {
    let (_dir, store) = disk();
    for (name, day) in [("in-old", 1), ("in-new", 0)] {
        let path = store.layout.tmp().join(name);
        fs::write(&path, "half").unwrap();
        if day > 0 {
            age(&path, day);
        }
    }
    assert_eq!(store.collect(u64::MAX).unwrap().unwrap().n_abandoned, 1);
    assert!(store.layout.tmp().join("in-new").exists());
}

#[test]
fn one_collects_at_a_time() {
    let (dir, store) = disk();
    let other = fs::File::create(dir.path().join("gc.lock")).unwrap();
    other.lock().unwrap();
    assert_eq!(store.collect(0).unwrap(), None);
    assert_eq!(store.verify_all().unwrap(), None);
    drop(other);
    assert!(store.collect(0).unwrap().is_some());
}

#[test]
fn verification_drops_what_is_damaged_and_what_stood_for_it() {
    let (_dir, store) = disk();
    let (one, two) = (action(&store, "one", 10), action(&store, "two", 10));
    store.lend(two, true).unwrap().unwrap();
    overwrite(&files_of(&store, one)[0], |bytes| bytes[0] ^= 4);
    overwrite(&files_of(&store, two)[0], |bytes| bytes[0] ^= 4);
    let found = store.verify_all().unwrap().unwrap();
    assert_eq!((found.n_blobs, found.n_corrupt, found.n_results, found.n_dangling), (3, 2, 2, 1));
    assert!(Results::get(&store, &key("two")).unwrap().is_some(), "its executable file is still good");
    assert_eq!(store.verify_all().unwrap().unwrap().n_corrupt, 0);
}
