//! An edit in a Go module of sixty packages, to a checked component, over `go build` of the same module by the same Go, with
//! its own cache warm: what somebody would type without us. Ours makes a component of the module and checks that, besides.
//!
//! Budget, processor time: 1.1 times that. The sketch for a body: two commands of 15 ms and 150 ms in sandboxes of 3 ms, where go
//! looks at every package once more, 150 ms; making and checking a component of 3 MB, 100 ms.

use std::fmt::Write as _;
use std::fs;

use crate::harness::{Amount, Bench, Plan, Usage, median, run};
use crate::workspace::Workspace;

const PACKAGES: usize = 60;
/// The package that is edited: most others import it, though not by themselves.
const EDITED: usize = 10;
const FUNCTIONS: usize = 25;

const RUN_TOML: &str = "[project]\nname = \"large\"\nversion = \"0.1.0\"\n\n\
                        [[component]]\nname = \"large\"\nsource = \".\"\nlanguage = \"go\"\n";

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    if plan.is_quick {
        bench.note("go: takes half a minute; left out of a quick run");
        return;
    }
    let workspace = Workspace::with(&files());
    workspace.bring(&["go"]);
    let go = workspace.toolchain("go-1").join("tree");
    let cache = workspace.directory().join("../home/go");
    let by_go = || {
        let args = ["build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "../large.wasm", "."];
        let mut command = workspace.other(go.join("bin/go").to_str().expect("a plain path"), &args);
        command.env_clear().env("GOROOT", &go).env("GOCACHE", &cache).env("GOPATH", "/nonexistent");
        run(command.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local"), ("GOPROXY", "off")]))
    };
    let by_us = || run(&mut workspace.run(&["v2", "build"]));
    by_go();
    by_us();
    type Edit = fn(usize) -> String;
    let edits: [(&str, Edit); 2] = [("a body", body), ("what a package exports", export)];
    for (what, edit) in edits {
        let (mut ours, mut theirs): (Vec<Usage>, Vec<Usage>) = (vec![], vec![]);
        for round in 0..plan.rounds() {
            fs::write(workspace.directory().join(file(EDITED)), edit(round)).expect("a file");
            theirs.push(by_go());
            ours.push(by_us());
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let name = format!("an edit of {what}, {PACKAGES} packages, cpu");
        bench.judge_ratio(&name, Amount::Time(ours.cpu), Amount::Time(theirs.cpu), 1.1);
        bench.show("  the same, wall", Amount::Time(ours.wall), Some(Amount::Time(theirs.wall)));
    }
}

/// The edited package, with another body of a function.
fn body(round: usize) -> String {
    package(EDITED).replacen("i%2 == 0", &format!("i%2 == 0 && i != {}", 1000 + round), 1)
}

/// The edited package, with another function.
fn export(round: usize) -> String {
    format!("{}\n// More is new.\nfunc More{round}() int {{ return {round} }}\n", package(EDITED))
}

fn file(number: usize) -> String {
    format!("p{number}/p.go")
}

fn files() -> Vec<(String, String)> {
    let mut main = "package main\n\nimport (\n\t\"fmt\"\n".to_owned();
    let mut calls = String::new();
    for number in 0..PACKAGES {
        writeln!(main, "\t\"example.com/large/p{number}\"").expect("a string has room");
        writeln!(calls, "\tfmt.Println(p{number}.F0(3, \"x\"))").expect("a string has room");
    }
    write!(main, ")\n\nfunc main() {{\n{calls}}}\n").expect("a string has room");
    let written = [("run.toml", RUN_TOML), ("go.mod", "module example.com/large\n\ngo 1.24\n"), ("main.go", &main)];
    let written = written.map(|(name, text)| (name.to_owned(), text.to_owned()));
    written.into_iter().chain((0..PACKAGES).map(|number| (file(number), package(number)))).collect()
}

/// Some hundred lines of Go, which call the package before.
fn package(number: usize) -> String {
    let before = number.checked_sub(1);
    let import = before.map_or_else(String::new, |before| format!("\t\"example.com/large/p{before}\"\n"));
    let mut text = format!("package p{number}\n\nimport (\n\t\"fmt\"\n\t\"strings\"\n{import})\n");
    for function in 0..FUNCTIONS {
        let call = before.filter(|_| function == 0);
        let call = call.map_or_else(String::new, |before| format!("\tparts = append(parts, p{before}.F0(a-1, b))\n"));
        write!(
            text,
            "\n// F{function} repeats a text.\nfunc F{function}(a int, b string) string {{\n\tvar parts []string\n\t\
             for i := 0; i < a; i++ {{\n\t\tif i%{} == 0 {{\n\t\t\tparts = append(parts, fmt.Sprintf(\"%d-%s\", i, b))\n\t\t\
             }} else {{\n\t\t\tparts = append(parts, strings.Repeat(b, i%3))\n\t\t}}\n\t}}\n{call}\t\
             return strings.Join(parts, \",\")\n}}\n",
            function + 2
        )
        .expect("a string has room");
    }
    text
}
