//! 1 000 outputs of 1 KB from the store into an empty directory.
//!
//! Budget, processor time: 150 us an output. Opening and checking the store's file is 10 us, creating one 17 to 25 us
//! on a quiet file system and several times that on one that has just lost many, copying 1 KB 25 us, its mode and
//! its times 10 us.

use run_engine::digest::DigestFunction;
use run_engine::files::materialize::materialize;
use run_engine::path::RelPath;
use run_engine::store::Blobs as _;
use run_engine::store::disk::DiskStore;
use run_engine::tree::{Node, Tree};

use crate::harness::{Amount, Bench, Plan, measure};

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let n = plan.size(1_000);
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = DiskStore::open(&root.path().join("store"), DigestFunction::Blake3).expect("a store");
    let mut tree = Tree::new();
    for i in 0..n {
        let digest = store.put(format!("{i:016}").repeat(64).as_bytes()).expect("a blob");
        let path = RelPath::new(&format!("out/{}/{i}.txt", i / 100)).expect("a plain path");
        tree.insert(&path, Node::File { digest, executable: false }).expect("every path is another one");
    }
    let empty = || tempfile::tempdir_in(&root).expect("a directory");
    let made = measure(plan, empty, |to| {
        materialize(&tree, &to.path().join("tree"), &store).expect("a tree");
        // Handed back, so that it is removed where nobody measures.
        to
    });
    let budget = Amount::micros(150 * n as u64);
    bench.judge(&format!("materialising {n} outputs, cpu"), Amount::Time(made.cpu), budget, None);
    bench.show(&format!("materialising {n} outputs, wall"), Amount::Time(made.wall), None);
}
