//! What targets have to do with each other: names given twice, names that nothing has, kinds that don't fit, disabled
//! targets that are needed, cycles.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Spanned, TargetKind};
use crate::diagnostic::{Diagnostic, suggest};
use crate::name::TargetName;

/// One declared target, with whom it names.
pub(super) struct Target<'a> {
    pub(super) name: &'a Spanned<TargetName>,
    pub(super) kind: TargetKind,
    pub(super) enabled: bool,
    pub(super) links: Vec<Link<'a>>,
}

/// A place where a target is named.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) to: &'a Spanned<TargetName>,
    /// Whether a command will do.
    pub(super) takes_commands: bool,
}

/// The declared targets by name; of those that share one, the first.
pub(super) struct Targets<'a> {
    file: &'a str,
    all: Vec<Target<'a>>,
    by_name: BTreeMap<&'a str, usize>,
}

impl<'a> Targets<'a> {
    /// Collects targets and reports the names that are given twice.
    pub(super) fn new(file: &'a str, all: Vec<Target<'a>>, problems: &mut Vec<Diagnostic>) -> Self {
        let mut by_name = BTreeMap::new();
        let mut by_folded_name = BTreeMap::new();
        let mut in_file_order: Vec<_> = (0..all.len()).collect();
        in_file_order.sort_by_key(|&id| all[id].name.span.start);
        for id in in_file_order {
            let name = all[id].name;
            by_name.entry(name.as_str()).or_insert(id);
            match by_folded_name.entry(name.folded()) {
                Entry::Vacant(free) => {
                    free.insert(id);
                }
                Entry::Occupied(first) => problems.push(duplicate(file, all[*first.get()].name, name)),
            }
        }
        Self { file, all, by_name }
    }

    /// The target of this name.
    pub(super) fn find(&self, name: &str) -> Option<&Target<'a>> {
        self.by_name.get(name).map(|&id| &self.all[id])
    }

    /// Reports every link that leads nowhere, or where it may not.
    pub(super) fn check(&self, problems: &mut Vec<Diagnostic>) {
        for target in &self.all {
            for link in &target.links {
                problems.extend(self.link_problem(target, *link));
            }
            self.repeated(target, problems);
        }
        problems.extend(self.cycles());
    }

    /// What to say of a name that no target has.
    pub(super) fn unknown(&self, name: &Spanned<TargetName>) -> Diagnostic {
        let help = match suggest(name.as_str(), self.by_name.keys().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.by_name.is_empty() => "declare it, for example in a table `[[component]]`".to_owned(),
            None => {
                let names: Vec<_> = self.by_name.keys().map(|name| format!("`{name}`")).collect();
                format!("the targets are {}", super::listed(&names, "and"))
            }
        };
        Diagnostic::error("unknown-target", format!("no target is called `{}`", name.value))
            .at(self.file, name.span.clone(), "")
            .help(help)
    }

    fn link_problem(&self, from: &Target<'_>, link: Link<'_>) -> Option<Diagnostic> {
        let Some(to) = self.find(link.to.as_str()) else { return Some(self.unknown(link.to)) };
        let (from_name, to_name) = (&from.name.value, &to.name.value);
        if to.kind == TargetKind::Command && !link.takes_commands {
            let message = format!("`{to_name}` is a command, and only components can be composed");
            return Some(
                Diagnostic::error("wrong-kind", message)
                    .at(self.file, link.to.span.clone(), "")
                    .at(self.file, to.name.span.clone(), "declared here")
                    .help("name a component or a composition"),
            );
        }
        if from.enabled && !to.enabled {
            let message = format!("`{from_name}` needs `{to_name}`, which is disabled");
            return Some(
                Diagnostic::error("disabled-target", message)
                    .at(self.file, link.to.span.clone(), "")
                    .at(self.file, to.name.span.clone(), "disabled here")
                    .help(format!("remove `enabled = false` from `{to_name}`, or disable `{from_name}` too")),
            );
        }
        None
    }

    /// Reports the names that a target gives more than once: what would twice the same component mean?
    fn repeated(&self, target: &Target<'_>, problems: &mut Vec<Diagnostic>) {
        let mut first_of = BTreeMap::new();
        for link in &target.links {
            if let Some(first) = first_of.insert(&link.to.value, link.to) {
                let message = format!("`{}` names `{}` twice", target.name.value, link.to.value);
                problems.push(
                    Diagnostic::error("repeated-target", message)
                        .at(self.file, link.to.span.clone(), "")
                        .at(self.file, first.span.clone(), "named here too")
                        .help("remove one of them; every target takes part once"),
                );
            }
        }
    }

    /// Every cycle that a walk in file order closes; a graph without reports has none.
    fn cycles(&self) -> Vec<Diagnostic> {
        let mut states = vec![State::New; self.all.len()];
        let mut found = Vec::new();
        for start in 0..self.all.len() {
            self.walk(start, &mut states, &mut found);
        }
        found
    }

    /// Walks depth first with a stack of its own, since a chain of targets may be longer than ours is deep.
    fn walk(&self, start: usize, states: &mut [State], found: &mut Vec<Diagnostic>) {
        if states[start] != State::New {
            return;
        }
        states[start] = State::Open;
        // Each target on the path, with the number of its next link.
        let mut path = vec![(start, 0)];
        while let Some((id, next)) = path.last_mut() {
            let Some(link) = self.all[*id].links.get(*next) else {
                states[*id] = State::Done;
                path.pop();
                continue;
            };
            *next += 1;
            let Some(&to) = self.by_name.get(link.to.as_str()) else { continue };
            match states[to] {
                State::New => {
                    states[to] = State::Open;
                    path.push((to, 0));
                }
                State::Open => {
                    let from = path.iter().position(|(id, _)| *id == to).unwrap_or(0);
                    // The link last taken from each is the one before its next.
                    let links = path[from..].iter().map(|&(id, next)| self.all[id].links[next - 1].to).collect();
                    found.push(self.cycle(links));
                }
                State::Done => {}
            }
        }
    }

    /// Describes the cycle that these links form, from the one that stands first in the file.
    fn cycle(&self, mut links: Vec<&Spanned<TargetName>>) -> Diagnostic {
        let first = (0..links.len()).min_by_key(|&i| links[i].span.start).unwrap_or(0);
        links.rotate_left(first);
        let last = links[links.len() - 1];
        if links.len() == 1 {
            return Diagnostic::error("cycle", format!("`{}` depends on itself", last.value))
                .at(self.file, last.span.clone(), "")
                .help("remove this name");
        }
        let names: Vec<_> =
            std::iter::once(last).chain(links.iter().copied()).map(|n| format!("`{}`", n.value)).collect();
        let diagnostic = Diagnostic::error("cycle", format!("these targets need each other: {}", names.join(" → ")));
        links
            .iter()
            .enumerate()
            .fold(diagnostic, |d, (i, to)| {
                d.at(self.file, to.span.clone(), format!("{} needs {}", names[i], names[i + 1]))
            })
            .help("remove one of these names; what several targets share can be a target of its own")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// On the path from where the walk began.
    Open,
    Done,
}

fn duplicate(file: &str, first: &Spanned<TargetName>, second: &Spanned<TargetName>) -> Diagnostic {
    let message = if first.value == second.value {
        format!("two targets are called `{}`", second.value)
    } else {
        format!("the names `{}` and `{}` differ only in case", first.value, second.value)
    };
    Diagnostic::error("duplicate-target", message)
        .at(file, second.span.clone(), "")
        .at(file, first.span.clone(), "first used here")
        .help("rename one of them; each names a file in the output directory")
}
