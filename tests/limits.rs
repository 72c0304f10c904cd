//! What a guest may use: each limit ends it, is named, says what to do about it, and is nowhere cached.

use std::fs;

use super::support::{Workspace, words};

/// A guest for every appetite. Its functions never end by themselves.
const SPENDER: &str = r#"(module
  (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.12" "get-stderr" (func $stderr (result i32)))
  (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $timer (param i64) (result i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (func (export "spin") (loop br 0))
  (func $deep (export "deep") call $deep)
  (func (export "grow")
    (loop (if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable)) br 0))
  (func (export "widen")
    (loop
      (if (i32.eq (table.grow $table (ref.null func) (i32.const 100000)) (i32.const -1)) (then unreachable))
      br 0))
  ;; Does not care whether anybody takes what it writes.
  (func $flood (param i32) (loop (call $write (local.get 0) (i32.const 0) (i32.const 4096) (i32.const 8192)) br 0))
  (func (export "shout") (call $flood (call $stdout)))
  (func (export "complain") (call $flood (call $stderr)))
  (func (export "hoard") (loop (drop (call $timer (i64.const 1))) br 0))
  ;; Notices that there is no more memory, copes, and fails for a reason of its own.
  (func (export "cope") (drop (memory.grow (i32.const 30000))) (drop (i32.div_s (i32.const 1) (i32.const 0)))))
"#;

const WIT: &str = "package demo:spend;\n\nworld spend {\n  import wasi:cli/stdout@0.2.12;\n  \
    import wasi:cli/stderr@0.2.12;\n  import wasi:io/streams@0.2.12;\n  import wasi:clocks/monotonic-clock@0.2.12;\n  \
    export spin: func();\n  export deep: func();\n  export grow: func();\n  export widen: func();\n  \
    export shout: func();\n  export complain: func();\n  export hoard: func();\n  export cope: func();\n}\n";

/// Of each function: its name, what limits it, and what is said.
const LIMITS: [(&str, &str, &[&str]); 8] = [
    ("spin", "--fuel 1000000", &["the fuel limit of 1000000 units was used up", "`--fuel`"]),
    ("spin", "--timeout 300ms", &["the time limit of [ELAPSED] ran out", "`--timeout`"]),
    ("deep", "", &["the stack limit of 1048576 bytes was hit", "the stack's size is fixed"]),
    (
        "grow",
        "--memory 64MiB",
        &["`unreachable` instruction", "the memory limit of 67108864 bytes was hit", "`--memory`"],
    ),
    ("widen", "--memory 64MiB", &["the memory limit of 67108864 bytes was hit", "`--memory`"]),
    ("shout", "", &["the output limit of 16777216 bytes was hit", "write less"]),
    ("complain", "", &["the output limit of 16777216 bytes was hit"]),
    ("hoard", "", &["the limit of 100000 handles was hit", "the number is fixed"]),
];

fn project() -> Workspace {
    let workspace = Workspace::new();
    let manifest = "[project]\nname = \"spend\"\nversion = \"1.0.0\"\n\n\
        [[component]]\nname = \"spend\"\nsource = \"spend.wat\"\nwit = \"spend.wit\"\n";
    for (name, text) in [("run.toml", manifest), ("spend.wit", WIT), ("spend.wat", SPENDER)] {
        fs::write(workspace.directory().join(name), text).expect("the project can be written");
    }
    workspace
}

#[test]
fn every_limit_is_enforced_and_named() {
    let workspace = project();
    for level in ["", "--debug"] {
        for (function, flags, says) in LIMITS {
            let line = format!("v2 exec -q {level} spend --function {function} {flags}");
            let ended = workspace.run(&workspace.directory(), "run", &words(&line));
            assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{line}");
            let error = ended.stderr.rfind("error: ").map_or("", |at| &ended.stderr[at..]);
            assert!(error.starts_with(&format!("error: `{function}` was stopped: ")), "{line}\n{error}");
            for text in says {
                assert!(error.contains(text), "{line} does not say `{text}`\n{error}");
            }
        }
    }
}

#[test]
fn how_a_guest_really_ended_is_told_beside_the_memory_it_did_not_get() {
    let workspace = project();
    let ended = workspace.v2("exec -q spend --function cope");
    let first =
        "error: `cope` was stopped: integer divide by zero, after the memory limit of 1073741824 bytes was hit: ";
    assert!(ended.stderr.starts_with(first), "{}", ended.stderr);
}

/// The keys of a test do what the flags of `exec` do, and nothing that ended at a limit is remembered.
#[test]
fn a_test_that_hits_a_limit_fails_and_is_run_again() {
    let workspace = project();
    let file = workspace.directory().join("run.toml");
    let mut manifest = fs::read_to_string(&file).expect("it was just written");
    for (n, (function, flags, _)) in LIMITS.iter().enumerate() {
        let key = match words(flags).as_slice() {
            [flag, value] if flag == "--fuel" => format!("fuel = {value}\n"),
            [flag, value] => format!("{} = \"{value}\"\n", flag.trim_start_matches("--")),
            _ => String::new(),
        };
        manifest.extend([format!(
            "\n[[test]]\nname = \"t{n}\"\ncomponent = \"spend\"\nfunction = \"{function}\"\nexpected = \"()\"\n{key}"
        )]);
    }
    fs::write(&file, manifest).expect("it can be written");
    for time in ["first", "second"] {
        let ended = workspace.v2("test");
        assert_eq!(ended.status, 3, "{}", ended.stderr);
        for (n, (_, _, says)) in LIMITS.iter().enumerate() {
            let told = ended.stdout.split(&format!("FAIL t{n}\n")).nth(1);
            let told = told.unwrap_or_else(|| panic!("t{n} does not fail the {time} time\n{}", ended.stdout));
            let told: String = told.lines().take_while(|line| line.starts_with(' ')).take(2).collect();
            for text in *says {
                assert!(told.contains(text), "t{n} does not say `{text}` the {time} time\n{told}");
            }
        }
        assert!(ended.stdout.ends_with("0 passed, 8 failed\n"), "{time}\n{}", ended.stdout);
    }
}

/// A component of many parts: `things` in each core module, `modules` instances of it in each of `parts`.
fn crowd(things: &str, modules: usize, parts: usize) -> String {
    let instances: String = (0..modules).map(|_| "(core instance (instantiate $m))").collect();
    let whole: String = (0..parts).map(|_| "(instance (instantiate $part))").collect();
    format!(
        "(component (component $part (core module $m {things}) {instances}) {whole}\n\
         (core module $f (func (export \"f\"))) (core instance $i (instantiate $f))\n\
         (func (export \"f\") (canon lift (core func $i \"f\"))))"
    )
}

/// A machine without memory is neither a limit of the guest's nor a verdict on it.
#[test]
fn a_machine_without_memory_is_this_machines_matter() {
    let workspace = project();
    let file = workspace.directory().join("run.toml");
    let test = "\n[[test]]\ncomponent = \"spend\"\nfunction = \"spin\"\nexpected = \"()\"\nfuel = 1000\n";
    let manifest = fs::read_to_string(&file).expect("it was just written") + test;
    fs::write(&file, manifest).expect("it can be written");
    assert_eq!(workspace.v2("exec -q spend --function spin --fuel 1").status, 1);
    for line in ["exec -q spend --function spin --fuel 1", "test -q spin"] {
        let script = format!("ulimit -v 4000000; exec run v2 {line}");
        let ended = workspace.run(&workspace.directory(), "sh", &["-c".to_owned(), script]);
        assert_eq!(ended.status, 36, "{line}\n{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("this machine has no memory for the component"), "{line}\n{}", ended.stderr);
    }
}

#[test]
fn what_is_counted_has_an_end() {
    let workspace = Workspace::new();
    let memories = crowd(&"(memory 0) ".repeat(100), 11, 1);
    let tables = crowd(&"(table 0 funcref) ".repeat(100), 101, 1);
    let instances = crowd("", 101, 100);
    let crowds = [(memories, "1000 memories"), (tables, "10000 tables"), (instances, "10000 core instances")];
    for (text, limit) in crowds {
        fs::write(workspace.directory().join("crowd.wat"), text).expect("it can be written");
        let ended = workspace.v2("exec crowd.wat --function f");
        let says = format!("error: `f` was stopped: the limit of {limit} was hit\n");
        assert_eq!(ended.status, 1, "{limit}\n{}", ended.stderr);
        assert!(ended.stderr.contains(&says), "{limit}\n{}", ended.stderr);
    }
    let few = crowd("(memory 0) (table 0 funcref)", 9, 100);
    fs::write(workspace.directory().join("crowd.wat"), few).expect("it can be written");
    let ended = workspace.v2("exec crowd.wat --function f");
    assert_eq!(ended.status, 0, "{}", ended.stderr);
}
