//! Which resources an import or export speaks of.

use std::collections::{BTreeSet, HashSet};

use wit_parser::{Function, Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem};

use crate::step::wit::World;

/// A resource, by the interface that defines it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    /// The full name of the interface.
    pub(super) interface: String,
    /// The resource's own name.
    pub(super) name: String,
}

/// The resources of other interfaces that an item names, however deep in its types; sorted.
pub(super) fn foreign(world: &World, item: &WorldItem) -> BTreeSet<Resource> {
    let mut walk = Walk { resolve: &world.resolve, own: None, seen: HashSet::new(), found: BTreeSet::new() };
    match item {
        WorldItem::Interface { id, .. } => {
            let interface = &world.resolve.interfaces[*id];
            walk.own = Some(*id);
            interface.types.values().for_each(|id| walk.id(*id));
            interface.functions.values().for_each(|function| walk.function(function));
        }
        WorldItem::Function(function) => walk.function(function),
        WorldItem::Type { id, .. } => walk.id(*id),
    }
    walk.found
}

/// Whether an interface defines a resource.
pub(super) fn defines(world: &World, interface: InterfaceId) -> bool {
    world.resolve.interfaces[interface].types.values().any(|id| {
        let ty = &world.resolve.types[*id];
        ty.kind == TypeDefKind::Resource && ty.owner == TypeOwner::Interface(interface)
    })
}

struct Walk<'a> {
    resolve: &'a Resolve,
    /// The interface whose own resources do not count.
    own: Option<InterfaceId>,
    seen: HashSet<TypeId>,
    found: BTreeSet<Resource>,
}

impl Walk<'_> {
    fn function(&mut self, function: &Function) {
        function.parameter_and_result_types().for_each(|ty| self.ty(ty));
    }

    fn ty(&mut self, ty: Type) {
        if let Type::Id(id) = ty {
            self.id(id);
        }
    }

    fn id(&mut self, id: TypeId) {
        if !self.seen.insert(id) {
            return;
        }
        let ty = &self.resolve.types[id];
        match &ty.kind {
            TypeDefKind::Resource => self.resource(id),
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => self.id(*id),
            TypeDefKind::Type(ty)
            | TypeDefKind::Option(ty)
            | TypeDefKind::List(ty)
            | TypeDefKind::FixedLengthList(ty, _) => self.ty(*ty),
            TypeDefKind::Map(key, value) => [*key, *value].into_iter().for_each(|ty| self.ty(ty)),
            TypeDefKind::Record(record) => record.fields.iter().for_each(|field| self.ty(field.ty)),
            TypeDefKind::Tuple(tuple) => tuple.types.iter().for_each(|ty| self.ty(*ty)),
            TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty).for_each(|ty| self.ty(ty)),
            TypeDefKind::Result(result) => [result.ok, result.err].into_iter().flatten().for_each(|ty| self.ty(ty)),
            TypeDefKind::Future(ty) | TypeDefKind::Stream(ty) => ty.iter().for_each(|ty| self.ty(*ty)),
            TypeDefKind::Flags(_) | TypeDefKind::Enum(_) | TypeDefKind::Unknown => {}
        }
    }

    fn resource(&mut self, id: TypeId) {
        let ty = &self.resolve.types[id];
        let (TypeOwner::Interface(owner), Some(name)) = (ty.owner, &ty.name) else { return };
        // An interface written inside a world has no name, and nobody else can mean it.
        let Some(interface) = self.resolve.id_of(owner).filter(|_| Some(owner) != self.own) else { return };
        self.found.insert(Resource { interface, name: name.clone() });
    }
}
