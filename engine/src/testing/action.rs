//! Actions and graphs written as text.

use std::collections::BTreeMap;

use crate::action::{Action, ActionId, Input, Network, Place, Slot, Source, Word, Work};
use crate::graph::Export;
use crate::path::RelPath;

/// A process action with nothing but a command line.
#[must_use]
pub fn process(label: &str, argv: &[&str]) -> Action {
    Action {
        label: label.to_owned(),
        place: None,
        work: Work::Process { argv: argv.iter().map(|a| Word::from(*a)).collect() },
        env: BTreeMap::new(),
        directory: None,
        inputs: vec![],
        outputs: vec![],
        platform: BTreeMap::new(),
        timeout: None,
        network: Network::Denied,
        slot: Slot::Cpu,
        accelerators: vec![],
        varying: false,
    }
}

/// Reads a graph, an action a line: `name <- input input ~ accelerator > exported/path`. Each action makes one file,
/// `out`, and finds those it reads under their makers' names.
///
/// # Panics
/// On text that is not such a graph: it is part of a test.
#[must_use]
pub fn parse_graph(text: &str) -> (Vec<Action>, Vec<Export>) {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let name_of = |line: &str| line.split([' ', '\t']).next().unwrap_or_default().to_owned();
    let names: Vec<String> = lines.iter().map(|line| name_of(line)).collect();
    let find = |name: &str| {
        let at = names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no action is called `{name}`"));
        ActionId(u32::try_from(at).expect("a small graph"))
    };
    let path = |text: &str| RelPath::new(text).expect("a path in a test");
    let (mut actions, mut exports) = (Vec::new(), Vec::new());
    for (number, line) in lines.iter().enumerate() {
        let mut action = process(&names[number], &["tool", &names[number]]);
        action.place = Some(Place { file: "graph".into(), line: u32::try_from(number + 1).expect("a small graph") });
        action.outputs = vec![path("out")];
        let mut kind = "";
        for word in line.split_whitespace().skip(1) {
            match (kind, word) {
                (_, "<-" | "~" | ">") => kind = word,
                ("<-", name) => action.inputs.push(Input {
                    at: Some(path(name)),
                    source: Source::Output { action: find(name), path: path("out") },
                }),
                ("~", name) => action.accelerators.push((name.to_owned(), find(name), path("out"))),
                (">", to) => {
                    exports.push(Export { action: find(&names[number]), output: path("out"), to: path(to) });
                }
                _ => panic!("`{line}` is not a line of a graph"),
            }
        }
        actions.push(action);
    }
    (actions, exports)
}
