//! Zig: a world as one namespace for each interface, with plain functions and idiomatic types, in `bindings.zig`.
//!
//! That file only declares; it is what people read. How values cross the boundary is told beside it, in `bindings/`, the
//! same for every world: types are taken apart while Zig compiles. What a component exports are functions of its root file, checked there
//! against the types that the world says.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use wit_parser::{InterfaceId, Resolve, WorldId, WorldItem};

use super::super::StepError;
use super::super::wit::World;
use super::{Files, canonical, check};
use functions::{Function, exports};
use scope::{Scopes, called};
use types::{Types, docs};

mod functions;
mod name;
mod scope;
mod types;

/// The file that holds the world.
pub const BINDINGS: &str = "bindings.zig";

/// The files that are the same for every world, with their texts.
const RUNTIME: [(&str, &str); 2] =
    [("bindings/abi.zig", include_str!("abi.zig")), ("bindings/values.zig", include_str!("values.zig"))];

/// The file that Zig starts from.
pub const ROOT: &str = "bindings_root.zig";

/// Why writing to text can't fail.
const ROOM: &str = "a string has room";

/// The names of all the files, which stand beside a program's own.
pub fn files() -> impl Iterator<Item = &'static str> {
    [BINDINGS, ROOT].into_iter().chain(RUNTIME.map(|(file, _)| file))
}

/// Bindings for a world called `name`, implemented by the file `main`. A program implements `wasi:cli/run` by its `main`
/// function.
///
/// # Errors
/// `unsupported-type` for what belongs to versions of WASI after 0.2.
pub fn generate(world: &World, name: &str, main: &str, is_program: bool) -> Result<Files, StepError> {
    check(world, "Zig")?;
    let (resolve, id) = canonical(world, name, is_program)?;
    let exports_something = !resolve.worlds[id].exports.is_empty();
    let mut files = Files::from([
        (BINDINGS.to_owned(), bindings(resolve, id).into_bytes()),
        (ROOT.to_owned(), root(main, is_program, exports_something).into_bytes()),
    ]);
    files.extend(RUNTIME.map(|(file, text)| (file.to_owned(), text.as_bytes().to_vec())));
    Ok(files)
}

/// The text of [`ROOT`].
fn root(main: &str, is_program: bool, exports_something: bool) -> String {
    let main = main.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "//! Where Zig starts. Made by every build: changes to this file are lost.\n\n\
         const std = @import(\"std\");\n\n\
         pub const implementation = @import(\"{main}\");\n\n\
         pub const std_options: std.Options =\n    \
         if (@hasDecl(implementation, \"std_options\")) implementation.std_options else .{{}};\n\n\
         pub const panic =\n    \
         if (@hasDecl(implementation, \"panic\")) implementation.panic else std.debug.FullPanic(std.debug.defaultPanic);\n",
    );
    if is_program {
        text += "\npub const main = implementation.main;\n";
    }
    if exports_something {
        text += "\ncomptime {\n    _ = @import(\"bindings.zig\");\n}\n";
    }
    text
}

/// The text of [`BINDINGS`].
fn bindings(mut resolve: Resolve, id: WorldId) -> String {
    // From here on, an interface that is imported and exported is two.
    resolve.generate_nominal_type_ids(id);
    let resolve = &resolve;
    let world = &resolve.worlds[id];
    let scopes = Scopes::of(resolve, world);
    let writer = Writer { resolve, scopes: &scopes };

    let mut tree = Namespace::default();
    for item in world.imports.values().chain(world.exports.values()) {
        if let WorldItem::Interface { id, .. } = item {
            writer.interface(&mut tree, *id);
        }
    }
    let mut body = writer.world_items(world);
    tree.print(&mut body, "");
    let exported: String = world.exports.iter().map(|(key, item)| exports(&writer, key, item)).collect();

    let mut text = header(&world.name, !exported.is_empty());
    text += &body;
    if !exported.is_empty() {
        write!(text, "\ncomptime {{\n{exported}}}\n").expect(ROOM);
    }
    text
}

fn header(world: &str, has_exports: bool) -> String {
    let mut text = format!(
        "//! The world `{world}` in Zig. Made from its WIT, anew by every build: changes to this file are lost.\n\
         //!\n\
         //! Lists and strings that a function is given live until it has returned and its caller has read the result; so\n\
         //! does what `allocator` gives. Copy what is to stay.\n",
    );
    if has_exports {
        text += "//!\n\
                 //! What the component exports are `pub` functions of its root file: those of an interface `math` are in a\n\
                 //! namespace `math` of that file or, without one, in the file itself; a resource is a struct with the name\n\
                 //! of its type. They may return errors besides, which are traps.\n";
    }
    text += "\nconst abi = @import(\"bindings/abi.zig\");\nconst bindings = @This();\n";
    if has_exports {
        text += "const implementation = @import(\"root\").implementation;\n";
    }
    text + "\npub const Result = abi.Result;\n\
            pub const Borrowed = abi.Borrowed;\n\
            pub const allocator = abi.allocator;\n\
            pub const reset = abi.reset;\n"
}

/// Writes the parts of one world.
struct Writer<'a> {
    resolve: &'a Resolve,
    scopes: &'a Scopes,
}

impl<'a> Writer<'a> {
    fn types(&self, here: &'a [String]) -> Types<'a> {
        Types { resolve: self.resolve, scopes: self.scopes, here }
    }

    /// The names that can be seen from a namespace with these functions.
    fn around<'f>(&self, functions: impl Iterator<Item = &'f wit_parser::Function>) -> BTreeSet<String> {
        let own = functions.map(|function| name::function(function.item_name()));
        self.scopes.visible.iter().cloned().chain(own).collect()
    }

    /// The types and the imported functions of the world itself.
    fn world_items(&self, world: &wit_parser::World) -> String {
        let types = self.types(&[]);
        let mut text = String::new();
        let functions = || world.imports.values().filter_map(as_function);
        let mut used = self.scopes.visible.clone();
        let around = self.around(functions());
        for item in world.imports.values() {
            match item {
                WorldItem::Type { id, .. } if functions::is_resource(self.resolve, *id) => {
                    let methods = functions::of_resource(functions(), *id);
                    text += "\n";
                    text += &functions::resource(&types, *id, "$root", &methods, &around, "");
                }
                WorldItem::Type { id, .. } => {
                    text += "\n";
                    text += &types.declare(*id, "");
                }
                WorldItem::Function(function) if function.kind.resource().is_none() => {
                    let function = Function { types: &types, function, module: "$root" };
                    text += "\n";
                    text += &function.import(&mut used, &around, "");
                }
                WorldItem::Function(_) | WorldItem::Interface { .. } => {}
            }
        }
        text
    }

    /// Puts an interface where it belongs.
    fn interface(&self, tree: &mut Namespace, id: InterfaceId) {
        let place = &self.scopes.interfaces[&id];
        let interface = &self.resolve.interfaces[id];
        let types = self.types(&place.path);
        let indent = "    ".repeat(place.path.len());
        let around = self.around(interface.functions.values());
        let mut parts = Vec::new();
        for id in interface.types.values() {
            if !functions::is_resource(self.resolve, *id) {
                parts.push(types.declare(*id, &indent));
            } else if let Some(implemented) = &place.implemented {
                parts.push(functions::implemented_resource(&types, *id, &place.module, implemented, &indent));
            } else {
                let methods = functions::of_resource(interface.functions.values(), *id);
                parts.push(functions::resource(&types, *id, &place.module, &methods, &around, &indent));
            }
        }
        if place.implemented.is_none() {
            let mut used = called();
            for function in interface.functions.values().filter(|function| function.kind.resource().is_none()) {
                let function = Function { types: &types, function, module: &place.module };
                parts.push(function.import(&mut used, &around, &indent));
            }
        }
        let namespace = place.path.iter().fold(tree, |tree, name| tree.child(name));
        namespace.docs = docs(&interface.docs, &indent[4..]);
        namespace.text = parts.join("\n");
    }
}

fn as_function(item: &WorldItem) -> Option<&wit_parser::Function> {
    match item {
        WorldItem::Function(function) => Some(function),
        _ => None,
    }
}

/// A namespace, in the order of its first mention.
#[derive(Default)]
struct Namespace {
    docs: String,
    text: String,
    children: Vec<(String, Self)>,
}

impl Namespace {
    fn child(&mut self, name: &str) -> &mut Self {
        let at = self.children.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.children.push((name.to_owned(), Self::default()));
            self.children.len() - 1
        });
        &mut self.children[at].1
    }

    fn print(&self, text: &mut String, indent: &str) {
        let mut is_first = !indent.is_empty() && self.text.is_empty();
        for (name, child) in &self.children {
            if !is_first {
                text.push('\n');
            }
            is_first = false;
            write!(text, "{}{indent}pub const {name} = struct {{\n{}", child.docs, child.text).expect(ROOM);
            child.print(text, &format!("{indent}    "));
            writeln!(text, "{indent}}};").expect(ROOM);
        }
    }
}
