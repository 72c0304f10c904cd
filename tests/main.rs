//! Every test that runs the `run` binary, drives the whole engine, or looks at this repository: one binary, linked once.

mod bad;
#[cfg(target_os = "linux")]
mod cheats;
mod commands;
mod hermetic;
mod hostile;
mod kills;
mod limits;
mod oracle;
mod processes;
#[cfg(target_os = "linux")]
mod reproducible;
#[cfg(target_os = "linux")]
mod restricted;
#[cfg(target_os = "linux")]
mod sandbox;
mod scenarios;
mod simulate;
mod strict;
mod support;
mod tidy;
mod toolchains;
