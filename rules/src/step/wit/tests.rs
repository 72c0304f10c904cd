//! WIT text in, world or message out.

use crate::step::testing::{files, named_world, world};
use crate::step::wit;

/// The message of reading `text`, with each label as `file:"the text it covers"`.
fn message(text: &str, name: Option<&str>) -> String {
    let sources = files(text);
    let error = match wit::world(&sources, name) {
        Ok(world) => return format!("ok: {}", world.name()),
        Err(error) => error,
    };
    let mut lines = Vec::new();
    for diagnostic in &error.diagnostics {
        lines.push(format!("{}: {}", diagnostic.code, diagnostic.message));
        for label in &diagnostic.labels {
            let covered = String::from_utf8_lossy(&sources[&label.file][label.span.clone()]).into_owned();
            lines.push(format!("  {}: {covered:?} {}", label.file, label.text).trim_end().to_owned());
        }
        lines.extend(diagnostic.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(diagnostic.helps.iter().map(|help| format!("help: {help}")));
    }
    lines.join("\n")
}

#[track_caller]
fn check(text: &str, name: Option<&str>, expected: &str) {
    let expected: Vec<&str> =
        expected.trim().lines().map(|line| line.strip_prefix("        ").unwrap_or(line)).collect();
    let found = message(text, name);
    assert_eq!(found, expected.join("\n"), "\n{found}\n");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    check(
        "package demo:calc;\nworld calc { export add: func(a: s33) -> s32; }",
        None,
        r#"
        bad-wit: name `s33` does not exist
          test.wit: "s33"
        "#
        .trim_end(),
    );
    check(
        "//- wit/a.wit\npackage demo:calc;\n//- wit/b.wit\nworld calc { import other:log/log@1.0.0; }",
        None,
        r#"
        bad-wit: no package is called `other:log@1.0.0`
          wit/b.wit: "other:log"
        help: put the WIT of `other:log@1.0.0` in `deps/log/` beside the package that uses it
        "#
        .trim_end(),
    );
}

#[test]
fn a_dependency_at_another_version_is_mentioned() {
    check(
        "//- app.wit\npackage demo:app; world app { import demo:log/log@1.1.0; }\n//- deps/log.wit\npackage demo:log@1.0.0; interface log {}",
        None,
        r#"
        bad-wit: no package is called `demo:log@1.1.0`
          app.wit: "demo:log"
        help: there is `demo:log@1.0.0`: write that version, or put the other one beside it"#,
    );
    check(
        "//- app.wit\npackage demo:app@1.0.0; world app { }\n//- b.wit\npackage demo:other;",
        None,
        r#"
        bad-wit: package identifier `demo:other` does not match previous package name of `demo:app@1.0.0`
          b.wit: "demo:other""#,
    );
}

#[test]
fn a_world_is_found_by_name() {
    let two = "package demo:calc@1.0.0;\nworld calc {}\nworld other {}";
    check(two, Some("calc"), "ok: demo:calc/calc@1.0.0");
    check(two, Some("demo:calc/other"), "ok: demo:calc/other@1.0.0");
    check(
        two,
        None,
        "
        ambiguous-world: package `demo:calc@1.0.0` has 2 worlds
        note: they are `calc`, `other`
        help: choose one: `world = \"calc\"`",
    );
    check(
        two,
        Some("clac"),
        "
        unknown-world: package `demo:calc@1.0.0` has no world called `clac`
        note: it has `calc`, `other`
        help: did you mean `calc`?",
    );
    check(
        "package demo:calc;\ninterface math {}",
        None,
        "
        unknown-world: package `demo:calc` has no world, only interfaces
        help: add `world NAME { export INTERFACE; }`, saying what the component imports and exports",
    );
}

#[test]
fn wasi_is_built_in() {
    check("", Some("wasi:cli/command"), "ok: wasi:cli/command@0.2.12");
    check("", Some("wasi:http/proxy@0.2.3"), "ok: wasi:http/proxy@0.2.3");
    check(
        "package demo:app; world app { import wasi:io/streams@0.2.0; include wasi:http/proxy@0.2.12; }",
        None,
        "ok: demo:app/app",
    );
    check("package demo:app; world app {}", Some("wasi:cli/command"), "ok: wasi:cli/command@0.2.12");
    check(
        "",
        Some("wasi:cli/command@0.3.0"),
        "
        unknown-world: no package is called `wasi:cli@0.3.0`
        help: the built-in WASI packages go from 0.2.0 to 0.2.12; other versions belong in `deps/`",
    );
    check(
        "package demo:app; world app { import wasi:io/streams; }",
        None,
        r#"
        bad-wit: no package is called `wasi:io`
          test.wit: "wasi:io"
        help: write the version: `wasi:io@0.2.12`"#,
    );
    check(
        "package demo:app; world app { import wasi:htp/types@0.2.0; }",
        None,
        r#"
        bad-wit: no package is called `wasi:htp@0.2.0`
          test.wit: "wasi:htp"
        help: did you mean `wasi:http`?
        help: put the WIT of `wasi:htp@0.2.0` in `deps/htp/` beside the package that uses it"#,
    );
}

#[test]
fn only_the_files_needed_count() {
    let world = world(
        "
        //- wit/app.wit
        package demo:app;
        world app { import demo:log/log; }
        //- wit/deps/log/a.wit
        package demo:log;
        interface log { use demo:level/level.{level}; log: func(level: level, text: string); }
        //- wit/deps/level.wit
        package demo:level;
        interface level { enum level { low, high } }
        //- wit/deps/unused.wit
        package demo:unused;
        interface unused { use not:there/at-all.{t}; }
        //- wit/notes/draft.wit
        this is not WIT
        //- wit/deps/README.md
        nor is this
        ",
    );
    assert_eq!(world.files, ["wit/app.wit", "wit/deps/level.wit", "wit/deps/log/a.wit"]);
}

#[test]
fn a_users_copy_of_wasi_is_preferred() {
    let text = "
        //- wit/app.wit
        package demo:app;
        world app { import wasi:random/random@0.2.3; }
        //- wit/deps/random.wit
        package wasi:random@0.2.3;
        interface random { mine: func(); }
        ";
    assert!(world(text).wit().contains("mine: func()"));
}

#[test]
fn an_encoded_package_is_a_dependency_too() {
    let log = world("package demo:log@1.0.0; interface log { log: func(text: string); } world w { import log; }");
    let package = log.resolve.worlds[log.id].package.unwrap();
    let mut sources = files("//- wit/app.wit\npackage demo:app; world app { import demo:log/log@1.0.0; }");
    sources.insert("wit/deps/log.wasm".to_owned(), wit_component::encode(&log.resolve, package, false).unwrap());
    let world = wit::world(&sources, None).unwrap();
    assert_eq!(world.files, ["wit/app.wit", "wit/deps/log.wasm"]);
    sources.insert("wit/deps/log.wasm".to_owned(), b"\0asm".to_vec());
    assert_eq!(wit::world(&sources, None).unwrap_err().diagnostics[0].code, "bad-wit");
}

const SHAPES: &str = "
    //- a.wit
    package demo:shapes@1.0.0;
    interface types { record point { x: s32, y: s32 } resource pen { constructor(at: point); draw: func(towards: point); } type p = point; }
    //- b.wit
    package demo:shapes@1.0.0;
    interface lines { use types.{point, pen}; length: func(start: point, end: point) -> u32; draw: func(pen: borrow<pen>); }
    world shapes { import wasi:cli/environment@0.2.0; import types; import zero: func() -> s32; export lines; export area: func() -> u32; }
    ";

#[test]
fn the_identity_ignores_what_carries_no_meaning() {
    let identity = world(SHAPES).encoded().unwrap();
    let edited = "
        //- z.wit
        /// All about lines.
        package demo:shapes@1.0.0;
        /// Another world, of no concern here.
        world other { export types; }
        interface types {
            resource pen { draw: func(towards: point); constructor(at: point); }
            /// A name.
            type p = point;
            /// A point.
            record point { /// Right.
                x: s32, y: s32 }
        }
        //- y.wit
        package demo:shapes@1.0.0;
        world renamed { export area: func() -> u32; export lines; import zero: func() -> s32; import types; import wasi:cli/environment@0.2.0; }
        interface lines { use types.{pen}; use types.{point}; draw: func(pen: borrow<pen>); length: func(start: point, end: point) -> u32; }
        ";
    assert_eq!(named_world(edited, Some("renamed")).encoded().unwrap(), identity);
}

#[test]
fn the_identity_sees_every_change_of_meaning() {
    let identity = world(SHAPES).encoded().unwrap();
    let edits = [
        ("x: s32", "x: s64"),
        ("x: s32, y: s32", "y: s32, x: s32"),
        ("-> u32; draw", "-> s32; draw"),
        ("borrow<pen>", "pen"),
        ("export area: func() -> u32;", ""),
        ("import zero: func() -> s32;", ""),
        ("environment@0.2.0", "environment@0.2.1"),
        ("start: point", "begin: point"),
        ("shapes@1.0.0", "shapes@1.1.0"),
    ];
    for (from, to) in edits {
        assert!(SHAPES.contains(from), "{from}");
        assert_ne!(world(&SHAPES.replace(from, to)).encoded().unwrap(), identity, "{from} -> {to}");
    }
}
