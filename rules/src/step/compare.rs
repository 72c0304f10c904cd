//! Where two descriptions of an interface differ, in WIT terms.
//!
//! The two may come from different sources, so nothing is compared by number: types are compared by structure, resources by
//! the interface that defines them and their name. Subtyping is that of the component model: what is offered may have more
//! functions and types than what is wanted, but each one wanted must be there, the same.

use std::collections::HashSet;

use semver::Version;
use wit_parser::{Function, Handle, InterfaceId, PackageName, Resolve, Type, TypeDefKind, TypeId};

use super::render::{dealias, definition, function_name, owner, signature};

/// One item that is wanted and is not there, or is something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the function or type.
    pub item: String,
    /// How it should be, as WIT.
    pub wanted: String,
    /// How it is, as WIT; `None` when it is missing.
    pub found: Option<String>,
}

/// One side of a comparison.
#[derive(Clone, Copy)]
pub struct Side<'a, T> {
    /// Where its types live.
    pub resolve: &'a Resolve,
    /// What is compared.
    pub of: T,
}

/// What of the interface `wanted` is missing from, or different in, the interface `found`; types first, each in order of name.
#[must_use]
pub fn interfaces(wanted: Side<'_, InterfaceId>, found: Side<'_, InterfaceId>) -> Vec<Difference> {
    let mut same = Same::new(wanted.resolve, found.resolve);
    let (ours, theirs) = (&wanted.resolve.interfaces[wanted.of], &found.resolve.interfaces[found.of]);
    let mut differences = Vec::new();
    for (name, id) in &ours.types {
        let other = theirs.types.get(name);
        if other.is_some_and(|other| same.ids(*id, *other)) {
            continue;
        }
        differences.push(Difference {
            item: name.clone(),
            wanted: definition(wanted.resolve, name, *id),
            found: other.map(|other| definition(found.resolve, name, *other)),
        });
    }
    differences.sort_by(|a, b| a.item.cmp(&b.item));
    let types = differences.len();
    for (name, function) in &ours.functions {
        let difference = match theirs.functions.get(name) {
            None => Some(missing(wanted.resolve, function)),
            // Where the signatures read the same, a type they name differs, and that was said above.
            Some(other) => {
                same.difference(function, other).filter(|d| types == 0 || d.found.as_ref() != Some(&d.wanted))
            }
        };
        differences.extend(difference);
    }
    differences[types..].sort_by(|a, b| a.item.cmp(&b.item));
    differences
}

/// How two functions differ, if they do.
#[must_use]
pub fn functions(wanted: Side<'_, &Function>, found: Side<'_, &Function>) -> Option<Difference> {
    Same::new(wanted.resolve, found.resolve).difference(wanted.of, found.of)
}

/// The difference of a function that is not there at all.
#[must_use]
pub fn missing(resolve: &Resolve, function: &Function) -> Difference {
    Difference { item: function_name(&function.name), wanted: signature(resolve, function), found: None }
}

/// Whether a version can stand in for another: the same up to the first number that is not zero, and both are releases.
///
/// This is the rule by which the component model matches names: `0.2.0` and `0.2.6` are one track, `0.2.0` and `0.3.0` two.
#[must_use]
pub fn compatible(a: Option<&Version>, b: Option<&Version>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => PackageName::version_compat_track(a).0 == PackageName::version_compat_track(b).0,
        (a, b) => a == b,
    }
}

/// Whether two types are the same, remembering each pair that was looked at.
struct Same<'a> {
    a: &'a Resolve,
    b: &'a Resolve,
    // Types share parts; without this, a small but hostile component could ask for exponentially many comparisons.
    known: HashSet<(TypeId, TypeId)>,
}

impl<'a> Same<'a> {
    fn new(a: &'a Resolve, b: &'a Resolve) -> Self {
        Self { a, b, known: HashSet::new() }
    }

    fn difference(&mut self, wanted: &Function, found: &Function) -> Option<Difference> {
        let params = wanted.params.len() == found.params.len()
            && wanted.params.iter().zip(&found.params).all(|(a, b)| a.name == b.name && self.types(a.ty, b.ty));
        if params && self.maybe(wanted.result, found.result) && wanted.kind.is_async() == found.kind.is_async() {
            return None;
        }
        Some(Difference {
            item: function_name(&wanted.name),
            wanted: signature(self.a, wanted),
            found: Some(signature(self.b, found)),
        })
    }

    fn types(&mut self, a: Type, b: Type) -> bool {
        match (self.primitive(true, a), self.primitive(false, b)) {
            (Type::Id(a), Type::Id(b)) => self.ids(a, b),
            (a, b) => a == b,
        }
    }

    /// Follows names to a primitive type, where they end at one.
    fn primitive(&self, first: bool, ty: Type) -> Type {
        let resolve = if first { self.a } else { self.b };
        let Type::Id(id) = ty else { return ty };
        let id = dealias(resolve, id);
        match resolve.types[id].kind {
            TypeDefKind::Type(primitive) => primitive,
            _ => Type::Id(id),
        }
    }

    fn maybe(&mut self, a: Option<Type>, b: Option<Type>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.types(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn ids(&mut self, a: TypeId, b: TypeId) -> bool {
        let (a, b) = (dealias(self.a, a), dealias(self.b, b));
        if self.known.contains(&(a, b)) {
            return true;
        }
        let same = self.kinds(a, b);
        if same {
            self.known.insert((a, b));
        }
        same
    }

    fn kinds(&mut self, a: TypeId, b: TypeId) -> bool {
        use TypeDefKind::{
            Enum, FixedLengthList, Flags, Future, Handle as H, List, Map, Option, Record, Resource, Result, Stream,
            Tuple, Variant,
        };
        let (first, second) = (&self.a.types[a], &self.b.types[b]);
        match (&first.kind, &second.kind) {
            (Record(a), Record(b)) => {
                a.fields.len() == b.fields.len()
                    && a.fields.iter().zip(&b.fields).all(|(a, b)| a.name == b.name && self.types(a.ty, b.ty))
            }
            (Variant(a), Variant(b)) => {
                a.cases.len() == b.cases.len()
                    && a.cases.iter().zip(&b.cases).all(|(a, b)| a.name == b.name && self.maybe(a.ty, b.ty))
            }
            (Enum(a), Enum(b)) => a.cases.iter().map(|case| &case.name).eq(b.cases.iter().map(|case| &case.name)),
            (Flags(a), Flags(b)) => a.flags.iter().map(|flag| &flag.name).eq(b.flags.iter().map(|flag| &flag.name)),
            (Tuple(a), Tuple(b)) => {
                a.types.len() == b.types.len() && a.types.iter().zip(&b.types).all(|(a, b)| self.types(*a, *b))
            }
            (Option(a), Option(b)) | (List(a), List(b)) => self.types(*a, *b),
            (FixedLengthList(a, n), FixedLengthList(b, m)) => n == m && self.types(*a, *b),
            (Map(k, v), Map(l, w)) => self.types(*k, *l) && self.types(*v, *w),
            (Result(a), Result(b)) => self.maybe(a.ok, b.ok) && self.maybe(a.err, b.err),
            (Future(a), Future(b)) | (Stream(a), Stream(b)) => self.maybe(*a, *b),
            (H(Handle::Own(a)), H(Handle::Own(b))) | (H(Handle::Borrow(a)), H(Handle::Borrow(b))) => self.ids(*a, *b),
            (Resource, Resource) => first.name == second.name && self.same_owner(a, b),
            (TypeDefKind::Type(a), TypeDefKind::Type(b)) => self.types(*a, *b),
            _ => false,
        }
    }

    fn same_owner(&self, a: TypeId, b: TypeId) -> bool {
        let (a, b) = (owner(self.a, &self.a.types[a]), owner(self.b, &self.b.types[b]));
        match (a, b) {
            (Some(a), Some(b)) => same_interface(&a, &b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

/// Whether two full interface names mean the same interface, at compatible versions.
#[must_use]
pub fn same_interface(a: &str, b: &str) -> bool {
    let (a, b) = (split_version(a), split_version(b));
    a.0 == b.0 && compatible(a.1.as_ref(), b.1.as_ref())
}

/// `demo:calc/math@1.2.0` → (`demo:calc/math`, 1.2.0).
#[must_use]
pub fn split_version(name: &str) -> (&str, Option<Version>) {
    match name.split_once('@') {
        Some((base, version)) => match Version::parse(version) {
            Ok(version) => (base, Some(version)),
            Err(_) => (name, None),
        },
        None => (name, None),
    }
}
