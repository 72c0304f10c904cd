//! JavaScript in StarlingMonkey. Its engine is large: every test here is one of one engine.

use std::io::Read as _;
use std::sync::LazyLock;

use run_engine::cancel::Cancel;

use super::*;
use crate::builtin;
use crate::snapshot::modules::Modules;
use crate::snapshot::starlingmonkey::{self, Bindings, Handler, Program as Script};

/// The npm package, which npm brings unless it has it already.
static PACKAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    const PACKAGE: &str = "@bytecodealliance/componentize-js@0.23.0";
    let own = tempfile::tempdir().unwrap();
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--ignore-scripts", "--prefer-offline", PACKAGE]);
    assert!(npm.current_dir(own.path()).status().expect("npm runs").success(), "npm brings {PACKAGE}");
    let brought = std::fs::read_dir(own.path()).unwrap().flatten().next().expect("npm left an archive");
    std::fs::read(brought.path()).unwrap()
});

/// A file of the npm package.
fn package_file(file: &str) -> Vec<u8> {
    let archive = flate2::read::GzDecoder::new(PACKAGE.as_slice());
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
            shown: sources[0].0,
        };
        let (linked, bindings) = (&self.engine.linked, self.bindings.clone());
        starlingmonkey::snapshot(linked, &self.open, bindings, &program, &Cancel::new())
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
    let splicing = compiled(&splicer);
    let module = package_file("lib/starlingmonkey_embedding.wasm");
    let world = world(WORLD);
    let make = || starlingmonkey::engine(&world, Handler::Exported, &splicing, &module, &cancel);
    let (engine, bindings) = make().unwrap_or_else(|e| panic!("{e:?}"));
    assert!(make().unwrap() == (engine.clone(), bindings.clone()), "the same world gives the same engine");
    let open = compiled(&engine.open);
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
}

#[track_caller]
fn what_is_wrong_is_said_in_its_own_terms(ready: &Loaded) {
    let refusal = |source| refused(ready.load(&[("src/app.js", source)]));
    let unreadable = refusal("console.log('hi');\nexport const types = {\n  add( {\n};");
    assert!(unreadable.starts_with("src/app.js:4:2 SyntaxError: missing ) after formal parameters"), "{unreadable}");
    let thrown = refusal("console.log('hi');\nfunction inner() { null.x; }\ninner();");
    assert!(thrown.starts_with("hi\nsrc/app.js:2:20 TypeError: can't access property \"x\" of null"), "{thrown}");
    assert!(thrown.contains("inner@src/app.js:2:20") && thrown.contains("@src/app.js:3:1"), "{thrown}");
}
