//! The oracle: a few lines that say what a clean build leaves, and know no keys, stores or caches.

use std::collections::{BTreeMap, BTreeSet};

use run_engine::action::{Action, ActionId, Input, Source, Work};
use run_engine::digest::DigestFunction;
use run_engine::files::scan::Sources;
use run_engine::path::RelPath;
use run_engine::testing::action::process;
use run_engine::testing::faults::Rng;
use run_engine::tree::{Node, Tree};

pub(super) const FUNCTION: DigestFunction = DigestFunction::Blake3;

/// What the user has, and what follows from it.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) steps: Vec<Step>,
    pub(super) sources: Vec<Vec<u8>>,
}

/// One action.
#[derive(Clone)]
pub(super) struct Step {
    pub(super) needs: Vec<usize>,
    pub(super) accelerator: Option<usize>,
    pub(super) halves: bool,
    pub(super) is_builtin: bool,
}

impl Model {
    pub(super) fn random(rng: &mut Rng) -> Self {
        let n_steps = 2 + rng.below(8);
        let mut steps: Vec<Step> = Vec::new();
        for at in 0..n_steps {
            let is_builtin = rng.chance(300);
            let needs: BTreeSet<usize> = (0..at.min(rng.below(4))).map(|_| rng.below(at)).collect();
            let needs: Vec<usize> = needs.into_iter().collect();
            let boosts = is_builtin && at > 0 && rng.chance(600);
            let accelerator = boosts.then(|| rng.below(at)).filter(|a| !needs.contains(a));
            steps.push(Step { needs, accelerator, halves: rng.chance(500), is_builtin });
        }
        let sources = (0..n_steps).map(|_| vec![b'a' + rng.below(6) as u8]).collect();
        Self { steps, sources }
    }

    /// The oracle: what a clean build would leave, or `None` where something needed fails.
    pub(super) fn made(&self, at: usize) -> Option<Vec<u8>> {
        let step = &self.steps[at];
        let mut read = self.sources[at].clone();
        for need in &step.needs {
            read.extend(self.made(*need)?);
        }
        if read.contains(&b'!') {
            return None;
        }
        let mut number = 7_u64;
        for byte in read {
            let byte = if step.halves { byte / 2 } else { byte };
            number = number.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(byte)).wrapping_add(1);
        }
        Some(format!("{number:x};").into_bytes())
    }

    /// What an action reads, by where it stands and who made it: what its reasons may speak of.
    pub(super) fn reads(&self, at: usize) -> Option<BTreeMap<(String, String), String>> {
        let digest = |bytes: &[u8]| FUNCTION.digest::<run_engine::digest::Blob>(bytes).to_string();
        let mut reads = BTreeMap::from([((SOURCE.to_owned(), String::new()), digest(&self.sources[at]))]);
        for need in &self.steps[at].needs {
            reads.insert((place_of(*need), label(*need)), digest(&self.made(*need)?));
        }
        Some(reads)
    }

    /// What has to be made for these: themselves and all they need.
    pub(super) fn needed(&self, wanted: &[usize]) -> BTreeSet<usize> {
        let mut needed = BTreeSet::new();
        let mut stack = wanted.to_vec();
        while let Some(at) = stack.pop() {
            if needed.insert(at) {
                stack.extend(&self.steps[at].needs);
            }
        }
        needed
    }

    pub(super) fn edit(&mut self, rng: &mut Rng) {
        let source = rng.below(self.sources.len());
        let source = &mut self.sources[source];
        match rng.below(10) {
            0 => *source = b"!".to_vec(),
            // The lowest bit is invisible to whoever halves.
            1..=4 if source[0] != b'!' => source[0] ^= 1,
            _ => *source = vec![b'a' + rng.below(6) as u8],
        }
    }

    /// The graph as the engine wants it.
    pub(super) fn lower(&self, sources: &mut Sources, tool: &'static str) -> Vec<Action> {
        let mut actions = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            let how = if step.halves { "half" } else { "whole" };
            let mut action = process(&label(at), &[tool, how, &at.to_string()]);
            if step.is_builtin {
                action.work = Work::Builtin { name: tool, revision: 1, args: vec![how.into(), at.to_string()] };
            }
            action.outputs = vec![path("out")];
            let mut tree = Tree::new();
            let digest = sources.made(&self.sources[at], FUNCTION);
            tree.insert(&path(SOURCE), Node::File { digest, executable: false }).expect("the tree is empty");
            action.inputs.push(Input { at: None, source: Source::Tree(tree) });
            for need in &step.needs {
                let source = Source::Output { action: id(*need), path: path("out") };
                action.inputs.push(Input { at: Some(path(&place_of(*need))), source });
            }
            action.accelerators = step.accelerator.iter().map(|a| (label(*a), id(*a), path("out"))).collect();
            actions.push(action);
        }
        actions
    }
}

/// Where an action's own source stands: before everything else.
pub(super) const SOURCE: &str = "0-source";

pub(super) fn place_of(producer: usize) -> String {
    format!("in/{producer:02}")
}

pub(super) fn label(at: usize) -> String {
    format!("step-{at:02}")
}

pub(super) fn id(at: usize) -> ActionId {
    ActionId(u32::try_from(at).expect("a small graph"))
}

pub(super) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path in a test")
}
