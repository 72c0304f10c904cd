//! Toy graphs, tools and faults: what tests of the engine are written with, ours and anyone's.

pub mod action;
pub mod faults;
pub mod scenario;
pub mod tool;
