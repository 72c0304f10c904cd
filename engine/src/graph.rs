//! `ActionGraph`: actions joined by what they produce and consume. Cycles and double writers are rejected at birth.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::action::{Action, ActionId, Place, Source};
use crate::path::RelPath;

/// A checked graph: every edge leads to an action that declares the output, nothing needs itself, every label is
/// unique, and no two exports write one path.
#[derive(Debug)]
pub struct ActionGraph {
    actions: Vec<Action>,
    /// For each action, those whose outputs are in its input root; sorted, each once.
    producers: Vec<Vec<ActionId>>,
    /// For each action, those it feeds; sorted, each once.
    consumers: Vec<Vec<ActionId>>,
    /// Producers before consumers; accelerators too.
    order: Vec<ActionId>,
    exports: Vec<Export>,
}

/// An output that is copied to a path of the workspace when the action that makes it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Who makes it.
    pub action: ActionId,
    /// Which of its outputs.
    pub output: RelPath,
    /// Where it goes, from the workspace's root.
    pub to: RelPath,
}

/// Why a set of actions is not a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphError {
    /// These actions need each other, each the next and the last the first.
    Cycle(Vec<Named>),
    /// Two actions write one path of the workspace.
    DuplicateOutput {
        /// The path.
        path: RelPath,
        /// Who declared it first.
        first: Named,
        /// Who declared it again.
        second: Named,
    },
    /// Two actions have one label.
    DuplicateLabel {
        /// The first.
        first: Named,
        /// The second.
        second: Named,
    },
    /// An action reads something its producer does not declare.
    UnknownOutput {
        /// Who reads it.
        consumer: Named,
        /// Whose it should be; `None` when there is no such action at all.
        producer: Option<Named>,
        /// What is read.
        path: RelPath,
    },
}

/// An action as an error speaks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its label.
    pub label: String,
    /// Where the user asked for it.
    pub place: Option<Place>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(Place { file, line }) => write!(f, "`{}` ({file}:{line})", self.label),
            None => write!(f, "`{}`", self.label),
        }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycle(round) if round.len() == 1 => write!(f, "{} depends on itself", round[0]),
            Self::Cycle(round) => {
                f.write_str("these actions need each other: ")?;
                for named in round {
                    write!(f, "{named} → ")?;
                }
                write!(f, "`{}`", round[0].label)
            }
            Self::DuplicateOutput { path, first, second } => {
                write!(f, "`{path}` is written by two actions: {first} and {second}")
            }
            Self::DuplicateLabel { first, second } => write!(f, "two actions have one name: {first} and {second}"),
            Self::UnknownOutput { consumer, producer: Some(producer), path } => {
                write!(f, "{consumer} reads `{path}`, which {producer} does not produce")
            }
            Self::UnknownOutput { consumer, producer: None, path } => {
                write!(f, "{consumer} reads `{path}` of an action that is not in the graph")
            }
        }
    }
}

impl std::error::Error for GraphError {}

impl ActionGraph {
    /// Checks and joins actions; the id of each is its position.
    ///
    /// # Errors
    /// Every [`GraphError`] there is, not only the first.
    pub fn new(actions: Vec<Action>, exports: Vec<Export>) -> Result<Self, Vec<GraphError>> {
        let mut errors = Vec::new();
        check_labels(&actions, &mut errors);
        check_reads(&actions, &exports, &mut errors);
        check_exports(&actions, &exports, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(actions.len(), actions.len() * 2);
        for _ in &actions {
            graph.add_node(());
        }
        let mut producers = vec![Vec::new(); actions.len()];
        let mut consumers = vec![Vec::new(); actions.len()];
        for (consumer, action) in (0u32..).map(ActionId).zip(&actions) {
            for producer in reads(action).map(|(producer, _)| producer) {
                producers[consumer.index()].push(producer);
                consumers[producer.index()].push(consumer);
            }
            for producer in reads(action).chain(boosts(action)).map(|(producer, _)| producer) {
                graph.update_edge(NodeIndex::new(producer.index()), NodeIndex::new(consumer.index()), ());
            }
        }
        for list in producers.iter_mut().chain(&mut consumers) {
            list.sort_unstable();
            list.dedup();
        }
        let order = match toposort(&graph, None) {
            Ok(order) => order.into_iter().map(id_of).collect(),
            Err(_) => return Err(cycles(&graph, &actions)),
        };
        Ok(Self { actions, producers, consumers, order, exports })
    }

    /// How many actions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Every id.
    pub fn ids(&self) -> impl Iterator<Item = ActionId> + use<> {
        (0..u32::try_from(self.actions.len()).expect("ids are 32 bits wide")).map(ActionId)
    }

    /// One action.
    #[must_use]
    pub fn action(&self, id: ActionId) -> &Action {
        &self.actions[id.index()]
    }

    /// Those whose outputs `id` reads.
    #[must_use]
    pub fn producers(&self, id: ActionId) -> &[ActionId] {
        &self.producers[id.index()]
    }

    /// Those that read what `id` makes.
    #[must_use]
    pub fn consumers(&self, id: ActionId) -> &[ActionId] {
        &self.consumers[id.index()]
    }

    /// Every id, producers before consumers.
    #[must_use]
    pub fn order(&self) -> &[ActionId] {
        &self.order
    }

    /// What is copied into the workspace.
    #[must_use]
    pub fn exports(&self) -> &[Export] {
        &self.exports
    }

    /// The action with this label.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<ActionId> {
        self.ids().find(|id| self.action(*id).label == label)
    }

    /// `wanted` and everything they need, in [`ActionGraph::order`]. Accelerators are left out: they are asked for only
    /// when an action that could use them really runs.
    #[must_use]
    pub fn closure(&self, wanted: &[ActionId]) -> Vec<ActionId> {
        let mut needed = vec![false; self.len()];
        let mut stack = wanted.to_vec();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut needed[id.index()], true) {
                stack.extend(self.producers(id));
            }
        }
        self.order.iter().copied().filter(|id| needed[id.index()]).collect()
    }
}

fn id_of(node: NodeIndex) -> ActionId {
    ActionId(u32::try_from(node.index()).expect("ids are 32 bits wide"))
}

/// What an action reads of others.
fn reads(action: &Action) -> impl Iterator<Item = (ActionId, &RelPath)> {
    action.inputs.iter().filter_map(|input| match &input.source {
        Source::Output { action, path } => Some((*action, path)),
        _ => None,
    })
}

/// What makes an action faster.
fn boosts(action: &Action) -> impl Iterator<Item = (ActionId, &RelPath)> {
    action.accelerators.iter().map(|(_, id, path)| (*id, path))
}

fn named(action: &Action) -> Named {
    Named { label: action.label.clone(), place: action.place.clone() }
}

fn check_labels(actions: &[Action], errors: &mut Vec<GraphError>) {
    let mut seen: HashMap<&str, &Action> = HashMap::new();
    for action in actions {
        if let Some(first) = seen.insert(&action.label, action) {
            errors.push(GraphError::DuplicateLabel { first: named(first), second: named(action) });
        }
    }
}

fn check_reads(actions: &[Action], exports: &[Export], errors: &mut Vec<GraphError>) {
    let declares = |id: ActionId, path: &RelPath| {
        actions.get(id.index()).is_some_and(|producer| producer.outputs.iter().any(|out| path.starts_with(out)))
    };
    for action in actions {
        for (producer, path) in reads(action).chain(boosts(action)) {
            if !declares(producer, path) {
                errors.push(GraphError::UnknownOutput {
                    consumer: named(action),
                    producer: actions.get(producer.index()).map(named),
                    path: path.clone(),
                });
            }
        }
    }
    for export in exports {
        if !declares(export.action, &export.output) {
            let producer = actions.get(export.action.index()).map(named);
            let consumer = Named { label: export.to.to_string(), place: None };
            errors.push(GraphError::UnknownOutput { consumer, producer, path: export.output.clone() });
        }
    }
}

/// Two exports clash when one is the other or lies inside it. In path order an inner path comes after the outer one
/// with only other inner paths between, so the chain of open outer paths is enough to compare with.
fn check_exports(actions: &[Action], exports: &[Export], errors: &mut Vec<GraphError>) {
    let mut by_path: BTreeMap<Vec<&str>, Vec<&Export>> = BTreeMap::new();
    for export in exports {
        by_path.entry(export.to.parts().collect()).or_default().push(export);
    }
    let mut open: Vec<&Export> = Vec::new();
    for export in by_path.into_values().flatten() {
        open.retain(|outer| export.to.starts_with(&outer.to));
        if let Some(outer) = open.last()
            && outer.action.index() < actions.len()
            && export.action.index() < actions.len()
        {
            errors.push(GraphError::DuplicateOutput {
                path: export.to.clone(),
                first: named(&actions[outer.action.index()]),
                second: named(&actions[export.action.index()]),
            });
        }
        open.push(export);
    }
}

/// One cycle for each knot of the graph, as a round that a person can follow.
fn cycles(graph: &DiGraph<(), ()>, actions: &[Action]) -> Vec<GraphError> {
    let mut found = Vec::new();
    for knot in tarjan_scc(graph) {
        let start = *knot.iter().min().expect("a component has a node");
        if knot.len() == 1 && graph.find_edge(start, start).is_none() {
            continue;
        }
        let inside: std::collections::HashSet<NodeIndex> = knot.into_iter().collect();
        found.push(GraphError::Cycle(
            round(graph, start, &inside).into_iter().map(|n| named(&actions[n.index()])).collect(),
        ));
    }
    found
}

/// The shortest way from `start` back to itself, each node needing the next.
fn round(graph: &DiGraph<(), ()>, start: NodeIndex, inside: &std::collections::HashSet<NodeIndex>) -> Vec<NodeIndex> {
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        // Edges run from producer to consumer; a reader follows what each one needs.
        for needs in graph.neighbors_directed(at, petgraph::Direction::Incoming).filter(|n| inside.contains(n)) {
            if needs == start {
                let mut way = vec![at];
                while let Some(before) = came_from.get(way.last().expect("never empty")) {
                    way.push(*before);
                }
                way.reverse();
                return way;
            }
            if needs != start && !came_from.contains_key(&needs) {
                came_from.insert(needs, at);
                queue.push_back(needs);
            }
        }
    }
    vec![start]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::action;

    fn check(text: &str) -> Result<ActionGraph, String> {
        let (actions, exports) = action::parse_graph(text);
        ActionGraph::new(actions, exports)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn producers_come_first_and_closures_are_exact() {
        let graph = check("a\nb <- a\nc\nd <- b c").unwrap();
        let labels =
            |ids: &[ActionId]| ids.iter().map(|i| graph.action(*i).label.as_str()).collect::<Vec<_>>().join(" ");
        assert_eq!(labels(&graph.closure(&[graph.find("b").unwrap()])), "a b");
        assert_eq!(graph.closure(&[graph.find("d").unwrap()]).len(), 4);
        assert_eq!(labels(graph.consumers(graph.find("a").unwrap())), "b");
    }

    #[test]
    fn cycles_are_named_as_the_round_they_are() {
        assert_eq!(
            check("a <- c\nb <- a\nc <- b").unwrap_err(),
            "these actions need each other: `a` (graph:1) → `c` (graph:3) → `b` (graph:2) → `a`"
        );
        assert_eq!(check("a <- a").unwrap_err(), "`a` (graph:1) depends on itself");
    }

    #[test]
    fn double_writers_and_unknown_reads_name_both_sides() {
        assert_eq!(
            check("a > out/x\nb > out/x").unwrap_err(),
            "`out/x` is written by two actions: `a` (graph:1) and `b` (graph:2)"
        );
        assert_eq!(
            check("a > out\nc > out-2\nb > out/x").unwrap_err(),
            "`out/x` is written by two actions: `a` (graph:1) and `b` (graph:3)"
        );
        assert_eq!(check("a\na").unwrap_err(), "two actions have one name: `a` (graph:1) and `a` (graph:2)");
    }
}
