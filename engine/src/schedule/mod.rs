//! Which action may go next: reports in, orders out. Pure; the driver obeys.

mod priority;
mod state;

pub use priority::critical_path;
pub use state::{Limits, Order, Report, Schedule};
