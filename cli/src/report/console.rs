//! `Console`: the two streams of this process. The only writer there is.

use std::io::{self, Write};

use crate::args::{Color, Global};
use crate::env::Env;
use crate::fail::Failure;

/// Standard output, for data that another program may read, and standard error, for everything else.
pub(crate) struct Console {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    json: bool,
    volume: Volume,
    colour: bool,
    moves: bool,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    /// Errors.
    Quiet,
    /// And what happened.
    Normal,
    /// And why.
    Verbose,
}

impl Console {
    /// The streams of this process, used as the flags say.
    pub(crate) fn new(env: &Env, global: &Global) -> Self {
        let colour = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => env.stderr_is_terminal && !env.is_plain(),
        };
        let volume = match (global.quiet, global.verbose) {
            (true, _) => Volume::Quiet,
            (false, true) => Volume::Verbose,
            (false, false) => Volume::Normal,
        };
        Self {
            volume,
            colour,
            moves: env.stderr_is_terminal && env.find_text("TERM") != Some("dumb"),
            ..Self::before_arguments(env, global.json)
        }
    }

    /// The streams of this process while nothing is known of what its user wants.
    pub(crate) fn before_arguments(env: &Env, json: bool) -> Self {
        Self {
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            json,
            volume: Volume::Normal,
            colour: env.stderr_is_terminal && !env.is_plain(),
            moves: false,
        }
    }

    /// Writes data.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn data(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes data that need not be text.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()).map_err(|error| Failure::of_output(&error))
    }

    /// Writes one JSON document, for people to read as well.
    ///
    /// # Errors
    /// When nobody takes it.
    pub(crate) fn document(&mut self, document: &serde_json::Value) -> Result<(), Failure> {
        self.data(&format!("{document:#}\n"))
    }

    /// Says something that a user who asked for quiet does not want to hear.
    pub(crate) fn say(&mut self, text: &str) {
        if self.volume > Volume::Quiet {
            self.complain(text);
        }
    }

    /// Says something that everyone has to hear.
    pub(crate) fn complain(&mut self, text: &str) {
        // Standard error is where we would say that it can't be written.
        let _ = self.stderr.write_all(text.as_bytes());
    }

    /// Whether standard output is for JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// How much is said.
    pub(crate) const fn volume(&self) -> Volume {
        self.volume
    }

    /// Whether text may be coloured.
    pub(crate) const fn has_colour(&self) -> bool {
        self.colour
    }

    /// Whether lines may be written over: somebody is watching.
    pub(crate) const fn moves(&self) -> bool {
        self.moves
    }
}
