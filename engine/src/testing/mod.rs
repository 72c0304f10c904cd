//! Toy graphs, tools, machines and faults: what tests of the engine are written with, ours and anyone's.

pub mod action;
pub mod faults;
pub mod machine;
pub mod scenario;
pub mod tool;
pub mod turns;
mod volume;
pub mod weather;
pub mod workspace;
