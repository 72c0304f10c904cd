//! Many threads, many processes, and processes that are killed, on one store.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::*;

/// Content that everyone agrees on: digest and bytes both follow from the number.
fn content(n: usize) -> Vec<u8> {
    (0..1000 + n * 997).map(|i| (i * (n + 1) % 251) as u8).collect()
}

/// Uses a store the way builds do, and panics when it ever breaks a promise.
fn hammer(store: &DiskStore, seed: usize) {
    let scratch = tempfile::tempdir().unwrap();
    let _lease = store.lease().unwrap();
    let mut kept = Vec::new();
    for round in 0..60 {
        let n = (seed * 7 + round * 13) % 40;
        let bytes = content(n);
        let digest = DigestFunction::Blake3.digest(&bytes);
        match (seed + round) % 5 {
            0 => {
                let file = scratch.path().join("in");
                fs::write(&file, &bytes).unwrap();
                assert_eq!(store.put_file(&file).unwrap(), digest);
                kept.push(digest);
            }
            1 => {
                let to = scratch.path().join(round.to_string());
                if store.copy_to(digest, round % 2 == 0, &to).unwrap() {
                    assert_eq!(fs::read(&to).unwrap(), bytes);
                }
            }
            2 => {
                let found = Blobs::get(store, digest).unwrap();
                assert!(found.is_none_or(|found| found == bytes));
            }
            3 => {
                if let Some(path) = store.lend(digest, true).unwrap() {
                    assert_eq!(fs::read(path).unwrap(), bytes);
                }
            }
            _ => {
                assert_eq!(Blobs::put(store, &bytes).unwrap(), digest);
                kept.push(digest);
            }
        }
        run_once(store, n);
    }
    assert!(kept.iter().all(|digest| is_kept(store, *digest)), "lost what the lease protects");
}

/// The collector may hold a blob aside for an instant before it puts it back.
fn is_kept(store: &DiskStore, digest: BlobDigest) -> bool {
    (0..3).any(|again| {
        std::thread::sleep(Duration::from_millis(again));
        Blobs::get(store, digest).unwrap().is_some()
    })
}

/// What two builds of one action do: the one that gets the claim runs it, and everybody gets its result.
fn run_once(store: &DiskStore, n: usize) {
    let key = key(&format!("action {n}"));
    let Some(_claim) = store.try_claim(&key).unwrap() else { return };
    if Results::get(store, &key).unwrap().is_none() {
        let output = Blobs::put(store, &content(n)).unwrap();
        let mine = result(output, Strength::Full);
        assert_eq!(Results::put(store, &key, &mine).unwrap(), mine, "nobody else may have run it");
    }
}

#[test]
fn eight_threads_share_a_store() {
    let (_dir, store) = disk();
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let store = &store;
            scope.spawn(move || hammer(store, seed));
        }
    });
    let verified = store.verify_all().unwrap().unwrap();
    assert_eq!((verified.n_corrupt, verified.n_dangling), (0, 0), "{verified:?}");
}

#[test]
fn of_many_threads_one_has_the_claim() {
    let (dir, _) = disk();
    let running = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            // Stores of their own, as separate processes have.
            let store = DiskStore::open(dir.path(), DigestFunction::Blake3).unwrap();
            let running = &running;
            scope.spawn(move || {
                for n in (0..200).map(|i| i % 3) {
                    if let Some(claim) = store.try_claim(&key(&n.to_string())).unwrap() {
                        assert!(running.lock().unwrap().insert(n), "two at once");
                        std::thread::yield_now();
                        running.lock().unwrap().remove(&n);
                        drop(claim);
                    }
                }
            });
        }
    });
}

/// This test binary again, running one of the ignored tests below with `input`.
fn child(test: &str, input: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("store::tests::processes::{test}"), "--ignored", "--nocapture"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "{input}").unwrap();
    child
}

/// The seed and the store of a child; `None` when a person runs the ignored tests.
fn task() -> Option<(usize, DiskStore)> {
    let input = std::io::read_to_string(std::io::stdin()).unwrap();
    let (seed, root) = input.split_once(' ')?;
    Some((seed.parse().unwrap(), DiskStore::open(Path::new(root), DigestFunction::Blake3).unwrap()))
}

#[test]
fn several_processes_share_a_store_while_it_is_collected() {
    let (dir, store) = disk();
    let mut children: Vec<_> =
        (0..4).map(|i| child("child_hammers", &format!("{i} {}", dir.path().display()))).collect();
    let mut n_collected = 0;
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        n_collected += store.collect(100_000).unwrap().unwrap().n_blobs;
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    n_collected += store.collect(100_000).unwrap().unwrap().n_blobs;
    let verified = store.verify_all().unwrap().unwrap();
    assert_eq!((verified.n_corrupt, verified.n_dangling), (0, 0), "{verified:?}");
    assert!(n_collected > 0 && store.stats().unwrap().per_function[&DigestFunction::Blake3].n_blobs > 0);
}

#[test]
#[ignore = "run by the test above, as a process of its own"]
fn child_hammers() {
    if let Some((seed, store)) = task() {
        hammer(&store, seed);
    }
}

#[test]
fn a_process_killed_in_the_middle_of_its_writes_does_no_harm() {
    let (dir, store) = disk();
    for round in 0..6 {
        let mut child = child("child_writes_for_ever", &format!("{round} {}", dir.path().display()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("holding")), "it never began");
        let busy = key("held by the child");
        assert!(store.try_claim(&busy).unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(store.try_claim(&busy).unwrap().is_some(), "a claim dies with its process");
        assert_eq!(super::super::lease::oldest_live(&store.layout).unwrap(), None, "and so does a lease");
        let verified = store.verify_all().unwrap().unwrap();
        assert_eq!((verified.n_corrupt, verified.n_dangling), (0, 0), "{verified:?}");
    }
    assert!(store.stats().unwrap().per_function[&DigestFunction::Blake3].n_results > 0);
}

#[test]
#[ignore = "run and killed by the test above, as a process of its own"]
fn child_writes_for_ever() {
    let Some((seed, store)) = task() else { return };
    let _lease = store.lease().unwrap();
    let _claim = store.try_claim(&key("held by the child")).unwrap().unwrap();
    writeln!(std::io::stdout(), "holding").unwrap();
    for n in (0_u64..).map(|n| n * 10 + seed as u64) {
        let bytes: Vec<u8> = n.to_le_bytes().into_iter().cycle().take(200_000).collect();
        let output = Blobs::put(&store, &bytes).unwrap();
        Results::put(&store, &key(&n.to_string()), &result(output, Strength::Full)).unwrap();
    }
}
