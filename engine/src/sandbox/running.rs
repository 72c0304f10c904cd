//! `watch`: waits for a process while it reads what it writes, and ends it when its time is up or the build is cancelled.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::STREAM_BYTES_MAX;
use crate::cancel::Cancel;
use crate::event::Status;

/// A process that was started, however that was done.
pub(super) trait Running {
    /// Becomes readable when something has happened to the process; `None` where nothing tells, and it must be asked.
    fn news(&self) -> Option<BorrowedFd<'_>>;

    /// How the process ended, once it has. It does not wait.
    fn ended(&mut self) -> Option<Status>;

    /// Asks everything that was started to end.
    fn ask_to_end(&mut self);
}

/// Waits until the process has ended, or until it must: then asks it to, and grants it a moment. The caller kills what
/// is left. `None` means that it has not ended by itself, and [`Early`] says why it had to.
pub(super) fn watch(
    running: &mut dyn Running,
    streams: &mut Streams,
    timeout: Option<Duration>,
    cancel: &Cancel,
) -> Result<Status, Early> {
    let started = Instant::now();
    let mut pause = if running.news().is_some() { CANCEL_TICK } else { Duration::from_micros(200) };
    let early = loop {
        if let Some(status) = running.ended() {
            return Ok(status);
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if cancel.is_cancelled() {
            break Early::Cancelled;
        }
        if left.is_some_and(|left| left.is_zero()) {
            break Early::TimedOut;
        }
        streams.listen(running.news(), left.map_or(pause, |left| left.min(pause)));
        pause = (pause * 2).min(if running.news().is_some() { CANCEL_TICK } else { ASK_TICK });
    };
    running.ask_to_end();
    let asked = Instant::now();
    while asked.elapsed() < GRACE && running.ended().is_none() {
        streams.listen(running.news(), ASK_TICK);
    }
    Err(early)
}

/// Why a process was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Early {
    /// The build was cancelled.
    Cancelled,
    /// Its time was up.
    TimedOut,
}

impl From<Early> for Status {
    fn from(early: Early) -> Self {
        match early {
            Early::Cancelled => Self::Cancelled,
            Early::TimedOut => Self::TimedOut,
        }
    }
}

/// How long it may take us to hear of a cancellation while a process runs.
const CANCEL_TICK: Duration = Duration::from_millis(20);

/// How often a process is asked whether it has ended where nothing tells us.
const ASK_TICK: Duration = Duration::from_millis(5);

/// How long a process has to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);

/// How long the streams of a process are read after its end. Longer only if it moved something out of the reach of a
/// weak sandbox; a build does not wait for that.
const DRAIN: Duration = Duration::from_secs(1);

/// What a process writes.
pub(super) struct Streams {
    stdout: Stream,
    stderr: Stream,
}

impl Streams {
    /// The reading ends of two pipes.
    pub(super) fn new(stdout: impl Into<OwnedFd>, stderr: impl Into<OwnedFd>) -> Self {
        Self { stdout: Stream::new(stdout.into()), stderr: Stream::new(stderr.into()) }
    }

    /// Takes what was written; waits for that, or for news, but not longer than `at_most`.
    fn listen(&mut self, news: Option<BorrowedFd<'_>>, at_most: Duration) {
        let pipes = [&self.stdout.pipe, &self.stderr.pipe];
        let mut polled: Vec<PollFd<'_>> =
            pipes.into_iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        polled.extend(news.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
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

    /// Reads to the end, which comes when the last process that holds the other end is gone. What was kept.
    pub(super) fn drain(mut self) -> (Vec<u8>, Vec<u8>) {
        let drained = Instant::now() + DRAIN;
        while (self.stdout.is_open() || self.stderr.is_open()) && Instant::now() < drained {
            self.listen(None, CANCEL_TICK);
        }
        (self.stdout.kept, self.stderr.kept)
    }
}

/// One stream. The beginning is kept and the rest read, so that a process that writes without end costs no memory.
struct Stream {
    /// `None` once it has come to its end.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Stream {
    const fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), kept: Vec::new() }
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
