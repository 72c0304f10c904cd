//! Writes down which version of each crate this program is locked to: builtins put them into their keys.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let lockfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lockfile.display());
    let text = std::fs::read_to_string(&lockfile).expect("the workspace has a lockfile");
    let mut list = String::from("&[\n");
    let mut name = None;
    for line in text.lines() {
        let value = |key: &str| line.strip_prefix(key)?.strip_suffix('"').map(str::to_owned);
        if let Some(found) = value("name = \"") {
            name = Some(found);
        } else if let (Some(version), Some(name)) = (value("version = \""), name.take()) {
            writeln!(list, "    ({name:?}, {version:?}),").expect("writing to a string");
        }
    }
    list.push_str("]\n");
    let out = std::env::var_os("OUT_DIR").expect("cargo says where to write");
    std::fs::write(Path::new(&out).join("locked.rs"), list).expect("the output directory can be written");
}
