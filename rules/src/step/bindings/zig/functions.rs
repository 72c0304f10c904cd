//! Functions and resources: those of imports are called, those of exports are implemented.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use wit_parser::{Function as Wit, FunctionKind, Resolve, TypeDefKind, TypeId, WorldItem, WorldKey};

use super::scope::called;
use super::types::{Types, docs};
use super::{ROOM, Writer, name};

/// A function of an import, in the namespace it is written in.
pub(super) struct Function<'a> {
    pub(super) types: &'a Types<'a>,
    pub(super) function: &'a Wit,
    /// The core module that it is imported from.
    pub(super) module: &'a str,
}

impl Function<'_> {
    /// The function. `used` are the names that its namespace has given away, `around` those its parameters would shadow.
    pub(super) fn import(&self, used: &mut BTreeSet<String>, around: &BTreeSet<String>, indent: &str) -> String {
        let Self { types, function, module } = self;
        let called = match function.kind {
            FunctionKind::Constructor(_) => "init".to_owned(),
            _ => name::function(function.item_name()),
        };
        let called = name::unused(&called, used);
        used.insert(called.clone());
        let mut taken: BTreeSet<String> = around.iter().chain([&called]).cloned().collect();
        let params: Vec<(String, String)> = function
            .params
            .iter()
            .map(|param| {
                let own = name::unused(&name::value(&param.name), &taken);
                taken.insert(own.clone());
                (own, types.write(&param.ty))
            })
            .collect();
        let is_method = matches!(function.kind, FunctionKind::Method(_));
        let declared: Vec<String> = params
            .iter()
            .enumerate()
            .map(|(i, (name, ty))| match i {
                // A method borrows its resource, whoever holds it.
                0 if is_method => format!("{name}: @This()"),
                _ => format!("{name}: {ty}"),
            })
            .collect();
        let passed: Vec<&str> = params.iter().map(|(name, _)| name.as_str()).collect();
        let passed = match passed.len() {
            0 | 1 => passed.concat(),
            _ => format!(" {} ", passed.join(", ")),
        };
        let result = types.optional(function.result.as_ref());
        format!(
            "{}{indent}pub fn {called}({}) {result} {{\n\
             {indent}    return abi.import(\"{module}\", \"{}\", {result}, .{{{passed}}});\n\
             {indent}}}\n",
            docs(&function.docs, indent),
            declared.join(", "),
            function.name,
        )
    }
}

/// Whether this is where a resource is declared.
pub(super) fn is_resource(resolve: &Resolve, id: TypeId) -> bool {
    matches!(resolve.types[id].kind, TypeDefKind::Resource)
}

/// The functions of a resource.
pub(super) fn of_resource<'a>(functions: impl Iterator<Item = &'a Wit>, id: TypeId) -> Vec<&'a Wit> {
    functions.filter(|function| function.kind.resource() == Some(id)).collect()
}

/// A resource that is imported: a handle with methods. `around` are the names that can be seen from where it stands.
pub(super) fn resource(
    types: &Types<'_>,
    id: TypeId,
    module: &str,
    functions: &[&Wit],
    around: &BTreeSet<String>,
    indent: &str,
) -> String {
    let def = &types.resolve.types[id];
    let (own, wit) = (types.scopes.type_name(id), def.name.as_deref().unwrap_or_default());
    let inner = format!("{indent}    ");
    let mut text = format!(
        "{}{indent}pub const {own} = struct {{\n\
         {inner}handle: abi.Handle,\n\n\
         {inner}pub fn borrow(self: @This()) Borrowed(@This()) {{\n\
         {inner}    return .{{ .resource = self }};\n\
         {inner}}}\n\n\
         {inner}pub fn drop(self: @This()) void {{\n\
         {inner}    abi.drop(\"{module}\", \"{wit}\", self.handle);\n\
         {inner}}}\n",
        docs(&def.docs, indent),
    );
    let mut used = called();
    used.extend(["handle", "borrow", "drop"].map(str::to_owned));
    let mut around = around.clone();
    around.extend(used.iter().cloned().chain(["init".to_owned()]));
    around.extend(functions.iter().map(|function| name::function(function.item_name())));
    // The constructor has its name to itself.
    let is_constructor = |function: &&&Wit| matches!(function.kind, FunctionKind::Constructor(_));
    let (first, rest): (Vec<&Wit>, Vec<&Wit>) = functions.iter().partition(is_constructor);
    for function in first.into_iter().chain(rest) {
        text.push('\n');
        text += &Function { types, function, module }.import(&mut used, &around, &inner);
    }
    writeln!(text, "{indent}}};").expect(ROOM);
    text
}

/// A resource that the component implements.
pub(super) fn implemented_resource(
    types: &Types<'_>,
    id: TypeId,
    module: &str,
    implemented: &str,
    indent: &str,
) -> String {
    let def = &types.resolve.types[id];
    let (own, wit) = (types.scopes.type_name(id), def.name.as_deref().unwrap_or_default());
    format!(
        "{}{indent}pub const {own} = abi.Own(\"{module}\", \"{wit}\", \
         abi.implementedType(implementation, \"{}\", \"{own}\", \"{module}\"));\n",
        docs(&def.docs, indent),
        name::bare(implemented),
    )
}

/// What is written for an item that the world exports, in the block that makes exports.
pub(super) fn exports(writer: &Writer<'_>, key: &WorldKey, item: &WorldItem) -> String {
    let types = writer.types(&[]);
    match item {
        WorldItem::Function(function) => export(&types, function, None, "implementation"),
        WorldItem::Interface { id, .. } => {
            let place = &writer.scopes.interfaces[id];
            let implemented = name::bare(place.implemented.as_ref().expect("it is exported"));
            let namespace = format!("abi.namespace(implementation, \"{implemented}\")");
            let interface = &writer.resolve.interfaces[*id];
            let mut text = String::new();
            for function in interface.functions.values() {
                text += &export(&types, function, Some(&place.module), &namespace);
            }
            for id in interface.types.values().filter(|id| is_resource(writer.resolve, **id)) {
                let wit = writer.resolve.types[*id].name.as_deref().unwrap_or_default();
                let (module, named) = (&place.module, types.named(*id));
                writeln!(text, "    abi.exportDestructor(\"{module}#[dtor]{wit}\", {named}.Value);").expect(ROOM);
            }
            text
        }
        WorldItem::Type { .. } => {
            unreachable!("{}: worlds export types in interfaces only", writer.resolve.name_world_key(key))
        }
    }
}

fn export(types: &Types<'_>, function: &Wit, module: Option<&str>, namespace: &str) -> String {
    let (container, called) = match function.kind.resource() {
        None => (namespace.to_owned(), name::function(function.item_name())),
        Some(id) => {
            let called = match function.kind {
                FunctionKind::Constructor(_) => "init".to_owned(),
                _ => name::unused(&name::function(function.item_name()), &["init", "deinit"].map(str::to_owned).into()),
            };
            (format!("{}.Value", types.named(id)), called)
        }
    };
    let params: Vec<String> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", name::value(&param.name), types.write(&param.ty)))
        .collect();
    let signature = format!("({}) {}", params.join(", "), types.optional(function.result.as_ref()));
    let mut used = String::new();
    for function_part in [
        format!("\"{}\"", function.legacy_core_export_name(module)),
        container,
        format!("\"{}\"", name::bare(&called)),
        format!("fn {signature}"),
        format!("\"{}\"", format!("pub fn {called}{signature}").replace('"', "\\\"")),
    ] {
        writeln!(used, "        {function_part},").expect(ROOM);
    }
    format!("    abi.exportFunction(\n{used}    );\n")
}
