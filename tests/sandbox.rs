//! The Linux sandbox with real processes: what an action finds, what it can't do, and what is left of it.
//!
//! The tools of these tests are the machine's own, mounted as a toolchain: `busybox`-like sets would hide what a real
//! shell needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use run_engine::action::{MountedTree, Network, Word};
use run_engine::cancel::Cancel;
use run_engine::digest::DigestFunction;
use run_engine::event::Status;
use run_engine::path::RelPath;
use run_engine::sandbox::linux::{Isolated, Options, Refused};
use run_engine::sandbox::{Clients, Execution, Job, OutputError, Sandbox, World};
use run_engine::store::memory::MemoryStore;
use run_engine::store::{Blobs as _, OutputNode};
use run_engine::tree::{Node, Tree};

use super::support::{Ended, RUN, Workspace, running};

/// A sandbox, and what a script is run with in it.
pub(crate) struct Room {
    sandbox: Box<dyn Sandbox>,
    blobs: MemoryStore,
    tools: Arc<MountedTree>,
    scratch: tempfile::TempDir,
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a path")
}

impl Room {
    fn new() -> Self {
        Self::in_world(World::USUAL)
    }

    fn in_world(world: World) -> Self {
        Self::with(world, |options| Isolated::new(options).map(|sandbox| Box::new(sandbox) as Box<dyn Sandbox>))
    }

    /// One with a sandbox of another kind.
    pub(crate) fn with(world: World, make: impl FnOnce(Options) -> Result<Box<dyn Sandbox>, Refused>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let options = Options {
            program: PathBuf::from(RUN),
            scratch: scratch.path().to_owned(),
            clients: Clients::default(),
            n_cores: 2,
            world,
        };
        let sandbox = make(options).unwrap_or_else(|refused| panic!("{refused:?}"));
        Self { sandbox, blobs: MemoryStore::new(DigestFunction::Blake3), tools: tools(), scratch }
    }

    /// Where its private directories are.
    pub(crate) fn scratch(&self) -> &std::path::Path {
        self.scratch.path()
    }

    /// Runs a script with one input, `in/a`, and the outputs it is to leave.
    pub(crate) fn run(&self, script: &str, outputs: &[&str]) -> Execution {
        self.run_for(script, outputs, None, &Cancel::new())
    }

    pub(crate) fn run_for(
        &self,
        script: &str,
        outputs: &[&str],
        timeout: Option<Duration>,
        cancel: &Cancel,
    ) -> Execution {
        let mut staged = Tree::new();
        let digest = self.blobs.put(b"input").unwrap();
        staged.insert(&path("in/a"), Node::File { digest, executable: false }).unwrap();
        self.run_on(&staged, script, outputs, timeout, cancel)
    }

    fn run_on(
        &self,
        staged: &Tree,
        script: &str,
        outputs: &[&str],
        timeout: Option<Duration>,
        cancel: &Cancel,
    ) -> Execution {
        let argv: Vec<Word> = ["toolchain/tools/bin/bash", "-c", script].map(Word::from).into();
        let outputs: Vec<RelPath> = outputs.iter().map(|o| path(o)).collect();
        let bin = Word::path(path("toolchain/tools/bin"));
        let lib = Word::path(path("toolchain/tools/lib"));
        let job = Job {
            argv: &argv,
            env: &BTreeMap::from([("PATH".to_owned(), bin), ("LD_LIBRARY_PATH".to_owned(), lib)]),
            directory: None,
            staged,
            mounts: &[(path("toolchain/tools"), Arc::clone(&self.tools))],
            outputs: &outputs,
            network: Network::Denied,
            timeout,
            blobs: &self.blobs,
        };
        self.sandbox.run(&job, cancel).unwrap_or_else(|e| panic!("{e}"))
    }

    /// What a script prints, which must succeed.
    #[track_caller]
    pub(crate) fn says(&self, script: &str) -> String {
        let done = self.run(script, &[]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(done.status, Status::Exited(0), "{said}{}", String::from_utf8_lossy(&done.stderr));
        said
    }
}

/// The machine's tools with their libraries, in a directory of their own.
fn tools() -> Arc<MountedTree> {
    use std::sync::OnceLock;
    static TOOLS: OnceLock<(Arc<MountedTree>, tempfile::TempDir)> = OnceLock::new();
    let (tools, _) = TOOLS.get_or_init(|| {
        let search = [PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
        let found = run_rules::toolchain::base::find(&search, &["python3"]).expect("Debian's tools");
        let store = tempfile::tempdir().unwrap();
        let mut toolchains =
            run_rules::toolchain::Toolchains::open(store.path(), DigestFunction::Blake3, std::time::SystemTime::now());
        let files = run_rules::toolchain::base::files(&found).expect("they can be read");
        (toolchains.copied("tools", &files).expect("they can be copied"), store)
    });
    Arc::clone(tools)
}

#[test]
fn an_action_finds_its_inputs_and_a_small_fixed_world() {
    let room = Room::new();
    assert_eq!(
        room.says("cat in/a; echo; pwd; ls; ls -A /"),
        "input\n/build\nin\ntoolchain\nbin\nbuild\ndev\netc\nhome\nlib\nlib64\nproc\ntmp\nusr\n"
    );
    assert_eq!(
        room.says("env | sort"),
        "HOME=/home/run\nLD_LIBRARY_PATH=/build/toolchain/tools/lib\nPATH=/build/toolchain/tools/bin\nPWD=/build\nSHLVL=1\nTMPDIR=/tmp\n_=/build/toolchain/tools/bin/env\n"
    );
    assert_eq!(
        room.says("echo $UID $EUID; uname -n; umask; ls /dev /etc; echo /proc/[a-z]*"),
        "1000 1000\nrun\n0022\n/dev:\nfd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n\n/etc:\ngroup\nhosts\npasswd\n/proc/self /proc/thread-self\n"
    );
    assert_eq!(
        room.says("stat -c '%n %U %a %Y' . in in/a toolchain"),
        ". run 755 946684800\nin run 755 946684800\nin/a run 444 946684800\ntoolchain root 755 946684800\n"
    );
    assert_eq!(
        room.says("stat -c '%n %a %Y' / /etc/passwd /tmp"),
        "/ 755 946684800\n/etc/passwd 644 946684800\n/tmp 755 946684800\n"
    );
}

#[test]
fn an_unusual_world_is_unusual_in_everything() {
    let room = Room::in_world(World::UNUSUAL);
    assert_eq!(
        room.says("pwd; echo $HOME $TMPDIR $LC_ALL $USER"),
        "/srv/another/place/to-build\n/var/lib/somebody /var/scratch C somebody\n"
    );
    assert_eq!(room.says("echo $UID; uname -n; stat -c %Y in/a in"), "4711\nelsewhere\n1293593145\n1293593145\n");
    let cores =
        room.says("while read key value; do [ $key != Cpus_allowed_list: ] || echo $value; done < /proc/self/status");
    assert!(cores.trim().parse::<usize>().is_ok(), "one processor, not {cores}");
    assert_eq!(room.says("echo $$"), "42\n", "others were there before");
    assert_eq!(Room::new().says("echo $$"), "2\n");
    let done = room.run("echo x > out", &["out"]);
    assert!(done.outputs.is_ok(), "{done:?}");
    let done = room.run("chmod u+w in/a; echo x >> in/a; echo x > out", &["out"]);
    assert_eq!(done.outputs, Err(OutputError::ChangedInput(path("in/a"))));
}

/// A file system in memory shows in which order files were made, so that order is always the same, and the other one in
/// the other world.
#[test]
fn directories_are_listed_in_one_order_or_the_other() {
    let listed = |world| {
        let room = Room::in_world(world);
        let mut staged = Tree::new();
        let names = ["a", "b", "c/x", "c/y", "d", "e", "f", "g/z"];
        for name in names {
            let digest = room.blobs.put(name.as_bytes()).unwrap();
            staged.insert(&path(&format!("in/{name}")), Node::File { digest, executable: false }).unwrap();
        }
        let done = room.run_on(&staged, "ls -U in in/c | tr '\\n' ' '", &[], None, &Cancel::new());
        String::from_utf8(done.stdout).unwrap()
    };
    let usual = listed(World::USUAL);
    for _ in 0..3 {
        assert_eq!(listed(World::USUAL), usual);
    }
    let names = |text: &str| -> Vec<String> {
        let all: Vec<String> =
            text.trim_start_matches("in: ").trim_start_matches("in:").split_whitespace().map(str::to_owned).collect();
        all.into_iter().take_while(|name| name != "in/c:").collect()
    };
    let mut reversed = names(&listed(World::UNUSUAL));
    reversed.reverse();
    assert_eq!(names(&usual), reversed);
}

#[test]
fn outputs_are_taken_and_nothing_else() {
    let room = Room::new();
    let done = room.run("mkdir -p out/d; echo b > out/b; echo c > out/d/c; ln -s c out/d/l; echo x > elsewhere; cat out/b; echo why >&2", &["out/b", "out/d"]);
    assert_eq!(
        (done.status, done.stdout.as_slice(), done.stderr.as_slice()),
        (Status::Exited(0), &b"b\n"[..], &b"why\n"[..])
    );
    let outputs = done.outputs.unwrap();
    let OutputNode::File { digest, executable: false } = outputs[0].node else { panic!("{outputs:?}") };
    assert_eq!(room.blobs.get(digest).unwrap().as_deref(), Some(&b"b\n"[..]));
    assert!(matches!(outputs[1].node, OutputNode::Directory { .. }));
    let done = room.run("true", &["out"]);
    assert_eq!(done.outputs, Err(OutputError::Missing(path("out"))));
    assert_eq!(room.run("exit 3", &["out"]).status, Status::Exited(3));
    assert_eq!(room.run("kill -9 $$", &[]).status, Status::Signalled(9));
}

#[test]
fn inputs_can_not_be_changed_unseen() {
    let room = Room::new();
    let refused = room.run("echo changed > in/a", &[]);
    assert_eq!(refused.status, Status::Exited(1));
    for script in ["chmod +w in/a; echo changed > in/a", "rm in/a", "mv in/a in/b; echo input > in/a", "rm -r in"] {
        let done = room.run(script, &[]);
        assert_eq!(
            (done.status, done.outputs),
            (Status::Exited(0), Err(OutputError::ChangedInput(path(if script == "rm -r in" { "in" } else { "in/a" })))),
            "{script}"
        );
    }
    assert_eq!(room.run("echo x >> toolchain/tools/bin/sh", &[]).status, Status::Exited(1));
}

#[test]
fn time_limits_and_cancellation_leave_nothing_running() {
    let room = Room::new();
    let begun = Instant::now();
    let done = room.run_for("trap '' TERM; sleep 60 & sleep 61", &[], Some(Duration::from_millis(300)), &Cancel::new());
    assert_eq!(done.status, Status::TimedOut);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            cancel.cancel();
        });
        let done = room.run_for("setsid sleep 62 & sleep 63", &[], None, &cancel);
        assert_eq!(done.status, Status::Cancelled);
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    let done = room.run("setsid sleep 64 > /dev/null 2>&1 & echo started", &[]);
    assert_eq!(done.stdout, b"started\n");
    let still: Vec<String> = running().into_iter().filter(|line| line.starts_with("sleep 6")).collect();
    assert!(still.is_empty(), "outlived their action: {still:?}");
}

/// Runs `run v2 LINE` in a namespace whose root allows no further ones.
pub(crate) fn without_namespaces(workspace: &Workspace, line: &str) -> Ended {
    let refusing = format!("echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" v2 {line}");
    let inside = ["-Ur", "sh", "-c", &refusing, RUN].map(str::to_owned);
    workspace.run(&workspace.directory(), "unshare", &inside)
}

#[test]
fn a_machine_that_refuses_is_told_of_and_made_up_for() {
    const PROJECT: &str = "fixtures/steps";
    let workspace = Workspace::of(std::path::Path::new(PROJECT));
    let ended = without_namespaces(&workspace, "build -v");
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    for told in [
        "sandbox: partial\n",
        "warning: the sandbox: ",
        "stay on this machine",
        "help: allow it: `sudo sysctl -w user.max_user_namespaces=",
    ] {
        assert!(ended.stderr.contains(told), "no `{told}` in\n{}", ended.stderr);
    }
    // Where nothing is refused, that result is a miss: here for another project of the same store.
    let other = Workspace::of(std::path::Path::new(PROJECT)).sharing(&workspace);
    let ended = other.v2("build -v");
    for told in ["its only result was made in a weaker sandbox than there is now", "sandbox: full\n", "3 built, "] {
        assert!(ended.stderr.contains(told), "no `{told}` in\n{}", ended.stderr);
    }
}
