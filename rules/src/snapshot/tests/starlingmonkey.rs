//! JavaScript in StarlingMonkey. Its engine is large: every test here is one of one engine.

use std::io::Read as _;

use run_engine::cancel::Cancel;
use wac_graph::{CompositionGraph, EncodeOptions};
use wac_types::Package;

use super::*;
use crate::builtin;
use crate::snapshot::modules::Modules;
use crate::snapshot::starlingmonkey::{self, Bindings, Handler, Program as Script};

/// A file of the npm package, which npm brings into the temporary directory where it is not yet.
fn package_file(file: &str) -> Vec<u8> {
    const PACKAGE: &str = "@bytecodealliance/componentize-js@0.23.0";
    let archive = std::env::temp_dir().join("run-tests-componentize-js-0.23.0.tgz");
    if !archive.is_file() {
        let own = tempfile::tempdir().unwrap();
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(own.path()).arg(PACKAGE);
        assert!(npm.current_dir(own.path()).status().expect("npm runs").success(), "npm brings {PACKAGE}");
        let brought = std::fs::read_dir(own.path()).unwrap().flatten().next().expect("npm left an archive").path();
        // Whole at once, for others who look.
        let beside = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(&brought, beside.path()).unwrap();
        beside.persist(&archive).unwrap();
    }
    let archive = flate2::read::GzDecoder::new(std::fs::File::open(archive).unwrap());
    let mut archive = tar::Archive::new(archive);
    let wanted = Path::new("package").join(file);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|entry| entry.path().unwrap() == wanted).expect("the package has the file");
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    bytes
}

struct Loaded {
    world: World,
    engine: Engine,
    bindings: Bindings,
    open: Component,
}

impl Loaded {
    fn load(&self, sources: &[(&str, &str)]) -> Result<(Vec<u8>, Vec<u8>), Stopped> {
        let program = Script {
            world: &self.world,
            handler: Handler::Exported,
            modules: Modules::new(files(sources)),
            entry: sources[0].0,
        };
        let (linked, bindings) = (&self.engine.linked, self.bindings.clone());
        starlingmonkey::snapshot(linked, &self.open, bindings, program, &Cancel::new())
    }
}

const WORLD: &str = "
package demo:all;
interface types {
  enum colour { red, dark-green }
  flags access { read, write-back }
  record inner { name: string, tags: list<string> }
  variant shape { blank, circle(f64), named(inner) }
  resource counter {
    constructor(start: u32);
    add: func(n: u32) -> u32;
  }
  shapes: func(s: list<shape>) -> list<shape>;
  turn: func(c: colour, a: access) -> tuple<colour, access>;
  maybe: func(x: option<u32>, y: option<option<string>>) -> tuple<option<u32>, option<option<string>>>;
  results: func(r: list<result<u8, string>>) -> list<result<u8, string>>;
  lists: func(b: list<u8>, c: list<u32>) -> list<u64>;
  numbers: func(a: u64, b: s64, c: f32, d: f64, e: char, f: bool) -> tuple<u64, s64, f32, f64, char, bool>;
  fail: func(which: u8) -> result<string, shape>;
  make: func(start: u32) -> counter;
  take: func(c: counter) -> u32;
  crash: func() -> u32;
}
world all {
  import log: func(line: string);
  export types;
  export loaded-at: func() -> tuple<u64, bool, string>;
  export wasi:cli/run@0.2.12;
}
";

const PROGRAM: &str = r#"
import { double } from './lib/double';
import data from './data.json';
import { log } from '$root';
class Counter {
  constructor(start) { this.n = start; }
  add(n) { this.n += n; return this.n; }
}
const loaded = Date.now();
console.log('loading', typeof log, Math.random() < 1);
export const loadedAt = () => [loaded, Date.now() >= loaded, new TextDecoder().decode(new TextEncoder().encode(data.text))];
export const types = {
  Counter,
  shapes: (s) => s.map((x) => (x.tag === 'circle' ? { tag: 'circle', val: double(x.val) } : x)),
  turn: (c, a) => [c === 'red' ? 'dark-green' : 'red', { read: !a.read, writeBack: !a.writeBack }],
  maybe: (x, y) => [x === undefined ? 7 : undefined, y],
  results: (r) => r.map((x) => (x.tag === 'ok' ? { tag: 'err', val: `${x.val}` } : { tag: 'ok', val: x.val.length })),
  lists: (b, c) => BigUint64Array.from([...b, ...c], BigInt),
  numbers: (...all) => all,
  async fail(which) {
    await new Promise((done) => setTimeout(done, 1));
    if (which === 0) return 'one';
    throw which === 1 ? { tag: 'blank' } : Object.assign(new Error('no'), { payload: { tag: 'circle', val: 2 } });
  },
  make: (start) => new Counter(start),
  take: (c) => c.n,
  crash: () => null.x,
};
export const run = { run() { console.log('hello'); console.error('there'); } };
"#;

#[test]
fn a_program_in_starlingmonkey() {
    let cancel = Cancel::new();
    let splicer = starlingmonkey::splicer_component(&package_file("lib/spidermonkey-embedding-splicer.core.wasm"));
    let splicer = splicer.unwrap_or_else(|e| panic!("{e}"));
    let compiled = runtime().compile(&splicer).unwrap();
    let module = package_file("lib/starlingmonkey_embedding.wasm");
    let world = world(WORLD);
    let make = || starlingmonkey::engine(&world, Handler::Exported, &compiled, &module, &cancel);
    let (engine, bindings) = make().unwrap_or_else(|e| panic!("{e:?}"));
    assert!(make().unwrap() == (engine.clone(), bindings.clone()), "the same world gives the same engine");
    let open = runtime().compile(&engine.open).unwrap();
    let ready = Loaded { world, engine, bindings, open };

    let sources = [
        ("src/app.js", PROGRAM),
        ("src/lib/double.js", "export const double = (x) => 2 * x;"),
        ("src/data.json", r#"{ "text": "aü€😀" }"#),
    ];
    let (bytes, said) = ready.load(&sources).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(String::from_utf8_lossy(&said), "loading function true\n");
    assert!(bytes == ready.load(&sources).unwrap().0, "the same program gives the same component");
    expect_digests(
        "starlingmonkey.txt",
        &[
            (&builtin::STARLINGMONKEY_SPLICER, "component.wasm", &splicer),
            (&builtin::STARLINGMONKEY_ENGINE, "engine.wasm", &ready.engine.linked),
            (&builtin::STARLINGMONKEY_ENGINE, "component.wasm", &ready.engine.open),
            (&builtin::STARLINGMONKEY_SNAPSHOT, "component.wasm", &bytes),
        ],
    );
    what_is_wrong_is_said_in_its_own_terms(&ready);

    let interface = validate::validate(&bytes, Some(&ready.world)).unwrap_or_else(|e| panic!("{e}")).wit;
    for absent in ["wasi:http", "wasi:sockets", "wasi:filesystem", "wasi:cli/environment", "run:starlingmonkey"] {
        assert!(!interface.contains(absent), "{absent} is in it:\n{interface}");
    }
    checked(&ready.world, &bytes);
    let whole = runtime().compile(&plugged(LOG, &bytes)).unwrap_or_else(|e| panic!("{e}"));
    check_values(&Program::new(whole));
}

/// What the program imports, so that it can be run.
const LOG: &str = r#"(component
  (core module $m (memory (export "memory") 1) (func (export "log") (param i32 i32))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "log") (param "line" string) (canon lift (core func $i "log")
    (memory $i "memory") (realloc (func $i "realloc")))))"#;

/// A component whose imports another one, in text form, satisfies.
fn plugged(plug: &str, socket: &[u8]) -> Vec<u8> {
    let mut graph = CompositionGraph::new();
    let mut add = |name: &str, bytes: Vec<u8>| {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut()).unwrap();
        graph.register_package(package).unwrap()
    };
    let (plug, socket) = (add("test:plug", wat::parse_str(plug).unwrap()), add("test:socket", socket.to_vec()));
    wac_graph::plug(&mut graph, vec![plug], socket).unwrap();
    graph.encode(EncodeOptions::default()).unwrap()
}

#[track_caller]
fn check_values(program: &Program) {
    for (function, args, expected) in [
        ("loaded-at", &[][..], "(0, true, \"aü€😀\")"),
        (
            "shapes",
            &["[blank, circle(1.5), named({name: \"x\", tags: [\"t\"]})]"],
            "[blank, circle(3), named({name: \"x\", tags: [\"t\"]})]",
        ),
        ("turn", &["red", "{read}"], "(dark-green, {write-back})"),
        ("maybe", &["none", "some(some(\"s\"))"], "(some(7), some(some(\"s\")))"),
        ("maybe", &["some(1)", "some(none)"], "(none, some(none))"),
        ("results", &["[ok(3), err(\"four\")]"], "[err(\"3\"), ok(4)]"),
        ("lists", &["[1, 255]", "[4294967295]"], "[1, 255, 4294967295]"),
        (
            "numbers",
            &["18446744073709551615", "-5", "1.5", "2.5", "'ü'", "true"],
            "(18446744073709551615, -5, 1.5, 2.5, 'ü', true)",
        ),
        ("fail", &["0"], "ok(\"one\")"),
        ("fail", &["1"], "err(blank)"),
        ("fail", &["2"], "err(circle(2))"),
    ] {
        assert_eq!(value(&call(program, function, args)), expected, "{function}");
    }
    let crash = String::from_utf8(call(program, "crash", &[]).stderr).unwrap();
    assert!(crash.contains("null has no properties") && crash.contains("src/app.js:31"), "{crash}");
    let outcome = program.run_command(&["app".to_owned()]).unwrap();
    assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_slice()), (&b"hello\n"[..], &b"there\n"[..]));
    assert_eq!(outcome.ending.exit_status(), 0);
}

#[track_caller]
fn what_is_wrong_is_said_in_its_own_terms(ready: &Loaded) {
    let refusal = |source| refused(ready.load(&[("src/app.js", source)]));
    assert_eq!(
        refusal("console.log('hi');\nexport const types = {\n  add( {\n};"),
        "src/app.js:4:1 SyntaxError: missing formal parameter:"
    );
    assert_eq!(
        refusal("console.log('hi');\nfunction inner() { null.x; }\ninner();"),
        "hi\nsrc/app.js:2:20 TypeError: null has no properties\nStack:\n  inner@src/app.js:2:20\n  @src/app.js:3:1"
    );
    let all = PROGRAM.replace("export const loadedAt", "const loadedAt").replace("crash:", "crush:");
    let all = all.replace("./lib/double", "./app.js").replace("./data.json", "./app.js");
    let all = all.replace("import { double }", "import * as double").replace("import data", "import * as data");
    assert_eq!(
        refusal(&all).lines().collect::<Vec<_>>(),
        [
            "loading function true",
            "src/app.js: `demo:all/types` exports `crash`, but this module has no function `types.crash`",
            "src/app.js: the world exports `loaded-at`, but this module has no function `loadedAt`",
        ]
    );
    let too_early = refusal("import { log } from '$root'; log('early');");
    assert!(too_early.contains("`log` was called while the program was loaded"), "{too_early}");
    let gone = refusal("import './gone.js';");
    assert!(gone.contains("\"./gone.js\"") && gone.contains("No such file"), "{gone}");
}
