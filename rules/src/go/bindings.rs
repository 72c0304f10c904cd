//! [`generate`]: the packages that connect a Go module to its world.
//!
//! They are laid out as a part of the user's own module: `imports/NAME` for what the world imports and for its types,
//! `exports/wit_exports` for what calls the user's packages `exports/export_NAME`, and `exports/wit_main`, which is what is
//! linked. A program is linked from the user's own `main`: two more files make that the `run` of `wasi:cli/run`, because
//! the Go runtime can't be called, not even for memory, in a module that is started by `_start`.

use wit_bindgen_core::Files;
use wit_parser::{FlagsRepr, Function, FunctionKind, Resolve, Type, TypeDefKind};

use super::manifest::RUNTIME;
use crate::diagnostic::Diagnostic;
use crate::step::wit::World;
use crate::step::{StepError, causes};

/// The directory of what the world imports and of its types, below the module's.
pub const IMPORTS: &str = "imports";

/// The package that is linked where the user has no `main` of their own.
pub const MAIN: &str = "exports/wit_main";

/// The largest tuple that the generator has a type for.
const TUPLE_MAX: usize = 16;

/// Whether a file below the module's directory is one that is generated: a copy of it, which an editor may want, is not
/// compiled.
#[must_use]
pub fn is_generated(below: &str) -> bool {
    let parts: Vec<&str> = below.split('/').collect();
    match parts[..] {
        ["imports", ..] | ["exports", "wit_exports" | "wit_main", ..] | ["wit_main.go"] => true,
        ["exports", package, "run.go"] => package.starts_with("export_wasi_cli_run"),
        ["exports", package, file] => package.starts_with("export_") && matches!(file, "wit_bindings.go" | "empty.s"),
        _ => false,
    }
}

/// Writes the packages for `world` as a part of the module called `module`.
///
/// # Errors
/// `unsupported-type` for what the generator can't express; `bad-wit` for what it refuses.
pub fn generate(world: &World, module: &str) -> Result<Vec<(String, Vec<u8>)>, StepError> {
    let mut world = world.clone();
    check(&world)?;
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        pkg_name: Some(module.to_owned()),
        quiet: true,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut world.resolve, world.id, &mut files).map_err(|error| {
        let mut diagnostic = Diagnostic::error("bad-wit", "Go bindings can't be written for this world");
        diagnostic.notes = causes(error.as_ref());
        StepError::from(diagnostic)
    })?;
    let mut written: Vec<(String, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
    let program = written.iter().find_map(|(_, bytes)| package_of_run(&String::from_utf8_lossy(bytes), module));
    written.extend(program.map_or_else(|| vec![linked(module)], |package| programs(module, &package)));
    written.sort();
    Ok(written)
}

/// What is linked where the user has no `main`.
fn linked(module: &str) -> (String, Vec<u8>) {
    let main = format!("package main\n\nimport _ \"{module}/exports/wit_exports\"\n\nfunc main() {{}}\n");
    (format!("{MAIN}/main.go"), main.into_bytes())
}

/// The package that is to export `wasi:cli/run`, in whichever version, where the generated text imports one.
fn package_of_run(text: &str, module: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\"{module}/exports/export_wasi_cli_run"))?;
    let version = rest.split('"').next()?;
    Some(format!("export_wasi_cli_run{version}"))
}

/// What makes the user's `main` the `run` of a program.
fn programs(module: &str, package: &str) -> Vec<(String, Vec<u8>)> {
    let run = format!(
        "package {package}\n\nimport witTypes \"{RUNTIME}/wit/types\"\n\n// Main is the program's.\nvar Main func()\n\n\
         // Run runs it.\nfunc Run() witTypes.Result[witTypes.Unit, witTypes.Unit] {{\n\tMain()\n\t\
         return witTypes.Ok[witTypes.Unit, witTypes.Unit](witTypes.Unit{{}})\n}}\n"
    );
    let main = format!(
        "package main\n\nimport (\n\twitRun \"{module}/exports/{package}\"\n\t_ \"{module}/exports/wit_exports\"\n)\n\n\
         func init() {{\n\twitRun.Main = main\n}}\n"
    );
    vec![(format!("exports/{package}/run.go"), run.into_bytes()), ("wit_main.go".to_owned(), main.into_bytes())]
}

/// Refuses a world that the generator has no words for.
///
/// # Errors
/// `unsupported-type`, for each thing of the world.
pub fn check(world: &World) -> Result<(), StepError> {
    let resolve = &world.resolve;
    let mut found = Vec::new();
    for interface in reached(world) {
        let interface = &resolve.interfaces[interface];
        let name = interface.name.as_deref().unwrap_or("an interface");
        found.extend(
            interface
                .functions
                .values()
                .filter_map(|f| function(resolve, f).map(|w| (format!("`{name}.{}`", f.name), w))),
        );
        found.extend(
            interface.types.iter().filter_map(|(t, id)| kind(resolve, *id).map(|w| (format!("`{name}.{t}`"), w))),
        );
    }
    let own = &resolve.worlds[world.id];
    for item in own.imports.values().chain(own.exports.values()) {
        match item {
            wit_parser::WorldItem::Function(f) => {
                found.extend(function(resolve, f).map(|what| (format!("`{}`", f.name), what)));
            }
            wit_parser::WorldItem::Type { id, .. } => {
                let name = resolve.types[*id].name.as_deref().unwrap_or("a type");
                found.extend(kind(resolve, *id).map(|what| (format!("`{name}`"), what)));
            }
            wit_parser::WorldItem::Interface { .. } => {}
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let told = |(place, what): (String, String)| {
        Diagnostic::error("unsupported-type", format!("{place} has {what}, which Go bindings can't express"))
            .help("say it by other types in the WIT, or write the component in another language")
    };
    Err(found.into_iter().map(told).collect::<Vec<_>>().into())
}

/// The interfaces that a world imports or exports; those they use types of are imported too.
fn reached(world: &World) -> Vec<wit_parser::InterfaceId> {
    let own = &world.resolve.worlds[world.id];
    let mut found: Vec<_> = own
        .imports
        .values()
        .chain(own.exports.values())
        .filter_map(|item| match item {
            wit_parser::WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What is wrong with a function.
fn function(resolve: &Resolve, function: &Function) -> Option<String> {
    match function.kind {
        FunctionKind::Freestanding
        | FunctionKind::Method(_)
        | FunctionKind::Static(_)
        | FunctionKind::Constructor(_) => {}
        FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) | FunctionKind::AsyncStatic(_) => {
            return Some("an asynchronous function".to_owned());
        }
        _ => return Some("a property".to_owned()),
    }
    let types = function.params.iter().map(|param| &param.ty).chain(&function.result);
    types.into_iter().find_map(|ty| of_type(resolve, ty))
}

/// What is wrong with a type, or with one that it is made of.
fn of_type(resolve: &Resolve, ty: &Type) -> Option<String> {
    match ty {
        Type::ErrorContext => Some("an error context".to_owned()),
        Type::Id(id) => kind(resolve, *id),
        _ => None,
    }
}

fn kind(resolve: &Resolve, id: wit_parser::TypeId) -> Option<String> {
    let of = |ty: &Type| of_type(resolve, ty);
    match &resolve.types[id].kind {
        TypeDefKind::Tuple(tuple) if tuple.types.len() > TUPLE_MAX => {
            Some(format!("a tuple of {} (the most is {TUPLE_MAX})", tuple.types.len()))
        }
        TypeDefKind::Tuple(tuple) => tuple.types.iter().find_map(of),
        TypeDefKind::Flags(flags) => match flags.repr() {
            FlagsRepr::U8 | FlagsRepr::U16 | FlagsRepr::U32(1) => None,
            FlagsRepr::U32(_) => Some(format!("{} flags (the most is 32)", flags.flags.len())),
        },
        TypeDefKind::Record(record) => record.fields.iter().find_map(|field| of(&field.ty)),
        TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty.as_ref()).find_map(of),
        TypeDefKind::Option(ty) | TypeDefKind::List(ty) | TypeDefKind::Type(ty) => of(ty),
        TypeDefKind::Result(result) => result.ok.iter().chain(&result.err).find_map(of),
        TypeDefKind::Map(key, value) => of(key).or_else(|| of(value)),
        TypeDefKind::FixedLengthList(..) => Some("a list of fixed length".to_owned()),
        TypeDefKind::Future(_) => Some("a future".to_owned()),
        TypeDefKind::Stream(_) => Some("a stream".to_owned()),
        TypeDefKind::Enum(_) | TypeDefKind::Resource | TypeDefKind::Handle(_) | TypeDefKind::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::step::wit;

    fn generated(text: &str) -> Result<Vec<(String, Vec<u8>)>, StepError> {
        let sources = BTreeMap::from([("a.wit".to_owned(), format!("package t:t; {text}").into_bytes())]);
        let world = wit::world(&sources, Some("w")).expect("it is WIT");
        generate(&World::from_encoded(&world.encoded().unwrap()).unwrap(), "example.com/m")
    }

    #[test]
    fn packages_are_part_of_the_users_module() {
        let files = generated(
            "interface i { record p { x: s32 } f: func(p: p) -> option<string>; } \
             interface j { resource r { constructor(); } } world w { import i; export i; export j; export g: func(); }",
        );
        let files = files.unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "exports/export_t_t_j/empty.s",
                "exports/export_t_t_j/wit_bindings.go",
                "exports/wit_exports/wit_exports.go",
                "exports/wit_main/main.go",
                "imports/t_t_i/empty.s",
                "imports/t_t_i/wit_bindings.go",
            ]
        );
        assert!(names.iter().all(|name| is_generated(name)), "{names:?}");
        assert!(!is_generated("exports/export_t_t_j/mine.go"));
        let exports = files.iter().find(|(name, _)| name.ends_with("wit_exports.go")).unwrap();
        let exports = String::from_utf8(exports.1.clone()).unwrap();
        assert!(exports.contains("\"example.com/m/exports/export_t_t_i\""), "{exports}");
    }

    #[test]
    fn the_main_of_a_program_is_what_is_run() {
        let files =
            generated("interface i { f: func(); } world w { import i; include wasi:cli/command@0.2.12; }").unwrap();
        let text = |name: &str| {
            let found = files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("{name} is written"));
            assert!(is_generated(name), "{name}");
            String::from_utf8(found.1.clone()).unwrap()
        };
        assert!(text("wit_main.go").contains("witRun \"example.com/m/exports/export_wasi_cli_run\""));
        assert!(text("exports/export_wasi_cli_run/run.go").starts_with("package export_wasi_cli_run\n"));
        assert!(!files.iter().any(|(name, _)| name.starts_with(MAIN)));
    }

    #[test]
    fn what_the_generator_can_not_express_is_refused_in_words() {
        let check = |text: &str, expected: &str| {
            let error = generated(text).unwrap_err();
            assert_eq!(error.diagnostics[0].code, "unsupported-type", "{text}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let tuple = vec!["u8"; 17].join(", ");
        check(&format!("world w {{ export f: func() -> list<tuple<{tuple}>>; }}"), "`f` has a tuple of 17");
        check("world w { export f: async func(); }", "an asynchronous function");
        check("interface i { f: func() -> stream<u8>; } world w { import i; }", "`i.f` has a stream");
        check("world w { import f: func(a: future<u8>); }", "a future");
    }
}
