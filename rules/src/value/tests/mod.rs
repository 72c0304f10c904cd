//! Values against tables of text. Signatures come from components without code: what they import.

mod properties;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Val};

use super::*;

/// Types a signature may name, as a component must have them: imported.
const TYPES: &str = r#"
    (type $point' (record (field "x" s32) (field "y" s32)))           (import "point" (type $point (eq $point')))
    (type $named' (record (field "name" string) (field "age" (option u8)))) (import "named" (type $named (eq $named')))
    (type $shape' (variant (case "dot") (case "circle" f64) (case "maybe" (option u8)))) (import "shape" (type $shape (eq $shape')))
    (type $color' (enum "red" "green"))                               (import "color" (type $color (eq $color')))
    (type $mode' (flags "read" "write"))                              (import "mode" (type $mode (eq $mode')))
    (import "file" (type $file (sub resource)))"#;

fn component(body: &str) -> Component {
    let wat = format!("(component {body})");
    let bytes = wat::parse_str(&wat).unwrap_or_else(|e| panic!("{e}"));
    Component::new(&Engine::default(), bytes).unwrap_or_else(|e| panic!("{e:#}\n{wat}"))
}

/// A function `g` with these parameters and results, in the text format.
fn function(signature: &str) -> Function {
    function_of(&component(&format!(r#"{TYPES} (import "f" (func $f {signature}))"#)))
}

/// What `component` imports as `f`, called `g`.
fn function_of(component: &Component) -> Function {
    let ty = component.component_type();
    match ty.get_import(component.engine(), "f").map(|import| import.ty) {
        Some(ComponentItem::ComponentFunc(ty)) => Function::new(None, "g", ty),
        other => panic!("{other:?}"),
    }
}

/// The arguments as WAVE, or what was wrong with them.
fn arguments(signature: &str, texts: &[&str]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
    match parse_arguments(&function(signature), &texts) {
        Ok(values) => values.iter().map(to_wave).collect::<Vec<_>>().join(" | "),
        Err(diagnostic) => diagnostic.message,
    }
}

#[track_caller]
fn check(signature: &str, texts: &[&str], expected: &str) {
    assert_eq!(arguments(signature, texts), expected, "{signature} <- {texts:?}");
}

#[test]
fn typed_literals_of_every_primitive() {
    for (ty, text, expected) in [
        ("bool", "bool:true", "true"),
        ("s8", "s8:-128", "-128"),
        ("s16", "s16:-3", "-3"),
        ("s32", "s32: 3 ", "3"),
        ("s64", "s64:-9223372036854775808", "-9223372036854775808"),
        ("u8", "u8:255", "255"),
        ("u16", "u16:3", "3"),
        ("u32", "u32:3", "3"),
        ("u64", "u64:18446744073709551615", "18446744073709551615"),
        ("f32", "f32:0.1", "0.1"),
        ("f64", "f64:nan", "nan"),
        ("f64", "f64:-inf", "-inf"),
        ("f32", "inf", "inf"),
        ("char", "char:x", "'x'"),
        ("char", "char:,", "','"),
        ("char", r"char:'\n'", r"'\n'"),
        ("char", "char:'", r"'\''"),
        ("string", "string:hello world", r#""hello world""#),
        ("string", "string:", r#""""#),
        ("string", "string:a, s32:b", r#""a, s32:b""#),
        ("(option s32)", "s32:3", "some(3)"),
        ("(result s32)", "s32:3", "ok(3)"),
    ] {
        check(&format!(r#"(param "a" {ty})"#), &[text], expected);
    }
}

#[test]
fn literals_share_a_text_and_commas_inside_values_never_split() {
    let two = r#"(param "a" s32) (param "b" s32)"#;
    check(two, &["s32:3,s32:4"], "3 | 4");
    check(two, &["s32:3, s32:4"], "3 | 4");
    check(two, &["s32:3", "s32:4"], "3 | 4");
    check(two, &["3", "s32:4"], "3 | 4");
    check(two, &["s32:3,4"], "`s32:3,4` is not a list of typed literals: `4` has no type");
    check(r#"(param "a" char) (param "b" u8)"#, &["char:,,u8:1"], "',' | 1");
    check(r#"(param "a" char) (param "b" u8)"#, &["char:',',u8:1"], "',' | 1");
    check(r#"(param "a" u8) (param "b" string)"#, &["u8:1,string:a,b"], r#"1 | "a,b""#);
    check(r#"(param "a" string)"#, &[r#""a, b""#], r#""a, b""#);
    check(r#"(param "a" (list s32))"#, &["[1, 2]"], "[1, 2]");
}

#[test]
fn wave_is_the_language_for_everything_else() {
    for (ty, text, expected) in [
        ("$point", "{x: 1, y: -2}", "{x: 1, y: -2}"),
        ("$named", r#"{name: "a, b"}"#, r#"{name: "a, b"}"#),
        ("$shape", "circle(1.5)", "circle(1.5)"),
        ("$shape", "dot", "dot"),
        ("$color", "green", "green"),
        ("$mode", "{write}", "{write}"),
        ("(option string)", r#"some("a, b")"#, r#"some("a, b")"#),
        ("(option string)", "none", "none"),
        ("(result u8 (error string))", r#"err("no")"#, r#"err("no")"#),
        ("(tuple s32 string)", r#"(1, "x")"#, r#"(1, "x")"#),
        ("(list $point)", "[{x: 1, y: 2}]", "[{x: 1, y: 2}]"),
        ("u64", "42", "42"),
        ("f32", "42", "42"),
    ] {
        check(&format!(r#"(param "a" {ty})"#), &[text], expected);
    }
}

#[test]
fn what_does_not_fit_is_said_with_the_parameter_and_its_type() {
    for (ty, text, expected) in [
        ("u8", "300", "the parameter `a` of `g` is `u8`; `300` is out of range: u8 goes from 0 to 255"),
        ("u8", "u8:-1", "the parameter `a` of `g` is `u8`; `-1` is out of range: u8 goes from 0 to 255"),
        ("s32", "s32:x", "the parameter `a` of `g` is `s32`; `x` is not a whole number"),
        ("s32", "1.5", "the parameter `a` of `g` is `s32`; `1.5` is not a whole number"),
        ("bool", "yes", "the parameter `a` of `g` is `bool`; `yes` is neither `true` nor `false`"),
        ("f64", "x", "the parameter `a` of `g` is `f64`; `x` is not a number"),
        ("f64", "1e999", "the parameter `a` of `g` is `f64`; `1e999` is out of range"),
        ("f32", "f32:1e39", "the parameter `a` of `g` is `f32`; `1e39` is out of range"),
        ("char", "char:ab", "the parameter `a` of `g` is `char`; `ab` is not one character"),
        ("s32", "u32:1", "the parameter `a` of `g` is `s32`; `u32:1` is a `u32`"),
        (
            "string",
            "hello",
            "the parameter `a` of `g` is `string`; `hello` is not quoted; write `\"hello\"` or `string:hello`",
        ),
        (
            "$point",
            "{x: 1}",
            "the parameter `a` of `g` is `record { x: s32, y: s32 }`; `{x: 1}` does not fit: missing field \"y\"",
        ),
        (
            "$point",
            "{x: 1, y: a}",
            "the parameter `a` of `g` is `record { x: s32, y: s32 }`; `{x: 1, y: a}` does not fit: invalid value type, at `a`",
        ),
    ] {
        check(&format!(r#"(param "a" {ty})"#), &[text], expected);
    }
}

#[test]
fn the_number_of_values_must_be_right_but_options_may_be_left_out() {
    let two = r#"(param "a" s32) (param "b" s32)"#;
    check(two, &["1"], "`g` takes 2 values, but 1 given");
    check(two, &["1", "2", "3"], "`g` takes 2 values, but 3 given");
    check(r#"(param "a" s32) (param "b" (option u8))"#, &["1"], "1 | none");
    check("", &[], "");
}

#[test]
fn resources_are_refused_in_so_many_words() {
    check(
        r#"(param "handle" (borrow $file))"#,
        &["1"],
        "`g` can't be called from the command line: its parameter `handle` is a `borrow<resource>`, which has no text form",
    );
}

/// Two interfaces that both have `add`, one of which also has `sub`, and a function of the world.
fn several() -> Component {
    component(
        r#"(core module $m
             (func (export "f") (param i32 i32) (result i32) local.get 0)
             (func (export "t") (result i32) i32.const 1))
           (core instance $i (instantiate $m))
           (func $f (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "f")))
           (func $t (result bool) (canon lift (core func $i "t")))
           (instance $math (export "add" (func $f)) (export "sub" (func $f)) (export "test-sub" (func $t)))
           (export "demo:calc/math@1.0.0" (instance $math))
           (instance $more (export "add" (func $f)))
           (export "demo:more/math" (instance $more))
           (export "mul" (func $f)) (export "test-it" (func $t))"#,
    )
}

fn found(written: &str) -> String {
    match find_function(&several(), written) {
        Ok(function) => function.to_string(),
        Err(d) => std::iter::once(d.message).chain(d.helps).collect::<Vec<_>>().join("; "),
    }
}

#[test]
fn functions_are_found_by_any_name_that_is_unique() {
    for (written, expected) in [
        ("mul", "mul"),
        ("sub", "demo:calc/math@1.0.0#sub"),
        ("math.sub", "demo:calc/math@1.0.0#sub"),
        ("math#sub", "demo:calc/math@1.0.0#sub"),
        ("demo:calc/math#add", "demo:calc/math@1.0.0#add"),
        ("demo:calc/math.add", "demo:calc/math@1.0.0#add"),
        ("demo:calc/math@1.0.0#add", "demo:calc/math@1.0.0#add"),
        ("demo:more/math#add", "demo:more/math#add"),
        (
            "add",
            "`add` may be any of `demo:calc/math@1.0.0#add`, `demo:more/math#add`; write `demo:calc/math@1.0.0#add`",
        ),
        ("mull", "the component exports no function `mull`; did you mean `mul`?"),
        ("math.subb", "the component exports no function `math.subb`; did you mean `sub`?"),
        (
            "demo:calc/math@2.0.0#add",
            "the component exports no function `demo:calc/math@2.0.0#add`; did you mean `demo:calc/math@1.0.0#add`?",
        ),
        ("quux", "the component exports no function `quux`"),
    ] {
        assert_eq!(found(written), expected, "{written}");
    }
}

#[test]
fn tests_are_found_in_the_world_and_in_interfaces() {
    let names: Vec<_> = test_functions(&several()).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["demo:calc/math@1.0.0#test-sub", "test-it"]);
}

#[test]
fn calls_are_written_as_wave_with_any_name() {
    let called = |text: &str| match parse_invocation(&several(), text) {
        Ok(call) => format!("{} {:?}", call.function, call.arguments),
        Err(diagnostic) => diagnostic.message,
    };
    for (text, expected) in [
        ("mul(3, 4)", "mul [S32(3), S32(4)]"),
        ("math.sub(3,-4)", "demo:calc/math@1.0.0#sub [S32(3), S32(-4)]"),
        ("demo:calc/math@1.0.0#add( 3 , 4 )", "demo:calc/math@1.0.0#add [S32(3), S32(4)]"),
        ("test-it()", "test-it []"),
        ("mul", "`mul` is not a call"),
        ("mul(3)", "`mul` takes 2 values, but 1 given"),
        ("mul(3, x)", "the parameter `b` of `mul` is `s32`; `x` is not a whole number"),
        ("mul(3, 4", "`mul(3, 4` is not a call: unexpected end of input, at its end"),
        ("mul(3, 4) 5", "`mul(3, 4) 5` is not a call: trailing characters after value, at `5`"),
    ] {
        assert_eq!(called(text), expected, "{text}");
    }
}

#[test]
fn signatures_read_like_wit() {
    let function = function(
        r#"(param "p" $point) (param "s" (list (option string))) (param "h" (own $file)) (result (result $color (error $shape)))"#,
    );
    assert_eq!(
        function.signature(),
        "g: func(p: record { x: s32, y: s32 }, s: list<option<string>>, h: resource) -> \
         result<enum { red, green }, variant { dot, circle(f64), maybe(option<u8>) }>"
    );
}

#[test]
fn json_loses_nothing() {
    let some = |value| Val::Option(Some(Box::new(value)));
    let variant = |case: &str, payload: Option<Val>| Val::Variant(case.to_owned(), payload.map(Box::new));
    for (value, expected) in [
        (Val::U64(u64::MAX), "18446744073709551615"),
        (Val::S64(i64::MIN), "-9223372036854775808"),
        (Val::Float32(0.1), "0.1"),
        (Val::Float32(f32::MAX), "3.4028235e+38"),
        (Val::Float64(-0.0), "-0.0"),
        (Val::Float64(f64::NAN), r#""nan""#),
        (Val::Float32(f32::NEG_INFINITY), r#""-inf""#),
        (Val::Char('☃'), r#""☃""#),
        (Val::Option(None), "null"),
        (some(Val::U8(1)), "1"),
        (some(Val::Option(None)), r#"{"some":null}"#),
        (some(some(Val::U8(1))), r#"{"some":1}"#),
        (some(some(Val::Option(None))), r#"{"some":{"some":null}}"#),
        (variant("circle", Some(Val::U8(1))), r#"{"circle":1}"#),
        (variant("dot", None), r#"{"dot":null}"#),
        (Val::Enum("red".to_owned()), r#""red""#),
        (Val::Flags(vec!["read".to_owned()]), r#"["read"]"#),
        (Val::Result(Ok(None)), r#"{"ok":null}"#),
        (Val::Result(Err(Some(Box::new(Val::U8(1))))), r#"{"err":1}"#),
        (Val::Record(vec![("z".to_owned(), Val::U8(1)), ("a".to_owned(), Val::U8(2))]), r#"{"z":1,"a":2}"#),
        (Val::Tuple(vec![Val::U8(1), Val::Bool(true)]), "[1,true]"),
    ] {
        assert_eq!(to_json(&value).to_string(), expected, "{value:?}");
    }
}

#[test]
fn expectations_are_literals_or_wave() {
    let compared = |signature: &str, expected: &str, actual: &Val| match compare(&function(signature), expected, actual)
    {
        Ok(c) => format!("{} {} {}", c.expected, if c.equal { "==" } else { "!=" }, c.actual),
        Err(diagnostic) => diagnostic.message,
    };
    let s32 = "(result s32)";
    assert_eq!(compared(s32, "s32:5", &Val::S32(5)), "5 == 5");
    assert_eq!(compared(s32, "5", &Val::S32(6)), "5 != 6");
    assert_eq!(compared(s32, "s32:5,s32:6", &Val::S32(6)), "`g` returns `s32`; `s32:5,s32:6` is not one value");
    assert_eq!(compared(s32, "s64:5", &Val::S32(5)), "`g` returns `s32`; `s64:5` is a `s64`");
    assert_eq!(compared("(result f64)", "nan", &Val::Float64(-f64::NAN)), "nan == nan");
    assert_eq!(compared("(result string)", "string:a, b", &Val::String("a, b".to_owned())), r#""a, b" == "a, b""#);
    let both = Val::Flags(vec!["read".to_owned(), "write".to_owned()]);
    assert_eq!(compared("(result $mode)", "{write, read}", &both), "{read, write} == {read, write}");
    assert_eq!(compared("", "1", &Val::S32(1)), "`g` returns nothing to compare with");
}

#[test]
fn an_expected_error_is_compared_with_the_payload() {
    let function = function("(result (result u8 (error string)))");
    let compared = compare_error(&function, "string:no", &Val::String("no".to_owned())).unwrap();
    assert!(compared.equal, "{compared:?}");
}
