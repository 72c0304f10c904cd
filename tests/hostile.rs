//! What the world may do to a build: guests that never end, bytes that are no components, damaged stores, full disks,
//! things in the way, flags that make no sense. Nothing of it is a bug of ours, nothing is lost, and nothing hangs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::{Ended, RUN, Workspace, words};

/// A component whose functions never end, or want all memory or all of the stack.
const GREEDY: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "spin") (loop br 0))
    (func (export "grow")
      (loop
        (if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))
        br 0))
    (func $deep (export "deep") call $deep))
  (core instance $i (instantiate $m))
  (func (export "spin") (canon lift (core func $i "spin")))
  (func (export "grow") (canon lift (core func $i "grow")))
  (func (export "deep") (canon lift (core func $i "deep"))))
"#;

const HELLO: &str = include_str!("../fixtures/bad/bad-call/components/hello.wat");

/// A project with a well-behaved component, `hello`, and a greedy one.
fn project() -> Workspace {
    let workspace = Workspace::new();
    let manifest = "[project]\nname = \"shop\"\nversion = \"1.0.0\"\n\n\
        [[component]]\nname = \"hello\"\nsource = \"hello.wat\"\n\n\
        [[component]]\nname = \"greedy\"\nsource = \"greedy.wat\"\n\n\
        [[test]]\ncomponent = \"hello\"\nfunction = \"greet\"\nargs = [\"1\"]\nexpected = \"2\"\n";
    for (name, text) in [("run.toml", manifest), ("hello.wat", HELLO), ("greedy.wat", GREEDY)] {
        fs::write(workspace.directory().join(name), text).expect("the project can be written");
    }
    workspace
}

fn run(workspace: &Workspace, line: &str) -> Ended {
    let ended = workspace.run(&workspace.directory(), "run", &words(&format!("v2 {line}")));
    assert!(!ended.stderr.contains("bug in `run`"), "run v2 {line}\n{}", ended.stderr);
    ended
}

#[track_caller]
fn check(workspace: &Workspace, line: &str, status: i32, says: &str) {
    let ended = run(workspace, line);
    assert_eq!(ended.status, status, "run v2 {line}\n{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(says), "run v2 {line} does not say `{says}`\n{}", ended.stderr);
}

#[test]
fn a_greedy_guest_is_stopped_and_told_which_limit_it_hit() {
    let workspace = project();
    let spin = "exec greedy --function spin";
    check(&workspace, &format!("{spin} --fuel 1000000"), 1, "the fuel limit of 1000000 units was used up");
    check(&workspace, &format!("{spin} --timeout 300ms"), 1, "the time limit of [ELAPSED] ran out");
    check(&workspace, "exec greedy --function grow --memory 64MiB", 1, "--memory");
    check(&workspace, "exec greedy --function deep", 1, "the stack limit of");
}

#[test]
fn the_first_interrupt_ends_a_guest_that_never_would() {
    let workspace = project();
    check(&workspace, "exec greedy --function spin --fuel 1", 1, "fuel");
    let spin = words("v2 exec greedy --function spin");
    let mut command = workspace.program(&workspace.directory(), "run");
    command.args(&spin);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    // What it does before the guest starts takes milliseconds, and an interrupt there ends it as well.
    std::thread::sleep(Duration::from_millis(500));
    let sent = workspace.run(&workspace.directory(), "kill", &["-INT".to_owned(), child.id().to_string()]);
    assert_eq!(sent.status, 0, "{}", sent.stderr);
    let patience = Instant::now() + Duration::from_secs(20);
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break status,
            None if Instant::now() > patience => {
                child.kill().expect("a child can be killed");
                panic!("the guest spins on");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(status.code(), Some(8));
}

#[test]
fn bytes_that_are_no_component_are_refused() {
    let workspace = project();
    check(&workspace, "build", 0, "");
    let whole = fs::read(workspace.directory().join("target/wasm/hello.wasm")).expect("it was built");
    // Every other byte of it is enough to meet each kind of section.
    let cut = (0..whole.len()).step_by(2).map(|length| whole[..length].to_vec());
    let random = (1u32..20).map(|seed| noise(seed, 300));
    let after_magic = (1u32..20).map(|seed| [&whole[..8], &noise(seed, 200)].concat());
    for bytes in cut.chain(random).chain(after_magic) {
        fs::write(workspace.directory().join("x.wasm"), &bytes).expect("the file can be written");
        let ended = run(&workspace, "exec x.wasm --function greet --args 1");
        assert_eq!(ended.status, 2, "of {bytes:02x?}\n{}{}", ended.stdout, ended.stderr);
        // What ends with a section may be a component still, of nothing in particular.
        let ended = run(&workspace, "info x.wasm");
        assert!([0, 2].contains(&ended.status), "of {bytes:02x?}\n{}{}", ended.stdout, ended.stderr);
    }
    fs::write(workspace.directory().join("x.wasm"), b"\0asm\x01\0\0\0").expect("the file can be written");
    check(&workspace, "exec x.wasm --function greet", 2, "is a core module, not a component");
}

/// Bytes without a pattern, the same for the same seed.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let next = |state: &u32| {
        let state = state ^ state << 13;
        let state = state ^ state >> 17;
        Some(state ^ state << 5)
    };
    std::iter::successors(Some(seed), next).map(|state| state.to_le_bytes()[1]).take(length).collect()
}

#[test]
fn a_damaged_store_is_mended() {
    let workspace = project();
    let good = built(&workspace);
    check(&workspace, "test", 0, "");
    let kept = files(&workspace.store());
    let state = files(&workspace.directory().join(".run"));
    assert!(kept.len() > 10 && state.len() > 2, "{kept:?} {state:?}");
    type Damage = fn(Vec<u8>) -> Option<Vec<u8>>;
    let damages: [(&str, Damage); 3] = [("flipped", flipped), ("cut", cut_in_half), ("gone", |_| None)];
    for (what, damage) in damages {
        for file in kept.keys().chain(state.keys()) {
            restore(&kept);
            restore(&state);
            let damaged = fs::read(file).map(damage).expect("the file was just written");
            fs::remove_file(file).expect("a file can be removed");
            if let Some(bytes) = damaged {
                fs::write(file, bytes).expect("a file can be written");
            }
            fs::remove_dir_all(workspace.directory().join("target")).expect("outputs can be removed");
            assert_eq!(built(&workspace), good, "{} is {what}", file.display());
            let greeted = run(&workspace, "exec hello --function greet --args 1");
            let expected = "{\"exit_code\":0,\"return_value\":2}\n";
            assert_eq!(greeted.stdout, expected, "{} is {what}\n{}", file.display(), greeted.stderr);
        }
    }
}

/// The outputs of a build that must succeed.
#[track_caller]
fn built(workspace: &Workspace) -> BTreeMap<PathBuf, Vec<u8>> {
    check(workspace, "build", 0, "");
    files(&workspace.directory().join("target/wasm"))
}

/// Every file below a directory, with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("a file can be read");
            found.insert(path, bytes);
        }
    }
    found
}

fn restore(files: &BTreeMap<PathBuf, Vec<u8>>) {
    for (path, bytes) in files {
        if fs::read(path).ok().as_ref() != Some(bytes) {
            // A file of the store is read-only.
            let _ = fs::remove_file(path);
            fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
            fs::write(path, bytes).expect("a file can be written");
        }
    }
}

/// Another byte in the middle; the length stays, so only a digest can tell.
fn flipped(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x55;
    }
    Some(bytes)
}

fn cut_in_half(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    bytes.truncate(bytes.len() / 2);
    Some(bytes)
}

#[test]
fn what_stands_in_the_way_is_named() {
    let workspace = project();
    let directory = workspace.directory();
    fs::write(directory.join(".run"), "not a directory").expect("a file can be written");
    check(&workspace, "build", 0, "4 built");
    check(&workspace, "build", 0, "nothing to do");
    fs::remove_dir_all(directory.join("target")).expect("outputs can be removed");
    fs::write(directory.join("target"), "not a directory").expect("a file can be written");
    check(&workspace, "build", 36, "target/wasm");
    fs::remove_dir_all(workspace.store()).expect("the store can be removed");
    fs::write(workspace.store(), "not a directory").expect("a file can be written");
    for line in ["build", "test", "exec hello --function greet --args 1", "cache stats", "cache gc"] {
        check(&workspace, line, 36, "[PLACE]/store");
    }
}

#[test]
fn a_store_deleted_between_builds_costs_only_time() {
    let workspace = project();
    let good = built(&workspace);
    fs::remove_dir_all(workspace.store()).expect("the store can be removed");
    check(&workspace, "exec hello --function greet --args 1", 0, "");
    fs::remove_dir_all(workspace.store()).expect("the store can be removed");
    fs::remove_dir_all(workspace.directory().join("target")).expect("outputs can be removed");
    assert_eq!(built(&workspace), good);
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let workspace = project();
    let lines = [
        "build -j 0",
        "build -j 100000",
        "build ''",
        "build --component",
        "build --no-such-flag",
        "exec",
        "exec ''",
        "exec hello --function ''",
        "exec hello --function greet --args s32:1 --args s32:2",
        "exec hello --function greet --args s8:1",
        "exec hello --function greet --args 99999999999",
        "exec hello --function greet --args ((((((((",
        "exec hello --invoke ''",
        "exec hello --invoke '('",
        "exec hello --invoke 'greet(1) greet(2)'",
        "exec hello --function greet --invoke 'greet(1)'",
        "exec hello --fuel -1",
        "exec hello --memory 1",
        "exec hello --timeout 1",
        "exec hello --dir nowhere",
        "exec hello --env NOT_SET",
        "exec hello -- argument",
        "exec nothing.wasm",
        "info nothing.wasm",
        "why nothing",
        "graph nothing",
        "test --component nothing",
        "help no-such-code",
        "completions tcsh",
        "no-such-command",
    ];
    for line in lines {
        let ended = run(&workspace, line);
        assert_eq!(ended.status, 2, "run v2 {line}\n{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.lines().any(|line| line.starts_with("error")), "run v2 {line}\n{}", ended.stderr);
    }
}

/// The fixture has a Rust 1.95.0 of its own in `bin`, which lacks the library for WebAssembly.
fn with_stand_in_rust(toolchain: &str) -> Workspace {
    let workspace = Workspace::of(Path::new("fixtures/bad/missing-wasm-target"));
    let file = workspace.directory().join("run.toml");
    let manifest = fs::read_to_string(&file).expect("the fixture has a manifest");
    fs::write(&file, format!("{manifest}\n[toolchain.rust]\n{toolchain}\n")).expect("it can be written");
    workspace
}

#[test]
fn the_manifest_says_which_rust() {
    let mut workspace = with_stand_in_rust("path = \".\"");
    workspace.env.insert("PATH".to_owned(), "/nowhere".to_owned());
    check(&workspace, "build", 36, "error[missing-wasm-target]");
    let mut workspace = with_stand_in_rust("version = \"1.9\"");
    let bin = workspace.directory().join("bin").display().to_string();
    workspace.env.insert("PATH".to_owned(), bin);
    let other = "run.toml asks for Rust 1.9, and this machine's is another";
    fs::create_dir_all(workspace.directory().join("sysroot/lib/rustlib/wasm32-wasip2/lib")).expect("a directory");
    check(&workspace, "build", 36, other);
    let mut workspace = with_stand_in_rust("version = \"1.95\"");
    let bin = workspace.directory().join("bin").display().to_string();
    workspace.env.insert("PATH".to_owned(), bin);
    check(&workspace, "build", 36, "error[missing-wasm-target]");
}

/// Runs a build where `mount` was done before, in namespaces of its own; `None` where this machine lets nobody mount.
#[expect(clippy::print_stderr, reason = "what was not tested has to be seen")]
fn build_with(workspace: &Workspace, mount: &str) -> Option<Ended> {
    let script = format!("{mount} || exit 77; exec \"$0\" v2 build");
    let args = ["-rm", "sh", "-c", &script, RUN].map(str::to_owned);
    let ended = workspace.run(&workspace.directory(), "unshare", &args);
    if ended.status == 77 || ended.stderr.contains("unshare") {
        eprintln!("SKIPPED: this machine lets nobody mount: {}", ended.stderr);
        return None;
    }
    Some(ended)
}

#[test]
fn a_full_or_read_only_disk_is_this_machines_matter() {
    let full_store = "mount -t tmpfs -o size=8k full \"$RUN_CACHE_DIR\"";
    let full_project = "mkdir -p target && mount -t tmpfs -o size=4k,nr_inodes=2 full target";
    let read_only = "mount --bind \"$RUN_CACHE_DIR\" \"$RUN_CACHE_DIR\" && mount -o remount,bind,ro \"$RUN_CACHE_DIR\"";
    for mount in [full_store, full_project, read_only] {
        let workspace = project();
        let Some(ended) = build_with(&workspace, mount) else { return };
        assert_eq!(ended.status, 36, "{mount}\n{}", ended.stderr);
        assert!(!ended.stderr.contains("bug in `run`"), "{mount}\n{}", ended.stderr);
        check(&workspace, "build", 0, "");
    }
}

#[test]
fn cleaning_removes_what_was_made_and_nothing_else() {
    let workspace = project();
    let work = workspace.directory();
    fs::create_dir(work.join("src")).expect("a directory can be made");
    fs::write(work.join("src/precious"), "mine").expect("a file can be written");
    let manifest = fs::read_to_string(work.join("run.toml")).expect("the manifest is there");
    fs::write(work.join("run.toml"), format!("{manifest}\n[build]\noutput_dir = \"src\"\n"))
        .expect("it can be written");
    check(&workspace, "build", 0, "");
    assert!(work.join("src/hello.wasm").is_file());
    check(&workspace, "clean", 0, "");
    assert!(!work.join("src/hello.wasm").exists());
    assert_eq!(fs::read_to_string(work.join("src/precious")).ok().as_deref(), Some("mine"));
    fs::write(workspace.store().join("thesis"), "mine").expect("a file can be written");
    check(&workspace, "clean --cache", 0, "");
    let left: Vec<_> = fs::read_dir(workspace.store()).expect("it is there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["thesis"]);
    check(&workspace, "clean --cache", 2, "is no store of `run`");
}

#[test]
fn tools_that_were_tampered_with_are_replaced() {
    let workspace = Workspace::new();
    let work = workspace.directory();
    let manifest = "[project]\nname = \"tools\"\nversion = \"1.0.0\"\n\n[[command]]\nname = \"made\"\n\
        run = [\"sh\", \"-c\", \"echo a | sed s/a/b/ > made.txt\"]\noutputs = [\"made.txt\"]\n";
    fs::write(work.join("run.toml"), manifest).expect("the manifest can be written");
    check(&workspace, "build", 0, "");
    let tools = files(&workspace.store().join("toolchains"));
    let sed = tools.keys().find(|file| file.ends_with("bin/sed")).expect("the tools were copied");
    fs::remove_file(sed).expect("a file can be removed");
    fs::write(sed, "#!/bin/sh\necho tampered\n").expect("a file can be written");
    fs::write(work.join("run.toml"), format!("{manifest}\n")).expect("the manifest can be touched");
    check(&workspace, "build --force", 0, "");
    assert_eq!(fs::read_to_string(work.join("made.txt")).expect("it was made"), "b\n");
}

#[test]
fn a_program_of_the_project_is_found_however_it_is_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = Workspace::new();
    let work = workspace.directory();
    let manifest = |program: &str| {
        format!(
            "[project]\nname = \"own\"\nversion = \"1.0.0\"\n\n[[command]]\nname = \"made\"\n\
             run = [{program:?}]\ninputs = [\"x.sh\"]\noutputs = [\"made.txt\"]\n"
        )
    };
    fs::write(work.join("x.sh"), "#!/bin/sh\necho made > made.txt\n").expect("a script can be written");
    fs::set_permissions(work.join("x.sh"), fs::Permissions::from_mode(0o755)).expect("it can be made a program");
    for (program, status) in [("./x.sh", 0), ("/bin/true", 2), ("../x.sh", 2), ("a\0b", 2)] {
        fs::write(work.join("run.toml"), manifest(program).replace("\\0", "\\u0000")).expect("it can be written");
        check(&workspace, "build", status, "");
    }
}

#[test]
fn outputs_do_not_leave_the_project_through_a_link() {
    let workspace = Workspace::new();
    let work = workspace.directory();
    let outside = work.parent().expect("it lies in a directory of ours").join("outside");
    fs::create_dir(&outside).expect("a directory can be made");
    std::os::unix::fs::symlink(&outside, work.join("gen")).expect("a link can be made");
    let manifest = "[project]\nname = \"out\"\nversion = \"1.0.0\"\n\n[[command]]\nname = \"made\"\n\
        run = [\"sh\", \"-c\", \"echo a > gen/x\"]\noutputs = [\"gen/x\"]\n";
    fs::write(work.join("run.toml"), manifest).expect("the manifest can be written");
    check(&workspace, "build", 36, "leads out of the project");
    assert_eq!(fs::read_dir(&outside).expect("it is there").count(), 0);
}

#[test]
fn a_field_that_a_record_does_not_have_is_not_passed_over() {
    let workspace = Workspace::of(Path::new("fixtures/calculator"));
    let call = "exec calc --invoke 'norm({x: 3, y: 4, z: 5})'";
    check(&workspace, call, 2, "no record there has a field `z`");
}

#[test]
fn a_script_that_does_not_fit_is_told_before_anything_is_built() {
    let workspace = project();
    let work = workspace.directory();
    let manifest = fs::read_to_string(work.join("run.toml")).expect("the manifest is there");
    let compose = format!("{manifest}\n[[compose]]\nname = \"whole\"\nwac = \"whole.wac\"\n");
    fs::write(work.join("run.toml"), compose).expect("it can be written");
    let script =
        "package shop:whole;\nlet a = new shop:hello {};\nlet b = new shop:hello { greet: a.greet };\nexport b...;\n";
    fs::write(work.join("whole.wac"), script).expect("a script can be written");
    let ended = run(&workspace, "build");
    assert_eq!(ended.status, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("has no import named `greet`"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("built:"), "{}", ended.stderr);
    let right = "package shop:whole;\nlet a = new shop:hello {};\nexport a...;\n";
    fs::write(work.join("whole.wac"), right).expect("a script can be written");
    check(&workspace, "build whole", 0, "");
}
