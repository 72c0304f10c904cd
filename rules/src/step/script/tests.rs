//! Scripts in, packages, components and messages out.

use std::collections::BTreeMap;

use crate::step::interface::Interface;
use crate::step::script::{compose_script, script_packages};
use crate::step::testing::{component, world};

const SCRIPT: &str = "package shop:whole;\nlet calc = new shop:calc {};\nlet app = new shop:app { \"demo:m/math\": calc[\"demo:m/math\"], ... };\nexport app...;\n";

fn packages() -> BTreeMap<String, Vec<u8>> {
    let math = "package demo:m; interface math { add: func(a: s32) -> s32; }";
    let app = component(&world(&format!(
        "{math} world w {{ import math; import wasi:random/random@0.2.0; export run: func(); }}"
    )));
    let calc = component(&world(&format!("{math} world w {{ export math; }}")));
    [("shop:app".to_owned(), app), ("shop:calc".to_owned(), calc)].into()
}

#[test]
fn a_script_names_its_packages() {
    let script = "package shop:whole targets wasi:http/proxy@0.2.3;\nimport log: acme:log/log@1.0.0;\nlet a = new shop:app { ... };\nlet b = new shop:app { ... };\nexport b...;\n";
    let found = script_packages("app.wac", script).unwrap();
    let names: Vec<(&str, Option<&str>)> =
        found.iter().map(|package| (package.name.as_str(), package.target("shop"))).collect();
    assert_eq!(names, [("acme:log@1.0.0", None), ("shop:app", Some("app"))]);
    assert_eq!(&script[found[1].span.clone()], "shop:app");
}

#[test]
fn a_script_is_carried_out() {
    let bytes = compose_script("app.wac", SCRIPT, &packages()).unwrap();
    let interface = Interface::of(&bytes).unwrap();
    let names: Vec<String> = interface.imports.iter().chain(&interface.exports).map(ToString::to_string).collect();
    assert_eq!(names, ["wasi:random/random@0.2.0", "run"]);
    for _ in 0..20 {
        assert_eq!(compose_script("app.wac", SCRIPT, &packages()).unwrap(), bytes);
    }
}

#[track_caller]
fn check(script: &str, expected: &str) {
    let error = compose_script("app.wac", script, &packages()).unwrap_err();
    let [diagnostic] = error.diagnostics.as_slice() else { panic!("{error}") };
    let label = &diagnostic.labels[0];
    assert_eq!(format!("{}: {} at `{}`", diagnostic.code, diagnostic.message, &script[label.span.clone()]), expected);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    check("package shop:whole;\nlet = 1;", "bad-wac: expected identifier, found `=` at `=`");
    check("package shop:whole;\nexport nothing;", "bad-wac: undefined name `nothing` at `nothing`");
    check("package shop:whole;\nlet a = new shop:cart {};", "bad-wac: unknown package `shop:cart` at `shop:cart`");
    check("package shop:whole;\nlet a = new shop:app { \"demo:m/mat\": a };", "bad-wac: undefined name `a` at `a`");
}

#[test]
fn a_script_may_target_a_world_of_wasi() {
    let script = "package shop:whole targets wasi:cli/imports@0.2.0;\nlet a = new shop:calc {};\n";
    compose_script("app.wac", script, &packages()).unwrap();
}

proptest::proptest! {
    #[test]
    fn random_scripts_never_panic(text in "(package|a:b|shop:app|;|let|new|export|import|interface|world|[{}()<>,:.=/@\"]|[a-z]|func|use|[.]{3}| ){0,30}") {
        let script = format!("package a:b;\n{text}");
        let _ = script_packages("t.wac", &script);
        let _ = compose_script("t.wac", &script, &BTreeMap::new());
    }
}
