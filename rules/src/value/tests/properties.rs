//! What holds for every value of every type: WAVE reads back what it wrote, and JSON tells any two values apart.

use std::fmt::Write;

use proptest::prelude::*;
use wasmtime::component::Val;

use super::super::expectation::is_equal;
use super::*;

/// A WIT type, as far as values of it can be written.
#[derive(Debug, Clone)]
enum Ty {
    Primitive(&'static str),
    List(Box<Self>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    Tuple(Vec<Self>),
    Record(Vec<Self>),
    Variant(Vec<Option<Self>>),
    Enum(usize),
    Flags(usize),
}

/// Names of fields and cases, WAVE's keywords among them.
const LABELS: [&str; 8] = ["a", "b-c", "none", "ok", "true", "inf", "X", "some"];
const PRIMITIVES: [&str; 13] =
    ["bool", "s8", "s16", "s32", "s64", "u8", "u16", "u32", "u64", "f32", "f64", "char", "string"];

fn ty() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        4 => prop::sample::select(&PRIMITIVES[..]).prop_map(Ty::Primitive),
        1 => (1..LABELS.len()).prop_map(Ty::Enum),
        1 => (1..LABELS.len()).prop_map(Ty::Flags),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(Ty::List),
            boxed.clone().prop_map(Ty::Option),
            (prop::option::of(boxed.clone()), prop::option::of(boxed)).prop_map(|(ok, err)| Ty::Result(ok, err)),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Ty::Tuple),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Ty::Record),
            prop::collection::vec(prop::option::of(inner), 1..5).prop_map(Ty::Variant),
        ]
    })
}

/// Writes types that must have a name as imports into `imports`, and returns how to refer to `ty`.
fn wat(ty: &Ty, imports: &mut String, next: &mut usize) -> String {
    let mut sub = |ty: &Ty| wat(ty, imports, next);
    let named = match ty {
        Ty::Primitive(name) => return (*name).to_owned(),
        Ty::List(ty) => return format!("(list {})", sub(ty)),
        Ty::Option(ty) => return format!("(option {})", sub(ty)),
        Ty::Result(ok, err) => {
            let ok = ok.as_ref().map(|ty| sub(ty)).unwrap_or_default();
            let err = err.as_ref().map(|ty| format!("(error {})", sub(ty))).unwrap_or_default();
            return format!("(result {ok} {err})");
        }
        Ty::Tuple(types) => return format!("(tuple {})", types.iter().map(sub).collect::<Vec<_>>().join(" ")),
        Ty::Record(types) => {
            let fields: String =
                types.iter().zip(LABELS).map(|(ty, name)| format!("(field \"{name}\" {})", sub(ty))).collect();
            format!("(record {fields})")
        }
        Ty::Variant(cases) => {
            let payload =
                |ty: &Option<Ty>, sub: &mut dyn FnMut(&Ty) -> String| ty.as_ref().map(sub).unwrap_or_default();
            let cases: String = cases
                .iter()
                .zip(LABELS)
                .map(|(ty, name)| format!("(case \"{name}\" {})", payload(ty, &mut sub)))
                .collect();
            format!("(variant {cases})")
        }
        Ty::Enum(n) => format!("(enum {})", quoted(*n)),
        Ty::Flags(n) => format!("(flags {})", quoted(*n)),
    };
    *next += 1;
    let _ = write!(imports, "(type $u{next} {named}) (import \"t{next}\" (type $t{next} (eq $u{next})))");
    format!("$t{next}")
}

fn quoted(n: usize) -> String {
    LABELS[..n].iter().map(|label| format!("\"{label}\" ")).collect()
}

/// Endless numbers, small and special ones often.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = self.0 >> 33;
        match high % 5 {
            0 => 0,
            1 => u64::MAX - high % 3,
            2 => high % 300,
            _ => self.0 ^ (self.0 >> 29),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn char(&mut self) -> char {
        const ODD: [char; 10] = ['"', '\'', '\\', '\n', '\0', '☃', '\u{301}', ',', '\u{10ffff}', '{'];
        if self.below(2) == 0 { ODD[self.below(ODD.len())] } else { char::from(b' ' + self.below(94) as u8) }
    }
}

fn value(ty: &Ty, dice: &mut Dice) -> Val {
    let boxed = |ty: &Option<Box<Ty>>, dice: &mut Dice| ty.as_ref().map(|ty| Box::new(value(ty, dice)));
    match ty {
        Ty::Primitive(name) => primitive(name, dice),
        Ty::List(ty) => Val::List((0..dice.below(4)).map(|_| value(ty, dice)).collect()),
        Ty::Option(_) if dice.below(3) == 0 => Val::Option(None),
        Ty::Option(ty) => Val::Option(Some(Box::new(value(ty, dice)))),
        Ty::Result(ok, _) if dice.below(2) == 0 => Val::Result(Ok(boxed(ok, dice))),
        Ty::Result(_, err) => Val::Result(Err(boxed(err, dice))),
        Ty::Tuple(types) => Val::Tuple(types.iter().map(|ty| value(ty, dice)).collect()),
        Ty::Record(types) => {
            Val::Record(types.iter().zip(LABELS).map(|(ty, name)| (name.to_owned(), value(ty, dice))).collect())
        }
        Ty::Variant(cases) => {
            let at = dice.below(cases.len());
            Val::Variant(LABELS[at].to_owned(), cases[at].as_ref().map(|ty| Box::new(value(ty, dice))))
        }
        Ty::Enum(n) => Val::Enum(LABELS[dice.below(*n)].to_owned()),
        Ty::Flags(n) => {
            Val::Flags(LABELS[..*n].iter().filter(|_| dice.below(2) == 0).map(|l| (*l).to_owned()).collect())
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any bits will do")]
fn primitive(name: &str, dice: &mut Dice) -> Val {
    match name {
        "bool" => Val::Bool(dice.below(2) == 0),
        "s8" => Val::S8(dice.roll() as i8),
        "s16" => Val::S16(dice.roll() as i16),
        "s32" => Val::S32(dice.roll() as i32),
        "s64" => Val::S64(dice.roll() as i64),
        "u8" => Val::U8(dice.roll() as u8),
        "u16" => Val::U16(dice.roll() as u16),
        "u32" => Val::U32(dice.roll() as u32),
        "u64" => Val::U64(dice.roll()),
        "f32" => Val::Float32(f32::from_bits(dice.roll() as u32)),
        "f64" => Val::Float64(f64::from_bits(dice.roll())),
        "char" => Val::Char(dice.char()),
        _ => Val::String((0..dice.below(6)).map(|_| dice.char()).collect()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wave_reads_back_what_it_wrote_and_json_tells_values_apart(ty in ty(), seed: u64) {
        let mut imports = String::new();
        let param = wat(&ty, &mut imports, &mut 0);
        let component = component(&format!(r#"{imports} (import "f" (func $f (param "a" {param})))"#));
        let function = function_of(&component);
        let mut dice = Dice(seed);
        let values: Vec<_> = (0..4).map(|_| value(&ty, &mut dice)).collect();
        for value in &values {
            let text = to_wave(value);
            let read = parse_arguments(&function, std::slice::from_ref(&text));
            let read = read.unwrap_or_else(|e| panic!("{text}: {}", e.message));
            prop_assert!(is_equal(&read[0], value), "{text}: {read:?}");
        }
        // As text: JSON's own equality takes 0 for -0.
        let texts: Vec<_> = values.iter().map(|value| to_json(value).to_string()).collect();
        for i in 1..values.len() {
            prop_assert_eq!(texts[i] == texts[0], values[i] == values[0]);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), typed in prop::sample::select(&PRIMITIVES[..])) {
        let function = function(r#"(param "a" $shape) (param "b" (option string))"#);
        let texts = [text.clone(), format!("{typed}:{text}")];
        let _ = parse_arguments(&function, &texts);
        let _ = parse_arguments(&function, &texts[..1]);
        let _ = parse_invocation(&several(), &format!("mul({text})"));
        let _ = parse_invocation(&several(), &text);
    }
}
