//! The same build elsewhere, as somebody else, with other `-j`: the same keys, the same bytes. Each has a store of its own,
//! so that nothing can be had from the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::support::{Workspace, words};

const PROJECT: &str = "fixtures/calculator";

/// Builds with few things as they usually are.
fn elsewhere() -> (Workspace, BTreeMap<String, Vec<u8>>) {
    let workspace = Workspace::of(Path::new(PROJECT));
    let root = workspace.directory();
    let moved = root.join("a rather long name/with blanks");
    fs::create_dir_all(moved.parent().expect("it has one")).expect("a directory");
    let inside: Vec<_> = fs::read_dir(&root).expect("it can be listed").map(|entry| entry.expect("a file")).collect();
    fs::create_dir(&moved).expect("a directory");
    for entry in inside.iter().filter(|entry| entry.file_name() != "a rather long name") {
        fs::rename(entry.path(), moved.join(entry.file_name())).expect("it can be moved");
    }
    let program = "umask 077; cd calc/src; exec \"$0\" v2 build -j 1";
    let mut shell = workspace.program(&moved, "sh");
    shell.args(["-c", program, env!("CARGO_BIN_EXE_run")]).envs([
        ("LANG", "de_DE.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("TZ", "Pacific/Kiritimati"),
        ("USER", "somebody-else"),
        ("RUSTFLAGS", "--cfg never"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        ("CARGO_TARGET_DIR", "/nowhere"),
        ("MAKEFLAGS", "-j7"),
        ("SECRET", "never seen"),
    ]);
    let ended = shell.output().expect("a shell");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let export = words("v2 why app --export ../keys");
    assert_eq!(workspace.run(&moved, "run", &export).status, 0);
    let outputs = outputs(&moved);
    (workspace, outputs)
}

/// Every file that a build left for its user.
fn outputs(project: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(project.join("target/wasm")).expect("it was built");
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("names are text");
        (name, fs::read(entry.path()).expect("an output can be read"))
    };
    entries.map(|entry| read(entry.expect("an output"))).collect()
}

#[test]
fn a_build_is_the_same_everywhere() {
    let here = Workspace::of(Path::new(PROJECT));
    let built = here.v2("build");
    assert_eq!(built.status, 0, "{}", built.stderr);
    let (there, outputs_there) = elsewhere();
    let outputs_here = outputs(&here.directory());
    assert_eq!(outputs_here.keys().collect::<Vec<_>>(), ["app.wasm", "calc.wasm", "hello.wasm", "web.wasm"]);
    for (name, bytes) in &outputs_here {
        assert!(outputs_there.get(name) == Some(bytes), "{name} differs");
    }
    let keys = there.directory().join("a rather long name/keys");
    let compared = here.v2(&format!("why app --against '{}'", keys.display()));
    assert_eq!(compared.stdout, "app has the same keys there and here (12 actions)\n");
}

#[test]
fn the_callers_environment_reaches_no_action() {
    let mut here = Workspace::new();
    let manifest = r#"
[project]
name = "env"
version = "1.0.0"

[[command]]
name = "env"
run = ["sh", "-c", "env | sed 's/=.*//' | sort > env.txt; umask >> env.txt"]
outputs = ["env.txt"]
"#;
    fs::write(here.directory().join("run.toml"), manifest).expect("a manifest can be written");
    here.env.extend([("SECRET", "1"), ("LC_ALL", "C.UTF-8")].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let built = here.v2("build");
    assert_eq!(built.status, 0, "{}", built.stderr);
    let seen = fs::read_to_string(here.directory().join("env.txt")).expect("it was written back");
    assert_eq!(seen, "HOME\nLANG\nPATH\nPWD\nTMPDIR\nTZ\n0022\n");
}

/// Cargo reads `.cargo/config.toml` of every directory above the one it runs in; those above a sandbox are nobody's input.
#[test]
fn cargo_configuration_above_is_never_used() {
    let mut here = Workspace::of(Path::new(PROJECT));
    let above = here.directory().parent().expect("it lies in a directory of ours").to_owned();
    for directory in ["tmp", ".cargo"] {
        fs::create_dir_all(above.join(directory)).expect("a directory can be made");
    }
    let config = "[build]\nrustflags = [\"-C\", \"opt-level=0\"]\n";
    fs::write(above.join(".cargo/config.toml"), config).expect("a file can be written");
    here.env.insert("TMPDIR".to_owned(), above.join("tmp").display().to_string());
    let built = here.v2("build calc");
    assert_eq!(built.status, 0, "{}", built.stderr);
    let there = Workspace::of(Path::new(PROJECT));
    assert_eq!(there.v2("build calc").status, 0);
    assert!(outputs(&here.directory()) == outputs(&there.directory()));
}

/// Somebody else's build, where this test may become somebody else. Compilers are shown where they may read them.
const AS_SOMEBODY: &str = r#"
set -e
for pair in rustup:"$RUSTUP_HOME" cargo/bin:"$(dirname "$(command -v cargo)")" program:"$PROGRAM"; do
    mkdir -p "$PLACE/${pair%%:*}"
    mount --bind "${pair#*:}" "$PLACE/${pair%%:*}"
done
chmod 755 "$PLACE"
chown -R 4242:4242 "$PLACE/work" "$PLACE/home" "$PLACE/cargo" "$PLACE/tmp"
export RUSTUP_HOME="$PLACE/rustup" CARGO_HOME="$PLACE/cargo" TMPDIR="$PLACE/tmp" RUN_CACHE_DIR="$PLACE/home/store"
export PATH="$PLACE/cargo/bin:/usr/bin:/bin"
exec setpriv --reuid 4242 --regid 4242 --clear-groups "$PLACE/program/run" v2 build "$@"
"#;

const SMALL: &str = r#"
[project]
name = "small"
version = "1.0.0"
[[component]]
name = "told"
source = "told"
[[component]]
name = "text"
source = "text.wat"
[[compose]]
name = "both"
root = "told"
with = ["text"]
"#;

fn small() -> Workspace {
    let workspace = Workspace::new();
    let write = |path: &str, text: &str| {
        let file = workspace.directory().join(path);
        fs::create_dir_all(file.parent().expect("it has one")).expect("a directory");
        fs::write(file, text).expect("a file");
    };
    write("run.toml", SMALL);
    write("text.wat", "(component (core module (func (export \"f\"))))");
    write("told/Cargo.toml", "[package]\nname = \"told\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    write("told/Cargo.lock", "version = 4\n[[package]]\nname = \"told\"\nversion = \"1.0.0\"\n");
    write("told/src/main.rs", "fn main() { assert!(std::env::args().count() < 9, \"{}\", file!()) }\n");
    workspace
}

#[test]
#[cfg(target_os = "linux")]
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn two_users_build_the_same() {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED: only root can become somebody else; `fixtures/calculator` is built with another `USER` all the same"
        );
        return;
    }
    for profile in ["--release", "--debug"] {
        let (ours, theirs) = (small(), small());
        let built = ours.v2(&format!("build {profile}"));
        assert_eq!(built.status, 0, "{}", built.stderr);
        let place = theirs.directory().parent().expect("it lies in a directory of ours").to_owned();
        fs::create_dir(place.join("tmp")).expect("a directory");
        let program = Path::new(env!("CARGO_BIN_EXE_run")).parent().expect("a program lies in a directory");
        let mut shell = theirs.program(&theirs.directory(), "unshare");
        shell.args(["--mount", "sh", "-c", AS_SOMEBODY, "sh", profile]);
        shell.env("PLACE", &place).env("PROGRAM", program);
        let ended = theirs.ended(&shell.output().expect("a shell"));
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        let folder = if profile == "--debug" { "target/wasm/debug" } else { "target/wasm" };
        for name in ["told.wasm", "text.wasm", "both.wasm"] {
            use std::os::unix::fs::MetadataExt as _;
            let (our, their) = (ours.directory().join(folder).join(name), theirs.directory().join(folder).join(name));
            assert_eq!(fs::metadata(&their).expect("it was built").uid(), 4242);
            assert!(fs::read(our).expect("it was built") == fs::read(their).expect("it was built"), "{name} differs");
        }
    }
}
