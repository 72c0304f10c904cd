//! `Bare`: a private directory, a fixed environment and a process group of its own. The rest of the machine can still
//! be seen, so results say so ([`Strength::Bare`]) and stay on this machine.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

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
    scratch: PathBuf,
    clients: BTreeMap<String, String>,
}

impl Bare {
    /// A sandbox whose private directories lie in `scratch`, which must be on the store's file system for inputs to be
    /// staged cheaply. `clients` are the variables by which network clients find their configuration, mirrors and
    /// credentials: given to actions that may use the network, to no other, and never keyed.
    ///
    /// # Errors
    /// [`SandboxError::Setup`] when the directory can't be made.
    pub fn new(scratch: &Path, clients: BTreeMap<String, String>) -> Result<Self, SandboxError> {
        let scratch = scratch.to_owned();
        std::fs::create_dir_all(&scratch).map_err(|cause| setup("make the directory", &scratch, cause))?;
        Ok(Self { scratch, clients })
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
        let private = Private::new(&self.scratch)?;
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

/// A directory that is gone when this is, whatever permissions the process left in it.
struct Private(Option<tempfile::TempDir>);

impl Private {
    fn new(scratch: &Path) -> Result<Self, SandboxError> {
        let directory = tempfile::Builder::new()
            .prefix("action-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(scratch)
            .map_err(|cause| setup("make a private directory in", scratch, cause))?;
        Ok(Self(Some(directory)))
    }

    fn path(&self) -> &Path {
        self.0.as_ref().expect("taken only on drop").path()
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let Some(directory) = self.0.take() else { return };
        let path = directory.keep();
        if std::fs::remove_dir_all(&path).is_err() {
            // A process may have made its directories unwritable. What still can't be removed then is left to the
            // collector: it costs space and nothing else.
            unlock(&path);
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Makes every directory below `path` writable again, following no links.
fn unlock(path: &Path) {
    let _ = std::fs::set_permissions(path, Permissions::from_mode(0o700));
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            unlock(&entry.path());
        }
    }
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

    /// Waits for the end, or makes it. Whatever the process left running in its group is killed too: the streams end
    /// when the last holder of them does, so nobody is left when they are read to the end.
    fn finish(mut self, timeout: Option<Duration>, cancel: &Cancel) -> (Status, Vec<u8>, Vec<u8>) {
        let started = Instant::now();
        let group = Pid::from_child(&self.child);
        let mut pause = if self.end.is_some() { CANCEL_TICK } else { Duration::from_micros(200) };
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    break match (status.code(), status.signal()) {
                        (Some(code), _) => Status::Exited(code),
                        (None, signal) => Status::Signalled(signal.unwrap_or_default()),
                    };
                }
                Ok(None) => {}
                // Only a bug elsewhere can have reaped it; treat it as killed rather than wait for ever.
                Err(_) => break Status::Signalled(0),
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            let ended = if cancel.is_cancelled() {
                Some(Status::Cancelled)
            } else {
                left.is_some_and(|left| left.is_zero()).then_some(Status::TimedOut)
            };
            if let Some(ended) = ended {
                self.put_down(group);
                break ended;
            }
            self.listen(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 2).min(if self.end.is_some() { CANCEL_TICK } else { ASK_TICK });
        };
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        self.end = None;
        while self.stdout.is_open() || self.stderr.is_open() {
            self.listen(CANCEL_TICK);
        }
        (status, self.stdout.kept, self.stderr.kept)
    }

    /// Asks a process group to end, and a moment later makes it.
    fn put_down(&mut self, group: Pid) {
        const GRACE: Duration = Duration::from_millis(500);
        let _ = rustix::process::kill_process_group(group, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            self.listen(ASK_TICK);
        }
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
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

/// How often a process is asked whether it has ended where nothing tells us.
const ASK_TICK: Duration = Duration::from_millis(5);

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
