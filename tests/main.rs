//! Every test that runs the `run` binary, or looks at this repository: one binary, linked once.

mod bad;
mod commands;
mod hostile;
mod support;
mod tidy;
