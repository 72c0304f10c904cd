//! Components that are taken apart, or left whole, compute the same.

use super::*;
use crate::host::{Component as Compiled, Ending, OptLevel, Outcome, Program, Runtime};
use crate::value::{find_function, to_wave};

/// A module with more code than [`LARGE`], of which `number` returns a number.
fn large(number: u32) -> String {
    let idle = "nop ".repeat(LARGE);
    format!(
        r#"(func (import "other" "add") (param i32) (result i32))
        (memory (export "memory") 1) (global (export "g") (mut i32) (i32.const 0)) (table (export "t") 1 funcref)
        (func (export "number") (result i32) {idle} (call 0 (i32.const {number})))"#
    )
}

/// A module that adds one, and a component that instantiates the large one with it.
fn using(module: &str) -> String {
    format!(
        r#"(core module $small (func (export "add") (param i32) (result i32)
            (i32.add (local.get 0) (i32.const 1))))
        {module}
        (core instance $s (instantiate $small)) (core instance $l (instantiate $large (with "other" (instance $s))))
        (func (export "number") (result u32) (canon lift (core func $l "number")))"#
    )
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).unwrap()
}

fn number(component: Compiled) -> Outcome {
    let program = Program::new(component);
    let function = find_function(&program.component, "number").unwrap();
    program.call(&function, &[]).unwrap()
}

/// What a component's `number` returns, whole as well as apart, with as much work.
#[track_caller]
fn both(component: &[u8]) -> String {
    let runtime = Runtime::new(OptLevel::None).unwrap();
    let whole = wasmtime::component::Component::new(runtime.engine(), component).unwrap();
    let whole = number(Compiled { rest: whole, modules: vec![] });
    let apart = number(runtime.compile(component).unwrap());
    assert_eq!(apart.fuel_used, whole.fuel_used);
    let [apart, whole] = [apart, whole].map(|outcome| match outcome.ending {
        Ending::Returned(Some(value)) => to_wave(&value),
        other => panic!("{other:?}"),
    });
    assert_eq!(apart, whole);
    apart
}

#[test]
fn a_component_computes_the_same_without_its_modules() {
    let bytes = component(&using(&format!("(core module $large {})", large(41))));
    let apart = take_apart(&bytes).unwrap();
    assert_eq!(apart.modules.len(), 1, "the small one stays");
    assert!(apart.rest.len() < LARGE);
    assert_eq!(both(&bytes), "42");
}

#[test]
fn a_module_that_comes_twice_is_taken_out_once() {
    let own = format!("(core module $large {})", large(6));
    let twice = format!(r#"(core module $again (@name "large") {}) {}"#, large(6), using(&own));
    let bytes = component(&twice);
    assert_eq!(take_apart(&bytes).unwrap().modules.len(), 1);
    assert_eq!(both(&bytes), "7");

    let inner = |name: &str| format!("(component ${name} {})", using(&own));
    let nested = format!(
        r#"{} (component $outer {} (instance $i (instantiate $b)) (export "number" (func $i "number")))
        (instance $a (instantiate $a)) (instance $o (instantiate $outer)) (export "number" (func $o "number"))"#,
        inner("a"),
        inner("b"),
    );
    let bytes = component(&nested);
    assert_eq!(take_apart(&bytes).unwrap().modules.len(), 1);
    assert_eq!(both(&bytes), "7");
}

#[test]
fn modules_inside_stay_where_the_outermost_has_its_own() {
    let own = format!("(core module $large {})", large(1));
    let inside = format!("(component $c {})", using(&format!("(core module $large {})", large(2))));
    let bytes =
        component(&format!(r#"{inside} {own} (instance $i (instantiate $c)) (export "number" (func $i "number"))"#));
    let apart = take_apart(&bytes).unwrap();
    assert!(apart.modules.len() == 1 && apart.rest.len() > LARGE);
    assert_eq!(both(&bytes), "3");
}

#[test]
fn what_numbers_types_or_modules_in_other_ways_stays_whole() {
    let whole = using(&format!("(core module $large {})", large(1)));
    for text in [
        format!("(component (core type (func)) {whole})"),
        format!(r#"(component (core module $m) (export "m" (core module $m)) {whole})"#),
        format!("(component $c (core module $m) (alias outer $c $m (core module $again)) {whole})"),
    ] {
        let bytes = wat::parse_str(&text).unwrap();
        let apart = take_apart(&bytes).unwrap();
        assert!(apart.modules.is_empty() && apart.rest == bytes);
        assert_eq!(both(&bytes), "2");
    }
}

#[test]
fn a_module_that_no_type_describes_stays() {
    let idle = format!("(func {})", "nop ".repeat(LARGE));
    for strange in [
        r#"(type $t (func)) (table (export "t") 1 (ref null $t))"#,
        r#"(type $t (func)) (global (import "a" "g") (ref null $t))"#,
    ] {
        let module = wat::parse_str(format!("(module {strange} {idle})")).unwrap();
        assert!(said(&module).unwrap().is_none(), "{strange}");
        let bytes = component(&format!("(core module {strange} {idle})"));
        assert!(take_apart(&bytes).unwrap().modules.is_empty());
        Runtime::new(OptLevel::None).unwrap().compile(&bytes).unwrap();
    }
}

#[test]
fn of_modules_that_say_too_much_some_stay() {
    let exports: String = (0..SAID / SIZE / 2).map(|n| format!(r#"(export "{n}" (func 0))"#)).collect();
    let module = |more: &str| format!("(core module (func) {exports} {more})");
    let bytes = component(&[module(""), module("(func)"), module("(func) (func)")].concat());
    assert_eq!(take_apart(&bytes).unwrap().modules.len(), 1);
    Runtime::new(OptLevel::None).unwrap().compile(&bytes).unwrap();
}

#[test]
fn many_components_inside_each_other_are_left_to_the_compiler() {
    let mut inner = Component::new().finish();
    for _ in 0..2 * DEPTH {
        let mut outer = Component::new();
        outer.section(&RawSection { id: COMPONENT, data: &inner });
        inner = outer.finish();
    }
    assert!(depth(&inner).unwrap() > DEPTH);
    let module = wat::parse_str(format!("(module {})", large(1))).unwrap();
    let mut outer = Component::new();
    outer.section(&RawSection { id: CORE_MODULE, data: &module });
    outer.section(&RawSection { id: COMPONENT, data: &inner });
    assert!(take_apart(&outer.finish()).unwrap().modules.is_empty());
}

#[test]
fn imports_of_other_modules_are_not_taken_for_ours() {
    assert!(is_taken(&format!("{PREFIX}{}", "0f".repeat(32))));
    assert!(!is_taken("plugin") && !is_taken("module-x0f") && !is_taken(&format!("{PREFIX}{}", "g".repeat(64))));
}
