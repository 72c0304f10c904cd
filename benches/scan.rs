//! Looking at 10 000 files of 1 KB: hashing all of them, and the stat pass when their stamps are known.
//!
//! Budgets, processor time. Hashing: open, read, close and two `fstat` are 9 us a file and the hash 1 us, so 100 ms.
//! Known: `statx` relative to a directory 1.8 us, a look into a map and a path 1 us, so 30 ms.

use std::fs;
use std::time::{Duration, SystemTime};

use run_engine::digest::DigestFunction;
use run_engine::files::stat_cache::{StatCache, digest_files};
use run_engine::path::RelPath;

use crate::harness::{Amount, Bench, Plan, measure};

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let n = plan.size(10_000);
    let root = tempfile::tempdir().expect("a temporary directory");
    let path = |i: usize| RelPath::new(&format!("src/{}/{i}.txt", i / 100)).expect("a plain path");
    let files: Vec<RelPath> = (0..n).map(path).collect();
    for (i, file) in files.iter().enumerate() {
        let file = root.path().join(file);
        fs::create_dir_all(file.parent().expect("it lies in `src`")).expect("a directory");
        fs::write(file, format!("{i:016}").repeat(64)).expect("a file");
    }
    // Later than the last tick in which one was written, so that stamps are believed.
    let looked = SystemTime::now() + Duration::from_secs(3);
    let fresh = || StatCache::new(DigestFunction::Blake3, looked);
    let scan = |mut cache: StatCache| {
        assert!(digest_files(root.path(), &files, &mut cache).iter().all(Result::is_ok), "every file is there");
        cache
    };
    let known = scan(fresh()).to_bytes();
    let hashed = measure(plan, fresh, scan);
    let budget = |micros: u64| Amount::micros(micros * n as u64);
    bench.judge(&format!("hashing {n} files, cpu"), Amount::Time(hashed.cpu), budget(10), None);
    bench.show(&format!("hashing {n} files, wall"), Amount::Time(hashed.wall), None);
    let stated = measure(plan, || StatCache::from_bytes(&known, DigestFunction::Blake3, looked), scan);
    bench.judge(&format!("known stamps of {n} files, cpu"), Amount::Time(stated.cpu), budget(3), None);
    bench.show(&format!("known stamps of {n} files, wall"), Amount::Time(stated.wall), None);
}
