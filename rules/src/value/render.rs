//! Values as text: WAVE for people and tests, JSON for programs.

use serde_json::{Map, Number, Value, json};
use wasmtime::component::Val;

/// What stands for a value that only has an identity, such as a resource.
const OPAQUE: &str = "opaque";

/// A value in WAVE. Resources and their like, which WAVE can't write, come out as `opaque`.
#[must_use]
pub fn to_wave(value: &Val) -> String {
    spelled(value).to_wave().expect("WAVE's writer only fails when what it writes to does, and a string does not")
}

/// The value with everything WAVE's writer panics on replaced.
fn spelled(value: &Val) -> Val {
    let all = |values: &[Val]| values.iter().map(spelled).collect();
    let boxed = |value: &Option<Box<Val>>| value.as_ref().map(|value| Box::new(spelled(value)));
    match value {
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Val::Enum(OPAQUE.to_owned()),
        Val::Map(entries) => Val::List(entries.iter().map(|(k, v)| Val::Tuple(vec![spelled(k), spelled(v)])).collect()),
        Val::List(values) => Val::List(all(values)),
        Val::FixedLengthList(values) => Val::FixedLengthList(all(values)),
        Val::Tuple(values) => Val::Tuple(all(values)),
        Val::Record(fields) => Val::Record(fields.iter().map(|(name, v)| (name.clone(), spelled(v))).collect()),
        Val::Variant(case, payload) => Val::Variant(case.clone(), boxed(payload)),
        Val::Option(payload) => Val::Option(boxed(payload)),
        Val::Result(Ok(payload)) => Val::Result(Ok(boxed(payload))),
        Val::Result(Err(payload)) => Val::Result(Err(boxed(payload))),
        plain => plain.clone(),
    }
}

/// A value in JSON, without loss: no two values of one type have the same JSON.
///
/// | WIT | JSON |
/// |---|---|
/// | integers | numbers, exact to 64 bits |
/// | `f32` `f64` | the shortest number that reads back the same; `"nan"`, `"inf"`, `"-inf"` |
/// | `char` `string` | strings |
/// | `list` `tuple` | arrays |
/// | `record` | an object, in the record's order |
/// | `option` | `null`, or the payload; `{"some":x}` where the payload is an option itself |
/// | `result` | `{"ok":x}`, `{"err":x}`; `null` where there is no payload |
/// | `variant` | `{"case":x}`; `{"case":null}` where there is no payload |
/// | `enum` | its name |
/// | `flags` | an array of names |
/// | resources | `"opaque"` |
#[must_use]
pub fn to_json(value: &Val) -> Value {
    match value {
        Val::Bool(b) => json!(b),
        Val::S8(n) => json!(n),
        Val::U8(n) => json!(n),
        Val::S16(n) => json!(n),
        Val::U16(n) => json!(n),
        Val::S32(n) => json!(n),
        Val::U32(n) => json!(n),
        Val::S64(n) => json!(n),
        Val::U64(n) => json!(n),
        // By way of text: widened as a number, 0.1 would be 0.10000000149011612.
        Val::Float32(n) => float(f64::from(*n), n.to_string().parse().unwrap_or(f64::from(*n))),
        Val::Float64(n) => float(*n, *n),
        Val::Char(c) => json!(c),
        Val::String(s) => json!(s),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => values.iter().map(to_json).collect(),
        Val::Map(entries) => entries.iter().map(|(k, v)| json!([to_json(k), to_json(v)])).collect(),
        Val::Record(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        Val::Variant(case, payload) => tagged(case, payload.as_deref()),
        Val::Enum(case) => json!(case),
        Val::Option(None) => Value::Null,
        Val::Option(Some(payload)) if matches!(**payload, Val::Option(_)) => tagged("some", Some(payload)),
        Val::Option(Some(payload)) => to_json(payload),
        Val::Result(Ok(payload)) => tagged("ok", payload.as_deref()),
        Val::Result(Err(payload)) => tagged("err", payload.as_deref()),
        Val::Flags(names) => json!(names),
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => json!(OPAQUE),
    }
}

fn tagged(tag: &str, payload: Option<&Val>) -> Value {
    let payload = payload.map_or(Value::Null, to_json);
    Value::Object(Map::from_iter([(tag.to_owned(), payload)]))
}

fn float(value: f64, shortest: f64) -> Value {
    match Number::from_f64(shortest) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => json!("nan"),
        None if value > 0.0 => json!("inf"),
        None => json!("-inf"),
    }
}
