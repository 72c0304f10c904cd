//! By default a run depends on the component and its arguments alone; `--strict` says where it might not have.

use std::time::{Duration, Instant};

use super::*;

/// Two functions of a WASI interface, imported under an old version and re-exported by their results.
fn forwarding(imports: &str, core: &str, lifts: &str) -> Component {
    component(&format!("(component {imports} (core module $m {core}) {lifts})"))
}

fn random() -> Component {
    forwarding(
        r#"(import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
           (core func $next (canon lower (func $random "get-random-u64")))"#,
        r#"(import "" "next" (func $next (result i64))) (func (export "f") (result i64) call $next drop call $next)"#,
        r#"(core instance $i (instantiate $m (with "" (instance (export "next" (func $next))))))
           (func (export "f") (result u64) (canon lift (core func $i "f")))"#,
    )
}

#[test]
fn random_numbers_are_seeded() {
    let program = Program::new(random());
    assert_eq!(returned(&call(&program, "f", &[])), returned(&call(&program, "f", &[])));
}

#[test]
fn random_numbers_can_be_granted() {
    let mut program = Program::new(random());
    let seeded = returned(&call(&program, "f", &[]));
    program.grants.allow_random = true;
    assert_ne!(returned(&call(&program, "f", &[])), seeded);
}

#[test]
fn strict_names_the_random_import() {
    let mut program = Program::new(random());
    program.grants.strict = true;
    let outcome = call(&program, "f", &[]);
    assert_eq!(trap(&outcome).message, "`wasi:random/random.get-random-u64` was called under `--strict`");
}

/// `now` reads the monotonic clock; `sleep` blocks for so long and reads it again; `race` polls two timers.
fn clock() -> Component {
    forwarding(
        r#"(import "wasi:io/poll@0.2.3" (instance $poll
              (export "pollable" (type $pollable (sub resource)))
              (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
           (alias export $poll "pollable" (type $pollable))
           (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
              (alias outer 1 $pollable (type $p))
              (export "pollable" (type (eq $p)))
              (export "now" (func (result u64)))
              (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
           (core func $now (canon lower (func $clock "now")))
           (core func $timer (canon lower (func $clock "subscribe-duration")))
           (core func $block (canon lower (func $poll "[method]pollable.block")))
           (core func $drop (canon resource.drop $pollable))"#,
        r#"(import "" "now" (func $now (result i64)))
           (import "" "timer" (func $timer (param i64) (result i32)))
           (import "" "block" (func $block (param i32)))
           (import "" "drop" (func $drop (param i32)))
           (func (export "now") (result i64) call $now)
           (func (export "sleep") (param i64) (result i64) (local i32)
              (local.set 1 (call $timer (local.get 0)))
              (call $block (local.get 1))
              (call $drop (local.get 1))
              call $now)"#,
        r#"(core instance $i (instantiate $m (with "" (instance
              (export "now" (func $now)) (export "timer" (func $timer))
              (export "block" (func $block)) (export "drop" (func $drop))))))
           (func (export "now") (result u64) (canon lift (core func $i "now")))
           (func (export "sleep") (param "ns" u64) (result u64) (canon lift (core func $i "sleep")))"#,
    )
}

#[test]
fn the_clock_starts_at_zero_in_every_run() {
    let program = Program::new(clock());
    assert_eq!(returned(&call(&program, "now", &[])), "1");
    assert_eq!(returned(&call(&program, "now", &[])), "1");
}

#[test]
fn an_hour_of_sleep_returns_at_once_and_takes_an_hour() {
    let program = Program::new(clock());
    let start = Instant::now();
    assert_eq!(returned(&call(&program, "sleep", &["3600000000000"])), "3600000000001");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_granted_clock_is_the_machines_own() {
    let mut program = Program::new(clock());
    program.grants.allow_clock = true;
    let start = Instant::now();
    let slept: u64 = returned(&call(&program, "sleep", &["20000000"])).parse().unwrap();
    assert!(slept >= 20_000_000 && start.elapsed() >= Duration::from_millis(20), "{slept}");
}

#[test]
fn a_timeout_ends_a_real_sleep() {
    let mut program = Program::new(clock());
    program.grants.allow_clock = true;
    program.limits.timeout = Some(Duration::from_millis(50));
    assert_eq!(limit(&call(&program, "sleep", &["3600000000000"])), Limit::Time(50));
}

#[test]
fn strict_names_the_clocks_import() {
    let mut program = Program::new(clock());
    program.grants.strict = true;
    let outcome = call(&program, "now", &[]);
    assert_eq!(trap(&outcome).message, "`wasi:clocks/monotonic-clock.now` was called under `--strict`");
}

#[test]
fn not_a_number_has_one_form() {
    // 0/0 has a sign that differs between processors; the payload of the argument may survive or not.
    let program = Program::new(lifted(
        r#"(func (export "f") (param f64 f64) (result i64) (i64.reinterpret_f64 (f64.div (local.get 0) (local.get 1))))"#,
        r#"(func (export "f") (param "a" f64) (param "b" f64) (result u64) (canon lift (core func $i "f")))"#,
    ));
    assert_eq!(returned(&call(&program, "f", &["f64:0,f64:0"])), 0x7ff8_0000_0000_0000_u64.to_string());
}
