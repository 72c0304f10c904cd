//! What the full sandbox costs an action, over the bare one, in turn with it; and `bwrap` and Bazel's
//! `linux-sandbox`, where they are installed.
//!
//! Budget, processor time: 2 ms an action over bare. Six namespaces, two mounts of memory and processes, copies of some
//! twenty bind mounts and a fork of a small process are 0.9 to 1.2 ms on such a machine. A toolchain of 2 000 files may cost no more than one of
//! a few: it is one mount. So is a large input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use run_engine::action::{MountedTree, Network, Word};
use run_engine::cancel::Cancel;
use run_engine::digest::DigestFunction;
use run_engine::event::Status;
use run_engine::path::RelPath;
use run_engine::sandbox::bare::Bare;
use run_engine::sandbox::linux::{Isolated, Options};
use run_engine::sandbox::{Clients, Job, Sandbox, World};
use run_engine::store::Blobs as _;
use run_engine::store::disk::DiskStore;
use run_engine::tree::{Node, Tree};
use run_rules::toolchain::{HostFile, Toolchains, base};

use crate::harness::{Amount, Bench, Plan, measure_in_turn};
use crate::workspace::temporary;

/// How many files the large toolchain has besides the tools.
const N_FILES: usize = 2_000;

/// How large the large input is.
const LARGE_BYTES: usize = 32 << 20;

/// From which size on an input is mounted.
const MOUNTED_BYTES: usize = 128 << 10;

pub(crate) fn bench(plan: &Plan, bench: &mut Bench) {
    let n = plan.size(100);
    let root = temporary();
    let (small, large) = (tools(root.path(), 0), tools(root.path(), N_FILES));
    let scratch = root.path().join("scratch");
    let with_another = |bytes| Inputs::new(root.path(), bytes);
    let (two_small, one_large) = (with_another(0), with_another(LARGE_BYTES));
    let (mounted, copied) = (with_another(MOUNTED_BYTES), with_another(MOUNTED_BYTES - 1));
    let isolated = |tools: &Arc<MountedTree>, inputs: &Inputs| {
        let options = Options {
            program: PathBuf::from(env!("CARGO_BIN_EXE_run")),
            scratch: scratch.clone(),
            clients: Clients::default(),
            n_cores: 2,
            world: World::USUAL,
        };
        // Made anew each time: its processes are counted when it has waited for them.
        let sandbox = Isolated::new(options).unwrap_or_else(|refused| panic!("{refused:?}"));
        run(&sandbox, tools, inputs, n);
    };
    let program = small.directory.join("bin/true");
    let works = |mut command: Command| command.status().is_ok_and(|status| status.success());
    let has_bwrap = works(bwrap(&program));
    let has_bazel = works(bazel(&program));
    let mut usages = measure_in_turn(
        plan,
        &mut [
            &mut || run(&Bare::new(&scratch, Clients::default()), &small, &two_small, n),
            &mut || isolated(&small, &two_small),
            &mut || isolated(&large, &two_small),
            &mut || isolated(&small, &one_large),
            &mut || isolated(&small, &mounted),
            &mut || isolated(&small, &copied),
            &mut || {
                for _ in 0..if has_bwrap { n } else { 0 } {
                    assert!(bwrap(&program).status().expect("it ran before").success());
                }
            },
            &mut || {
                for _ in 0..if has_bazel { n } else { 0 } {
                    assert!(bazel(&program).status().expect("it ran before").success());
                }
            },
            &mut || {
                for _ in 0..n {
                    assert!(Command::new(&program).status().expect("it can be run").success());
                }
            },
        ],
    )
    .into_iter();
    let mut each = || Amount::Time(usages.next().expect("one for each").cpu / u32::try_from(n).expect("few"));
    let (bare, full, with_large) = (each(), each(), each());
    let (with_large_input, with_mounted, with_copied) = (each(), each(), each());
    let (by_bwrap, by_bazel, process) = (each(), each(), each());
    bench.show("a process, cpu", process, None);
    bench.show("an action in the bare sandbox, cpu", bare, Some(process));
    bench.show("an action in the full sandbox, cpu", full, Some(bare));
    bench.judge("  over bare", full.less(bare), Amount::millis(2), None);
    bench.judge_ratio("  with a toolchain of 2 000 files", with_large, full, 1.15);
    bench.judge_ratio("  with an input of 32 MiB", with_large_input, full, 1.15);
    bench.show("  with the smallest input that is mounted", with_mounted, Some(full));
    bench.show("  with the largest that is copied", with_copied, Some(full));
    if has_bwrap {
        bench.show("the same by bwrap: fewer mounts, no Landlock, no seccomp", by_bwrap, Some(full));
    } else {
        bench.note("bwrap is not installed, or not allowed: not compared (Debian: `apt-get install bubblewrap`)");
    }
    if has_bazel {
        bench.show("the same by linux-sandbox: the machine's files, all of them", by_bazel, Some(full));
    } else {
        bench.note("linux-sandbox is not installed, or not allowed: not compared (Debian: `bazel-bootstrap`)");
    }
}

/// The machine's `true` with its libraries, and files that nobody reads.
fn tools(root: &Path, n_files: usize) -> Arc<MountedTree> {
    let search = [PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
    let mut found = base::find(&search, &[]).expect("a POSIX machine");
    found.retain(|name, _| name == "true");
    let mut files = base::files(&found).expect("they can be read");
    let other = root.join("file");
    std::fs::write(&other, "x").expect("a file");
    files.extend((0..n_files).map(|i| {
        let at = RelPath::new(&format!("share/{}/{i}", i / 50)).expect("a plain path");
        HostFile { at, from: other.clone() }
    }));
    let mut toolchains = Toolchains::open(&root.join("store"), DigestFunction::Blake3, SystemTime::now());
    toolchains.copied("tools", &files).expect("they can be copied")
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("a plain path")
}

/// An input root, and the store that has it.
struct Inputs {
    store: DiskStore,
    staged: Tree,
}

impl Inputs {
    /// Two small files, and a large one if that is to have any bytes.
    fn new(root: &Path, large_bytes: usize) -> Self {
        let store = DiskStore::open(&root.join("blobs"), DigestFunction::Blake3).expect("there is a disk");
        let mut staged = Tree::new();
        let large = (large_bytes > 0).then(|| ("work/c", vec![b'x'; large_bytes]));
        for (name, bytes) in [("work/a", vec![b'a']), ("work/b", vec![b'b'])].into_iter().chain(large) {
            let digest = store.put(&bytes).expect("there is room");
            staged.insert(&path(name), Node::File { digest, executable: false }).expect("another path each");
        }
        Self { store, staged }
    }
}

/// Runs `true` with these inputs, again and again.
fn run(sandbox: &dyn Sandbox, tools: &Arc<MountedTree>, inputs: &Inputs, n: usize) {
    let argv = [Word::path(path("toolchain/tools/bin/true"))];
    let job = Job {
        argv: &argv,
        env: &BTreeMap::new(),
        directory: None,
        staged: &inputs.staged,
        mounts: &[(path("toolchain/tools"), Arc::clone(tools))],
        outputs: &[],
        network: Network::Denied,
        timeout: None,
        blobs: &inputs.store,
    };
    for _ in 0..n {
        let done = sandbox.run(&job, &Cancel::new()).expect("a sandbox");
        assert_eq!(done.status, Status::Exited(0));
    }
}

fn bwrap(program: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    for shown in ["/lib", "/lib64", "/usr"] {
        command.args(["--ro-bind-try", shown, shown]);
    }
    command.arg("--ro-bind").arg(program).arg("/program").arg("/program");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// As Bazel runs an action that may not use the network, by its default.
fn bazel(program: &Path) -> Command {
    /// Where Debian puts what Bazel brings for itself alone.
    const DEBIAN: &str = "/usr/share/bazel/linux-sandbox";
    let mut command = Command::new(if Path::new(DEBIAN).exists() { DEBIAN } else { "linux-sandbox" });
    command.args(["-N", "-t", "15", "-w", "/tmp", "--"]).arg(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
