//! Python in CPython. Its native code takes long to make, so this is one test.

use run_engine::cancel::Cancel;

use super::*;
use crate::builtin;
use crate::snapshot::python::{self, Program as Script};
use crate::step::compose::compose;
use crate::wiring::{Part, wire};

/// The files of the interpreter, as a toolchain has them.
fn cpython() -> python::Runtime {
    let files = [
        "libcomponentize_py_runtime_sync.so.zst",
        "libpython3.14.so.zst",
        "libc.so.zst",
        "libwasi-emulated-mman.so.zst",
        "libwasi-emulated-process-clocks.so.zst",
        "libwasi-emulated-getpid.so.zst",
        "libwasi-emulated-signal.so.zst",
        "libc++.so.zst",
        "libc++abi.so.zst",
        "python-lib.tar.zst",
        "bundled.tar.zst",
    ];
    files.into_iter().map(|file| (file.to_owned(), crate_file("componentize-py", "0.25.1", file))).collect()
}

impl Ready<python::Runtime> {
    fn load(&self, sources: &[(&str, &str)]) -> Result<(Vec<u8>, Vec<u8>), Stopped> {
        let roots = vec!["src".to_owned()];
        let (files, packages) = (files(sources), files(PACKAGES));
        let library = python::library(&self.runtime).unwrap();
        let script = Script { world: &self.world, files, roots, packages, library, module: "app" };
        python::snapshot(&self.engine.linked, &self.open, &self.runtime, script, &Cancel::new())
    }
}

/// What the program finds of other people's.
const PACKAGES: &[(&str, &str)] = &[
    ("theirs/__init__.py", "def one():\n    return 1\n"),
    ("theirs/words/many.txt", "many"),
    (
        "theirs/later.py",
        "from importlib.resources import files\nMANY = files('theirs').joinpath('words/many.txt').read_text()\n",
    ),
];

const TYPES: &str = "
package demo:all;
interface types {
  enum colour { red, dark-green }
  flags access { read, write-back }
  record inner { name: string, tags: list<string> }
  variant shape { blank, circle(f64), named(inner) }
  resource counter {
    constructor(start: u32);
    add: func(n: u32) -> u32;
    merge: static func(a: borrow<counter>, b: counter) -> counter;
  }
  type pair = tuple<u8, string>;
  shapes: func(s: list<shape>) -> list<shape>;
  turn: func(c: colour, a: access) -> tuple<colour, access>;
  maybe: func(x: option<u32>, y: option<option<string>>) -> tuple<option<u32>, option<option<string>>>;
  results: func(r: list<result<u8, string>>) -> list<result<u8, string>>;
  bytes: func(b: list<u8>) -> list<u8>;
  numbers: func(a: u64, b: s64, c: f32, d: f64, e: char, f: bool) -> tuple<u64, s64, f32, f64, char, bool>;
  fail: func(which: u8) -> result<pair, shape>;
}
interface api {
  record why { text: string, tags: list<string> }
  resource thing { constructor(n: u32); get: func(by: u32) -> result<u32, why>; sum: static func(all: list<thing>) -> thing; }
  twice: func(n: u32) -> u32;
}
world all { import api; export types; export later: func() -> list<string>; export loaded-at: func() -> u64; export use-things: func(by: u32) -> result<u32, string>; }
";

/// What provides `api`, in another language.
const PROVIDER: &str = "
class Thing {
  constructor(n) { this.n = n; }
  get(by) {
    if (by === 0) throw { text: 'by zero', tags: ['a', 'b'] };
    return Math.floor(this.n / by);
  }
  static sum(all) { return new Thing(all.reduce((n, thing) => n + thing.n, 0)); }
}
export const api = { Thing, twice: (n) => 2 * n };
";

const EVERYTHING: &str = r#"
import random, time
from dataclasses import replace
import wit_world
from wit_world import exports
from wit_world.imports import api
from wit_world.exports.types import Access, Colour, Inner, Shape_Blank, Shape_Circle, Shape_Named
from componentize_py_types import Err, Ok
from lib.double import double

LOADED = int(time.time())
print("loading", {"hash": hash("text"), "random": random.random()})

class Counter(exports.types.Counter):
    def __init__(self, start):
        self.n = start
    def add(self, n):
        self.n += n
        return self.n
    @classmethod
    def merge(cls, a, b):
        return Counter(a.n + b.n)

class Types(exports.Types):
    def shapes(self, s):
        return [replace(x, value=double(x.value)) if isinstance(x, Shape_Circle) else x for x in s]
    def turn(self, c, a):
        return (Colour.DARK_GREEN if c == Colour.RED else Colour.RED, ~a)
    def maybe(self, x, y):
        return (7 if x is None else None, y)
    def results(self, r):
        return [Err(str(x.value)) if isinstance(x, Ok) else Ok(len(x.value)) for x in r]
    def bytes(self, b):
        return bytes(reversed(b))
    def numbers(self, *all):
        return all
    def fail(self, which):
        if which == 0:
            return (1, "one")
        raise Err(Shape_Blank() if which == 1 else Shape_Named(Inner("n", ["a", "b"])))

class WitWorld(wit_world.WitWorld):
    def loaded_at(self):
        return LOADED
    def later(self):
        import colorsys, lib.never, loose.inner.far, pkgutil, theirs.later
        names = [module.__name__ for module in (colorsys, lib.never, loose.inner.far)]
        try:
            import nowhere
        except ModuleNotFoundError as e:
            names.append(str(e))
        return names + [theirs.later.MANY, pkgutil.get_data("theirs", "words/many.txt").decode("cp037"), lib.never.where()]
    def use_things(self, by):
        try:
            with api.Thing(api.twice(21)) as thing:
                first = thing.get(by)
            return first + api.Thing.sum([api.Thing(1), api.Thing(2)]).get(1)
        except Err as e:
            raise Err(f"{e.value.text}: {e.value.tags}")
"#;

const DOUBLE: &str = "def double(x):\n    return 2 * x\n";

const NEVER: &str = "import traceback\ndef where():\n    return traceback.extract_stack()[-1].line\n";

#[test]
fn python_is_loaded_frozen_and_run() {
    let ready = Ready::new(world(TYPES), cpython(), python::engine);

    let sources = [
        ("src/app.py", EVERYTHING),
        ("src/lib/double.py", DOUBLE),
        ("src/lib/never.py", NEVER),
        ("src/loose/inner/far.py", ""),
    ];
    let (bytes, said) = ready.load(&sources).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(said.starts_with(b"loading {'hash': "), "{}", String::from_utf8_lossy(&said));
    let (again, said_again) = ready.load(&sources).unwrap();
    assert!(bytes == again && said == said_again, "the same program gives the same component");
    assert!(
        python::engine(&ready.world, &ready.runtime).unwrap() == ready.engine,
        "and the same world the same engine"
    );
    expect_digests(
        "python.txt",
        &[
            (&builtin::PYTHON, "component.wasm", &python::interpreter(&ready.runtime).unwrap()),
            (&builtin::PYTHON_ENGINE, "engine.wasm", &ready.engine.linked),
            (&builtin::PYTHON_ENGINE, "component.wasm", &ready.engine.open),
            (&builtin::PYTHON_ENGINE, "library.tar", &python::library(&ready.runtime).unwrap()),
            (&builtin::PYTHON_SNAPSHOT, "component.wasm", &bytes),
        ],
    );
    share_code(&python::interpreter(&ready.runtime).unwrap(), [&ready.engine.open, &bytes]);
    errors(&ready);
    values(&ready, &bytes);
}

fn errors(ready: &Ready<python::Runtime>) {
    let refusal = |source| refused(ready.load(&[("src/app.py", source)]));
    let missing = refusal(
        "from wit_world import exports\nclass Types(exports.Types):\n    def turn(self, c, a): return (c, a)\n",
    );
    assert!(
        missing.starts_with(
            "app: `demo:all/types` exports `[constructor]counter`, but this module has no `Counter.__init__`\n"
        ) && missing.contains("\napp: `demo:all/types` exports `shapes`, but this module has no `Types.shapes`\n")
            && missing.ends_with("\napp: the world exports `use-things`, but this module has no `WitWorld.use_things`"),
        "{missing}"
    );
    let within = refusal("import theirs\ntheirs.one(2)\n");
    assert!(within.contains("src/app.py\", line 2") && within.contains("TypeError: one()"), "{within}");
    let gone = refusal("import numpy\n");
    assert!(gone.contains("No module named 'numpy'") && gone.contains("src/app.py\", line 1"), "{gone}");
    assert!(gone.contains("help: "), "{gone}");
    let raised = refusal("def inner():\n    return 1 / 0\ninner()\n");
    assert!(
        raised.contains("src/app.py\", line 2, in inner") && raised.ends_with("ZeroDivisionError: division by zero"),
        "{raised}"
    );
    let syntax = refusal("def x(:\n");
    assert!(syntax.contains("src/app.py\", line 1") && syntax.contains("SyntaxError"), "{syntax}");
}

/// Runs it with what it imports, which is JavaScript.
fn values(ready: &Ready<python::Runtime>, bytes: &[u8]) {
    let interface = validate::validate(bytes, Some(&ready.world), Bodies::Unchecked).unwrap_or_else(|e| panic!("{e}"));
    let exports: Vec<String> = interface.exports.iter().map(ToString::to_string).collect();
    assert_eq!(exports, ["later", "loaded-at", "use-things", "demo:all/types"], "and nothing of the rehearsal");

    let text = TYPES.split_once("world all").unwrap().0.to_owned() + "world provider { export api; }";
    let provider = javascript::ready(&text);
    let (provided, _) = provider.load(&[("api.js", PROVIDER)]).unwrap_or_else(|e| panic!("{e:?}"));
    let part = |name, world, depends| Part { name, world, depends };
    let wiring = wire(&part("app", &ready.world, vec!["api"]), &[part("api", &provider.world, vec![])]).unwrap();
    let parts = BTreeMap::from([("app".to_owned(), bytes.to_vec()), ("api".to_owned(), provided)]);
    let whole = compose(&wiring, &parts).unwrap_or_else(|e| panic!("{e}"));
    let program = Program::new(compiled(&whole));
    for (function, args, expected) in [
        ("loaded-at", &[][..], "0"),
        (
            "later",
            &[],
            "[\"colorsys\", \"lib.never\", \"loose.inner.far\", \"No module named \\'nowhere\\'\", \"many\", \
             \"_/>`\", \"return traceback.extract_stack()[-1].line\"]",
        ),
        ("use-things", &["2"], "ok(24)"),
        ("use-things", &["0"], "err(\"by zero: [\\'a\\', \\'b\\']\")"),
        (
            "shapes",
            &["[blank, circle(1.5), named({name: \"x\", tags: [\"t\"]})]"],
            "[blank, circle(3), named({name: \"x\", tags: [\"t\"]})]",
        ),
        ("turn", &["red", "{read}"], "(dark-green, {write-back})"),
        ("maybe", &["none", "some(some(\"s\"))"], "(some(7), some(some(\"s\")))"),
        ("maybe", &["some(1)", "some(none)"], "(none, some(none))"),
        ("results", &["[ok(3), err(\"four\")]"], "[err(\"3\"), ok(4)]"),
        ("bytes", &["[1, 2, 255]"], "[255, 2, 1]"),
        ("numbers", &["12345", "-5", "1.5", "2.5", "'ü'", "true"], "(12345, -5, 1.5, 2.5, 'ü', true)"),
        ("fail", &["0"], "ok((1, \"one\"))"),
        ("fail", &["1"], "err(blank)"),
        ("fail", &["2"], "err(named({name: \"n\", tags: [\"a\", \"b\"]}))"),
    ] {
        assert_eq!(value(&call(&program, function, args)), expected, "{function}");
    }
}
