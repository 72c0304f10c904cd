//! Wirings of dummy components, carried out.

use std::collections::BTreeMap;

use crate::step::compose::compose;
use crate::step::interface::Interface;
use crate::step::testing::{component, files, world};
use crate::wiring::tests::{CONNECTIONS, wired};

/// Builds every part of `text` (see the tests of wiring) and composes them.
fn composed(text: &str) -> Result<Vec<u8>, String> {
    let wiring = wired(text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    compose(&wiring, &components(text)).map_err(|error| error.to_string())
}

fn components(text: &str) -> BTreeMap<String, Vec<u8>> {
    files(text)
        .into_iter()
        .map(|(head, wit)| {
            let name = head.split_once(':').unwrap().0.to_owned();
            (name, component(&world(&String::from_utf8(wit).unwrap())))
        })
        .collect()
}

/// `imports -> exports` of the composition.
#[track_caller]
fn check(text: &str, expected: &str) {
    let bytes = composed(text).unwrap_or_else(|error| panic!("{error}"));
    let interface = Interface::of(&bytes).unwrap_or_else(|error| panic!("{error}"));
    let names = |names: &[crate::step::interface::ExternName]| {
        let mut names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        names.sort_unstable();
        names.join(", ")
    };
    assert_eq!(format!("{} -> {}", names(&interface.imports), names(&interface.exports)), expected);
}

const DIAMOND: &str = "
    //- app: left right
    package demo:d; world app { import left; import right; import wasi:cli/environment@0.2.3; export run: func(); }
    interface log { log: func(text: string); } interface left { l: func(); } interface right { r: func(); }
    //- left: foot
    package demo:d; world w { import log; import wasi:cli/environment@0.2.0; export left; }
    interface log { log: func(text: string); } interface left { l: func(); }
    //- right: foot
    package demo:d; world w { import log; import wasi:random/random@0.2.0; export right; }
    interface log { log: func(text: string); } interface right { r: func(); }
    //- foot:
    package demo:d; world w { export log; }
    interface log { log: func(text: string); }
    ";

#[test]
fn a_diamond() {
    check(DIAMOND, "wasi:cli/environment@0.2.3, wasi:random/random@0.2.0 -> run");
}

#[test]
fn the_same_bytes_every_time() {
    let first = composed(DIAMOND).unwrap();
    for _ in 0..20 {
        assert_eq!(composed(DIAMOND).unwrap(), first);
    }
}

#[test]
fn one_component_alone_stays_as_it_is() {
    let text = "//- app:\npackage demo:a; world app { import wasi:cli/environment@0.2.0; export run: func(); }";
    assert_eq!(composed(text).unwrap(), components(text)["app"]);
}

#[test]
fn functions_without_an_interface_are_wired_too() {
    check(
        "//- app: log\npackage demo:a; world app { import log: func(text: string); export run: func(); }
        //- log:\npackage demo:l; world w { export log: func(text: string); }",
        " -> run",
    );
}

#[test]
fn an_import_takes_an_export_of_a_compatible_version() {
    let math = "interface math { add: func(a: s32) -> s32; }";
    check(
        &format!(
            "//- app: calc\npackage demo:math@1.0.0; {math} world app {{ import math; export run: func(); }}
            //- calc:\npackage demo:math@1.2.0; {math} world w {{ export math; }}"
        ),
        " -> run",
    );
}

#[test]
fn resources_keep_their_identity() {
    check(
        &format!(
            "//- app: base pool\npackage demo:c; {CONNECTIONS} world app {{ import types; import pool; export run: func(); }}
            //- pool: base\npackage demo:c; {CONNECTIONS} world w {{ import types; export pool; }}
            //- base:\npackage demo:c; {CONNECTIONS} world w {{ export types; }}"
        ),
        " -> run",
    );
}

#[test]
fn a_resource_of_the_host_is_one_for_all() {
    check(
        "//- app: sink\npackage demo:c; world app { import sink; export run: func(o: output-stream); use wasi:io/streams@0.2.0.{output-stream}; }
        interface sink { use wasi:io/streams@0.2.0.{output-stream}; put: func(o: borrow<output-stream>); }
        //- sink:\npackage demo:c; world w { export sink; }
        interface sink { use wasi:io/streams@0.2.0.{output-stream}; put: func(o: borrow<output-stream>); }",
        "wasi:io/error@0.2.0, wasi:io/poll@0.2.0, wasi:io/streams@0.2.0 -> run",
    );
}

#[test]
fn a_root_may_export_what_uses_a_dependencys_resource() {
    // The export's type names a resource that comes from inside the composition.
    check(
        &format!(
            "//- pool: base\npackage demo:c; {CONNECTIONS} world w {{ import types; export pool; }}
            //- base:\npackage demo:c; {CONNECTIONS} world w {{ export types; }}"
        ),
        " -> demo:c/pool",
    );
}

#[test]
fn inline_interfaces_are_wired_by_name() {
    // bytecodealliance/wac#148.
    check(
        "//- composite: compound\npackage bab:composite; world w { import compound-interface: interface { f: func(); } export run: func(); }
        //- compound:\npackage bab:compound; world w { export compound-interface: interface { f: func(); } }",
        " -> run",
    );
}

/// A component that stands in for a part of WASI, one that uses the stand-in, and one that uses both.
/// bytecodealliance/wac#149, where the second was not given the stand-in.
pub(crate) const STAND_IN: &str = "
    //- adapter: types handler
    package poc:adapter;
    world w { import wasi:http/types@0.2.3; import wasi:http/incoming-handler@0.2.3; import poc:types/extensions; export run: func(); }
    package poc:types { interface extensions { use wasi:http/types@0.2.3.{incoming-request}; make: func() -> incoming-request; } }
    //- handler: types
    package poc:handler;
    world w { import wasi:http/types@0.2.3; export wasi:http/incoming-handler@0.2.3; }
    //- types:
    package poc:types;
    interface extensions { use wasi:http/types@0.2.3.{incoming-request}; make: func() -> incoming-request; }
    world w { export wasi:http/types@0.2.3; export extensions; }
    ";

#[test]
fn a_stand_in_for_wasi_serves_all_who_name_it() {
    check(
        STAND_IN,
        "wasi:clocks/monotonic-clock@0.2.3, wasi:io/error@0.2.3, wasi:io/poll@0.2.3, wasi:io/streams@0.2.3 -> run",
    );
}

#[test]
fn a_function_may_pass_a_dependencys_resource() {
    check(crate::wiring::tests::CLOSER, " -> run");
}
