//! `Bare`: a private directory, a fixed environment and a process group of its own. The rest of the machine can still
//! be seen, so results say so ([`Strength::Bare`]) and stay on this machine.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::scratch::Scratch;
use super::{Execution, Job, OutputError, STREAM_BYTES_MAX, Sandbox, SandboxError};
use crate::action::Network;
use crate::cancel::Cancel;
use crate::event::Status;
use crate::files::capture::{self, CaptureError, CaptureProblem};
use crate::files::materialize::{self, MaterializeError};
use crate::store::{Output, Strength};

/// The sandbox that works everywhere and hides little.
#[derive(Debug)]
pub struct Bare {
    parent: PathBuf,
    /// Made when the first process is run: most builds run none.
    scratch: Mutex<Option<Arc<Scratch>>>,
    clients: BTreeMap<String, String>,
}

impl Bare {
    /// A sandbox whose private directories lie in `scratch`. Inputs are staged most cheaply on the store's file system;
    /// but programs that look for configuration in the directories above them will look above this one. `clients` are the variables by which network clients find their configuration, mirrors and
    /// credentials: given to actions that may use the network, to no other, and never keyed.
    #[must_use]
    pub fn new(scratch: &Path, clients: BTreeMap<String, String>) -> Self {
        Self { parent: scratch.to_owned(), scratch: Mutex::new(None), clients }
    }

    fn scratch(&self) -> Result<Arc<Scratch>, SandboxError> {
        let mut made = self.scratch.lock().expect("nothing panics while it is held");
        match &*made {
            Some(scratch) => Ok(Arc::clone(scratch)),
            None => Ok(Arc::clone(made.insert(Arc::new(Scratch::new(&self.parent)?)))),
        }
    }
}

fn setup(what: &'static str, path: &Path, cause: std::io::Error) -> SandboxError {
    SandboxError::Setup { what, path: path.to_owned(), cause }
}

impl Sandbox for Bare {
    fn strength(&self) -> Strength {
        Strength::Bare
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Result<Execution, SandboxError> {
        let private = self.scratch()?.private()?;
        let root = private.path().join("root");
        let home = private.path().join("home");
        for directory in [&root, &home] {
            std::fs::create_dir(directory).map_err(|cause| setup("make the directory", directory, cause))?;
        }
        stage(job, &root)?;
        let start = job.directory.map_or_else(|| root.clone(), |d| root.join(d));
        let parents = job.outputs.iter().filter_map(|output| Some(start.join(output.parent()?)));
        for directory in std::iter::once(start.clone()).chain(parents) {
            std::fs::create_dir_all(&directory).map_err(|cause| setup("make the directory", &directory, cause))?;
        }
        let none = BTreeMap::new();
        let clients = match job.network {
            Network::Allowed => &self.clients,
            Network::Denied => &none,
        };
        let child = spawn(job, &root, &start, &home, clients)?;
        let (status, stdout, stderr) = Watch::over(child).finish(job.timeout, cancel);
        let outputs = if status.is_success() { collect(job, &start)? } else { Ok(Vec::new()) };
        Ok(Execution { status, stdout, stderr, outputs })
    }
}

/// Takes what the process left into the store. What it should have left and did not is its failure, not ours.
fn collect(job: &Job<'_>, start: &Path) -> Result<Result<Vec<Output>, OutputError>, SandboxError> {
    match capture::capture(start, job.outputs, job.blobs) {
        Ok(outputs) => Ok(Ok(outputs)),
        Err(CaptureError { problem: CaptureProblem::Store(e), .. }) => Err(e.into()),
        Err(CaptureError { path, problem: CaptureProblem::Missing }) => Ok(Err(OutputError::Missing(path))),
        Err(e) => Ok(Err(OutputError::Unfit { path: e.path.to_string(), why: e.to_string() })),
    }
}

/// Puts the input root on disk: copies of the staged part, links to the mounted part.
fn stage(job: &Job<'_>, root: &Path) -> Result<(), SandboxError> {
    match materialize::materialize(job.staged, root, job.blobs) {
        Ok(()) => {}
        Err(MaterializeError::Store(e)) => return Err(e.into()),
        Err(MaterializeError::Lost { digest, .. }) => return Err(SandboxError::Lost(digest)),
    }
    for (at, mounted) in job.mounts {
        let link = root.join(at);
        let parent = link.parent().unwrap_or(root);
        std::fs::create_dir_all(parent).map_err(|cause| setup("make the directory", parent, cause))?;
        std::os::unix::fs::symlink(&mounted.directory, &link).map_err(|cause| setup("link", &link, cause))?;
    }
    Ok(())
}

fn spawn(
    job: &Job<'_>,
    root: &Path,
    start: &Path,
    home: &Path,
    clients: &BTreeMap<String, String>,
) -> Result<Child, SandboxError> {
    let root_text = root
        .to_str()
        .ok_or_else(|| setup("use the directory", root, std::io::Error::other("its name is not UTF-8")))?;
    let argv: Vec<String> = job.argv.iter().map(|word| word.render(root_text)).collect();
    let program = argv.first().map(|p| start.join(p)).unwrap_or_default();
    let mut command = Command::new(&program);
    command
        .args(&argv[1..])
        .env_clear()
        .env("HOME", home)
        .env("TMPDIR", home)
        .envs(clients)
        .envs(job.env.iter().map(|(name, value)| (name, value.render(root_text))))
        .current_dir(start)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().map_err(|cause| setup("start", &program, cause))
}

/// A running process whose streams are being read, and which is ended with its whole group if it must be.
struct Watch {
    child: Child,
    /// Readable once the process has ended; `None` on systems without such a thing, where we ask every few milliseconds.
    end: Option<OwnedFd>,
    stdout: Stream,
    stderr: Stream,
}

impl Watch {
    fn over(mut child: Child) -> Self {
        let stdout = child.stdout.take().expect("it was piped");
        let stderr = child.stderr.take().expect("it was piped");
        Self { end: end_of(&child), stdout: Stream::new(stdout), stderr: Stream::new(stderr), child }
    }

    /// Waits for the end, or makes it. Whatever the process left running in its group is killed too.
    fn finish(mut self, timeout: Option<Duration>, cancel: &Cancel) -> (Status, Vec<u8>, Vec<u8>) {
        let started = Instant::now();
        let group = Pid::from_child(&self.child);
        let mut pause = if self.end.is_some() { CANCEL_TICK } else { Duration::from_micros(200) };
        let early = loop {
            if has_ended(&self.child) {
                break None;
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            if cancel.is_cancelled() {
                break Some(Status::Cancelled);
            }
            if left.is_some_and(|left| left.is_zero()) {
                break Some(Status::TimedOut);
            }
            self.listen(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 2).min(if self.end.is_some() { CANCEL_TICK } else { ASK_TICK });
        };
        if early.is_some() {
            self.put_down(group);
        }
        // The process is not reaped yet, so its group's number is still its own.
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let status = early.unwrap_or_else(|| match self.child.wait() {
            Ok(status) => match status.code() {
                Some(code) => Status::Exited(code),
                None => Status::Signalled(status.signal().unwrap_or_default()),
            },
            // Only a bug elsewhere can have reaped it.
            Err(_) => Status::Signalled(0),
        });
        let _ = self.child.wait();
        self.end = None;
        let drained = Instant::now() + DRAIN;
        while (self.stdout.is_open() || self.stderr.is_open()) && Instant::now() < drained {
            self.listen(CANCEL_TICK);
        }
        (status, self.stdout.kept, self.stderr.kept)
    }

    /// Asks a process group to end, and gives it a moment to.
    fn put_down(&mut self, group: Pid) {
        const GRACE: Duration = Duration::from_millis(500);
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !has_ended(&self.child) {
            self.listen(ASK_TICK);
        }
    }

    /// Takes what the process has written; waits for that, or for its end, but not longer than `at_most`.
    fn listen(&mut self, at_most: Duration) {
        let listened = [&self.stdout.pipe, &self.stderr.pipe, &self.end];
        let mut polled: Vec<PollFd<'_>> =
            listened.iter().filter_map(|fd| fd.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        let at_most = Timespec::try_from(at_most).expect("ticks are short");
        // Interrupted is as good as woken by nothing.
        let _ = poll(&mut polled, Some(&at_most));
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let mut is_ready = |stream: &Stream| stream.is_open() && ready.next() == Some(true);
        let (stdout, stderr) = (is_ready(&self.stdout), is_ready(&self.stderr));
        if stdout {
            self.stdout.take();
        }
        if stderr {
            self.stderr.take();
        }
    }
}

/// How long it may take us to hear of a cancellation while a process runs.
const CANCEL_TICK: Duration = Duration::from_millis(20);

/// How long the streams of a process are read after its end. Longer only if it moved something into another group,
/// which this sandbox can't end; a build does not wait for that.
const DRAIN: Duration = Duration::from_secs(1);

/// How often a process is asked whether it has ended where nothing tells us.
const ASK_TICK: Duration = Duration::from_millis(5);

/// Whether a process has ended. It is left to be reaped, so that its number stays its own.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // An error means that there is nothing to wait for.
    waitid(WaitId::Pid(Pid::from_child(child)), options).map_or(true, |status| status.is_some())
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

/// What a process writes. The beginning is kept and the rest read, so that one that writes without end costs no memory.
struct Stream {
    /// `None` once it has come to its end.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Stream {
    fn new(pipe: impl Into<OwnedFd>) -> Self {
        Self { pipe: Some(pipe.into()), kept: Vec::new() }
    }

    const fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads once; waits if nothing is there.
    fn take(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut buffer = [0; 16 * 1024];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(n @ 1..) => {
                let room = STREAM_BYTES_MAX - self.kept.len();
                self.kept.extend_from_slice(&buffer[..n.min(room)]);
            }
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Word;
    use crate::digest::DigestFunction;
    use crate::path::RelPath;
    use crate::store::memory::MemoryStore;
    use crate::store::{Blobs as _, OutputNode};
    use crate::tree::{Node, Tree};

    /// Runs a shell script with one input file, `in/a`, and the outputs it is to leave.
    fn run(script: &str, outputs: &[&str], timeout: Option<Duration>, cancel: &Cancel) -> (Execution, MemoryStore) {
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
        let sandbox = Bare::new(scratch.path(), BTreeMap::new());
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
