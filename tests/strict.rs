//! `--strict`: every function of `wasi:clocks` and `wasi:random` that is called is a trap that names it. The functions
//! are read from WASI's own text, so one that is added to it is tested from then on.

use std::fs;

use wit_parser::abi::{AbiVariant, WasmSignature, WasmType};
use wit_parser::{Resolve, WorldItem};

use super::support::{Ended, Workspace, repository, words};

/// A function of WASI, as a core module imports it.
struct Import {
    /// Such as `wasi:clocks/wall-clock@0.2.12`.
    interface: String,
    name: String,
    signature: WasmSignature,
}

impl Import {
    /// What a message calls it.
    fn told(&self) -> String {
        let interface = self.interface.split('@').next().unwrap_or_default();
        format!("`{interface}.{}`", self.name)
    }
}

fn imports() -> Vec<Import> {
    let mut resolve = Resolve::default();
    let mut found = Vec::new();
    for package in ["io", "clocks", "random"] {
        let file = repository().join(format!("rules/wit/{package}.wit"));
        let text = fs::read_to_string(&file).expect("WASI's text is built in");
        let package = resolve.push_str(&file, &text).expect("WASI's text parses");
        if resolve.packages[package].name.name == "io" {
            continue;
        }
        let world = resolve.select_world(&[package], Some("imports")).expect("each package has this world");
        for (key, item) in &resolve.worlds[world].imports {
            let WorldItem::Interface { id, .. } = item else { continue };
            let interface = resolve.name_world_key(key);
            // What a world needs of another package comes with it.
            if resolve.interfaces[*id].package != Some(package) {
                continue;
            }
            found.extend(resolve.interfaces[*id].functions.iter().map(|(name, function)| Import {
                interface: interface.clone(),
                name: name.clone(),
                signature: resolve.wasm_signature(AbiVariant::GuestImport, function),
            }));
        }
    }
    found
}

const fn wasm_type(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

/// A core module whose `fN` calls the import of that number.
fn module(imports: &[Import]) -> String {
    let (mut imported, mut exported) = (Vec::new(), Vec::new());
    for (n, Import { interface, name, signature }) in imports.iter().enumerate() {
        let params: String = signature.params.iter().map(|ty| format!(" (param {})", wasm_type(*ty))).collect();
        let results: String = signature.results.iter().map(|ty| format!(" (result {})", wasm_type(*ty))).collect();
        let zeros: String = signature.params.iter().map(|ty| format!(" ({}.const 0)", wasm_type(*ty))).collect();
        let call = format!("(call $f{n}{zeros})");
        let call = if signature.results.is_empty() { call } else { format!("(drop {call})") };
        imported.push(format!("  (import \"{interface}\" \"{name}\" (func $f{n}{params}{results}))\n"));
        exported.push(format!("  (func (export \"f{n}\") {call})\n"));
    }
    let (imported, exported) = (imported.concat(), exported.concat());
    format!(
        "(module\n{imported}  (memory (export \"memory\") 1)\n  (func (export \"cabi_realloc\") \
         (param i32 i32 i32 i32) (result i32) (i32.const 1024))\n{exported})\n"
    )
}

fn project(imports: &[Import]) -> Workspace {
    let workspace = Workspace::new();
    let mut interfaces: Vec<String> =
        imports.iter().map(|import| format!("  import {};\n", import.interface)).collect();
    interfaces.dedup();
    let functions: String = (0..imports.len()).map(|n| format!("  export f{n}: func();\n")).collect();
    let world = format!("package demo:ask;\n\nworld ask {{\n{}{functions}}}\n", interfaces.concat());
    let manifest = "[project]\nname = \"ask\"\nversion = \"1.0.0\"\n\n[[component]]\nname = \"ask\"\n\
        source = \"ask.wat\"\nwit = \"ask.wit\"\ncapabilities = [\"clock\", \"random\"]\n";
    for (name, text) in [("run.toml", manifest), ("ask.wit", &world), ("ask.wat", &module(imports))] {
        fs::write(workspace.directory().join(name), text).expect("the project can be written");
    }
    workspace
}

fn call(workspace: &Workspace, n: usize, flags: &str) -> Ended {
    let line = format!("v2 exec -q ask --function f{n} {flags}");
    workspace.run(&workspace.directory(), "run", &words(&line))
}

#[test]
fn every_clock_and_every_random_number_is_a_trap_that_names_it() {
    let imports = imports();
    assert!(imports.len() >= 11, "only {} functions were found", imports.len());
    let workspace = project(&imports);
    for (n, import) in imports.iter().enumerate() {
        let told = import.told();
        let ended = call(&workspace, n, "--strict");
        assert_eq!(ended.status, 1, "{told}\n{}", ended.stderr);
        let trap = format!("error: `f{n}` trapped: {told} was called under `--strict`\n");
        assert!(ended.stderr.contains(&trap), "{trap}{}", ended.stderr);
        for flags in ["", "--strict --allow-clock --allow-random"] {
            let ended = call(&workspace, n, flags);
            assert_eq!(ended.status, 0, "{told} with `{flags}`\n{}", ended.stderr);
        }
        // One of the two is not leave for the other.
        let other = if import.interface.contains("clocks") { "--allow-random" } else { "--allow-clock" };
        assert_eq!(call(&workspace, n, &format!("--strict {other}")).status, 1, "{told}");
    }
}
