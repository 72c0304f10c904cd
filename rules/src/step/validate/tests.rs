//! Components against the worlds they claim, and bytes that are no components at all.

use proptest::prelude::*;

use crate::step::componentize::{Adapter, componentize};
use crate::step::interface::{Interface, Shape};
use crate::step::kind::Kind;
use crate::step::testing::{component, module, world};
use crate::step::validate::{Bodies, validate};

const CALC: &str = "package demo:calc; interface math { record pair { a: s32, b: s32 } add: func(p: pair) -> s32; } \
    world calc { import log; export math; } interface log { log: func(text: string); }";

/// What is said of a component that implements `built` where `declared` is promised.
#[track_caller]
fn check(declared: &str, built: &str, expected: &str) {
    let found = match validate(&component(&world(built)), Some(&world(declared)), Bodies::Unchecked) {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.to_string(),
    };
    let expected: Vec<&str> =
        expected.trim().lines().map(|line| line.strip_prefix("        ").unwrap_or(line)).collect();
    assert_eq!(found, expected.join("\n"), "\n{found}\n");
}

#[test]
fn a_component_that_keeps_its_promise() {
    check(CALC, CALC, "ok");
    // A runtime's own WASI imports are no part of the promise, nor are imports left unused.
    check(CALC, &CALC.replace("import log;", "import wasi:cli/environment@0.2.6;"), "ok");
    check(&CALC.replace("import log;", ""), &CALC.replace("import log;", ""), "ok");
}

#[test]
fn each_broken_promise_is_told_in_wit() {
    check(
        CALC,
        &CALC.replace("a: s32", "a: s64"),
        "
        error[interface-mismatch]: the component's `demo:calc/math` is not what world `demo:calc/calc` declares
        note: `pair` differs
          declared  record pair { a: s32, b: s32 }
          built     record pair { a: s64, b: s32 }",
    );
    check(
        CALC,
        &CALC.replace("add: func(p: pair)", "add: func(pair: pair)"),
        "
        error[interface-mismatch]: the component's `demo:calc/math` is not what world `demo:calc/calc` declares
        note: `add` differs
          declared  add: func(p: pair) -> s32
          built     add: func(pair: pair) -> s32",
    );
    check(
        CALC,
        &CALC.replace("add:", "sum:"),
        "
        error[interface-mismatch]: the component's `demo:calc/math` is not what world `demo:calc/calc` declares
        note: `add` differs
          declared  add: func(p: pair) -> s32
          built     nothing of that name",
    );
    check(
        &CALC.replace("import log;", ""),
        CALC,
        "
        error[undeclared-import]: the component imports `demo:calc/log`, which world `demo:calc/calc` does not declare
        help: add `import demo:calc/log;` to the world in its `wit`, or do without what it imports",
    );
    check(
        CALC,
        &CALC.replace("export math;", ""),
        "
        error[interface-mismatch]: the component does not export `demo:calc/math`, which world `demo:calc/calc` declares
        note: it exports nothing
        help: export `demo:calc/math` from the component, or remove it from the world",
    );
}

#[test]
fn a_core_module_becomes_what_its_world_says() {
    let world = world(CALC);
    let built = componentize(&module(&world), Some(&world), Adapter::Reactor).unwrap();
    assert_eq!(componentize(&built, None, Adapter::Reactor).unwrap(), built, "a component stays as it is");
    let interface = validate(&built, Some(&world), Bodies::Unchecked).unwrap();
    assert_eq!(interface.shape, Shape::Library);
    let names =
        |names: &[crate::step::interface::ExternName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&interface.imports), ["demo:calc/log"]);
    assert_eq!(names(&interface.exports), ["demo:calc/math"]);
    assert!(interface.wit.contains("add: func(p: pair) -> s32"), "{}", interface.wit);
    assert_eq!(interface.encoded, world.encoded().unwrap(), "built and declared are one interface");
}

#[test]
fn a_core_module_without_a_world_asks_for_one() {
    let module = module(&world(CALC));
    assert_eq!(componentize(&module, None, Adapter::Reactor).unwrap_err().diagnostics[0].code, "missing-world");
    let empty = crate::step::kind::text("t.wat", b"(module)").unwrap();
    assert_eq!(
        componentize(&empty, Some(&world(CALC)), Adapter::Reactor).unwrap_err().diagnostics[0].code,
        "interface-mismatch"
    );
}

#[test]
fn preview1_gets_an_adapter() {
    let wat = br#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (memory (export "memory") 1) (func (export "_start")))"#;
    let module = crate::step::kind::text("t.wat", wat).unwrap();
    let command = crate::step::testing::named_world("package demo:app; world app { }", None);
    let built = componentize(&module, Some(&command), Adapter::Command).unwrap();
    assert_eq!(Interface::of(&built).unwrap().shape, Shape::Command);
}

#[test]
fn other_things_are_called_by_their_name() {
    let code = |bytes: &[u8]| validate(bytes, None, Bodies::Unchecked).unwrap_err().diagnostics[0].clone();
    assert_eq!(code(b"hello").code, "not-wasm");
    assert_eq!(code(&module(&world(CALC))).message, "this is a core module, not a component");
    let world = world(CALC);
    let package =
        wit_component::encode(&world.resolve, world.resolve.worlds[world.id].package.unwrap(), false).unwrap();
    assert_eq!(code(&package).message, "this is a WIT package in binary form, not a component");
    let asynchronous = crate::step::testing::world("package a:b; world w { export f: async func(); }");
    let module =
        wit_component::dummy_module(&asynchronous.resolve, asynchronous.id, wit_parser::ManglingAndAbi::Standard32);
    let p3 = componentize(&module, Some(&asynchronous), Adapter::Reactor).unwrap();
    assert_eq!(
        (code(&p3).code, code(&p3).helps.as_slice()),
        ("bad-component", ["compile it for WASI 0.2".to_owned()].as_slice())
    );
}

#[test]
fn functions_that_were_checked_are_not_checked_again_and_all_else_is() {
    let binary = |body: &str, lifted: &str| {
        let text = format!(
            r#"(component (core module $m (func (export "f") (result i32) {body})) (core instance $i (instantiate $m))
                (func (export "f") (result u32) (canon lift (core func $i "{lifted}"))))"#
        );
        wat::parse_str(text).unwrap()
    };
    let (wrong_body, wrong_export) = (binary("(i64.const 1)", "f"), binary("(i32.const 1)", "g"));
    for (bodies, body_is_fine) in [(Bodies::Unchecked, false), (Bodies::Checked, true)] {
        assert!(validate(&binary("(i32.const 1)", "f"), None, bodies).is_ok());
        assert_eq!(validate(&wrong_body, None, bodies).is_ok(), body_is_fine);
        assert_eq!(validate(&wrong_export, None, bodies).unwrap_err().diagnostics[0].code, "bad-component");
    }
}

/// No bytes make a step panic; what they say of them does not matter here.
fn survives(bytes: &[u8]) {
    let _ = Kind::of(bytes);
    let _ = validate(bytes, None, Bodies::Unchecked);
    let _ = validate(bytes, None, Bodies::Checked);
    let _ = Interface::of(bytes);
    let _ = componentize(bytes, None, Adapter::Reactor);
    let _ = crate::step::kind::text("t.wat", bytes);
    let app = b"package a:b; world w { import c:d/e; }".to_vec();
    let sources = [("w/a.wit".to_owned(), app), ("w/deps/e.wasm".to_owned(), bytes.to_vec())].into();
    let _ = crate::step::wit::world(&sources, None);
}

#[test]
fn components_that_wit_can_not_describe_are_refused() {
    let odd = [
        (r#"(import "m" (core module))"#, "`m` is a core module"),
        (r#"(core module) (export "m" (core module 0))"#, "`m` is a core module"),
        (r#"(component) (export "c" (component 0))"#, "`c` is a component"),
        (r#"(import "a:b/c" (func))"#, "`a:b/c` is not an interface"),
        (
            r#"(type $t (instance (export "x:y/z" (instance)))) (import "a:b/c" (instance (type $t)))"#,
            "`a:b/c` holds another interface, `x:y/z`",
        ),
    ];
    for (text, why) in odd {
        let bytes = crate::step::kind::text("t.wat", format!("(component {text})").as_bytes()).unwrap();
        let error = Interface::of(&bytes).unwrap_err();
        assert_eq!(error.diagnostics[0].message, format!("WIT can't describe this component: {why}"));
        survives(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), header in 0..3_usize) {
        let magic: &[u8] = [b"".as_slice(), b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"][header];
        bytes.splice(0..0, magic.iter().copied());
        survives(&bytes);
    }

    #[test]
    fn a_damaged_component_never_panics(at in 0..10_000_usize, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = component(&world(CALC));
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        survives(&bytes);
    }

    #[test]
    fn random_wit_never_panics(text in "(package|a:b|;|world|interface|[{}()<>,:@]|[a-z]|func|use|[.]|1|list| ){0,40}") {
        let _ = crate::step::wit::world(&[("t.wit".to_owned(), text.into_bytes())].into(), None);
    }
}
