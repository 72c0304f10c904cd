//! Components of interpreted languages: the interpreter is run once, at build time, until it has loaded the program, and
//! what its memory then holds becomes the component.
//!
//! Two steps, so that an edit of a program costs the second alone:
//!
//! 1. [`link`] joins an interpreter with the bindings of a world: an [`Engine`]. No program is in it, so its native code is
//!    made once for each world, that of the interpreter's own libraries ([`settle`]) once for all.
//! 2. A language ([`javascript`], [`python`], [`starlingmonkey`]) rehearses the engine with the program in it, [`freeze`]
//!    writes its state back into the engine, and [`seal`] takes away what was there for the rehearsal only.
//!
//! Both are functions of their arguments: [`crate::host`] gives a rehearsal no clock, no randomness and no files but those
//! that are passed.
//!
//! What is deliberately not here: the interpreters themselves, which are files of a toolchain.

pub mod corrections;
pub mod freeze;
pub mod javascript;
pub mod link;
pub mod modules;
pub mod promises;
pub mod python;
pub mod seal;
pub mod settle;
pub mod starlingmonkey;

#[cfg(test)]
mod tests;

use wasmtime::component::Val;

/// An interpreter joined with the bindings of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// A component without a program.
    pub linked: Vec<u8>,
    /// The same, with ways to read its state: this is what is rehearsed.
    pub open: Vec<u8>,
}

/// A program could not be made a component, in words for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Refused {
    /// A message that follows what the program wrote itself.
    fn after(output: &[u8], message: &str) -> Self {
        let mut text = String::from_utf8_lossy(output).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(message.trim_end());
        Self(text)
    }
}

/// What stopped a snapshot.
#[derive(Debug)]
pub enum Stopped {
    /// The program is at fault.
    Program(Refused),
    /// This machine, or whoever asked for an end.
    Host(crate::host::HostError),
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Self {
        Self::Program(refused)
    }
}

impl From<crate::host::HostError> for Stopped {
    fn from(error: crate::host::HostError) -> Self {
        Self::Host(error)
    }
}

/// The text of the error that an interpreter returned.
fn said(value: Val) -> String {
    match value {
        Val::Result(Err(Some(error))) => match *error {
            Val::String(text) => text,
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

/// The numbers of what a program does not have, as the module that loads it lists them in the message of an error.
fn missing(said: &str) -> Option<Vec<usize>> {
    let (_, numbers) = said.split_once("run:missing ")?;
    Some(numbers.lines().next()?.split(' ').filter_map(|number| number.parse().ok()).collect())
}
