//! Rust, for whoever looks after toolchains: rustup installs it, and here it is completed, locked and verified.

use std::process::{Command, Stdio};

use super::provisions::Provisions;
use crate::cargo::{RustToolchain, WasmTarget};
use crate::diagnostic::Diagnostic;
use crate::facts::tools::rust::{RustPart, environment_of, held, is_wanted, parts};
use crate::toolchain::find_in;
use crate::toolchain::provision::{Locked, Notice, Soundness};

/// Where Rust comes from, in the lockfile.
const SOURCE: &str = "rustup";

impl Provisions {
    /// The Rust of this machine, for a target.
    ///
    /// # Errors
    /// There is none, or it can't compile for the target.
    pub(super) fn rust(&self, target: WasmTarget) -> Result<RustToolchain, Diagnostic> {
        let env = environment_of(self.manifest(), &self.options.root, &self.options.environment);
        let found = RustToolchain::locate(&self.options.root, &env, target)?;
        self.manifest().map_or(Ok(()), |manifest| is_wanted(&found, manifest))?;
        Ok(found)
    }

    /// Has rustup add the standard libraries that are missing.
    pub(super) fn add_rust_targets(&self, tell: &dyn Fn(&Notice)) -> Result<(), Diagnostic> {
        for target in self.rust_targets() {
            match self.rust(target) {
                Err(problem) if problem.code == "missing-wasm-target" => self.add_rust_target(target, problem, tell)?,
                found => drop(found?),
            }
        }
        Ok(())
    }

    fn add_rust_target(
        &self,
        target: WasmTarget,
        missing: Diagnostic,
        tell: &dyn Fn(&Notice),
    ) -> Result<(), Diagnostic> {
        let (environment, triple) = (&self.options.environment, target.triple());
        let Some(rustup) = find_in(&environment.path, "rustup") else {
            let help =
                "this machine has no rustup: install it, see https://rustup.rs, or get it where this Rust was got";
            return Err(Diagnostic { helps: vec![help.to_owned()], ..missing });
        };
        if self.options.offline {
            return Err(missing.note("the network is not to be used").help("leave out `--offline`"));
        }
        tell(&Notice { name: "rust-std".to_owned(), version: triple.to_owned(), from: SOURCE.to_owned() });
        let mut command = Command::new(rustup);
        command.args(["target", "add", triple]).current_dir(&self.options.root).stdin(Stdio::null());
        command.env_clear().envs(environment_of(self.manifest(), &self.options.root, environment));
        let failed =
            |why: String| Diagnostic::error("missing-wasm-target", format!("rustup could not add `{triple}`: {why}"));
        let help = "check that rustup works and reaches its server, and the proxy that it is configured with";
        let done = command.envs(&environment.clients.env).output().map_err(|e| failed(e.to_string()).help(help))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
            return Err(lines.fold(failed(done.status.to_string()), Diagnostic::note).help(help));
        }
        self.rust(target).map(drop)
    }

    /// Locks every part that the project uses.
    pub(super) fn lock_rust(&mut self) -> Result<(), Diagnostic> {
        for target in self.rust_targets() {
            for RustPart { name, platform, version, digest } in self.rust_parts(target)? {
                self.lock.put(Locked { name, platform, version, source: SOURCE.to_owned(), digest });
            }
        }
        Ok(())
    }

    /// Reads every byte of what is locked. Without a lock nothing says what it should be.
    pub(super) fn verify_rust(&self) -> Result<Soundness, Diagnostic> {
        for target in self.rust_targets() {
            let parts = match self.rust_parts(target) {
                Err(problem) if problem.code == "missing-wasm-target" => return Ok(Soundness::Absent),
                parts => parts?,
            };
            if self.lock.find(&parts[0].name, &parts[0].platform).is_some() {
                held(&parts, &self.lock)?;
            }
        }
        Ok(Soundness::Sound)
    }

    fn rust_parts(&self, target: WasmTarget) -> Result<[RustPart; 2], Diagnostic> {
        parts(&self.rust(target)?, &self.toolchains).map_err(|e| e.diagnostic())
    }
}
