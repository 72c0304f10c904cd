//! The door: the only reader of the environment, the current directory, the terminal and the machine's size.

#![expect(clippy::disallowed_methods, reason = "this module is the door")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    variables: BTreeMap<OsString, OsString>,
}

/// The variables that rules may know, because a tool's home or a build's date is said with them. What is keyed of it is
/// decided there; nothing else of the environment goes below this crate.
const FOR_RULES: &[&str] = &[
    "PATH",
    "HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SOURCE_DATE_EPOCH",
    "GOMODCACHE",
    "GOPATH",
    "GOPROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

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

    /// What rules may know, by name. Values that are not text are left out: no tool of theirs could be told.
    pub(crate) fn for_rules(&self) -> BTreeMap<String, String> {
        FOR_RULES.iter().filter_map(|name| Some(((*name).to_owned(), self.find_text(name)?.to_owned()))).collect()
    }

    /// The user's home.
    pub(crate) fn home(&self) -> Option<&Path> {
        self.find("HOME").map(Path::new)
    }

    /// The directory of the local store: `RUN_CACHE_DIR`, or `run` in the user's cache directory.
    pub(crate) fn find_store(&self) -> Option<PathBuf> {
        if let Some(directory) = self.find("RUN_CACHE_DIR") {
            return Some(self.directory.join(directory));
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
    fn only_listed_variables_go_below() {
        let env = Env::of_variables(&[("PATH", "/bin"), ("RUN_AUTH_TOKEN", "secret"), ("CARGO_HOME", "")]);
        assert_eq!(env.for_rules().into_keys().collect::<Vec<_>>(), ["PATH"]);
    }
}
