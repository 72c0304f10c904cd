//! `Bare`: a private directory, a fixed environment and a process group of its own. The rest of the machine can still
//! be seen, so results say so ([`Strength::Bare`]) and stay on this machine.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::place::Place;
use super::running::{Running, Streams, watch};
use super::scratch::Scratch;
use super::{Clients, Execution, Job, Sandbox, SandboxError, World, collect};
use crate::cancel::Cancel;
use crate::event::Status;
use crate::files::materialize::{self, Manner, MaterializeError};
use crate::store::Strength;

/// The sandbox that works everywhere and hides little.
#[derive(Debug)]
pub struct Bare {
    parent: PathBuf,
    /// Made when the first process is run: most builds run none.
    scratch: Mutex<Option<Arc<Scratch>>>,
    clients: Clients,
    world: World,
}

impl Bare {
    /// A sandbox whose private directories lie in `scratch`. Inputs are staged most cheaply on the store's file system;
    /// but programs that look for configuration in the directories above them will look above this one.
    #[must_use]
    pub fn new(scratch: &Path, clients: Clients) -> Self {
        Self { parent: scratch.to_owned(), scratch: Mutex::new(None), clients, world: World::USUAL }
    }

    /// The same with another world, of which it has only what needs no kernel: where things are, what variables say, and
    /// how files look. User, machine, processors and processes are always those that there are.
    #[must_use]
    pub fn in_world(self, world: World) -> Self {
        Self { world, ..self }
    }

    fn scratch(&self) -> Result<Arc<Scratch>, SandboxError> {
        let mut made = self.scratch.lock().expect("nothing panics while it is held");
        match &*made {
            Some(scratch) => Ok(Arc::clone(scratch)),
            None => Ok(Arc::clone(made.insert(Arc::new(Scratch::new(&self.parent)?)))),
        }
    }
}

impl Sandbox for Bare {
    fn strength(&self) -> Strength {
        Strength::Bare
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let place = Place::make(job, self.scratch()?.private()?, &self.world)?;
        stage(job, &place, self.world.manner())?;
        let child = spawn(&place, &place.argv(job), &place.env(job, &self.world, &self.clients))?;
        let (status, stdout, stderr) = finish(child, job.timeout, cancel);
        let outputs = if status.is_success() { collect(job, &place.start)? } else { Ok(Vec::new()) };
        Ok(Execution { status, stdout, stderr, outputs })
    }
}

/// Puts the input root on disk: copies of the staged part, links to the mounted part.
pub(super) fn stage(job: &Job<'_>, place: &Place, manner: Manner) -> Result<(), SandboxError> {
    match materialize::materialize_as(job.staged, &place.root, manner, &materialize::copies(job.blobs)) {
        Ok(()) => {}
        Err(MaterializeError::Store(e)) => return Err(e.into()),
        Err(MaterializeError::Lost { digest, .. }) => return Err(SandboxError::Lost(digest)),
    }
    place.link(job)?;
    place.make_starts(job)
}

/// Starts a program in a process group of its own.
pub(super) fn spawn(place: &Place, argv: &[String], env: &BTreeMap<String, String>) -> Result<Child, SandboxError> {
    let program = argv.first().map(Path::new).unwrap_or(&place.start);
    let mut command = Command::new(program);
    command
        .args(argv.iter().skip(1))
        .env_clear()
        .envs(env)
        .current_dir(&place.start)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().map_err(|cause| SandboxError::setup("start", program, cause))
}

/// A child process, and the group it leads.
struct Leader {
    child: Child,
    group: Pid,
    /// Readable once the process has ended; `None` on systems without such a thing, where we ask every few milliseconds.
    end: Option<OwnedFd>,
}

/// Waits for the end, or makes it. Whatever the process left running in its group is killed too.
pub(super) fn finish(mut child: Child, timeout: Option<Duration>, cancel: &Cancel) -> (Status, Vec<u8>, Vec<u8>) {
    let stdout = child.stdout.take().expect("it was piped");
    let stderr = child.stderr.take().expect("it was piped");
    let mut streams = Streams::new(stdout, stderr);
    let mut leader = Leader { end: end_of(&child), group: Pid::from_child(&child), child };
    let watched = watch(&mut leader, &mut streams, timeout, cancel);
    // The process is not reaped yet, so its group's number is still its own.
    let _ = rustix::process::kill_process_group(leader.group, Signal::KILL);
    let _ = leader.child.wait();
    let (stdout, stderr) = streams.drain();
    (watched.unwrap_or_else(Status::from), stdout, stderr)
}

impl Running for Leader {
    fn news(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(AsFd::as_fd)
    }

    /// It is left to be reaped, so that its number stays its own.
    fn ended(&mut self) -> Option<Status> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(self.group), options) {
            Ok(None) => None,
            Ok(Some(status)) => Some(match status.exit_status() {
                Some(code) => Status::Exited(code),
                None => Status::Signalled(status.terminating_signal().unwrap_or_default()),
            }),
            // There is nothing to wait for: only a bug elsewhere can have reaped it.
            Err(_) => Some(Status::Signalled(0)),
        }
    }

    fn ask_to_end(&mut self) {
        let _ = rustix::process::kill_process_group(self.group, Signal::TERM);
    }
}

/// Something that can be waited for together with the streams; kernels before 5.3 have none.
#[cfg(target_os = "linux")]
fn end_of(child: &Child) -> Option<OwnedFd> {
    rustix::process::pidfd_open(Pid::from_child(child), rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: &Child) -> Option<OwnedFd> {
    None
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::action::{Network, Word};
    use crate::digest::DigestFunction;
    use crate::path::RelPath;
    use crate::sandbox::OutputError;
    use crate::sandbox::STREAM_BYTES_MAX;
    use crate::store::memory::MemoryStore;
    use crate::store::{Blobs as _, OutputNode};
    use crate::tree::{Node, Tree};

    /// Runs a shell script with one input file, `in/a`, and the outputs it is to leave.
    fn run(script: &str, outputs: &[&str], timeout: Option<Duration>, cancel: &Cancel) -> (Execution, MemoryStore) {
        run_in(World::USUAL, script, outputs, timeout, cancel)
    }

    fn run_in(
        world: World,
        script: &str,
        outputs: &[&str],
        timeout: Option<Duration>,
        cancel: &Cancel,
    ) -> (Execution, MemoryStore) {
        let scratch = tempfile::tempdir().unwrap();
        let blobs = MemoryStore::new(DigestFunction::Blake3);
        let mut staged = Tree::new();
        let digest = blobs.put(b"input").unwrap();
        staged.insert(&RelPath::new("in/a").unwrap(), Node::File { digest, executable: false }).unwrap();
        let argv: Vec<Word> = ["/bin/sh", "-c", script].map(Word::from).into();
        let outputs: Vec<RelPath> = outputs.iter().map(|o| RelPath::new(o).unwrap()).collect();
        let job = Job {
            argv: &argv,
            env: &BTreeMap::from([("PATH".to_owned(), Word::from("/usr/bin:/bin"))]),
            directory: None,
            staged: &staged,
            mounts: &[],
            outputs: &outputs,
            network: Network::Denied,
            timeout,
            blobs: &blobs,
        };
        let sandbox = Bare::new(scratch.path(), Clients::default()).in_world(world);
        let execution = sandbox.run(&job, cancel).unwrap();
        drop(sandbox);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left behind");
        (execution, blobs)
    }

    #[test]
    fn a_process_gets_its_inputs_and_a_fixed_environment_and_leaves_its_outputs() {
        let (done, blobs) =
            run("cat in/a > out/b; env | cut -d= -f1 | sort | tr '\\n' ' '", &["out/b"], None, &Cancel::new());
        assert_eq!(done.status, Status::Exited(0));
        assert_eq!(String::from_utf8_lossy(&done.stdout), "HOME PATH PWD TMPDIR ");
        let outputs = done.outputs.unwrap();
        let OutputNode::File { digest, executable: false } = outputs[0].node else { panic!("{outputs:?}") };
        assert_eq!(blobs.get(digest).unwrap().as_deref(), Some(&b"input"[..]));
    }

    #[test]
    fn another_world_is_another_as_far_as_that_goes() {
        let script = "pwd; echo $HOME; echo $LC_ALL $USER; cat in/a";
        let told = |world| String::from_utf8(run_in(world, script, &[], None, &Cancel::new()).0.stdout).unwrap();
        let (usual, unusual) = (told(World::USUAL), told(World::UNUSUAL));
        assert!(usual.contains("/root\n") && usual.ends_with("/home\n\ninput"), "{usual}");
        assert!(
            unusual.contains("/another/place/root\n") && unusual.ends_with("/somebody\nC somebody\ninput"),
            "{unusual}"
        );
    }

    #[test]
    fn what_is_written_to_an_input_does_not_reach_the_store() {
        let (done, blobs) = run("echo changed > in/a", &[], None, &Cancel::new());
        assert_eq!(done.status, Status::Exited(0));
        let input = DigestFunction::Blake3.digest(b"input");
        assert_eq!(blobs.get(input).unwrap().as_deref(), Some(&b"input"[..]));
    }

    #[test]
    fn failure_and_missing_outputs_are_told_apart() {
        let (done, _) = run("echo why >&2; exit 3", &["out"], None, &Cancel::new());
        assert_eq!((done.status, done.stderr.as_slice()), (Status::Exited(3), &b"why\n"[..]));
        let (done, _) = run("true", &["out"], None, &Cancel::new());
        assert_eq!(done.outputs, Err(OutputError::Missing(RelPath::new("out").unwrap())));
        let (done, _) = run("kill -9 $$", &[], None, &Cancel::new());
        assert_eq!(done.status, Status::Signalled(9));
    }

    #[test]
    fn a_timeout_ends_the_whole_group() {
        let begun = Instant::now();
        let (done, _) = run("sleep 60 & sleep 60", &[], Some(Duration::from_millis(100)), &Cancel::new());
        assert_eq!(done.status, Status::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(30), "the sleepers were not waited for");
    }

    #[test]
    fn a_cancelled_process_ends_and_one_that_leaves_a_child_is_not_waited_for() {
        let cancel = Cancel::new();
        cancel.cancel();
        let (done, _) = run("sleep 60", &[], None, &cancel);
        assert_eq!(done.status, Status::Cancelled);
        let begun = Instant::now();
        let (done, _) = run("sleep 60 & exit 0", &[], None, &Cancel::new());
        assert_eq!(done.status, Status::Exited(0));
        assert!(begun.elapsed() < Duration::from_secs(30), "the child that was left is ended");
    }

    #[test]
    fn endless_output_costs_bounded_memory() {
        let (done, _) = run("head -c 20000000 /dev/zero", &[], None, &Cancel::new());
        assert_eq!((done.status, done.stdout.len()), (Status::Exited(0), STREAM_BYTES_MAX));
    }
}
