//! What each builtin writes for a fixed input, digested and written down. When a digest here changes, results in stores
//! no longer mean what they did: raise the builtin's revision in the same change, then `UPDATE_EXPECT=1` writes the new
//! line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use run_engine::cancel::Cancel;
use run_engine::digest::{Blob, DigestFunction};
use run_engine::path::RelPath;
use run_engine::sandbox::builtin::{Builtins as _, Call, Returned};
use run_engine::store::Blobs as _;
use run_engine::store::memory::MemoryStore;
use run_engine::tree::{Node, Tree};

use super::{ALL, Builtin, Table, component, interface, part, raw, world};
use crate::step::wit;

/// A component in text form.
const TEXT: &str = r#"(component
  (core module $m (func (export "greet") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "greet") (param "n" s32) (result s32) (canon lift (core func $i "greet"))))"#;

/// A core module that implements [`WORLD`].
const MODULE: &str = r#"(module
  (func (export "greet") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"#;

const WORLD: &str = "package demo:hello; world hello { export greet: func(n: s32) -> s32; }";

/// An importer of what [`PROVIDER`] exports.
const IMPORTER: &str = r#"(component
  (import "demo:hello/api" (instance $api (export "greet" (func (param "n" s32) (result s32)))))
  (alias export $api "greet" (func $greet))
  (export "greet" (func $greet)))"#;

const PROVIDER: &str = r#"(component
  (core module $m (func (export "greet") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func $greet (param "n" s32) (result s32) (canon lift (core func $i "greet")))
  (instance $api (export "greet" (func $greet)))
  (export "demo:hello/api" (instance $api)))"#;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The input of each builtin: its arguments and files.
fn input(builtin: &Builtin) -> (Vec<&'static str>, Vec<(RelPath, Vec<u8>)>) {
    let promise = || {
        let sources = BTreeMap::from([("hello.wit".to_owned(), WORLD.as_bytes().to_vec())]);
        (world(), wit::world(&sources, None).unwrap().encoded().unwrap())
    };
    let whole = || (component(), binary(TEXT));
    match builtin.name {
        "read" => (vec![], vec![(path("work/raw.wasm"), binary(TEXT))]),
        "text" => (vec!["a.wat"], vec![(path("work/a.wat"), TEXT.into())]),
        "componentize" => (vec!["adapter=reactor"], vec![(raw(), binary(MODULE)), promise()]),
        "validate" => (vec![], vec![whole(), promise()]),
        "compose" => (
            vec!["instance=calc", "instance=app", "argument=demo:hello/api|calc|demo:hello/api|"],
            vec![(part("calc"), binary(PROVIDER)), (part("app"), binary(IMPORTER))],
        ),
        "compose-script" => (
            vec!["package=p:calc", "package=p:app"],
            vec![
                (part("p:calc"), binary(PROVIDER)),
                (part("p:app"), binary(IMPORTER)),
                (path("script/app.wac"), SCRIPT.into()),
            ],
        ),
        "native" => (vec!["level=speed"], vec![whole()]),
        "test" => (
            vec![
                "level=speed",
                "epoch=0",
                "memory=1048576",
                "fuel=100000",
                "call=function",
                "function=greet",
                "arg=1",
                "expected=2",
            ],
            vec![whole()],
        ),
        "package" => (
            vec!["name=hello", "version=1.0.0", "epoch=0"],
            vec![whole(), (interface(), b"package root:component;\n".to_vec())],
        ),
        "c-bindings" | "zig-bindings" | "typescript-types" => {
            let (at, encoded) = promise();
            let more = match builtin.name {
                "zig-bindings" => Some("main=main.zig"),
                "typescript-types" => Some("entry=../../index.ts"),
                _ => None,
            };
            (["name=hello"].into_iter().chain(more).collect(), vec![(path("work").join(&at), encoded)])
        }
        "go-plan" => (
            vec!["package=a.b/api/page", "package=a.b/api", "archive=embed", "archive=os"],
            vec![
                (path("work/.run/list/plan"), include_bytes!("../go/plan/sample.txt").to_vec()),
                (path("work/.run/std/7a/7a0e-d"), b"embed".to_vec()),
            ],
        ),
        other => panic!("say here what goes into `{other}`"),
    }
}

const SCRIPT: &str = "package p:whole;\nlet calc = new p:calc {};\nlet app = new p:app { \"demo:hello/api\": calc[\"demo:hello/api\"] };\nexport app...;\n";

fn run(builtin: &Builtin) -> Returned {
    let (args, files) = input(builtin);
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let blobs = MemoryStore::new(DigestFunction::Blake3);
    let mut inputs = Tree::new();
    for (path, bytes) in files {
        let digest = blobs.put(&bytes).unwrap();
        inputs.insert(&path, Node::File { digest, executable: false }).unwrap();
    }
    let call = Call {
        name: builtin.name,
        args: &args,
        inputs: &inputs,
        accelerators: &BTreeMap::new(),
        blobs: &blobs,
        cancel: &Cancel::new(),
    };
    Table::new().call(&call).unwrap()
}

/// What these write is written down by the tests of [`crate::snapshot`], which have the interpreters at hand.
const ELSEWHERE: [&str; 9] = [
    "quickjs",
    "quickjs-engine",
    "quickjs-snapshot",
    "starlingmonkey-splicer",
    "starlingmonkey-engine",
    "starlingmonkey-snapshot",
    "python",
    "python-engine",
    "python-snapshot",
];

#[test]
fn what_builtins_write_changes_only_with_their_revision() {
    let mut lines = String::new();
    for builtin in ALL.iter().filter(|builtin| !ELSEWHERE.contains(&builtin.name)) {
        let returned = run(builtin);
        assert_eq!(returned.status, 0, "{}: {}", builtin.name, String::from_utf8_lossy(&returned.stderr));
        assert_eq!(run(builtin), returned, "{} gives the same twice", builtin.name);
        // Native code is this machine's; its key says so.
        if builtin.name == "native" {
            continue;
        }
        for (path, bytes) in &returned.outputs {
            let digest = DigestFunction::Blake3.digest::<Blob>(bytes);
            writeln!(lines, "{} {} {path} {digest}", builtin.name, builtin.revision).unwrap();
        }
    }
    crate::testing::expect_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/builtin/golden.txt"), &lines);
}
