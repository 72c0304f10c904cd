//! Every `fixtures/cheats/<name>` is a project whose one command, `cheat`, reaches for something it did not declare. It
//! fails, or sees nothing: what it says, what `run` says of it and what it leaves is in its `expected.txt`.
//!
//! The machine around it is baited: a secret in the environment, a file beside the project, a listening socket of each
//! kind, whose places `[PLACE]` and `[PORT]` in `cheat.sh` stand for. `UPDATE_EXPECT=1` writes the expected texts anew.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use super::sandbox::without_namespaces;
use super::support::{Ended, Workspace, is_updating, repository, running};

const CHEATS: &str = "fixtures/cheats";

/// What gets through where there are no namespaces ([`PARTIAL`]); everything else fails there too, or sees nothing.
const GET_THROUGH: &[(&str, &str)] = &[
    ("changes-mode", "the modes and times of the user's files can be changed, as Landlock has no rule for them"),
    ("knows-the-machine", "the name of the machine, the user and the path of the private directory can be seen"),
    ("sees-names", "whether a file exists, its size and its times can be seen, though not what is in it"),
];

/// What can't be tried there without harm.
const NOT_TRIED: &[(&str, &str)] =
    &[("forks-without-end", "nothing but the user's own limit counts processes; they end with the action")];

/// What became of every cheat in the sandbox of partial strength.
const PARTIAL: &str = "tests/cheats-partial.txt";

fn cheats() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join(CHEATS)).expect("there are cheats");
    let mut cheats: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory").path()).collect();
    cheats.sort();
    assert!(cheats.len() >= 20, "{} cheats", cheats.len());
    cheats
}

#[test]
fn without_namespaces_it_is_known_what_gets_through() {
    let bait = Bait::lay();
    let mut table = String::new();
    for cheat in cheats() {
        let name = cheat.file_name().and_then(|name| name.to_str()).expect("a plain name");
        let reason = |list: &[(&str, &'static str)]| list.iter().find(|(there, _)| *there == name).map(|(_, why)| *why);
        if let Some(why) = reason(NOT_TRIED) {
            let _ = writeln!(table, "{name}: not tried: {why}");
            continue;
        }
        let told = attempt(&cheat, &bait, |workspace| without_namespaces(workspace, "build cheat"));
        assert!(told.contains("sandbox: partial\n"), "{name}: {told}");
        let boasts = told.lines().any(|line| BOASTS.contains(&line.trim_start_matches([' ', '|'])));
        let _ = match reason(GET_THROUGH) {
            Some(what) => writeln!(table, "{name}: gets through: {what}"),
            None if boasts => writeln!(table, "{name}: gets through, which nobody knew: {told}"),
            None => writeln!(table, "{name}: fails, or sees nothing"),
        };
    }
    bait.is_untouched();
    let file = repository().join(PARTIAL);
    if is_updating() {
        fs::write(&file, &table).expect("the expected text can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == table, "{PARTIAL}\n--- written\n{written}--- now\n{table}---\nUPDATE_EXPECT=1 writes it anew");
}

/// What a cheat says that got what it wanted.
const BOASTS: &[&str] =
    &["connected", "found", "attached", "kept", "made", "changed", "killed", "at home", "beside", "7 bytes"];

#[test]
fn every_cheat_fails_or_sees_nothing() {
    let cheats = cheats();
    let bait = Bait::lay();
    let wrong: Vec<String> = cheats.iter().filter_map(|cheat| check(cheat, &bait).err()).collect();
    assert!(wrong.is_empty(), "{}\nUPDATE_EXPECT=1 writes them anew", wrong.join("\n"));
    bait.is_untouched();
}

/// What a cheat could find on this machine.
struct Bait {
    tcp: TcpListener,
    abstract_name: UnixListener,
    /// Locked as long as the bait lies: whoever looks for what a cheat left behind must not find another one's at work.
    _turn: File,
}

impl Bait {
    fn lay() -> Self {
        let turn = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/cheats.lock")).expect("a file");
        turn.lock().expect("the other tests take their turns");
        let name = format!("run-cheat-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("an abstract socket");
        listener.set_nonblocking(true).expect("it can be asked");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        tcp.set_nonblocking(true).expect("it can be asked");
        Self { tcp, abstract_name: listener, _turn: turn }
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

/// Lets a cheat try, by a build. What that told, and what is new in the project, as text.
fn attempt(cheat: &Path, bait: &Bait, build: impl Fn(&Workspace) -> Ended) -> String {
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
    let ended = build(&workspace);
    let mut told = format!("exit: {}\n{}{}", ended.status, ended.stdout, shortened(&ended.stderr));
    let new = files(&workspace).into_iter().filter(|file| file != ".run" && !before.contains(file));
    told.extend(new.map(|file| format!("left: {file}\n")));
    assert!(socket.accept().is_err(), "{}: somebody has connected", name.display());
    assert!(!told.contains("hunter2"), "{}: a secret was seen\n{told}", name.display());
    assert_eq!(fs::read_to_string(directory.join("in.txt")).expect("it is there"), "input\n", "{}", name.display());
    let verified = workspace.v2("cache verify");
    assert_eq!(verified.status, 0, "{}: the store was altered\n{}", name.display(), verified.stdout);
    told
}

fn check(cheat: &Path, bait: &Bait) -> Result<(), String> {
    let name = cheat.strip_prefix(repository()).expect("a fixture of this repository");
    let told = attempt(cheat, bait, |workspace| workspace.v2("build cheat"));
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
