//! Fetching with clients that are scripts, so that every way in which one can fail is tried.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use super::pin::{PINS, Source};
use super::*;
use crate::manifest::Language;

const PIN: Pin = Pin {
    name: "go",
    chosen_by: &["go"],
    fixed: false,
    needed_for: &[Language::Go],
    engine: None,
    version: "1.0",
    source: Source::Npm { package: "tool", keep: &[] },
    proof: "bin/tool",
    digests: &[],
};

/// A machine whose `npm` is this script; its last argument is what to fetch, and `$to` where to.
struct Machine {
    root: tempfile::TempDir,
    environment: Environment,
}

impl Machine {
    fn new(npm: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir_all(root.path().join("package/bin")).unwrap();
        fs::write(root.path().join("package/bin/tool"), "a tool").unwrap();
        fs::create_dir(&bin).unwrap();
        let here = root.path().display();
        fs::write(
            bin.join("npm"),
            format!("#!/bin/sh\nhere={here}; for to; do [ -d \"$to\" ] && break; done\n{npm}\n"),
        )
        .unwrap();
        fs::set_permissions(bin.join("npm"), fs::Permissions::from_mode(0o755)).unwrap();
        let path = vec![bin.clone(), "/usr/bin".into(), "/bin".into()];
        let variable = format!("{}:/usr/bin:/bin", bin.display());
        let tools = BTreeMap::from([("PATH".to_owned(), variable)]);
        Self { environment: Environment { path, tools, ..Environment::default() }, root }
    }

    fn toolchains(&self) -> Toolchains {
        Toolchains::open(&self.root.path().join("store"), DigestFunction::Blake3, SystemTime::UNIX_EPOCH)
    }

    fn install(&self, digest: Option<&str>) -> Result<String, ToolchainError> {
        self.toolchains().install(&PIN, "1.0", digest, &self.environment)
    }

    /// What lies where toolchains are kept.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path().join("store/toolchains")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Packs what there is.
const PACK: &str = "tar -czf \"$to/tool.tgz\" -C \"$here\" package";

#[test]
fn what_is_fetched_once_is_there_for_ever() {
    let machine = Machine::new(&format!("echo x >> \"$here/asked\"; {PACK}"));
    let digest = machine.install(None).unwrap();
    let tree = machine.toolchains().installed("go", "1.0", &digest).unwrap();
    assert_eq!(fs::read_to_string(tree.directory.join("bin/tool")).unwrap(), "a tool");
    assert!(tree.tree.find(&RelPath::new("bin/tool").unwrap()).is_some());
    assert_eq!(machine.install(Some(&digest)), Ok(digest.clone()));
    assert_eq!(fs::read_to_string(machine.root.path().join("asked")).unwrap(), "x\n");
    assert_eq!(machine.toolchains().verify("go", "1.0", &digest), Soundness::Sound);
    // The other function knows the same files by other names.
    let store = machine.root.path().join("store");
    let mut other = Toolchains::open(&store, DigestFunction::Sha256, SystemTime::UNIX_EPOCH);
    let tree = other.installed("go", "1.0", &digest).unwrap();
    assert_eq!(shown(&tree.tree, DigestFunction::Sha256), digest);
}

#[test]
fn other_bytes_than_are_locked_are_refused_and_not_kept() {
    let machine = Machine::new(PACK);
    let wanted = format!("sha256:{}", "0".repeat(64));
    let error = machine.install(Some(&wanted)).unwrap_err();
    assert_eq!(error.what, "npm gives other bytes as go 1.0 than is locked");
    let found = machine.install(None).unwrap();
    assert_eq!(error.notes, [format!("wanted {wanted}"), format!(" found {found}")]);
    assert_eq!(machine.kept().iter().filter(|name| name.starts_with("go-")).count(), 1);
    assert!(machine.toolchains().installed("go", "1.0", &wanted).is_none());
}

#[test]
fn a_client_that_fails_is_heard() {
    let machine = Machine::new("echo 'npm error 404 no such package' >&2; exit 1");
    let error = machine.install(None).unwrap_err();
    assert_eq!(error.what, "npm could not get tool 1.0 from npm (exit status: 1)");
    assert_eq!(error.notes, ["npm error 404 no such package"]);
    assert_eq!(machine.kept(), [".installing"]);
    let nothing = Machine::new("exit 0");
    assert_eq!(nothing.install(None).unwrap_err().what, "the client succeeded and left no `.tgz` file");
    let garbage = Machine::new("echo garbage > \"$to/tool.tgz\"");
    let what = garbage.install(None).unwrap_err().what;
    assert!(what.starts_with("what npm gave as go 1.0 can't be unpacked: "), "{what}");
    fs::remove_file(garbage.root.path().join("bin/npm")).unwrap();
    let bare = Environment { path: vec![garbage.root.path().join("bin")], ..Environment::default() };
    let error = garbage.toolchains().install(&PIN, "1.0", None, &bare).unwrap_err();
    assert_eq!(error.what, "this machine has no npm, which fetches it");
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_is_damaged_is_fetched_again() {
    let machine = Machine::new(PACK);
    let digest = machine.install(None).unwrap();
    let store = machine.root.path().join("store/toolchains");
    fs::create_dir_all(store.join(".installing-x/archive")).unwrap();
    let tool = machine.toolchains().installed("go", "1.0", &digest).unwrap().directory.join("bin/tool");
    fs::remove_file(&tool).unwrap();
    fs::write(&tool, "another").unwrap();
    let Soundness::Damaged(Some(found)) = machine.toolchains().verify("go", "1.0", &digest) else { panic!() };
    assert_ne!(found, digest);
    machine.install(Some(&digest)).unwrap();
    assert_eq!(fs::read_to_string(&tool).unwrap(), "a tool");
    assert_eq!(machine.toolchains().verify("go", "1.0", &digest), Soundness::Sound);
    assert!(!machine.kept().iter().any(|name| name.starts_with(".installing-")));
    // A record that was cut short is no record.
    let record = tool.parent().unwrap().parent().unwrap().parent().unwrap().join("blake3");
    fs::write(&record, b"short").unwrap();
    assert!(machine.toolchains().installed("go", "1.0", &digest).is_none());
    machine.install(Some(&digest)).unwrap();
    assert!(machine.toolchains().installed("go", "1.0", &digest).is_some());
    machine.toolchains().discard("go", "1.0", &digest);
    assert_eq!(machine.toolchains().verify("go", "1.0", &digest), Soundness::Absent);
}

#[test]
fn every_pin_names_its_registry() {
    for pin in PINS {
        let name = pin.source.name();
        assert!(["pypi:", "npm:", "crates:", "rustup"].iter().any(|registry| name.starts_with(registry)), "{name}");
    }
}
