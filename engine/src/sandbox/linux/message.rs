//! What the three processes of a sandbox say to each other: [`Setup`] and [`Order`], or one [`Task`], go in, [`Report`]
//! comes out.
//!
//! A message is its length, a byte for its kind and protocol-buffers bytes. Open files travel beside them. All three are
//! the same program, so nothing here has versions.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use prost::Message;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// What the inside of a sandbox is made of: the same for every action with the same tools, so it is told once.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Setup {
    /// An empty directory, on which mount tables that nobody else sees may put what they like.
    #[prost(string, tag = "1")]
    pub(super) place: String,
    /// The input root, from inside.
    #[prost(string, tag = "2")]
    pub(super) root: String,
    /// Directories the process may write to, from inside; all but these are read-only. Parents come first.
    #[prost(string, repeated, tag = "3")]
    pub(super) writable: Vec<String>,
    /// Small files that are the same everywhere.
    #[prost(message, repeated, tag = "4")]
    pub(super) files: Vec<SmallFile>,
    /// Symbolic links.
    #[prost(message, repeated, tag = "5")]
    pub(super) links: Vec<Link>,
    /// Files and directories of the machine that are shown.
    #[prost(message, repeated, tag = "6")]
    pub(super) binds: Vec<Bind>,
    /// The name of the machine.
    #[prost(string, tag = "7")]
    pub(super) hostname: String,
    /// Whether the machine's network is shared.
    #[prost(bool, tag = "8")]
    pub(super) network: bool,
    /// The user, from inside.
    #[prost(uint32, tag = "9")]
    pub(super) user: u32,
    /// The most bytes that all files it writes may have together.
    #[prost(uint64, tag = "10")]
    pub(super) bytes_max: u64,
    /// The most processes and threads.
    #[prost(uint64, tag = "11")]
    pub(super) processes_max: u64,
    /// The time of all that is there before the action, in seconds since 1970.
    #[prost(int64, tag = "12")]
    pub(super) time: i64,
    /// How many processes there were before the action, so that its number is another one.
    #[prost(uint32, tag = "13")]
    pub(super) earlier_processes: u32,
}

/// A file that is written.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SmallFile {
    /// Where, from inside.
    #[prost(string, tag = "1")]
    pub(super) at: String,
    /// What is in it.
    #[prost(string, tag = "2")]
    pub(super) content: String,
}

/// A symbolic link.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Link {
    /// Where, from inside.
    #[prost(string, tag = "1")]
    pub(super) at: String,
    /// What it says.
    #[prost(string, tag = "2")]
    pub(super) target: String,
}

/// A file or directory of the machine that is shown.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct Bind {
    /// Where it is, outside.
    #[prost(string, tag = "1")]
    pub(super) from: String,
    /// Where it stands, from inside.
    #[prost(string, tag = "2")]
    pub(super) at: String,
    /// Whether it is a directory.
    #[prost(bool, tag = "3")]
    pub(super) directory: bool,
    /// Whether it may be written to.
    #[prost(bool, tag = "4")]
    pub(super) writable: bool,
}

/// One action.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Order {
    /// The program and its arguments, from inside. None: this is a trial.
    #[prost(string, repeated, tag = "1")]
    pub(super) argv: Vec<String>,
    /// The environment, each `NAME=value`.
    #[prost(string, repeated, tag = "2")]
    pub(super) env: Vec<String>,
    /// Where it starts, from inside.
    #[prost(string, tag = "3")]
    pub(super) directory: String,
    /// The processor it may run on; all of them where there is none.
    #[prost(uint32, optional, tag = "4")]
    pub(super) only_core: Option<u32>,
    /// Whether what it looks for in vain is to be told.
    #[prost(bool, tag = "5")]
    pub(super) traced: bool,
    /// Inputs that are shown in place of the empty files that stand there.
    #[prost(message, repeated, tag = "6")]
    pub(super) inputs: Vec<Bind>,
}

/// An action of a sandbox without namespaces.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Task {
    /// What to start, all paths being the machine's. No program: this is a trial.
    #[prost(message, required, tag = "1")]
    pub(super) order: Order,
    /// What it may reach.
    #[prost(message, required, tag = "2")]
    pub(super) walls: Walls,
    /// The most bytes that a file it writes may have.
    #[prost(uint64, tag = "3")]
    pub(super) bytes_max: u64,
}

/// What an action may reach where nothing is hidden. Files, or directories with all in them; each must exist.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Walls {
    /// Directories of which the names of what is in them may be read.
    #[prost(string, repeated, tag = "1")]
    pub(super) listed: Vec<String>,
    /// What may be read and run.
    #[prost(string, repeated, tag = "2")]
    pub(super) readable: Vec<String>,
    /// What may be changed too.
    #[prost(string, repeated, tag = "3")]
    pub(super) writable: Vec<String>,
    /// Whether the machine's network may be used.
    #[prost(bool, tag = "4")]
    pub(super) network: bool,
    /// The newest interface of Landlock to use, as if the kernel had no newer one.
    #[prost(uint32, tag = "5")]
    pub(super) abi_max: u32,
}

/// What the inside says.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Report {
    /// What happened.
    #[prost(oneof = "News", tags = "1, 2, 3, 4, 5")]
    pub(super) news: Option<News>,
    /// With the end of a traced process: the paths that it looked for in vain.
    #[prost(string, repeated, tag = "6")]
    pub(super) lookups: Vec<String>,
}

impl Report {
    /// One that has no more to say than this.
    pub(super) const fn of(news: News) -> Self {
        Self { news: Some(news), lookups: Vec::new() }
    }
}

/// What happened inside.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub(super) enum News {
    /// The input root is there to be filled; an open file of it travels with this.
    #[prost(message, tag = "1")]
    Made(Made),
    /// Something could not be done.
    #[prost(message, tag = "2")]
    Failed(Failed),
    /// The process exited with this status.
    #[prost(int32, tag = "3")]
    Exited(i32),
    /// The process was ended by this signal.
    #[prost(int32, tag = "4")]
    Signalled(i32),
    /// It was a trial, and nothing failed.
    #[prost(message, tag = "5")]
    Tried(Tried),
}

/// How a trial went.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Tried {
    /// Whether the kernel keeps a second lock on files (Landlock).
    #[prost(bool, tag = "1")]
    pub(super) restricts_files: bool,
}

/// What there is to be filled.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Made {
    /// Whether the inputs of the order will be shown; what can't be must be copied.
    #[prost(bool, tag = "1")]
    pub(super) shows_inputs: bool,
}

/// Something could not be done.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Failed {
    /// Which step: a fragment that fits after "failed to".
    #[prost(string, tag = "1")]
    pub(super) what: String,
    /// To what.
    #[prost(string, tag = "2")]
    pub(super) path: String,
    /// The kernel's reason.
    #[prost(int32, tag = "3")]
    pub(super) errno: i32,
}

/// Sends a message, with an open file if there is one.
pub(super) fn send(to: &UnixStream, message: &impl Message, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let length = u32::try_from(message.encoded_len()).map_err(io::Error::other)?;
    let mut bytes = length.to_le_bytes().to_vec();
    message.encode(&mut bytes).map_err(io::Error::other)?;
    // The file travels with the first byte.
    let sent = send_some(to.as_fd(), &bytes, file.as_slice())?;
    let mut to = to;
    to.write_all(&bytes[sent..])
}

/// Receives a message, and the open file that came with it. `None` when the other side has closed.
pub(super) fn receive<M: Message + Default>(from: &UnixStream) -> io::Result<Option<(M, Option<OwnedFd>)>> {
    let mut length = [0; 4];
    let Some((received, mut files)) = receive_some(from.as_fd(), &mut length)? else { return Ok(None) };
    let mut from = from;
    from.read_exact(&mut length[received..])?;
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    let message = M::decode(bytes.as_slice()).map_err(io::Error::other)?;
    Ok(Some((message, files.pop())))
}

/// The most files that travel together.
const FILES_MAX: usize = 3;

/// Sends bytes, all of them at once, and open files beside them.
pub(super) fn send_with(to: BorrowedFd<'_>, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
    match send_some(to, bytes, files)? {
        n if n == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

fn send_some(to: BorrowedFd<'_>, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many files to send"));
    }
    // A closed other side is an error to hear of, not a signal to die by.
    Ok(sendmsg(to, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

/// Receives bytes, and the open files beside them. `None` when the other side has closed.
pub(super) fn receive_with(from: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Option<Vec<OwnedFd>>> {
    Ok(receive_some(from, bytes)?.map(|(_, files)| files))
}

fn receive_some(from: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(from, &mut [IoSliceMut::new(bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let files = beside.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let files = files.collect();
    Ok((received.bytes != 0).then_some((received.bytes, files)))
}
