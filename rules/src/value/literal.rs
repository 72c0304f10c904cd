//! Typed literals, `type:value`: several of them may stand in one text, separated by commas.

use std::str::FromStr;

use wasmtime::component::{Type, Val};

/// A literal as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    pub(super) primitive: Primitive,
    pub(super) text: &'a str,
}

/// The types literals exist for: WIT's primitives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Primitive {
    Bool,
    S8,
    S16,
    S32,
    S64,
    U8,
    U16,
    U32,
    U64,
    F32,
    F64,
    Char,
    String,
}

impl Primitive {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::S8 => "s8",
            Self::S16 => "s16",
            Self::S32 => "s32",
            Self::S64 => "s64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "string",
        }
    }

    pub(super) fn of(ty: &Type) -> Option<Self> {
        Some(match ty {
            Type::Bool => Self::Bool,
            Type::S8 => Self::S8,
            Type::S16 => Self::S16,
            Type::S32 => Self::S32,
            Type::S64 => Self::S64,
            Type::U8 => Self::U8,
            Type::U16 => Self::U16,
            Type::U32 => Self::U32,
            Type::U64 => Self::U64,
            Type::Float32 => Self::F32,
            Type::Float64 => Self::F64,
            Type::Char => Self::Char,
            Type::String => Self::String,
            _ => return None,
        })
    }

    fn named(name: &str) -> Option<Self> {
        const ALL: [Primitive; 13] = [
            Primitive::Bool,
            Primitive::S8,
            Primitive::S16,
            Primitive::S32,
            Primitive::S64,
            Primitive::U8,
            Primitive::U16,
            Primitive::U32,
            Primitive::U64,
            Primitive::F32,
            Primitive::F64,
            Primitive::Char,
            Primitive::String,
        ];
        ALL.into_iter().find(|primitive| primitive.name() == name)
    }

    /// Reads `text` as a value of this type.
    ///
    /// # Errors
    ///
    /// What is wrong with it, to be read after the text itself: `is not a number`.
    pub(super) fn read(self, text: &str) -> Result<Val, String> {
        let integer = |val: Option<Val>| val.ok_or_else(|| self.integer_problem(text));
        match self {
            Self::Bool => match text {
                "true" => Ok(Val::Bool(true)),
                "false" => Ok(Val::Bool(false)),
                _ => Err("is neither `true` nor `false`".to_owned()),
            },
            Self::S8 => integer(text.parse().ok().map(Val::S8)),
            Self::S16 => integer(text.parse().ok().map(Val::S16)),
            Self::S32 => integer(text.parse().ok().map(Val::S32)),
            Self::S64 => integer(text.parse().ok().map(Val::S64)),
            Self::U8 => integer(text.parse().ok().map(Val::U8)),
            Self::U16 => integer(text.parse().ok().map(Val::U16)),
            Self::U32 => integer(text.parse().ok().map(Val::U32)),
            Self::U64 => integer(text.parse().ok().map(Val::U64)),
            Self::F32 => finite_or_said(text, f32::is_infinite).map(Val::Float32),
            Self::F64 => finite_or_said(text, f64::is_infinite).map(Val::Float64),
            Self::Char => one_char(text).map(Val::Char).ok_or_else(|| "is not one character".to_owned()),
            Self::String => Ok(Val::String(text.to_owned())),
        }
    }

    fn integer_problem(self, text: &str) -> String {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return "is not a whole number".to_owned();
        }
        let (low, high) = match self {
            Self::S8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
            Self::S16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
            Self::S32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Self::S64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Self::U8 => (0, i128::from(u8::MAX)),
            Self::U16 => (0, i128::from(u16::MAX)),
            Self::U32 => (0, i128::from(u32::MAX)),
            _ => (0, i128::from(u64::MAX)),
        };
        format!("is out of range: {} goes from {low} to {high}", self.name())
    }
}

/// A float; an infinity only where it was written as one, since `1e999` is one too many digits, not infinity.
fn finite_or_said<F: FromStr + Copy>(text: &str, is_infinite: fn(F) -> bool) -> Result<F, String> {
    match text.parse::<F>() {
        Ok(float) if is_infinite(float) && text.bytes().any(|b| b.is_ascii_digit()) => {
            Err("is out of range".to_owned())
        }
        Ok(float) => Ok(float),
        Err(_) => Err("is not a number".to_owned()),
    }
}

/// A character as it is, or quoted as WAVE would: `x`, `'x'`, `'\n'`.
fn one_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Some(only),
        _ => match Val::from_wave(&Type::Char, text) {
            Ok(Val::Char(quoted)) => Some(quoted),
            _ => None,
        },
    }
}

/// Whether `text` begins as a typed literal does. No WAVE value begins so.
pub(super) fn is_literal(text: &str) -> bool {
    prefix(text).is_some()
}

fn prefix(text: &str) -> Option<(Primitive, &str)> {
    let (name, rest) = text.trim_start().split_once(':')?;
    Some((Primitive::named(name)?, rest))
}

/// Splits `s32:3,char:x,string:a, b` into its literals: a string takes the rest of the text, commas and all.
///
/// # Errors
///
/// The part that should have been a literal.
pub(super) fn split(text: &str) -> Result<Vec<Literal<'_>>, &str> {
    let mut literals = Vec::new();
    let mut rest = text;
    loop {
        let (primitive, after) = prefix(rest).ok_or(rest)?;
        let end = match primitive {
            Primitive::String => after.len(),
            Primitive::Char => char_end(after),
            _ => after.find(',').unwrap_or(after.len()),
        };
        let (value, tail) = after.split_at(end);
        let text = if matches!(primitive, Primitive::String | Primitive::Char) { value } else { value.trim() };
        literals.push(Literal { primitive, text });
        match tail.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(literals),
        }
    }
}

/// Where a character literal ends: `,` may be the character itself, quoted or not.
fn char_end(text: &str) -> usize {
    let skip = match text.strip_prefix('\'') {
        // `'` alone is a character too.
        Some(quoted) if quoted.len() > 1 => quoted.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(i, _)| i + 2),
        _ => None,
    };
    let skip = skip.unwrap_or_else(|| text.chars().next().map_or(0, char::len_utf8));
    text.get(skip..).and_then(|tail| tail.find(',')).map_or(text.len(), |comma| skip + comma)
}
