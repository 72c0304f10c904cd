//! The moving display: what runs now, and how far along the build is. What stays is what [`Lines`] says.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use run_engine::action::ActionId;
use run_engine::event::Event;

use super::line::Lines;

/// How many running actions are named.
const NAMED: usize = 4;

/// One line that is written over, below the lines that stay.
pub(crate) struct Live {
    lines: Lines,
    bar: ProgressBar,
    running: Vec<ActionId>,
}

impl Live {
    /// On standard error, which is a terminal.
    pub(crate) fn new(lines: Lines) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(20));
        let style = ProgressStyle::with_template("{spinner} [{pos}/{len}] {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { lines, bar, running: Vec::new() }
    }

    /// Draws, and returns what is to stay when the display is gone.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> String {
        let text = self.lines.text(event);
        self.advance(event);
        text
    }

    /// Draws how far along the build is.
    pub(crate) fn advance(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned { actions, .. } => {
                self.bar.set_length(u64::from(*actions));
                self.bar.enable_steady_tick(Duration::from_millis(100));
            }
            Event::Started { action, .. } => self.running.push(*action),
            // What another process ran in the meantime was started, and is found after all.
            Event::Ran { action, .. } | Event::Hit { action, .. } => {
                self.running.retain(|running| running != action);
                self.settle_one();
            }
            Event::Skipped { .. } | Event::Compared { .. } => self.settle_one(),
            Event::Comparing { actions } => {
                self.bar.set_position(0);
                self.bar.set_length(u64::from(*actions));
            }
            Event::Finished { .. } => return self.bar.finish_and_clear(),
            Event::Exported { .. } | Event::Degraded { .. } | Event::Undeclared { .. } | Event::Sandboxed { .. } => {}
        }
        self.bar.set_message(self.message());
    }

    fn settle_one(&self) {
        self.bar.inc(1);
        // What makes others faster is asked for only when it is needed, so more can settle than was planned.
        if self.bar.length().is_some_and(|length| self.bar.position() > length) {
            self.bar.inc_length(1);
        }
    }

    /// Writes with the display out of the way.
    pub(crate) fn aside(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    fn message(&self) -> String {
        let names: Vec<&str> = self.running.iter().take(NAMED).map(|action| self.lines.label(*action)).collect();
        let more = self.running.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", names.join(", "))
    }
}
