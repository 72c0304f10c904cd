//! Declared worlds in, plan or messages out.

use crate::step::testing::{files, world};
use crate::step::wit::World;
use crate::wiring::{Part, Problem, Wiring, wire};

/// Parts from text: `//- name: depends…` before the WIT of each; the first is the root.
fn parts(text: &str) -> Vec<(String, Vec<String>, World)> {
    let mut found = Vec::new();
    let heads: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("//- ")).collect();
    for head in heads {
        let (name, depends) = head.split_once(':').unwrap();
        let wit = String::from_utf8(files(text)[head].clone()).unwrap();
        found.push((name.to_owned(), depends.split_whitespace().map(str::to_owned).collect(), world(&wit)));
    }
    found
}

pub(crate) fn wired(text: &str) -> Result<Wiring, Vec<Problem>> {
    let parts = parts(text);
    let parts: Vec<Part<'_>> = parts
        .iter()
        .map(|(name, depends, world)| Part { name, world, depends: depends.iter().map(String::as_str).collect() })
        .collect();
    wire(&parts[0], &parts[1..])
}

fn show(result: &Result<Wiring, Vec<Problem>>) -> String {
    let mut lines = Vec::new();
    let problems = match result {
        Ok(wiring) => {
            for instance in &wiring.instances {
                let arguments: Vec<String> = instance
                    .arguments
                    .iter()
                    .map(|a| {
                        format!(
                            " {} = {}.{}{}",
                            a.import,
                            a.instance,
                            a.export,
                            a.item.iter().map(|item| format!(".{item}")).collect::<String>()
                        )
                    })
                    .collect();
                lines.push(format!("{}:{}", instance.target, arguments.join(",")));
            }
            lines.extend(wiring.imports.iter().map(|import| format!("import {import}")));
            &wiring.warnings
        }
        Err(problems) => problems,
    };
    for problem in problems {
        let diagnostic = &problem.diagnostic;
        lines.push(format!("[{}] {}: {}", problem.target, diagnostic.code, diagnostic.message));
        lines.extend(diagnostic.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(diagnostic.helps.iter().map(|help| format!("help: {help}")));
    }
    lines.join("\n")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let expected: Vec<&str> =
        expected.trim().lines().map(|line| line.strip_prefix("        ").unwrap_or(line)).collect();
    let found = show(&wired(text));
    assert_eq!(found, expected.join("\n"), "\n{found}\n");
}

const MATH: &str = "interface math { add: func(a: s32, b: s32) -> s32; }";

#[test]
fn an_import_takes_the_export_of_its_name() {
    check(
        &format!(
            "//- app: calc\npackage demo:math@1.0.0; {MATH} world app {{ import math; import wasi:cli/environment@0.2.0; export run: func(); }}
            //- calc:\npackage demo:math@1.0.0; {MATH} world calc {{ export math; }}"
        ),
        "
        calc:
        app: demo:math/math@1.0.0 = calc.demo:math/math@1.0.0
        import wasi:cli/environment@0.2.0",
    );
}

#[test]
fn versions_of_one_track_stand_in_for_each_other() {
    let with = |ours: &str, theirs: &str| {
        format!(
            "//- app: calc\npackage demo:math@{ours}; {MATH} world app {{ import math; }}
            //- calc:\npackage demo:math@{theirs}; {MATH} world calc {{ export math; }}"
        )
    };
    check(&with("1.0.0", "1.2.3"), "calc:\napp: demo:math/math@1.0.0 = calc.demo:math/math@1.2.3");
    check(&with("0.2.0", "0.2.6"), "calc:\napp: demo:math/math@0.2.0 = calc.demo:math/math@0.2.6");
    check(
        &with("1.0.0", "2.0.0"),
        "
        [app] unsatisfied-import: nothing that `app` depends on exports `demo:math/math@1.0.0`, which it imports
        note: `calc` exports `demo:math/math@2.0.0`
        note: `app` wants version 1.0.0, `calc` has version 2.0.0, and these can't stand in for each other
        help: bring both to one version",
    );
}

#[test]
fn a_diamond_has_one_instance_of_its_foot() {
    let types =
        "interface log { log: func(text: string); } interface left { l: func(); } interface right { r: func(); }";
    check(
        &format!(
            "//- app: left right\npackage demo:d; {types} world app {{ import left; import right; }}
            //- left: foot\npackage demo:d; {types} world left-w {{ import log; export left; }}
            //- right: foot\npackage demo:d; {types} world right-w {{ import log; export right; }}
            //- foot:\npackage demo:d; {types} world foot {{ export log; }}"
        ),
        "
        foot:
        left: demo:d/log = foot.demo:d/log
        right: demo:d/log = foot.demo:d/log
        app: demo:d/left = left.demo:d/left, demo:d/right = right.demo:d/right",
    );
}

#[test]
fn what_cannot_be_wired_says_why() {
    check(
        &format!("//- app:\npackage demo:m; {MATH} world app {{ import math; import log: func(); }}"),
        "
        [app] unsatisfied-import: nothing that `app` depends on exports `demo:m/math`, which it imports
        help: add a target that exports `demo:m/math` to the `depends` of `app`
        [app] unsatisfied-import: nothing that `app` depends on exports `log`, which it imports
        help: add a target that exports `log` to the `depends` of `app`",
    );
    check(
        &format!(
            "//- app:\npackage demo:m; {MATH} world app {{ import math; }}
            //- calc:\npackage demo:m; {MATH} world calc {{ export math; }}"
        ),
        "
        [app] unsatisfied-import: nothing that `app` depends on exports `demo:m/math`, which it imports
        help: `calc` exports it: add it to the `depends` of `app`",
    );
    check(
        &format!(
            "//- app: calc\npackage demo:m; interface maths {{ add: func(); }} world app {{ import maths; }}
            //- calc:\npackage demo:m; {MATH} world calc {{ export math; }}"
        ),
        "
        [app] unsatisfied-import: nothing that `app` depends on exports `demo:m/maths`, which it imports
        note: `calc` exports `demo:m/math`
        help: did you mean `demo:m/math`?",
    );
    check(
        &format!(
            "//- app: a b\npackage demo:m; {MATH} world app {{ import math; }}
            //- a:\npackage demo:m; {MATH} world w {{ export math; }}
            //- b:\npackage demo:m; {MATH} world w {{ export math; }}"
        ),
        "
        [app] ambiguous-import: `app` imports `demo:m/math`, which 2 of its dependencies export
        note: they are `a`, `b`
        help: depend on one of them only, or say which is meant in a `.wac` script",
    );
}

#[test]
fn different_types_are_put_side_by_side() {
    check(
        "//- app: calc\npackage demo:m; interface math { record p { x: s32 } add: func(p: p) -> s32; neg: func(n: s32) -> s32; } world app { import math; }
        //- calc:\npackage demo:m; interface math { record p { x: s64 } add: func(p: p) -> s32; } world calc { export math; }",
        "
        [app] incompatible-interface: `app` imports `demo:m/math`, but what `calc` exports under that name is something else
        note: `p` differs
          app imports   record p { x: s32 }
          calc exports  record p { x: s64 }
        note: `neg` differs
          app imports   neg: func(n: s32) -> s32
          calc exports  nothing of that name
        help: give both the same WIT for this interface",
    );
}

#[test]
fn an_unused_dependency_is_a_warning() {
    check(
        &format!(
            "//- app: calc\npackage demo:m; {MATH} world app {{ export run: func(); }}
            //- calc:\npackage demo:m; {MATH} world calc {{ export math; }}"
        ),
        "
        app:
        [app] unused-dependency: `app` depends on `calc`, which exports nothing that `app` imports
        note: `app` imports nothing
        note: `calc` exports `demo:m/math`
        help: remove `calc`, or import what it exports",
    );
}

#[test]
fn a_ring_is_told_as_a_ring() {
    let both = "interface a { f: func(); } interface b { g: func(); }";
    check(
        &format!(
            "//- x: y\npackage demo:r; {both} world w {{ import b; export a; }}
            //- y: x\npackage demo:r; {both} world w {{ import a; export b; }}"
        ),
        "
        [x] cyclic-wiring: these components need each other's exports
        note: `x` → `y` → `x`
        note: each component is instantiated once, after those whose exports it imports
        help: move what both need into a third component",
    );
}

#[test]
fn plain_types_need_nobody() {
    check(
        "//- app:\npackage demo:t; interface types { record p { x: s32 } } world app { use types.{p}; export f: func(p: p); }",
        "app:\nimport demo:t/types",
    );
}

pub(crate) const CONNECTIONS: &str = "
    interface types { resource conn { constructor(); send: func(text: string); } }
    interface pool { use types.{conn}; take: func() -> conn; give: func(c: conn); }
    ";

#[test]
fn a_resource_must_come_from_one_place() {
    let good = format!(
        "//- app: base pool\npackage demo:c; {CONNECTIONS} world app {{ import types; import pool; export run: func(); }}
        //- pool: base\npackage demo:c; {CONNECTIONS} world w {{ import types; export pool; }}
        //- base:\npackage demo:c; {CONNECTIONS} world w {{ export types; }}"
    );
    check(
        &good,
        "
        base:
        pool: demo:c/types = base.demo:c/types
        app: demo:c/pool = pool.demo:c/pool, demo:c/types = base.demo:c/types",
    );
    let other = good.replace("//- pool: base", "//- pool: other")
        + &format!("\n//- other:\npackage demo:c; {CONNECTIONS} world w {{ export types; }}");
    check(
        &other,
        "
        [app] split-resource: resource `conn` of `demo:c/types` reaches `app` from two places, as two different types
        note: `app` takes `demo:c/types` from `base`
        note: `app` takes `demo:c/pool` from `pool`, which has the resource from `other`
        help: let `app` take `demo:c/types` from `other` too: name it in `depends`",
    );
}

#[test]
fn a_stand_in_for_wasi_must_serve_all() {
    // bytecodealliance/wac#149: the handler would take its requests from the host, the adapter from the stand-in.
    check(
        &crate::step::compose::tests::STAND_IN.replace("//- handler: types", "//- handler:"),
        "
        [adapter] split-resource: resource `incoming-request` of `wasi:http/types@0.2.3` reaches `adapter` from two places, as two different types
        note: `adapter` takes `wasi:http/types@0.2.3` from `types`
        note: `adapter` takes `wasi:http/incoming-handler@0.2.3` from `handler`, which has the resource from the host
        help: let `handler` take `wasi:http/types@0.2.3` from the same place: give both the same `depends`",
    );
}

pub(crate) const CLOSER: &str = "
    //- app: base closer
    package demo:c; interface types { resource conn { constructor(); } }
    world w { use types.{conn}; import close: func(c: conn); export run: func(); }
    //- closer: base
    package demo:c; interface types { resource conn { constructor(); } }
    world w { use types.{conn}; export close: func(c: conn); }
    //- base:
    package demo:c; interface types { resource conn { constructor(); } }
    world w { export types; }
    ";

#[test]
fn a_type_a_world_uses_comes_with_its_interface() {
    check(
        CLOSER,
        "
        base:
        closer: conn = base.demo:c/types.conn, demo:c/types = base.demo:c/types
        app: close = closer.close, conn = base.demo:c/types.conn, demo:c/types = base.demo:c/types",
    );
    check(
        &(CLOSER.replace("//- closer: base", "//- closer: other")
            + "//- other:\npackage demo:c; interface types { resource conn { constructor(); } } world w { export types; }"),
        "
        [app] split-resource: resource `conn` of `demo:c/types` reaches `app` from two places, as two different types
        note: `app` takes `demo:c/types` from `base`
        note: `app` takes `close` from `closer`, which has the resource from `other`
        help: let `app` take `demo:c/types` from `other` too: name it in `depends`",
    );
}

#[test]
fn a_function_can_not_carry_a_resource_out() {
    check(
        &CLOSER.replace("export run: func();", "export run: func() -> conn;"),
        "
        [app] hidden-resource: `app` exports the function `run`, whose type names a resource that stays inside
        note: resource `conn` of `demo:c/types` comes from `base`, and nothing exports it from here
        help: export an interface that uses `conn` and holds `run`, instead of the function alone",
    );
}

#[test]
fn a_function_that_waits_is_no_other() {
    check(
        "//- app: calc\npackage demo:m; interface math { add: async func(n: s32) -> s32; } world app { import math; }
        //- calc:\npackage demo:m; interface math { add: func(n: s32) -> s32; } world calc { export math; }",
        "
        [app] incompatible-interface: `app` imports `demo:m/math`, but what `calc` exports under that name is something else
        note: `add` differs
          app imports   add: async func(n: s32) -> s32
          calc exports  add: func(n: s32) -> s32
        help: give both the same WIT for this interface",
    );
}

#[test]
fn interfaces_that_worlds_write_themselves_meet_by_name() {
    // bytecodealliance/wac#148: said to have no matching imports.
    check(
        "//- socket: plug\npackage bab:composite; world w { import compound: interface { go: func(); } export run: func(); }
        //- plug:\npackage bab:compound; world w { export compound: interface { go: func(); } }",
        "plug:\nsocket: compound = plug.compound",
    );
}

#[test]
fn who_has_a_resource_of_wasi_from_elsewhere_is_told() {
    // spinframework/spin#2969: sockets are denied to one component by a stand-in, and another has them from the host.
    check(
        "//- app: deny dep
        package demo:app; world w { import wasi:sockets/udp@0.2.3; import demo:dep/api; export run: func(); }
        package demo:dep { interface api { use wasi:sockets/udp@0.2.3.{udp-socket}; open: func() -> udp-socket; } }
        //- deny:
        package demo:deny; world w { export wasi:sockets/udp@0.2.3; }
        //- dep:
        package demo:dep; interface api { use wasi:sockets/udp@0.2.3.{udp-socket}; open: func() -> udp-socket; } world w { export api; }",
        "
        [app] split-resource: resource `udp-socket` of `wasi:sockets/udp@0.2.3` reaches `app` from two places, as two different types
        note: `app` takes `wasi:sockets/udp@0.2.3` from `deny`
        note: `app` takes `demo:dep/api` from `dep`, which has the resource from the host
        help: let `dep` take `wasi:sockets/udp@0.2.3` from the same place: give both the same `depends`",
    );
}
