//! JavaScript in QuickJS.

use run_engine::cancel::Cancel;

use super::*;
use crate::builtin;
use crate::snapshot::javascript::{self, Program as Script};
use crate::snapshot::modules::Modules;

fn quickjs() -> Vec<u8> {
    crate_file("componentize-qjs", "0.4.5", "prebuilt/runtime-opt-size-sync.wasm")
}

#[track_caller]
pub(super) fn ready(wit: &str) -> Ready<Vec<u8>> {
    Ready::new(world(wit), quickjs(), |world, runtime| javascript::engine(world, runtime))
}

impl Ready<Vec<u8>> {
    pub(super) fn load(&self, sources: &[(&str, &str)]) -> Result<(Vec<u8>, Vec<u8>), Stopped> {
        let script = Script {
            world: &self.world,
            modules: Modules::new(files(sources)),
            entry: sources[0].0,
            shown: sources[0].0,
        };
        javascript::snapshot(&self.engine.linked, &self.open, script, &Cancel::new())
    }
}

/// Every kind of type that a world can speak of.
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
  record sizes { small: u32, all: list<u32>, maybe: option<u32> }
  sized: func(s: sizes) -> sizes;
  large: func(n: u64) -> tuple<u64, string>;
  make: func(start: u32) -> counter;
  take: func(c: counter) -> u32;
  turn-round: func(c: list<counter>) -> list<counter>;
  crash: func() -> u32;
}
world all { export types; export loaded-at: func() -> u64; }
";

const EVERYTHING: &str = r#"
import { double } from './lib/double';
class Counter {
  constructor(start) { this.n = start; }
  add(n) { this.n += n; return this.n; }
  static merge(a, b) { return new Counter(a.n + b.n); }
}
const loaded = Date.now();
console.log('loading', { random: Math.random() });
export const loadedAt = () => loaded;
export const types = {
  Counter,
  shapes: (s) => s.map((x) => (x.tag === 'circle' ? { tag: 'circle', val: double(x.val) } : x)),
  turn: (c, a) => [c === 'red' ? 'dark-green' : 'red', { read: !a.read, writeBack: !a.writeBack }],
  maybe: (x, y) => [x === null ? 7 : null, y],
  results: (r) => r.map((x) => (x.tag === 'ok' ? { tag: 'err', val: `${x.val}` } : { tag: 'ok', val: x.val.length })),
  bytes: (b) => new Uint8Array([...b].reverse()),
  numbers: (...all) => all,
  fail(which) {
    console.error('which', which, [1, 'x', null]);
    if (which === 0) return [1, 'one'];
    throw which === 1 ? { tag: 'blank' } : { tag: 'named', val: { name: 'n', tags: ['a', 'b'] } };
  },
  sized: (s) => { if ([s.small, ...s.all, s.maybe].some((n) => n < 0)) throw new Error('below zero'); return s; },
  large: (n) => [n, `${n}`],
  make: (start) => new Counter(start),
  take: (c) => c.n,
  turnRound: (c) => c.reverse(),
  crash: () => null.x,
};
"#;

const DOUBLE: &str = "export const double = (x) => 2 * x;";

#[test]
fn every_type_goes_in_and_comes_out() {
    let ready = ready(TYPES);
    let sources = [("src/app.js", EVERYTHING), ("src/lib/double.js", DOUBLE)];
    let (bytes, said) = ready.load(&sources).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(said.starts_with(b"loading { random: 0."), "{}", String::from_utf8_lossy(&said));
    let (again, said_again) = ready.load(&sources).unwrap();
    assert!(bytes == again && said == said_again, "the same program gives the same component");
    assert!(
        javascript::engine(&ready.world, &ready.runtime).unwrap() == ready.engine,
        "and the same world the same engine"
    );
    expect_digests(
        "javascript.txt",
        &[
            (&builtin::QUICKJS, "component.wasm", &javascript::interpreter(&ready.runtime).unwrap()),
            (&builtin::QUICKJS_ENGINE, "engine.wasm", &ready.engine.linked),
            (&builtin::QUICKJS_ENGINE, "component.wasm", &ready.engine.open),
            (&builtin::QUICKJS_SNAPSHOT, "component.wasm", &bytes),
        ],
    );
    share_code(&javascript::interpreter(&ready.runtime).unwrap(), [&ready.engine.open, &bytes]);

    let program = Program::new(checked(&ready.world, &bytes));
    for (function, args, expected) in [
        ("loaded-at", &[][..], "0"),
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
        (
            "sized",
            &["{small: 4294967295, all: [1, 2147483648], maybe: some(4294967294)}"],
            "{small: 4294967295, all: [1, 2147483648], maybe: some(4294967294)}",
        ),
        ("large", &["9223372036854775808"], "(9223372036854775808, \"9223372036854776000\")"),
        ("fail", &["0"], "ok((1, \"one\"))"),
        ("fail", &["1"], "err(blank)"),
        ("fail", &["2"], "err(named({name: \"n\", tags: [\"a\", \"b\"]}))"),
    ] {
        assert_eq!(value(&call(&program, function, args)), expected, "{function}");
    }
    assert_eq!(call(&program, "fail", &["0"]).stderr, b"which 0 [ 1, \"x\", null ]\n");
    let crash = String::from_utf8(call(&program, "crash", &[]).stderr).unwrap();
    assert!(crash.contains("cannot read property 'x' of null") && crash.contains("src/app.js:29"), "{crash}");
}

const CALC: &str = "
package demo:calc;
interface math { add: func(a: s32, b: s32) -> s32; greet: func(name: string) -> string; }
world calc { import other: func(); export math; export started-at: func() -> u64; }
";

#[test]
fn what_is_wrong_with_a_program_is_said_in_its_own_terms() {
    let ready = ready(CALC);
    let refusal = |source| refused(ready.load(&[("src/app.js", source)]));
    assert_eq!(
        refusal("import './gone.js';"),
        "`src/app.js` imports `./gone.js`, but there is no file `src/gone.js` among the component's sources"
    );
    let missing = refusal("export const math = { add() {}, greet: 1 };");
    assert_eq!(
        missing.lines().collect::<Vec<_>>(),
        [
            "src/app.js: `demo:calc/math` exports `greet`, but this module has no function `math.greet`",
            "src/app.js: the world exports `started-at`, but this module has no function `startedAt`",
        ]
    );
    assert_eq!(refusal("export const math = {\n  add( {\n};"), "Error: Unexpected token ';'\n    at src/app.js:3:2");
    assert_eq!(
        refusal("console.log('hi');\nfunction inner() { null.x; }\ninner();"),
        "hi\nError: cannot read property 'x' of null\n    at inner (src/app.js:2:20)\n    at <anonymous> (src/app.js:3:1)"
    );
    assert_eq!(refusal("throw 'plain';"), "the program threw \"plain\"; throw an `Error` to learn where");
    let too_early = "`other` was called while the program was loaded; it can be called once the component runs";
    assert_eq!(refusal("import { other } from '$root'; other();"), too_early);
    assert_eq!(refusal("other();"), too_early);
}

#[test]
fn commands_and_http_handlers_are_programs_too() {
    let command = ready("package demo:cli; world command { include wasi:cli/command@0.2.3; }");
    let source = "export const run = { run() { console.log('hello', new Map([['k', 1n]])); } };";
    let (bytes, _) = command.load(&[("app.js", source)]).unwrap_or_else(|e| panic!("{e:?}"));
    let outcome = Program::new(checked(&command.world, &bytes)).run_command(&["app".to_owned()]).unwrap();
    assert_eq!(outcome.stdout, b"hello Map { \"k\" => 1n }\n");
    assert_eq!(outcome.ending.exit_status(), 0);

    let web = ready("package demo:web; world web { include wasi:http/proxy@0.2.3; }");
    let source = "
        import { Fields, OutgoingResponse, OutgoingBody, ResponseOutparam } from 'wasi:http/types@0.2.3';
        export const incomingHandler = {
          handle(request, out) {
            const response = new OutgoingResponse(Fields.fromList([]));
            const body = response.body();
            ResponseOutparam.set(out, { tag: 'ok', val: response });
            OutgoingBody.finish(body, undefined);
          },
        };";
    let (bytes, _) = web.load(&[("app.js", source)]).unwrap_or_else(|e| panic!("{e:?}"));
    let interface = validate::validate(&bytes, Some(&web.world), Bodies::Unchecked).unwrap_or_else(|e| panic!("{e}"));
    let leaked = interface.wit.contains("module-loader") || interface.wit.contains("init");
    assert!(!leaked, "{}", interface.wit);
}

#[test]
fn a_function_fails_by_what_it_throws_and_an_error_is_a_bug() {
    let ready = ready(
        "package demo:fail; interface api {
           resource thing { constructor(); get: func(which: u8) -> result<u8, string>; make: static func() -> result<u8, string>; }
           type why = string; type answer = result<u8, why>;
           text: func(which: u8) -> answer; number: func(which: u8) -> result<u8, u8>; none: func(which: u8) -> result;
         }
         world fail { export api; export mine: func(which: u8) -> result<u8, string>; export get: func(which: u8) -> result<u8, string>; }",
    );
    let source = "
        function go(which) {
          switch (which) {
            case 0: return 1;
            case 1: throw 'text';
            case 2: throw new TypeError('a bug');
            case 3: throw Object.assign(new Error('said'), { payload: 'of it' });
            case 4: throw 7;
            case 5: throw { payload: 7 };
          }
        }
        class Thing {
          #secret = go;
          get(which) { return this.#secret(which); }
          static make() { return go(2); }
          inner() { try { this.get(2); } catch (e) { throw e.constructor.name; } }
        }
        export const api = { Thing, text: go, number: go, none: go };
        export { go as mine };
        export const get = (which) => (which === 9 ? new Thing().inner() : new Thing().get(which));";
    let (bytes, _) = ready.load(&[("src/app.js", source)]).unwrap_or_else(|e| panic!("{e:?}"));
    let program = Program::new(checked(&ready.world, &bytes));
    for (function, which, expected) in [
        ("text", "0", "ok(1)"),
        ("text", "1", "err(\"text\")"),
        ("text", "3", "err(\"of it\")"),
        ("mine", "1", "err(\"text\")"),
        ("get", "1", "err(\"text\")"),
        ("get", "9", "err(\"TypeError\")"),
        ("number", "4", "err(7)"),
        ("number", "5", "err(7)"),
    ] {
        assert_eq!(value(&call(&program, function, &[which])), expected, "{function} {which}");
    }
    for function in ["text", "mine", "get", "number", "none"] {
        let outcome = call(&program, function, &["2"]);
        assert!(matches!(outcome.ending, Ending::Trapped(_)), "{function}: {:?}", outcome.ending);
        let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
        assert!(said.contains("a bug") && said.contains("src/app.js:6"), "{function}: {said}");
    }
    // A text is no number.
    assert!(matches!(call(&program, "number", &["1"]).ending, Ending::Trapped(_)));
}

#[test]
fn text_becomes_bytes_and_text_again() {
    let ready = ready("package demo:text; world text { export all: func() -> list<string>; }");
    let source = r#"
        const there = (text) => [...new TextEncoder().encode(text)].map((byte) => byte.toString(16)).join(" ");
        const back = (...bytes) => new TextDecoder().decode(Uint8Array.from(bytes));
        const fatal = (...bytes) => {
          try { return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes)); }
          catch (e) { return e.message; }
        };
        export const all = () => [
          there("aü€😀"), there("\ud83d"), back(0x61, 0xc3, 0xbc, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80),
          back(0xef, 0xbb, 0xbf, 0x61), back(0xc3), back(0xc0, 0xaf), back(0xed, 0xa0, 0x80), back(0xff, 0x61), fatal(0xc3, 0x28),
        ];"#;
    let (bytes, _) = ready.load(&[("app.js", source)]).unwrap_or_else(|e| panic!("{e:?}"));
    let program = Program::new(checked(&ready.world, &bytes));
    let expected = [
        "61 c3 bc e2 82 ac f0 9f 98 80",
        "ef bf bd",
        "aü€😀",
        "a",
        "\u{fffd}",
        "\u{fffd}\u{fffd}",
        "\u{fffd}\u{fffd}\u{fffd}",
        "\u{fffd}a",
        "not UTF-8",
    ];
    let expected: Vec<String> = expected.iter().map(|text| format!("\"{text}\"")).collect();
    assert_eq!(value(&call(&program, "all", &[])), format!("[{}]", expected.join(", ")));
}
