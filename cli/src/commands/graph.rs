//! `run v2 graph`: targets, actions and their edges, as a tree, for Graphviz, as JSON or as a page.

use std::collections::BTreeSet;

use clap::ValueEnum;
use run_engine::action::ActionId;
use run_engine::graph::ActionGraph;
use run_rules::manifest::TargetKind;
use run_rules::session::{Ask, Goal};
use run_rules::target::Target;
use serde_json::json;

use crate::context::Context;
use crate::fail::Failure;
use crate::put::put;

/// Show targets, actions and their edges
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The targets to show, with what they need; all of them by default
    targets: Vec<String>,
    /// Show the tests, and what they need
    #[arg(long)]
    tests: bool,
    /// How to show them
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Indented text
    Tree,
    /// Graphviz
    Dot,
    /// One document
    Json,
    /// A page that needs nothing else
    Html,
}

/// What is shown: actions in an order in which they could be run.
#[derive(Debug)]
struct Picture {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    label: String,
    /// The target that it belongs to, and what kind that is.
    target: Option<(String, &'static str)>,
    /// The nodes whose outputs it reads.
    needs: Vec<usize>,
    /// Where its outputs go in the workspace.
    exports: Vec<String>,
    /// Whether it is known to give other bytes at other times or places.
    varying: bool,
}

/// Shows them.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let goal = if args.tests { Goal::Tests } else { Goal::Outputs };
    let options = context.options(Ask { targets: args.targets.clone(), goal }, None)?;
    let session = context.open(options)?;
    let selection =
        session.select().map_err(|problem| Failure::diagnostics(vec![problem], session.root().to_owned()))?;
    let picture = picture(session.graph(), session.targets(), &selection.wanted, &|id| session.varies(id));
    let default = if context.console.is_json() { Format::Json } else { Format::Tree };
    match args.format.unwrap_or(default) {
        Format::Tree => context.console.data(&tree(&picture)),
        Format::Dot => context.console.data(&dot(&picture)),
        Format::Json => context.console.document(&document(&picture)),
        Format::Html => context.console.data(&html(&picture)),
    }
}

fn picture(graph: &ActionGraph, targets: &[Target], wanted: &[ActionId], varies: &dyn Fn(ActionId) -> bool) -> Picture {
    let shown = graph.closure(wanted);
    let position = |id: ActionId| shown.iter().position(|other| *other == id);
    let node = |id: &ActionId| {
        let owner = targets.iter().find(|target| target.actions.contains(id));
        Node {
            label: graph.action(*id).label.clone(),
            target: owner.map(|target| (target.name.clone(), kind(target.kind))),
            needs: graph.producers(*id).iter().filter_map(|id| position(*id)).collect(),
            exports: graph.exports().iter().filter(|e| e.action == *id).map(|e| e.to.to_string()).collect(),
            varying: varies(*id),
        }
    };
    Picture { nodes: shown.iter().map(node).collect() }
}

const fn kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Component => "component",
        TargetKind::Compose => "composition",
        TargetKind::Command => "command",
    }
}

impl Picture {
    /// The nodes that nobody here reads.
    fn tops(&self) -> Vec<usize> {
        let read: BTreeSet<usize> = self.nodes.iter().flat_map(|node| node.needs.iter().copied()).collect();
        (0..self.nodes.len()).filter(|n| !read.contains(n)).collect()
    }
}

impl Node {
    fn text(&self) -> String {
        let exports: String = self.exports.iter().map(|path| format!(" → {path}")).collect();
        let varying = if self.varying { " (not reproducible)" } else { "" };
        format!("{}{exports}{varying}", self.label)
    }
}

fn tree(picture: &Picture) -> String {
    let (mut text, mut told) = (String::new(), BTreeSet::new());
    for top in picture.tops() {
        put!(text, "{}\n", picture.nodes[top].text());
        told.insert(top);
        branches(picture, top, "", &mut told, &mut text);
    }
    text
}

/// What a node needs, below it. What was told in full before is named again and marked with `*`.
fn branches(picture: &Picture, node: usize, margin: &str, told: &mut BTreeSet<usize>, text: &mut String) {
    let needs = &picture.nodes[node].needs;
    for (n, need) in needs.iter().enumerate() {
        let (corner, below) = if n + 1 == needs.len() { ("└── ", "    ") } else { ("├── ", "│   ") };
        let is_new = told.insert(*need);
        let again = if is_new || picture.nodes[*need].needs.is_empty() { "" } else { " *" };
        put!(text, "{margin}{corner}{}{again}\n", picture.nodes[*need].text());
        if is_new {
            branches(picture, *need, &format!("{margin}{below}"), told, text);
        }
    }
}

fn dot(picture: &Picture) -> String {
    let mut text = "digraph run {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for (n, node) in picture.nodes.iter().enumerate() {
        let style = if node.varying { ", style=dashed" } else { "" };
        put!(text, "  n{n} [label={:?}{style}];\n", node.label);
        for need in &node.needs {
            put!(text, "  n{need} -> n{n};\n");
        }
    }
    text + "}\n"
}

fn document(picture: &Picture) -> serde_json::Value {
    let actions: Vec<_> = picture
        .nodes
        .iter()
        .map(|node| {
            let needs: Vec<&str> = node.needs.iter().map(|n| picture.nodes[*n].label.as_str()).collect();
            json!({
                "action": node.label,
                "target": node.target.as_ref().map(|(name, _)| name),
                "kind": node.target.as_ref().map(|(_, kind)| kind),
                "needs": needs,
                "exports": node.exports,
                "varying": node.varying,
            })
        })
        .collect();
    json!({ "schema": 1, "actions": actions })
}

fn html(picture: &Picture) -> String {
    let mut rows = String::new();
    for (n, node) in picture.nodes.iter().enumerate() {
        let link = |need: &usize| format!("<a href=\"#n{need}\">{}</a>", escape(&picture.nodes[*need].label));
        put!(
            rows,
            "<tr id=\"n{n}\"><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(node.target.as_ref().map_or("", |(name, _)| name)),
            escape(&node.label),
            node.needs.iter().map(link).collect::<Vec<_>>().join(", "),
            escape(&node.exports.join(", ")),
        );
    }
    format!("{PAGE_START}{rows}</table>\n")
}

const PAGE_START: &str = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>run: graph</title>\n\
    <style>body{font:14px sans-serif}td,th{text-align:left;padding:2px 12px}tr:target{background:#ffd}</style>\n\
    <table>\n<tr><th>target</th><th>action</th><th>needs</th><th>output</th></tr>\n";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Picture {
        let text = "wit\ncalc <- wit > target/calc.wasm\nhello\napp <- calc wit hello > target/app.wasm";
        let (actions, exports) = run_engine::testing::action::parse_graph(text);
        let graph = ActionGraph::new(actions, exports).expect("a graph");
        let app = graph.find("app").expect("it is there");
        let mut calc = graph.find("calc").into_iter().collect::<Vec<_>>();
        calc.push(app);
        let target = Target {
            name: "a<b".into(),
            kind: TargetKind::Compose,
            language: None,
            place: None,
            actions: calc,
            shape: None,
            component: None,
            native: None,
            interface: None,
            package: None,
            tests: Vec::new(),
            exports: Vec::new(),
            outputs: Vec::new(),
        };
        picture(&graph, &[target], &[app], &|_| false)
    }

    #[test]
    fn a_tree_tells_each_thing_once() {
        assert_eq!(
            tree(&sample()),
            "app → target/app.wasm\n\
             ├── wit\n\
             ├── calc → target/calc.wasm\n\
             │   └── wit\n\
             └── hello\n"
        );
    }

    #[test]
    fn dot_is_for_graphviz() {
        let text = dot(&sample());
        assert!(text.starts_with("digraph run {\n"), "{text}");
        assert_eq!(text.matches(" -> ").count(), 4, "{text}");
    }

    #[test]
    fn documents_name_what_they_mean() {
        let document = document(&sample());
        let app = document["actions"].as_array().expect("a list").last().expect("an action").clone();
        assert_eq!(
            app.to_string(),
            r#"{"action":"app","target":"a<b","kind":"composition","needs":["wit","calc","hello"],"exports":["target/app.wasm"],"varying":false}"#
        );
    }

    #[test]
    fn a_page_shows_names_and_never_obeys_them() {
        let page = html(&sample());
        assert!(page.contains("<td>a&lt;b</td>") && !page.contains("a<b"), "{page}");
    }
}
