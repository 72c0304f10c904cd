//! Bindings for small worlds, and what there are none for.

use std::path::Path;

use super::*;
use crate::step::testing::world;

const CALC: &str = "package demo:calc;
    interface math { record point { x: s32, y: s32 } norm: func(p: point) -> result<u32, string>; }
    world calc-world { export math; import log: func(text: string); }";

#[test]
fn c_has_a_header_an_implementation_and_an_object() {
    let made = c::generate(&world(CALC), "calc-world", false).unwrap();
    let mut names = c::files("calc-world");
    names.sort();
    assert!(made.keys().eq(&names), "{:?}", made.keys());
    let header = String::from_utf8(made["calc_world.h"].clone()).unwrap();
    assert!(header.contains("bool exports_demo_calc_math_norm("), "{header}");
    assert!(header.contains("calc_world_log("), "{header}");
    assert!(made["calc_world_component_type.o"].starts_with(b"\0asm"));
}

/// A world with one of everything that is declared.
const SMALL: &str = "package demo:small@1.2.0;
    interface log { enum level { low, high } write: func(level: level, text: string); }
    interface store {
      use log.{level};
      record entry { key: string, value: option<list<u8>> }
      variant problem { missing, locked(level), other(string) }
      flags rights { read, write, error }
      resource table {
        constructor(name: string);
        get: func(key: string) -> result<entry, problem>;
        merge: static func(a: table, b: borrow<table>) -> table;
      }
      tables: func() -> list<tuple<string, rights>>;
    }
    world small {
      import log;
      import store;
      export store;
      export greet: func(to: tuple<string, u32>) -> string;
    }";

#[test]
fn zig_reads_like_this() {
    let made = zig::generate(&world(SMALL), "small", "main.zig", false).unwrap();
    assert!(zig::files().all(|file| made.contains_key(file)), "{:?}", made.keys());
    let text = String::from_utf8(made[zig::BINDINGS].clone()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/step/bindings/zig/golden.zig");
    crate::testing::expect_file(&golden, &text);
}

#[test]
fn a_program_starts_at_its_main_and_exports_the_rest() {
    let asks =
        "package demo:app; interface api { go: func(); } world app { export api; include wasi:cli/command@0.2.12; }";
    let made = zig::generate(&world(asks), "app", "app.zig", true).unwrap();
    let text = |file: &str| String::from_utf8(made[file].clone()).unwrap();
    assert!(text(zig::ROOT).contains("pub const implementation = @import(\"app.zig\");"), "{}", text(zig::ROOT));
    assert!(text(zig::ROOT).contains("pub const main = implementation.main;"), "{}", text(zig::ROOT));
    assert!(text(zig::BINDINGS).contains("\"demo:app/api#go\""), "{}", text(zig::BINDINGS));
    assert!(!text(zig::BINDINGS).contains("wasi:cli/run"), "{}", text(zig::BINDINGS));
}

#[test]
fn a_comment_changes_nothing() {
    let told = CALC.replace("interface math {", "/// Mathematics.\n interface math {");
    assert_eq!(c::generate(&world(CALC), "calc", false), c::generate(&world(&told), "calc", false));
    let zig = |text| zig::generate(&world(text), "calc", "main.zig", false);
    assert_eq!(zig(CALC), zig(&told));
}

#[test]
fn what_there_are_no_bindings_for_is_named() {
    let later =
        "package demo:later; interface api { next: func(of: list<option<stream<u8>>>); } world w { export api; }";
    let error = c::generate(&world(later), "w", false).unwrap_err();
    assert_eq!(error.diagnostics[0].code, "unsupported-type");
    let said = "`demo:later/api#next` has a `stream`, which C has no bindings for";
    assert_eq!(error.diagnostics[0].message, said);
}
