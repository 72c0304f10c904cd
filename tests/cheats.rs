//! Every `fixtures/cheats/<name>` is a project whose one command, `cheat`, reaches for something it did not declare. It
//! fails, or sees nothing: what it says, what `run` says of it and what it leaves is in its `expected.txt`.
//!
//! The machine around it is baited: a secret in the environment, a file beside the project, a listening socket of each
//! kind, whose places `[PLACE]` and `[PORT]` in `cheat.sh` stand for. `UPDATE_EXPECT=1` writes the expected texts anew.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use super::support::{Workspace, is_updating, repository, running};

const CHEATS: &str = "fixtures/cheats";

#[test]
fn every_cheat_fails_or_sees_nothing() {
    let mut cheats: Vec<PathBuf> = fs::read_dir(repository().join(CHEATS))
        .expect("there are cheats")
        .map(|entry| entry.expect("a directory").path())
        .collect();
    cheats.sort();
    assert!(cheats.len() >= 20, "{} cheats", cheats.len());
    let bait = Bait::lay();
    let wrong: Vec<String> = cheats.iter().filter_map(|cheat| check(cheat, &bait).err()).collect();
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 writes them anew", wrong.join("\n"));
    bait.is_untouched();
}

/// What a cheat could find on this machine.
struct Bait {
    tcp: TcpListener,
    abstract_name: UnixListener,
}

impl Bait {
    fn lay() -> Self {
        let name = format!("run-cheat-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("an abstract socket");
        listener.set_nonblocking(true).expect("it can be asked");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("it can be asked");
        Self { tcp, abstract_name: listener }
    }

    /// Puts this machine's places into a script.
    fn place(&self, script: &str, workspace: &Workspace) -> String {
        let port = self.tcp.local_addr().expect("it is bound").port();
        let place = workspace.directory().parent().expect("it lies in one").display().to_string();
        script
            .replace("[PORT]", &port.to_string())
            .replace("[PLACE]", &place)
            .replace("[PID]", &std::process::id().to_string())
    }

    fn is_untouched(&self) {
        assert!(self.tcp.accept().is_err(), "somebody has dialled");
        assert!(self.abstract_name.accept().is_err(), "somebody has connected");
        assert!(!running().iter().any(|line| line == "sleep 987654"), "a process has outlived its action");
        assert!(!Path::new("/tmp/run-cheat").exists() && !Path::new("/dev/shm/run-cheat").exists());
    }
}

fn check(cheat: &Path, bait: &Bait) -> Result<(), String> {
    let name = cheat.strip_prefix(repository()).expect("a fixture of this repository");
    let mut workspace = Workspace::of(name);
    let directory = workspace.directory();
    workspace.env.insert("SECRET".to_owned(), "hunter2".to_owned());
    // Tools are the system's, so that no version manager's stand-ins are taken for them.
    workspace.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let place = directory.parent().expect("it lies in one");
    fs::write(place.join("beside.txt"), "beside\n").expect("a file");
    fs::write(place.join("home/.profile"), "at home\n").expect("a file");
    let socket = UnixListener::bind(place.join("socket")).expect("a socket");
    socket.set_nonblocking(true).expect("it can be asked");
    let script = fs::read_to_string(cheat.join("cheat.sh")).expect("a script");
    fs::write(directory.join("cheat.sh"), bait.place(&script, &workspace)).expect("it can be written");

    let before = files(&workspace);
    let ended = workspace.v2("build cheat");
    let mut told = format!("exit: {}\n{}{}", ended.status, ended.stdout, shortened(&ended.stderr));
    let new = files(&workspace).into_iter().filter(|file| file != ".run" && !before.contains(file));
    told.extend(new.map(|file| format!("left: {file}\n")));
    assert!(socket.accept().is_err(), "{}: somebody has connected", name.display());
    assert!(!told.contains("hunter2"), "{}: a secret was seen\n{told}", name.display());
    assert_eq!(fs::read_to_string(directory.join("in.txt")).expect("it is there"), "input\n", "{}", name.display());
    let verified = workspace.v2("cache verify");
    assert_eq!(verified.status, 0, "{}: the store was altered\n{}", name.display(), verified.stdout);

    let expected = cheat.join("expected.txt");
    if is_updating() {
        fs::write(&expected, &told).expect("the expected text can be written");
    }
    let written = fs::read_to_string(&expected).unwrap_or_default();
    if written == told { Ok(()) } else { Err(format!("{}\n--- written\n{written}--- now\n{told}---", name.display())) }
}

/// The files at the project's top.
fn files(workspace: &Workspace) -> Vec<String> {
    let listed = workspace.run(&workspace.directory(), "ls", &["-A".to_owned()]);
    listed.stdout.lines().map(str::to_owned).collect()
}

/// Long lines by their beginning and their length.
fn shortened(text: &str) -> String {
    const LONG: usize = 200;
    let shorten = |line: &str| match line.len() {
        0..LONG => format!("{line}\n"),
        n => format!("{}… ({n} bytes)\n", &line[..20]),
    };
    text.lines().map(shorten).collect()
}
