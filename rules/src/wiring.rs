//! Decides which component's exports satisfy which component's imports, before any of them is built.
//!
//! Only declared interfaces are looked at, so wiring errors come before the first compiler runs. The result is a plan that
//! [`crate::step::compose`] carries out once the components exist. There is one instance for each target, however many others
//! use it: two users of a resource see the same resource.

use std::collections::{BTreeMap, BTreeSet};

use wit_parser::{Type, TypeDefKind, TypeOwner, WorldItem, WorldKey};

use crate::diagnostic::Diagnostic;
use crate::step::compare::same_interface;
use crate::step::interface::ExternName;
use crate::step::validate::{differences, find, with_differences};
use crate::step::wit::World;
use messages::{ambiguous, hidden, listed, split, unsatisfied};

mod messages;
mod resources;

/// A component as wiring sees it.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The target's name.
    pub name: &'a str,
    /// What it declares to import and export.
    pub world: &'a World,
    /// The parts whose exports may satisfy its imports. For an explicit composition these are all the others. Names of other
    /// targets, which export nothing, are passed over.
    pub depends: Vec<&'a str>,
}

/// How the components of a target fit together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wiring {
    /// One for each component, dependencies first, the root last.
    pub instances: Vec<Instance>,
    /// What the whole still imports, sorted: the host's to provide.
    pub imports: Vec<ExternName>,
    /// What is odd but harmless.
    pub warnings: Vec<Problem>,
}

/// One component at work in a composition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The target it is made from.
    pub target: String,
    /// Where its imports come from, in order of name; an import that is not here is the host's.
    pub arguments: Vec<Argument>,
}

/// One import and what satisfies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Argument {
    /// The import, as its component names it.
    pub import: ExternName,
    /// The target whose instance provides it.
    pub instance: String,
    /// The export, as the provider names it.
    pub export: ExternName,
    /// The type of that export which is meant, where the import is a type: a world's own `use types.{conn}` makes one.
    pub item: Option<String>,
}

/// What is wrong, and in whose `depends` (or `with`) it is to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The target.
    pub target: String,
    /// The problem, without a place.
    pub diagnostic: Diagnostic,
}

/// Wires `root` to the parts it depends on, and those to theirs.
///
/// An import is satisfied by the one dependency that exports the same interface at a compatible version. Imports from WASI, and
/// interfaces that hold nothing but plain types, are left to the host when no dependency exports them.
///
/// # Errors
///
/// Every `unsatisfied-import`, `ambiguous-import`, `incompatible-interface`, `split-resource`, `hidden-resource` and `cyclic-wiring`.
pub fn wire(root: &Part<'_>, with: &[Part<'_>]) -> Result<Wiring, Vec<Problem>> {
    let parts: BTreeMap<&str, &Part<'_>> = with.iter().chain([root]).map(|part| (part.name, part)).collect();
    let mut links = Links { parts, of: BTreeMap::new(), host: BTreeSet::new(), problems: Vec::new() };
    let mut queue = vec![root.name];
    while let Some(name) = queue.pop() {
        if links.of.contains_key(name) {
            continue;
        }
        let part = links.parts[name];
        links.link(part);
        queue.extend(part.depends.iter().filter(|name| links.parts.contains_key(*name)));
    }
    links.check_resources();
    links.check_exports(root);
    let instances = links.in_order(root.name);
    let Links { host, problems, .. } = &links;
    if !problems.is_empty() {
        return Err(links.problems);
    }
    let imports =
        host.iter().filter(|(part, _)| instances.iter().any(|i| i.target == *part)).map(|(_, name)| name.clone());
    let imports: BTreeSet<ExternName> = imports.collect();
    Ok(Wiring { imports: imports.into_iter().collect(), warnings: links.unused(), instances })
}

/// The wiring so far.
struct Links<'a> {
    parts: BTreeMap<&'a str, &'a Part<'a>>,
    /// Arguments by part.
    of: BTreeMap<&'a str, Vec<Argument>>,
    /// Imports left to the host, with the part that has them.
    host: BTreeSet<(&'a str, ExternName)>,
    problems: Vec<Problem>,
}

impl<'a> Links<'a> {
    /// The parts that may satisfy imports of `part`, in the order it names them.
    fn providers(&self, part: &Part<'a>) -> Vec<&'a Part<'a>> {
        part.depends
            .iter()
            .filter(|name| **name != part.name)
            .filter_map(|name| self.parts.get(name).copied())
            .collect()
    }

    fn link(&mut self, part: &'a Part<'a>) {
        let providers = self.providers(part);
        let mut arguments = Vec::new();
        for (key, item) in imports(part.world) {
            let name = ExternName::of(&part.world.resolve, key);
            let offers: Vec<Offer<'_>> = providers.iter().filter_map(|provider| Offer::of(provider, &name)).collect();
            match offers.as_slice() {
                [] if name.is_wasi() || is_plain(part.world, item) => {
                    self.host.insert((part.name, name));
                }
                [] => self.problem(part, unsatisfied(part, &name, &providers, &self.parts)),
                [offer] => match offer.mismatch(part, &name, item) {
                    Some(diagnostic) => self.problem(part, diagnostic),
                    None => arguments.push(offer.argument(name)),
                },
                several => self.problem(part, ambiguous(part, &name, several)),
            }
        }
        arguments.extend(type_arguments(part.world, &arguments));
        arguments.sort();
        self.of.insert(part.name, arguments);
    }

    fn problem(&mut self, part: &Part<'_>, diagnostic: Diagnostic) {
        self.problems.push(Problem { target: part.name.to_owned(), diagnostic });
    }

    /// Who gives `interface` to a part: another part, or `None` for the host.
    fn source(&self, part: &str, interface: &str) -> Option<&str> {
        let argument =
            self.of.get(part)?.iter().find(|argument| same_interface(argument.import.as_str(), interface))?;
        Some(&argument.instance)
    }

    /// A resource that reaches a part by two ways must come from one instance, or the two are different types to it.
    fn check_resources(&mut self) {
        let mut found = Vec::new();
        for (name, arguments) in &self.of {
            let part = self.parts[name];
            for argument in arguments {
                found.extend(self.split_resource(part, argument).map(|diagnostic| (part, diagnostic)));
            }
        }
        for (part, diagnostic) in found {
            self.problem(part, diagnostic);
        }
    }

    fn split_resource(&self, part: &Part<'_>, argument: &Argument) -> Option<Diagnostic> {
        let provider = self.parts[argument.instance.as_str()];
        let (_, item) =
            imports(part.world).find(|(key, _)| ExternName::of(&part.world.resolve, key) == argument.import)?;
        resources::foreign(part.world, item).into_iter().find_map(|resource| {
            let ours = self.source(part.name, &resource.interface);
            let theirs = if exports(provider, &resource.interface) {
                Some(provider.name)
            } else {
                self.source(provider.name, &resource.interface)
            };
            (ours != theirs).then(|| split(part, argument, &resource, ours, theirs))
        })
    }

    /// A function of the root may not name a resource that stays inside: nobody outside could say what it is.
    ///
    /// An interface may, since it carries the resource out with it.
    fn check_exports(&mut self, root: &Part<'a>) {
        let world = root.world;
        for (key, item) in &world.resolve.worlds[world.id].exports {
            let WorldItem::Function(_) = item else { continue };
            for resource in resources::foreign(world, item) {
                if let Some(provider) = self.source(root.name, &resource.interface) {
                    let diagnostic = hidden(root, &ExternName::of(&world.resolve, key), &resource, provider);
                    self.problem(root, diagnostic);
                }
            }
        }
    }

    /// Every instance the root needs, after those it needs itself.
    fn in_order(&mut self, root: &'a str) -> Vec<Instance> {
        let mut order = Order { of: &self.of, path: Vec::new(), done: Vec::new(), cycle: None };
        order.visit(root);
        let Order { done, cycle, .. } = order;
        if let Some(cycle) = cycle {
            let text = cycle.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ");
            let diagnostic = Diagnostic::error("cyclic-wiring", "these components need each other's exports")
                .note(text)
                .note("each component is instantiated once, after those whose exports it imports")
                .help("move what both need into a third component");
            self.problem(self.parts[cycle[0].as_str()], diagnostic);
        }
        done.into_iter().map(|name| Instance { target: name.to_owned(), arguments: self.of[name].clone() }).collect()
    }

    /// Dependencies that nobody takes anything from.
    fn unused(&self) -> Vec<Problem> {
        let used: BTreeSet<&str> = self.of.values().flatten().map(|argument| argument.instance.as_str()).collect();
        let mut problems = Vec::new();
        for name in self.of.keys() {
            let part = self.parts[name];
            for provider in self.providers(part).iter().filter(|provider| !used.contains(provider.name)) {
                let message =
                    format!("`{name}` depends on `{}`, which exports nothing that `{name}` imports", provider.name);
                let diagnostic = Diagnostic::warning("unused-dependency", message)
                    .note(format!("`{name}` imports {}", listed(&import_names(part))))
                    .note(format!("`{}` exports {}", provider.name, listed(&export_names(provider))))
                    .help(format!("remove `{}`, or import what it exports", provider.name));
                problems.push(Problem { target: part.name.to_owned(), diagnostic });
            }
        }
        problems
    }
}

/// A depth-first walk over the wiring.
struct Order<'l, 'a> {
    of: &'l BTreeMap<&'a str, Vec<Argument>>,
    path: Vec<&'a str>,
    done: Vec<&'a str>,
    cycle: Option<Vec<String>>,
}

impl<'a> Order<'_, 'a> {
    fn visit(&mut self, name: &str) {
        if self.done.contains(&name) || self.cycle.is_some() {
            return;
        }
        if let Some(at) = self.path.iter().position(|other| *other == name) {
            let cycle = self.path[at..].iter().copied().chain([name]).map(str::to_owned);
            self.cycle = Some(cycle.collect());
            return;
        }
        let (name, arguments) = self.of.get_key_value(name).expect("a wired part was linked");
        self.path.push(name);
        for argument in arguments {
            self.visit(&argument.instance);
        }
        self.path.pop();
        self.done.push(name);
    }
}

/// A dependency's export that has the name of an import.
struct Offer<'a> {
    part: &'a Part<'a>,
    name: ExternName,
    item: &'a WorldItem,
}

impl<'a> Offer<'a> {
    fn of(part: &'a Part<'a>, wanted: &ExternName) -> Option<Self> {
        let world = part.world;
        let exports = &world.resolve.worlds[world.id].exports;
        let item = find(world, exports.iter(), wanted)?;
        let (key, _) = exports.iter().find(|(_, other)| std::ptr::eq(*other, item))?;
        Some(Self { part, name: ExternName::of(&world.resolve, key), item })
    }

    fn argument(&self, import: ExternName) -> Argument {
        Argument { import, instance: self.part.name.to_owned(), export: self.name.clone(), item: None }
    }

    /// Why the export can't stand for the import, if it can't.
    fn mismatch(&self, part: &Part<'_>, import: &ExternName, item: &WorldItem) -> Option<Diagnostic> {
        let found = differences(part.world, item, self.part.world, self.item);
        if found.is_empty() {
            return None;
        }
        let (ours, theirs) = (part.name, self.part.name);
        let message =
            format!("`{ours}` imports `{import}`, but what `{theirs}` exports under that name is something else");
        let imports = format!("{ours} imports");
        let exports = format!("{theirs} exports");
        let diagnostic =
            with_differences(Diagnostic::error("incompatible-interface", message), &found, [&imports, &exports]);
        Some(if *import == self.name {
            diagnostic.help("give both the same WIT for this interface")
        } else {
            diagnostic.help(format!("`{theirs}` has it as `{}`: bring both to one version", self.name))
        })
    }
}

fn imports(world: &World) -> impl Iterator<Item = (&WorldKey, &WorldItem)> {
    // A world's own types come with the interfaces they are used from.
    world.resolve.worlds[world.id].imports.iter().filter(|(_, item)| !matches!(item, WorldItem::Type { .. }))
}

/// The resources a world takes by `use` from interfaces that a dependency provides: they must be that dependency's.
fn type_arguments(world: &World, wired: &[Argument]) -> Vec<Argument> {
    let resolve = &world.resolve;
    let mut found = Vec::new();
    for (key, item) in &resolve.worlds[world.id].imports {
        let WorldItem::Type { id, .. } = item else { continue };
        // A plain type is the same type wherever it is written down.
        if resources::foreign(world, item).is_empty() {
            continue;
        }
        let TypeDefKind::Type(Type::Id(original)) = resolve.types[*id].kind else { continue };
        let (TypeOwner::Interface(owner), Some(name)) = (resolve.types[original].owner, &resolve.types[original].name)
        else {
            continue;
        };
        let Some(interface) = resolve.id_of(owner) else { continue };
        let source = wired.iter().find(|argument| argument.import.as_str() == interface);
        found.extend(source.map(|source| Argument {
            import: ExternName::of(resolve, key),
            item: Some(name.clone()),
            ..source.clone()
        }));
    }
    found
}

fn import_names(part: &Part<'_>) -> Vec<ExternName> {
    imports(part.world).map(|(key, _)| ExternName::of(&part.world.resolve, key)).collect()
}

fn export_names(part: &Part<'_>) -> Vec<ExternName> {
    let world = &part.world.resolve.worlds[part.world.id];
    world.exports.keys().map(|key| ExternName::of(&part.world.resolve, key)).collect()
}

fn exports(part: &Part<'_>, interface: &str) -> bool {
    export_names(part).iter().any(|name| same_interface(name.as_str(), interface))
}

/// Whether there is nothing in it that anybody would have to provide: plain types are known from their WIT.
fn is_plain(world: &World, item: &WorldItem) -> bool {
    match item {
        WorldItem::Interface { id, .. } => {
            world.resolve.interfaces[*id].functions.is_empty() && !resources::defines(world, *id)
        }
        WorldItem::Function(_) => false,
        WorldItem::Type { .. } => true,
    }
}

#[cfg(test)]
pub(crate) mod tests;
