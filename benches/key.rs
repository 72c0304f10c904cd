//! The keys of 10 000 actions with four inputs each: the input root, the key, and the record that explains it.
//!
//! Budget, processor time: 40 us an action. Hashing alone is 0.4 us; a root is five directories, each encoded and
//! hashed (5 x 2 us), two trees are merged (2 x 3 us), and a record is about forty short texts (40 x 0.1 us), which
//! makes 20 us in optimised code, and twice that in a build for development.

use run_engine::action::{Action, Input, Source};
use run_engine::digest::DigestFunction;
use run_engine::key::{InputRoot, encode};
use run_engine::path::RelPath;
use run_engine::testing::action::process;
use run_engine::tree::{Node, Tree};

use crate::harness::{Amount, Bench, Plan, measure};

const FUNCTION: DigestFunction = DigestFunction::Blake3;

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let n = plan.size(10_000);
    let actions = || (0..n).map(action).collect();
    let keys = measure(plan, actions, |actions: Vec<Action>| {
        let key = |action: &Action| {
            let root = InputRoot::assemble(action, FUNCTION, &mut |_, _| None).expect("no two inputs meet");
            let key = encode(action, &root.whole.digest(FUNCTION), "", FUNCTION).key;
            root.record(action, "", FUNCTION, &key)
        };
        actions.iter().map(key).collect::<Vec<_>>()
    });
    bench.judge(&format!("keys of {n} actions, cpu"), Amount::Time(keys.cpu), Amount::micros(40 * n as u64), None);
    bench.show("one of them, cpu", Amount::Time(keys.cpu / u32::try_from(n).expect("a number of actions")), None);
}

fn action(i: usize) -> Action {
    let path = |text: &str| RelPath::new(text).expect("a plain path");
    let mut tree = Tree::new();
    for part in 0..4 {
        let digest = FUNCTION.digest(format!("{i} {part}").as_bytes());
        tree.insert(&path(&format!("src/{part}/{i}.txt")), Node::File { digest, executable: false })
            .expect("four names");
    }
    let mut action = process(&format!("c{i} run"), &["tool/sh", "-c", &format!("cksum src/*/{i}.txt > out/{i}.txt")]);
    action.inputs = vec![Input { at: Some(path("work")), source: Source::Tree(tree) }];
    action.outputs = vec![path(&format!("out/{i}.txt"))];
    action.platform = [("OSFamily", "linux"), ("ISA", "x86_64")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    action
}
