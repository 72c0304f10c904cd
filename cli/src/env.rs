//! The door: the only reader of the environment, the current directory, the terminal and the machine's size.

#![expect(clippy::disallowed_methods, reason = "this module is the door")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use run_engine::sandbox::Clients;
use run_rules::session::Environment;

use crate::fail::Failure;

/// What this process was given, read once.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    /// The command line, the program's name included.
    pub(crate) args: Vec<OsString>,
    /// Where the user stands; `.` where even that is gone.
    pub(crate) directory: PathBuf,
    /// Whether standard error is a terminal.
    pub(crate) stderr_is_terminal: bool,
    /// How many things can happen at once.
    pub(crate) cores: NonZeroU32,
    /// When this began.
    pub(crate) started: Instant,
    /// The time of day then.
    pub(crate) looked: SystemTime,
    /// Identifies this program: its version, and its file's size and time.
    pub(crate) revision: String,
    variables: BTreeMap<OsString, OsString>,
}

/// The variables that tools are asked about themselves with.
const FOR_TOOLS: &[&str] = &["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

/// The variables that network clients find their configuration, mirrors and credentials by.
const FOR_CLIENTS: &[&str] = &[
    "HOME",
    "CARGO_HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
    "SSH_AUTH_SOCK",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "XDG_CONFIG_HOME",
    "GOPROXY",
    "GONOPROXY",
    "GOPRIVATE",
    "GOSUMDB",
    "GONOSUMDB",
    "GOINSECURE",
    "PYENV_ROOT",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
];

/// What the variables begin with that configure a client each.
const PREFIXES_FOR_CLIENTS: &[&str] = &["PIP_", "npm_config_", "NPM_CONFIG_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_"];

/// Where every network client finds names and certificates.
const FOR_CLIENTS_TO_READ: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/gitconfig",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// What a process can see of the machine it runs on, in the words of the Remote Execution API's platform lexicon.
fn platform() -> BTreeMap<String, String> {
    let libc = if cfg!(target_env = "musl") {
        "musl"
    } else if cfg!(target_env = "gnu") {
        "gnu"
    } else {
        "system"
    };
    let facts = [("OSFamily", std::env::consts::OS), ("ISA", std::env::consts::ARCH), ("libc", libc)];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The directories that `GOPROXY` names as proxies.
fn directories_of(proxies: &str) -> impl Iterator<Item = PathBuf> {
    proxies.split([',', '|']).filter_map(|proxy| proxy.trim().strip_prefix("file://")).map(PathBuf::from)
}

/// The time of day.
pub(crate) fn time_of_day() -> SystemTime {
    SystemTime::now()
}

/// The version, and the size and time of the program's file: two builds of one version are told apart.
fn revision() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let stamp = file.ok().map(|meta| (meta.len(), meta.modified().ok()));
    format!("{} {stamp:?}", env!("CARGO_PKG_VERSION"))
}

impl Env {
    /// Reads it.
    pub(crate) fn of_this_process() -> Self {
        Self {
            args: std::env::args_os().collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            cores: std::thread::available_parallelism()
                .ok()
                .and_then(|n| NonZeroU32::try_from(n).ok())
                .unwrap_or(NonZeroU32::MIN),
            started: Instant::now(),
            looked: SystemTime::now(),
            revision: revision(),
            variables: std::env::vars_os().collect(),
        }
    }

    /// A variable that is set to something; setting one to nothing is the usual way to unset it in a script.
    pub(crate) fn find(&self, name: &str) -> Option<&OsString> {
        self.variables.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty())
    }

    /// The same, where it is text.
    pub(crate) fn find_text(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|value| value.to_str())
    }

    /// What rules may know.
    ///
    /// # Errors
    /// `SOURCE_DATE_EPOCH` is not a number.
    pub(crate) fn for_rules(&self) -> Result<Environment, Failure> {
        let home = |name: &str| self.find(name).map(PathBuf::from);
        let rustup = home("RUSTUP_HOME").or_else(|| Some(self.home()?.join(".rustup")));
        Ok(Environment {
            path: self.find("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default(),
            tools: self.of(FOR_TOOLS),
            scratch: self.scratch(),
            program: cfg!(target_os = "linux").then(|| PathBuf::from("/proc/self/exe")),
            clients: self.clients(),
            watched: rustup.map(|rustup| rustup.join("settings.toml")).into_iter().collect(),
            source_date_epoch: self.source_date_epoch()?,
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok(),
            platform: platform(),
        })
    }

    /// What clients of package registries may see: variables, and the files these and custom lead them to.
    fn clients(&self) -> Clients {
        let home = self.home().map(Path::to_owned);
        let cargo = self.find("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".cargo")));
        let below = |dir: &Option<PathBuf>, names: &[&str]| -> Vec<PathBuf> {
            dir.iter().flat_map(|dir| names.iter().map(|name| dir.join(name))).collect()
        };
        let mut readable: Vec<PathBuf> = FOR_CLIENTS_TO_READ.iter().map(PathBuf::from).collect();
        readable.extend(below(&home, &[".gitconfig", ".config/git", ".netrc", ".git-credentials", ".ssh"]));
        readable.extend(below(&home, &[".config/go/env"]));
        readable.extend(self.find_text("GOPROXY").into_iter().flat_map(directories_of));
        readable.extend(below(&cargo, &["config.toml", "config", "credentials.toml", "credentials"]));
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR", "CARGO_HTTP_CAINFO", "SSH_AUTH_SOCK"];
        readable.extend(named.iter().filter_map(|name| self.find(name)).map(PathBuf::from));
        Clients {
            env: self.of_clients(),
            private: home.iter().chain(&cargo).cloned().collect(),
            writable: below(&cargo, &["registry/index", "registry/cache", "git/db"]),
            readable,
        }
    }

    /// Where actions run: a directory of this user's in the machine's temporary one.
    fn scratch(&self) -> PathBuf {
        let temporary = self.find("TMPDIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
        let user = rustix::process::getuid().as_raw();
        temporary.unwrap_or_else(|| PathBuf::from("/tmp")).join(format!("run-{user}"))
    }

    /// `SOURCE_DATE_EPOCH`, where it is set.
    ///
    /// # Errors
    /// It is not a number.
    pub(crate) fn source_date_epoch(&self) -> Result<Option<u64>, Failure> {
        self.find_text("SOURCE_DATE_EPOCH").map(str::parse).transpose().map_err(|_| {
            Failure::yours("`SOURCE_DATE_EPOCH` is not a number of seconds")
                .help("set it to seconds since 1970, or unset it")
        })
    }

    /// Some variables, by name. Values that are not text are left out: no tool could be told.
    fn of(&self, names: &[&str]) -> BTreeMap<String, String> {
        names.iter().filter_map(|name| Some(((*name).to_owned(), self.find_text(name)?.to_owned()))).collect()
    }

    /// The variables that clients are configured by.
    fn of_clients(&self) -> BTreeMap<String, String> {
        let mut found = self.of(FOR_CLIENTS);
        let texts = self.variables.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        let theirs = texts.filter(|(name, _)| PREFIXES_FOR_CLIENTS.iter().any(|prefix| name.starts_with(prefix)));
        found.extend(theirs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        found
    }

    /// The user's home.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.find("HOME").map(Path::new)
    }

    /// The directory of the local store, where `RUN_CACHE_DIR` names it.
    pub(crate) fn named_store(&self) -> Option<PathBuf> {
        self.find("RUN_CACHE_DIR").map(|directory| self.directory.join(directory))
    }

    /// The directory of the local store: `RUN_CACHE_DIR`, or `run` in the user's cache directory.
    pub(crate) fn find_store(&self) -> Option<PathBuf> {
        if let Some(directory) = self.named_store() {
            return Some(directory);
        }
        // The specification of these variables says that a relative one is to be ignored.
        match self.find("XDG_CACHE_HOME").map(Path::new).filter(|path| path.is_absolute()) {
            Some(caches) => Some(caches.join("run")),
            None if cfg!(target_os = "macos") => Some(self.home()?.join("Library/Caches/run")),
            None => Some(self.home()?.join(".cache/run")),
        }
    }

    /// Whether the user asked programs for plain text.
    pub(crate) fn is_plain(&self) -> bool {
        self.find("NO_COLOR").is_some() || self.find_text("TERM") == Some("dumb")
    }

    /// Where a program of this name is, among the directories of `PATH`.
    pub(crate) fn find_program(&self, name: &str) -> Option<PathBuf> {
        let path = self.find("PATH")?;
        std::env::split_paths(path).map(|directory| directory.join(name)).find(|file| file.is_file())
    }

    /// An environment of these variables and nothing else, for tests.
    #[cfg(test)]
    pub(crate) fn of_variables(variables: &[(&str, &str)]) -> Self {
        Self {
            args: Vec::new(),
            directory: PathBuf::from("/here"),
            stderr_is_terminal: false,
            cores: NonZeroU32::MIN,
            started: Instant::now(),
            looked: SystemTime::now(),
            revision: String::new(),
            variables: variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_where_the_user_says_and_else_among_the_caches() {
        let store = |variables: &[(&str, &str)]| Env::of_variables(variables).find_store();
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(store(&[("RUN_CACHE_DIR", "/c"), ("HOME", "/h")]), path("/c"));
        assert_eq!(store(&[("RUN_CACHE_DIR", "c")]), path("/here/c"));
        assert_eq!(store(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), path("/x/run"));
        assert_eq!(store(&[]), None);
        if !cfg!(target_os = "macos") {
            assert_eq!(store(&[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]), path("/h/.cache/run"));
        }
    }

    #[test]
    fn a_proxy_that_is_a_directory_is_shown_to_its_client() {
        let readable = |variables: &[(&str, &str)]| Env::of_variables(variables).clients().readable;
        let proxies = readable(&[("GOPROXY", "https://a.example|file:///srv/go,direct"), ("HOME", "/h")]);
        assert!(proxies.contains(&PathBuf::from("/srv/go")), "{proxies:?}");
        assert!(proxies.contains(&PathBuf::from("/h/.config/go/env")), "{proxies:?}");
        assert!(!readable(&[]).contains(&PathBuf::from("/srv/go")));
    }

    #[test]
    fn only_listed_variables_go_below() {
        let variables = [("PATH", "/bin"), ("RUN_AUTH_TOKEN", "secret"), ("CARGO_HOME", "")];
        let below = Env::of_variables(&variables).for_rules().unwrap_or_else(|_| panic!("all of it is fine"));
        assert_eq!(below.tools.into_keys().collect::<Vec<_>>(), ["PATH"]);
        assert_eq!(below.clients.env.len(), 0);
        assert!(Env::of_variables(&[("SOURCE_DATE_EPOCH", "today")]).for_rules().is_err());
    }
}
