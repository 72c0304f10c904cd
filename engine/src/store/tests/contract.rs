//! The contract of `Blobs` and `Results`, asked of both stores, and any sequence of operations compared between them.

use proptest::prelude::*;

use super::*;
use crate::store::memory::MemoryStore;

/// What both traits promise together.
trait Store: Blobs + Results {}
impl<S: Blobs + Results> Store for S {}

fn both(check: impl Fn(&dyn Store)) {
    check(&MemoryStore::new(DigestFunction::Blake3));
    let (_dir, store) = disk();
    check(&store);
}

#[test]
fn bytes_come_back_as_they_went_in() {
    both(|store| {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, 4096, 3_000_000] {
            let bytes = vec![7; size];
            let source = dir.path().join(format!("source-{size}"));
            fs::write(&source, &bytes).unwrap();
            let digest = DigestFunction::Blake3.digest(&bytes);
            assert_eq!(store.find_missing(&[digest]).unwrap(), [digest]);
            assert_eq!(Blobs::get(store, digest).unwrap(), None);
            assert_eq!(store.put_file(&source).unwrap(), digest);
            assert_eq!(Blobs::put(store, &bytes).unwrap(), digest, "again");
            assert_eq!(store.find_missing(&[digest]).unwrap(), []);
            assert_eq!(Blobs::get(store, digest).unwrap(), Some(bytes));
        }
    });
}

#[test]
fn copies_are_new_files_of_their_own() {
    both(|store| {
        let dir = tempfile::tempdir().unwrap();
        let digest = Blobs::put(store, b"tool").unwrap();
        for executable in [false, true, true] {
            let to = dir.path().join("copy");
            assert!(store.copy_to(digest, executable, &to).unwrap());
            let meta = fs::metadata(&to).unwrap();
            assert_eq!(meta.permissions().mode() & 0o777, if executable { 0o755 } else { 0o644 });
            assert_eq!(meta.modified().unwrap(), fixed_mtime());
            assert_eq!(store.copy_to(digest, executable, &to).unwrap_err().path, to, "never over what is there");
            fs::write(&to, "scribbled").unwrap();
            fs::remove_file(&to).unwrap();
        }
        assert_eq!(Blobs::get(store, digest).unwrap().unwrap(), b"tool");
        let lost = DigestFunction::Blake3.digest(b"lost");
        assert!(!store.copy_to(lost, false, &dir.path().join("none")).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    });
}

#[test]
fn the_first_result_stands_unless_a_stronger_one_comes() {
    both(|store| {
        let blobs: Vec<_> = (0..4_u8).map(|i| Blobs::put(store, &[i]).unwrap()).collect();
        let bare = result(blobs[0], Strength::Bare);
        assert_eq!(Results::get(store, &key("k")).unwrap(), None);
        assert_eq!(Results::put(store, &key("k"), &bare).unwrap(), bare);
        assert_eq!(Results::put(store, &key("k"), &result(blobs[1], Strength::Bare)).unwrap(), bare);
        let full = result(blobs[2], Strength::Full);
        assert_eq!(Results::put(store, &key("k"), &full).unwrap(), full);
        assert_eq!(Results::put(store, &key("k"), &bare).unwrap(), full);
        assert_eq!(Results::get(store, &key("k")).unwrap(), Some(full));
        store.forget(&key("k")).unwrap();
        store.forget(&key("k")).unwrap();
        assert_eq!(Results::get(store, &key("k")).unwrap(), None);
    });
}

#[test]
fn claims_exclude_until_they_are_dropped() {
    both(|store| {
        let claim = store.try_claim(&key("k")).unwrap();
        assert!(claim.is_some());
        assert!(store.try_claim(&key("k")).unwrap().is_none());
        assert!(store.try_claim(&key("other")).unwrap().is_some());
        drop(claim);
        assert!(store.try_claim(&key("k")).unwrap().is_some());
    });
}

/// One thing that can happen to a store. Small numbers, so that they meet.
#[derive(Debug, Clone)]
enum Op {
    Put(u8),
    PutFile(u8),
    Get(u8),
    Copy(u8, bool),
    Missing(Vec<u8>),
    Lend(u8, bool),
    Remove(u8),
    Flip(u8, usize),
    Record(u8, u8, bool),
    Recall(u8),
    Forget(u8),
    Reopen,
    Lease,
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..6_u8;
    prop_oneof![
        4 => n().prop_map(Op::Put),
        1 => n().prop_map(Op::PutFile),
        3 => n().prop_map(Op::Get),
        3 => (n(), any::<bool>()).prop_map(|(n, x)| Op::Copy(n, x)),
        1 => prop::collection::vec(n(), 0..4).prop_map(Op::Missing),
        1 => (n(), any::<bool>()).prop_map(|(n, x)| Op::Lend(n, x)),
        1 => n().prop_map(Op::Remove),
        1 => (n(), 0..64_usize).prop_map(|(n, bit)| Op::Flip(n, bit)),
        2 => (n(), n(), any::<bool>()).prop_map(|(k, n, full)| Op::Record(k, n, full)),
        1 => n().prop_map(Op::Recall),
        1 => n().prop_map(Op::Forget),
        1 => Just(Op::Reopen),
        1 => Just(Op::Lease),
    ]
}

fn content(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) * 1000]
}

fn digest(n: u8) -> BlobDigest {
    DigestFunction::Blake3.digest(&content(n))
}

/// Does one thing to a store and tells all that can be seen of it.
fn observe(store: &dyn Store, op: &Op, dir: &Path) -> String {
    let file = dir.join("file");
    let seen = match op {
        Op::Put(n) => format!("{:?}", Blobs::put(store, &content(*n)).unwrap()),
        Op::PutFile(n) => {
            fs::write(&file, content(*n)).unwrap();
            format!("{:?}", store.put_file(&file).unwrap())
        }
        Op::Get(n) => format!("{:?}", Blobs::get(store, digest(*n)).unwrap()),
        Op::Copy(n, executable) => {
            let copied = store.copy_to(digest(*n), *executable, &file).unwrap();
            format!("{copied} {:?}", fs::read(&file).ok())
        }
        Op::Missing(wanted) => {
            let wanted: Vec<_> = wanted.iter().map(|n| digest(*n)).collect();
            format!("{:?}", store.find_missing(&wanted).unwrap())
        }
        Op::Record(k, n, full) => {
            let strength = if *full { Strength::Full } else { Strength::Bare };
            format!("{:?}", Results::put(store, &key(&k.to_string()), &result(digest(*n), strength)).unwrap())
        }
        Op::Recall(k) => format!("{:?}", Results::get(store, &key(&k.to_string())).unwrap()),
        Op::Forget(k) => format!("{:?}", store.forget(&key(&k.to_string())).unwrap()),
        Op::Lend(..) | Op::Remove(_) | Op::Flip(..) | Op::Reopen | Op::Lease => String::new(),
    };
    let _ = fs::remove_file(&file);
    seen
}

/// What only one of the stores has a method for.
fn harm(memory: &MemoryStore, disk: &DiskStore, op: &Op) {
    match op {
        Op::Remove(n) => {
            memory.remove_blob(digest(*n));
            for path in files_of(disk, digest(*n)) {
                fs::remove_file(path).unwrap();
            }
        }
        Op::Flip(n, bit) => {
            memory.flip_bit(digest(*n), *bit);
            for path in files_of(disk, digest(*n)) {
                overwrite(&path, |bytes| {
                    if !bytes.is_empty() {
                        let bit = bit % (bytes.len() * 8);
                        bytes[bit / 8] ^= 1 << (bit % 8);
                    }
                });
            }
        }
        Op::Lend(n, executable) => {
            let lent = disk.lend(digest(*n), *executable).unwrap().map(|path| {
                let meta = fs::metadata(&path).unwrap();
                assert_eq!(meta.permissions().mode() & 0o222, 0, "nobody may write to it");
                assert_eq!(meta.modified().unwrap(), fixed_mtime());
                fs::read(path).unwrap()
            });
            assert_eq!(lent, Blobs::get(memory, digest(*n)).unwrap());
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_does_what_the_memory_does(ops in prop::collection::vec(op(), 1..40)) {
        let memory = MemoryStore::new(DigestFunction::Blake3);
        let (dir, mut disk) = disk();
        let scratch = tempfile::tempdir().unwrap();
        let mut leases = Vec::new();
        for op in &ops {
            match op {
                Op::Reopen => disk = DiskStore::open(dir.path(), DigestFunction::Blake3).unwrap(),
                Op::Lease => leases.push(disk.lease().unwrap()),
                op => harm(&memory, &disk, op),
            }
            prop_assert_eq!(observe(&memory, op, scratch.path()), observe(&disk, op, scratch.path()), "{:?}", op);
        }
        prop_assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}
