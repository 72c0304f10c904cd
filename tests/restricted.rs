//! The sandbox without namespaces, with real processes: what it keeps from an action, on this kernel and on older ones, and
//! that nothing is left of it. What cheats see in it is in `tests/cheats.rs`.

use std::path::Path;
use std::time::{Duration, Instant};

use run_engine::cancel::Cancel;
use run_engine::event::Status;
use run_engine::sandbox::linux::Options;
use run_engine::sandbox::linux::restricted::Restricted;
use run_engine::sandbox::{Clients, OutputError, Sandbox, World};

use super::sandbox::{Room, path, without_namespaces};
use super::support::{RUN, Workspace, running};

/// Landlock as this kernel has it, without signals kept inside, without ports, and the oldest that will do.
const ABIS: &[u32] = &[u32::MAX, 5, 3, 2];

fn room(abi_max: u32) -> Room {
    Room::with(World::USUAL, |options| {
        Restricted::with_landlock_at_most(abi_max, options).map(|sandbox| Box::new(sandbox) as Box<dyn Sandbox>)
    })
}

#[test]
fn an_action_finds_its_inputs_and_leaves_its_outputs() {
    for abi in ABIS {
        let room = room(*abi);
        assert_eq!(
            room.says("cat in/a; echo; ls; umask; stat -c '%n %a %Y' in/a"),
            "input\nin\ntoolchain\n0022\nin/a 444 946684800\n"
        );
        assert_eq!(
            room.says("env | sed 's/=.*//' | sort | tr '\\n' ' '"),
            "HOME LD_LIBRARY_PATH PATH PWD SHLVL TMPDIR _ "
        );
        let done =
            room.run("echo b > out; echo t > $TMPDIR/t; mkdir d; ln out d/out || exit; cat < /dev/null", &["out"]);
        assert_eq!((done.status, done.outputs.map(|outputs| outputs.len())), (Status::Exited(0), Ok(1)), "ABI {abi}");
        let done = room.run("chmod u+w in/a; echo changed > in/a", &[]);
        assert_eq!(done.outputs, Err(OutputError::ChangedInput(path("in/a"))), "ABI {abi}");
        assert_eq!(room.run("true", &["out"]).outputs, Err(OutputError::Missing(path("out"))));
        assert_eq!(room.run("exit 3", &[]).status, Status::Exited(3));
        assert_eq!(room.run("kill -9 $$", &[]).status, Status::Signalled(9));
        assert_eq!(room.run("./nothing", &[]).status, Status::Exited(127));
    }
}

#[test]
fn what_is_not_declared_can_not_be_opened_dialled_or_shared() {
    let beside = tempfile::tempdir().unwrap();
    let secret = beside.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let secret = secret.display();
    let refused = [
        format!("cat {secret}"),
        format!("echo x >> {secret}"),
        format!("ln -s {secret} here; cat here"),
        format!("ls {}", beside.path().display()),
        format!("echo x > {}/new", beside.path().display()),
        format!("mv {secret} stolen"),
        format!("ln {secret} stolen"),
        "cat /etc/hostname".to_owned(),
        "cat /proc/self/environ".to_owned(),
        "echo /proc/[0-9]* | grep self".to_owned(),
        "echo x > /dev/shm/run-restricted".to_owned(),
        "echo x > /tmp/run-restricted".to_owned(),
        "/usr/bin/perl -e 1".to_owned(),
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}"),
        format!("exec 3<>/dev/udp/127.0.0.1/{port}"),
        "echo x >> toolchain/tools/bin/sh".to_owned(),
    ];
    for abi in ABIS {
        let room = room(*abi);
        for script in &refused {
            let done = room.run(script, &[]);
            assert!(matches!(done.status, Status::Exited(1..)), "ABI {abi}: {script}: {done:?}");
            assert!(!done.stdout.starts_with(b"secret"), "ABI {abi}: {script}");
        }
    }
    assert_eq!(std::fs::read_to_string(beside.path().join("secret")).unwrap(), "secret");
    assert!(!Path::new("/tmp/run-restricted").exists() && !Path::new("/dev/shm/run-restricted").exists());
}

#[test]
fn nothing_is_left_running_on_any_kernel() {
    for abi in ABIS {
        let room = room(*abi);
        let begun = Instant::now();
        let limit = Some(Duration::from_millis(300));
        let done = room.run_for("trap '' TERM; sleep 71 & setsid sleep 72 & sleep 73", &[], limit, &Cancel::new());
        assert_eq!(done.status, Status::TimedOut, "ABI {abi}");
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(room.run_for("setsid sleep 74 & sleep 75", &[], None, &cancel).status, Status::Cancelled);
        let daemon = "(trap '' HUP TERM; setsid setsid sleep 76 < /dev/null > /dev/null 2>&1 &); echo started";
        assert_eq!(room.run(daemon, &[]).stdout, b"started\n");
        // Each of these starts the next one and ends.
        let chain = "next() { (next chain-of-processes &) ; }; next > /dev/null 2>&1; echo started";
        assert_eq!(room.run(chain, &[]).stdout, b"started\n");
        assert!(begun.elapsed() < Duration::from_secs(30), "ABI {abi}");
        let is_left = |line: &String| line.starts_with("sleep 7") || line.contains("chain-of-processes");
        let left: Vec<String> = running().into_iter().filter(is_left).collect();
        assert!(left.is_empty(), "ABI {abi}: outlived their action: {left:?}");
        let held: Vec<_> = walk(room.scratch()).into_iter().filter(|name| name.starts_with("action-")).collect();
        assert!(held.is_empty(), "ABI {abi}: {held:?}");
    }
}

/// The names of all directories below one.
fn walk(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below
        .flat_map(|entry| [vec![entry.file_name().to_string_lossy().into_owned()], walk(&entry.path())].concat())
        .collect()
}

#[test]
fn a_killed_build_takes_its_actions_along() {
    const MANIFEST: &str = r#"
[project]
name = "sleepers"
version = "1.0.0"

[[command]]
name = "sleep"
run = ["bash", "-c", "(setsid sleep 7701 < /dev/null > /dev/null 2>&1 &); sleep 7702"]
tools = ["setsid", "sleep"]
outputs = []
"#;
    let workspace = Workspace::new();
    std::fs::write(workspace.directory().join("run.toml"), MANIFEST).unwrap();
    let refusing = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" v2 build";
    let mut command = workspace.program(&workspace.directory(), "unshare");
    let mut build = command.args(["-Ur", "sh", "-c", refusing, RUN]).spawn().unwrap();
    let sleepers = || running().into_iter().filter(|line| line.starts_with("sleep 770")).count();
    let becomes = |n: usize| {
        let begun = Instant::now();
        while sleepers() != n && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(20));
        }
        sleepers() == n
    };
    let started = becomes(2);
    build.kill().unwrap();
    build.wait().unwrap();
    assert!(started, "the action was not started");
    assert!(becomes(0), "the action has outlived its build");
}

#[test]
fn a_signal_reaches_nobody_outside() {
    let mut outside = std::process::Command::new("sleep").arg("79").spawn().unwrap();
    let room = room(u32::MAX);
    let done = room.run(&format!("kill -9 {} && echo killed; kill -9 $PPID && echo killed; exit 0", outside.id()), &[]);
    let (status, stdout) = (done.status, String::from_utf8_lossy(&done.stdout).into_owned());
    let is_alive = outside.try_wait().unwrap().is_none();
    outside.kill().unwrap();
    outside.wait().unwrap();
    assert_eq!((status, stdout.as_str(), is_alive), (Status::Exited(0), "", true));
}

#[test]
fn a_landlock_that_is_too_old_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let options = Options {
        program: RUN.into(),
        scratch: scratch.path().to_owned(),
        clients: Clients::default(),
        n_cores: 2,
        world: World::USUAL,
    };
    for abi in [0, 1] {
        let refused = Restricted::with_landlock_at_most(abi, options.clone()).expect_err("it can't do enough");
        assert_eq!((refused.what.as_str(), refused.path.as_str()), ("restrict", "files with Landlock"));
    }
}

#[test]
fn a_real_project_is_built_and_its_results_stay() {
    let workspace = Workspace::of(Path::new("fixtures/calculator"));
    let ended = without_namespaces(&workspace, "build -v");
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("sandbox: partial\n"), "{}", ended.stderr);
    let told = without_namespaces(&workspace, "doctor").stdout;
    let line = told.lines().find(|line| line.contains(" sandbox: ")).unwrap_or_default();
    for word in ["lack  sandbox: partial only, because ", "names of files", "Landlock holds (ABI ", "seccomp holds"] {
        assert!(line.contains(word), "no `{word}` in {line}");
    }
    assert!(told.contains("help: allow it: `sudo sysctl -w user.max_user_namespaces=15000`"), "{told}");
}

/// As in a container: a part of `/proc` is hidden, so the kernel gives no view of it that would show the part again.
#[test]
fn where_proc_is_masked_the_next_rung_is_taken_and_the_option_named() {
    let workspace = Workspace::of(Path::new("fixtures/steps"));
    let masked =
        "mount --bind /dev/null /proc/version && exec unshare -U --map-user=1000 --map-group=1000 \"$0\" v2 build -v";
    let inside = ["-Urm", "sh", "-c", masked, RUN].map(str::to_owned);
    let ended = workspace.run(&workspace.directory(), "unshare", &inside);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    for told in ["sandbox: partial\n", "refuses to mount /proc", "--security-opt systempaths=unconfined"] {
        assert!(ended.stderr.contains(told), "no `{told}` in\n{}", ended.stderr);
    }
}
