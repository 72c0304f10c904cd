//! Runs real components, written in the text format or compiled from Rust, through the surface that `exec` and `test`
//! use.

mod closed_world;
mod commands;
mod limits;
mod polling;
mod startup;

use std::path::Path;
use std::sync::OnceLock;

use run_engine::cancel::Cancel;

use super::*;
use crate::value::{find_function, parse_arguments, to_wave};

/// One engine for all tests, as one process has one.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(OptLevel::Speed).expect("this machine runs WebAssembly"))
}

#[track_caller]
fn component(wat: &str) -> Component {
    let bytes = wat::parse_str(wat).unwrap_or_else(|e| panic!("{e}"));
    runtime().compile(&bytes).unwrap_or_else(|e| panic!("{e}"))
}

/// A component around one core module, whose exports are lifted as `lifts` says.
fn lifted(core: &str, lifts: &str) -> Component {
    component(&format!("(component (core module $m {core}) (core instance $i (instantiate $m)) {lifts})"))
}

#[track_caller]
fn call(program: &Program, function: &str, args: &[&str]) -> Outcome {
    let function = find_function(&program.component, function).unwrap_or_else(|e| panic!("{e:?}"));
    let texts: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let arguments = parse_arguments(&function, &texts).unwrap_or_else(|e| panic!("{e:?}"));
    program.call(&function, &arguments).unwrap_or_else(|e| panic!("{e}"))
}

/// The value a function returned, in WAVE.
#[track_caller]
fn returned(outcome: &Outcome) -> String {
    match &outcome.ending {
        Ending::Returned(Some(value)) => to_wave(value),
        other => panic!("it did not return a value: {other:?}"),
    }
}

#[track_caller]
fn limit(outcome: &Outcome) -> Limit {
    match &outcome.ending {
        Ending::LimitHit(hit) => hit.limit,
        other => panic!("it did not hit a limit: {other:?}"),
    }
}

#[track_caller]
fn trap(outcome: &Outcome) -> &Trap {
    match &outcome.ending {
        Ending::Trapped(trap) => trap,
        other => panic!("it did not trap: {other:?}"),
    }
}

const GREET: &str = r#"(component
    (core module $m (func (export "greet") (param i32) (result i32) local.get 0 i32.const 1 i32.add))
    (core instance $i (instantiate $m))
    (func (export "greet") (param "n" s32) (result s32) (canon lift (core func $i "greet"))))"#;

#[test]
fn a_function_is_called_with_typed_arguments() {
    let program = Program::new(component(GREET));
    assert_eq!(returned(&call(&program, "greet", &["s32:42"])), "43");
    assert_eq!(returned(&call(&program, "greet", &["42"])), "43");
}

/// Writes the files of a component's native code into a directory.
fn write_native(dir: &Path, component: &[u8]) {
    for (name, bytes) in runtime().precompile(component, &|_| None, &Cancel::new()).unwrap() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

#[test]
fn native_code_is_loaded_without_compiling() {
    let dir = tempfile::tempdir().unwrap();
    write_native(dir.path(), &wat::parse_str(GREET).unwrap());

    // Another engine of the same configuration, as in another process.
    let other = Runtime::new(OptLevel::Speed).unwrap();
    #[expect(unsafe_code, reason = "the files were precompiled above")]
    // SAFETY: the files are the unmodified output of `precompile`.
    let component = unsafe { other.load_native(&|name| Some(dir.path().join(name))) }.unwrap();
    assert_eq!(returned(&call(&Program::new(component), "greet", &["42"])), "43");
    assert_eq!(other.compatibility_hash(), runtime().compatibility_hash());
    assert_ne!(Runtime::new(OptLevel::None).unwrap().compatibility_hash(), other.compatibility_hash());
}

#[test]
fn a_file_that_is_not_native_code_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("component.cwasm"), b"\0asm not native").unwrap();
    #[expect(unsafe_code, reason = "the file holds no code at all")]
    // SAFETY: the engine refuses what is not its own format before it maps any of it as code.
    let error = unsafe { runtime().load_native(&|name| Some(dir.path().join(name))) }.err().unwrap();
    assert!(error.to_string().contains("component.cwasm"), "{error}");
}

#[test]
fn a_missing_module_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let module = format!("(core module (func {}))", "nop ".repeat(1 << 15));
    write_native(dir.path(), &wat::parse_str(format!("(component {module})")).unwrap());
    let load = |hidden: &str| {
        let find = |name: &str| Some(dir.path().join(name)).filter(|_| !name.starts_with(hidden));
        #[expect(unsafe_code, reason = "the files were precompiled above")]
        // SAFETY: the files are the unmodified output of `precompile`.
        unsafe {
            runtime().load_native(&find)
        }
    };
    assert!(load("nothing").is_ok());
    let error = load("module-").err().unwrap().to_string();
    assert!(error.starts_with("`module-x") && error.ends_with(".cwasm`: there is no such file"), "{error}");
}

#[test]
fn a_module_that_the_host_should_have_is_missing_like_any_import() {
    let program = Program::new(component(
        r#"(component (core type $t (module)) (import "plugin" (core module (type $t)))
            (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    ));
    let Ending::MissingImports(missing) = call(&program, "f", &[]).ending else { panic!("it ran") };
    assert_eq!(missing[0].name, "plugin");
    let dir = tempfile::tempdir().unwrap();
    write_native(
        dir.path(),
        &wat::parse_str(r#"(component (core type $t (module)) (import "plugin" (core module (type $t))))"#).unwrap(),
    );
    #[expect(unsafe_code, reason = "the files were precompiled above")]
    // SAFETY: the files are the unmodified output of `precompile`.
    let loaded = unsafe { runtime().load_native(&|name| Some(dir.path().join(name))) };
    assert!(loaded.is_ok());
}

#[test]
fn an_err_is_told_from_an_ok() {
    let program = Program::new(lifted(
        r#"(func (export "f") (param i32) (result i32) local.get 0)"#,
        r#"(func (export "f") (param "fail" bool) (result (result)) (canon lift (core func $i "f")))"#,
    ));
    assert_eq!(returned(&call(&program, "f", &["false"])), "ok");
    let outcome = call(&program, "f", &["true"]);
    assert!(matches!(outcome.ending, Ending::ReturnedErr(None)), "{:?}", outcome.ending);
    assert_eq!(outcome.ending.exit_status(), 1);
}

#[test]
fn a_trap_names_what_happened_the_function_and_the_frames() {
    let program = Program::new(lifted(
        r#"(func $inner (result i32) i32.const 1 i32.const 0 i32.div_s) (func $outer (export "f") (result i32) call $inner)"#,
        r#"(func (export "f") (result s32) (canon lift (core func $i "f")))"#,
    ));
    let outcome = call(&program, "f", &[]);
    let trap = trap(&outcome);
    assert_eq!((trap.message.as_str(), trap.function.as_str()), ("integer divide by zero", "f"));
    let names: Vec<_> = trap.frames.iter().map(|frame| frame.function.as_deref()).collect();
    assert_eq!(names, [Some("inner"), Some("outer")]);
    assert_eq!(outcome.ending.exit_status(), 1);
}

#[test]
fn missing_imports_are_all_named_in_wit_before_anything_runs() {
    let program = Program::new(component(
        r#"(component
            (import "demo:calc/math@1.0.0" (instance (export "add" (func (param "a" s32) (param "b" s32) (result s32)))))
            (import "log" (func (param "text" string)))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    ));
    let outcome = call(&program, "f", &[]);
    let Ending::MissingImports(missing) = &outcome.ending else { panic!("{:?}", outcome.ending) };
    let lines: Vec<_> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "nothing provides the import `demo:calc/math@1.0.0` (add: func(a: s32, b: s32) -> s32)",
            "nothing provides the import `log` (log: func(text: string))",
        ]
    );
}

#[test]
fn a_version_of_wasi_that_is_not_ours_is_missing() {
    let program = Program::new(component(
        r#"(component
            (import "wasi:clocks/wall-clock@0.3.0" (instance (export "now" (func (result u64)))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    ));
    let outcome = call(&program, "f", &[]);
    let Ending::MissingImports(missing) = &outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!(missing[0].name, "wasi:clocks/wall-clock@0.3.0");
}

#[test]
fn a_function_wasi_does_not_have_is_missing() {
    let program = Program::new(component(
        r#"(component
            (import "wasi:random/random@0.2.99" (instance (export "get-dice" (func (result u64)))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    ));
    let outcome = call(&program, "f", &[]);
    let Ending::MissingImports(missing) = &outcome.ending else { panic!("{:?}", outcome.ending) };
    assert_eq!(missing[0].name, "wasi:random/random@0.2.99");
    assert!(missing[0].wanted.iter().any(|w| w.contains("get-dice")), "{missing:?}");
}
