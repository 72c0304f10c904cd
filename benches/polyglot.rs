//! `fixtures/polyglot`, a component in each of seven languages and a test of each: built from nothing but compilers that
//! are there, then with nothing to do, then with everything in the store and nothing in the project, then after an edit
//! in each language.
//!
//! Budgets, processor time: 60 ms for nothing to do (eight components, sixty actions, some 10 000 files of toolchains: a
//! look at the sources and at one stamp for each toolchain, as in `exec.rs`); 2 % of the first build for all of it from the store. An
//! edit in one language, built and tested, may take 1.1 times what the tools take by themselves: the compiler, which is the
//! longest action of the build, and Wasmtime, which compiles each composition that the part is in to code of this machine
//! before it can run a test of it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use run_rules::host::{OptLevel, Runtime};
use wasmtime::component::Component;

use crate::harness::{Amount, Bench, Plan, Usage, measure_once, median, run};
use crate::workspace::Workspace;

/// The targets, each of which is part of all those after it.
const TARGETS: [&str; 8] = ["parcels", "codes", "routes", "rates", "customs", "labels", "counter", "app"];

/// What is edited in each language, in the order of [`TARGETS`]: the file, and what is added to it. `N` is another number each
/// time, and ends up in the component.
const EDITS: &[(&str, &str, &str)] = &[
    ("Rust", "parcels/src/lib.rs", "#[used]\nstatic EDIT_N: u32 = N;"),
    ("C", "codes/codes.c", "__attribute__((export_name(\"edit-N\"))) int edit_N(void) { return N; }"),
    ("Go", "routes/roads/roads.go", "var EditN = func() int { println(\"edit N\"); return N }()"),
    ("Zig", "rates/main.zig", "export fn edit_N() u32 {\n    return N;\n}"),
    ("TypeScript", "customs/index.ts", "Reflect.set(globalThis, \"editN\", N);"),
    ("JavaScript", "labels/index.js", "globalThis.editN = N;"),
    ("Python", "counter/app.py", "EDIT_N = N"),
];

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    if plan.is_quick {
        bench.note("polyglot: takes minutes; left out of a quick run");
        return;
    }
    let workspace = Workspace::of("fixtures/polyglot");
    workspace.bring(&["go", "zig", "javascript", "typescript", "python"]);
    let v2 = |line: &str| {
        let words: Vec<&str> = std::iter::once("v2").chain(line.split(' ')).collect();
        run(&mut workspace.run(&words))
    };
    let first = v2("test");
    bench.show("first build and tests, cpu", Amount::Time(first.cpu), None);
    bench.show("first build and tests, wall", Amount::Time(first.wall), None);
    v2("build");
    let often = |line: &str| median((0..plan.rounds()).map(|_| v2(line)).collect());
    let nothing = often("build");
    bench.judge("nothing to build, cpu", Amount::Time(nothing.cpu), Amount::millis(60), None);
    bench.show("nothing to build, wall", Amount::Time(nothing.wall), None);
    bench.show("nothing to test, cpu", Amount::Time(often("test").cpu), None);
    let again: Vec<Usage> = (0..5)
        .map(|_| {
            v2("clean");
            v2("build")
        })
        .collect();
    bench.judge_ratio("all of it from the store, cpu", Amount::Time(median(again).cpu), Amount::Time(first.cpu), 0.02);
    v2("test");
    let runtime = Runtime::new(OptLevel::Speed).expect("this machine runs components");
    let wasmtime = TARGETS.map(|target| {
        let file = workspace.directory().join(format!("target/wasm/{target}.wasm"));
        let whole = std::fs::read(file).expect("it was built");
        measure_once(|| Component::new(runtime.engine(), &whole).expect("it is a component")).cpu
    });
    for (index, (language, file, more)) in EDITS.iter().enumerate() {
        let (mut usages, mut compiling) = (Vec::new(), Vec::new());
        let edit = |number: u32| append(&workspace.directory().join(file), &more.replace('N', &number.to_string()));
        for round in 0..5 {
            edit(2 * round);
            compiling.push(compile_time(&workspace));
            edit(2 * round + 1);
            usages.push(v2("test"));
        }
        compiling.sort_unstable();
        let (usage, compiling) = (median(usages), compiling[compiling.len() / 2]);
        let tools = compiling + wasmtime[index..].iter().sum::<Duration>();
        let what = format!("an edit in {language}, built and tested, cpu");
        bench.judge_ratio(&what, Amount::Time(usage.cpu), Amount::Time(tools), 1.1);
        bench.show(
            "  the same, wall, over its compiler alone",
            Amount::Time(usage.wall),
            Some(Amount::Time(compiling)),
        );
    }
}

fn append(file: &Path, lines: &str) {
    let text = std::fs::read_to_string(file).expect("a source of the fixture");
    std::fs::write(file, format!("{text}\n{lines}\n")).expect("it can be written");
}

/// Builds, and says how long the longest action took: the one that compiles.
fn compile_time(workspace: &Workspace) -> Duration {
    let mut build = workspace.run(&["v2", "build", "--json"]);
    let output = build.stderr(Stdio::null()).output().expect("the program can be started");
    assert!(output.status.success(), "the fixture builds");
    let events = String::from_utf8(output.stdout).expect("events are text");
    let events = events.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
    let built = events.filter(|event: &serde_json::Value| event["event"] == "built");
    let longest = built.filter_map(|event| event["duration_ms"].as_u64()).max();
    Duration::from_millis(longest.expect("something was edited"))
}
