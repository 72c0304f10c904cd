//! A guest that asks for too much is stopped, and the report says by what.

use std::time::{Duration, Instant};

use super::*;

const LOOP: (&str, &str) =
    (r#"(func (export "f") (loop $l br $l))"#, r#"(func (export "f") (canon lift (core func $i "f")))"#);

fn program((core, lifts): (&str, &str)) -> Program {
    Program::new(lifted(core, lifts))
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let mut program = program(LOOP);
    program.limits.fuel = 100_000;
    let outcome = call(&program, "f", &[]);
    assert_eq!(limit(&outcome), Limit::Fuel(100_000));
    assert_eq!(outcome.fuel_used, 100_000);
    assert!(limit(&outcome).remedy().contains("--fuel"));
    assert!(outcome.ending.is_reproducible());
}

#[test]
fn fuel_used_is_the_same_in_every_run() {
    let program = Program::new(component(GREET));
    let used: Vec<_> = (0..3).map(|n| call(&program, "greet", &[&n.to_string()]).fuel_used).collect();
    assert!(used[0] > 0);
    assert_eq!(used, [used[0]; 3]);
}

#[test]
fn fuel_used_does_not_depend_on_the_optimiser() {
    let sum = r#"(component
        (core module $m (func (export "sum") (param i32) (result i32) (local i32)
            (loop
                (local.set 1 (i32.add (local.get 1) (i32.mul (local.get 0) (i32.const 0))))
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br_if 0 (local.get 0)))
            (local.get 1)))
        (core instance $i (instantiate $m))
        (func (export "sum") (param "n" s32) (result s32) (canon lift (core func $i "sum"))))"#;
    let bytes = wat::parse_str(sum).unwrap();
    let unoptimised = Runtime::new(OptLevel::None).unwrap().compile(&bytes).unwrap();
    let used = [component(sum), unoptimised].map(|c| call(&Program::new(c), "sum", &["1000"]).fuel_used);
    assert!(used[0] > 1000, "{used:?}");
    assert_eq!(used[0], used[1]);
}

#[test]
fn an_endless_loop_runs_out_of_time() {
    let mut program = program(LOOP);
    program.limits.timeout = Some(Duration::from_millis(50));
    let outcome = call(&program, "f", &[]);
    assert_eq!(limit(&outcome), Limit::Time(50));
    assert!(!outcome.ending.is_reproducible());
}

#[test]
fn a_timeout_is_only_its_own_programs() {
    let mut hasty = program(LOOP);
    hasty.limits.timeout = Some(Duration::from_millis(20));
    let mut patient = program(LOOP);
    patient.limits.fuel = 500_000_000;
    let endings = std::thread::scope(|scope| {
        let patient = scope.spawn(|| limit(&call(&patient, "f", &[])));
        let hasty = scope.spawn(|| limit(&call(&hasty, "f", &[])));
        (patient.join().unwrap(), hasty.join().unwrap())
    });
    assert_eq!(endings, (Limit::Fuel(500_000_000), Limit::Time(20)));
}

#[test]
fn a_timeout_that_is_not_reached_costs_nothing() {
    let mut program = Program::new(component(GREET));
    program.limits.timeout = Some(Duration::from_secs(3600));
    let start = Instant::now();
    assert_eq!(returned(&call(&program, "greet", &["1"])), "2");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn memory_counts_everything_a_store_holds() {
    let mut program = program((
        r#"(memory 1) (table 16 funcref)
           (func (export "f") (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)))"#,
        r#"(func (export "f") (canon lift (core func $i "f")))"#,
    ));
    let wanted_bytes = 101 * 65536 + 16 * 8;
    program.limits.memory_bytes = wanted_bytes;
    assert!(matches!(call(&program, "f", &[]).ending, Ending::Returned(None)));

    program.limits.memory_bytes = wanted_bytes - 1;
    let outcome = call(&program, "f", &[]);
    assert_eq!(limit(&outcome), Limit::Memory { limit_bytes: wanted_bytes - 1, wanted_bytes });
}

#[test]
fn memory_that_is_too_large_from_the_start_is_the_limit_too() {
    let mut program =
        program((r#"(memory 100) (func (export "f"))"#, r#"(func (export "f") (canon lift (core func $i "f")))"#));
    program.limits.memory_bytes = 65536;
    let outcome = call(&program, "f", &[]);
    assert!(matches!(limit(&outcome), Limit::Memory { wanted_bytes: 6_553_600, .. }));
}

#[test]
fn a_guest_that_copes_with_refused_memory_goes_on() {
    let mut program = program((
        r#"(memory 1) (func (export "f") (result i32) (memory.grow (i32.const 100)))"#,
        r#"(func (export "f") (result s32) (canon lift (core func $i "f")))"#,
    ));
    program.limits.memory_bytes = 65536;
    assert_eq!(returned(&call(&program, "f", &[])), "-1");
}

#[test]
fn a_memorys_own_maximum_is_not_our_limit() {
    let program = program((
        r#"(memory 1 2) (func (export "f") (drop (memory.grow (i32.const 100))) unreachable)"#,
        r#"(func (export "f") (canon lift (core func $i "f")))"#,
    ));
    assert_eq!(trap(&call(&program, "f", &[])).message, "wasm `unreachable` instruction executed");
}

#[test]
fn deep_recursion_hits_the_stack() {
    let program = program((
        r#"(func $f (export "f") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1)))"#,
        r#"(func (export "f") (param "n" s32) (result s32) (canon lift (core func $i "f")))"#,
    ));
    let outcome = call(&program, "f", &["1"]);
    assert_eq!(limit(&outcome), Limit::Stack);
    assert!(!outcome.ending.is_reproducible());
}
