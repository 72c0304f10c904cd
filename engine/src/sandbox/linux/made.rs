//! [`Inside`]: a sandbox that was made, from the outside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Isolated;
use super::inside::{self, Ends};
use super::message::{self, Failed, Made, News, Order, Report, Tried};
use super::spawner::{Mounts, talk};
use crate::action::Network;
use crate::event::Status;
use crate::sandbox::SandboxError;
use crate::sandbox::running::{Running, Streams};

/// A sandbox that was made, from the outside. Everything in it ends when this is dropped.
pub(super) struct Inside {
    pub(super) job: UnixStream,
    status: Option<Status>,
    /// What it looked for in vain, if that was asked.
    pub(super) lookups: Vec<String>,
    /// What could not be done, if that is how it ended.
    pub(super) trouble: Option<Failed>,
}

impl Inside {
    pub(super) fn new(Ends { job, stdout, stderr }: Ends) -> (Self, Streams) {
        (Self { job, status: None, lookups: Vec::new(), trouble: None }, Streams::new(stdout, stderr))
    }

    /// Has a sandbox made. The directory that is to hold the inputs, what the action will write, and how it went.
    pub(super) fn make(
        isolated: &Isolated,
        network: Network,
        mounts: &Mounts,
        order: &Order,
    ) -> Result<(Self, OwnedFd, Streams, Made), SandboxError> {
        let spawner = isolated.spawner(network == Network::Allowed).map_err(talk)?;
        let (inside, streams) = Self::new(spawner.fork(mounts, || isolated.setup(network, mounts), order)?);
        let failed = match message::receive::<Report>(&inside.job) {
            Ok(Some((Report { news: Some(News::Made(made)), .. }, Some(root)))) => {
                return Ok((inside, root, streams, made));
            }
            Ok(Some((Report { news: Some(News::Failed(why)), .. }, _))) => error(why),
            Ok(_) => talk(io::ErrorKind::UnexpectedEof),
            Err(e) => talk(e),
        };
        spawner.forget(mounts);
        Err(failed)
    }

    /// How a trial went: whether the kernel restricts files.
    pub(super) fn tried(&self) -> Result<bool, SandboxError> {
        match message::receive::<Report>(&self.job).map_err(talk)? {
            Some((Report { news: Some(News::Tried(Tried { restricts_files })), .. }, _)) => Ok(restricts_files),
            Some((Report { news: Some(News::Failed(why)), .. }, _)) => Err(error(why)),
            _ => Err(talk(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Starts the action: its inputs are there.
    pub(super) fn go(&self) -> Result<(), SandboxError> {
        rustix::io::write(&self.job, &[inside::GO]).map(drop).map_err(talk)
    }
}

impl Running for Inside {
    fn news(&self) -> Option<BorrowedFd<'_>> {
        Some(self.job.as_fd())
    }

    fn ended(&mut self) -> Option<Status> {
        if self.status.is_some() {
            return self.status;
        }
        let mut polled = [PollFd::new(&self.job, PollFlags::IN)];
        if !matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..)) {
            return None;
        }
        let lost = || Failed { what: "hear from".into(), path: "the first process of the sandbox".into(), errno: 0 };
        let status = match message::receive::<Report>(&self.job) {
            Ok(Some((Report { news: Some(News::Exited(code)), lookups }, _))) => {
                self.lookups = lookups;
                Status::Exited(code)
            }
            Ok(Some((Report { news: Some(News::Signalled(signal)), .. }, _))) => Status::Signalled(signal),
            Ok(Some((Report { news: Some(News::Failed(why)), .. }, _))) => {
                self.trouble = Some(why);
                Status::Exited(127)
            }
            _ => {
                self.trouble = Some(lost());
                Status::Signalled(9)
            }
        };
        self.status = Some(status);
        self.status
    }

    fn ask_to_end(&mut self) {
        let _ = rustix::io::write(&self.job, &[inside::END]);
    }
}

/// What the first process says could not be done, as an error.
pub(super) fn error(Failed { what, path, errno }: Failed) -> SandboxError {
    let cause = match errno {
        0 => io::Error::other("it ended without a word"),
        errno => io::Error::from_raw_os_error(errno),
    };
    SandboxError::Setup { what, path: path.into(), cause }
}
