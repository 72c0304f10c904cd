//! The `run` command.

#[cfg_attr(not(test), expect(dead_code, reason = "commands draw what they report with it"))]
mod render;

fn main() {}
