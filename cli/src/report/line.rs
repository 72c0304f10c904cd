//! Events → one line for each action that ran, for logs and for scrolling past.

use run_engine::action::{ActionId, Strength};
use run_engine::event::{Event, Failure, Ran, Streams};
use run_engine::explain::Reason;

use super::Cast;
use super::console::Volume;
use super::reason::{Tense, paragraph};
use super::summary::{self, duration};
use super::verdict;

/// What is told, besides what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detail {
    /// A line for each action that was built.
    pub(crate) built: bool,
    /// What those actions wrote.
    pub(crate) output: bool,
    /// Why they ran.
    pub(crate) reasons: bool,
    /// Nothing is run, so reasons are all there is to tell.
    pub(crate) dry_run: bool,
}

impl Detail {
    /// For a log: everything that happened.
    pub(crate) const fn of(volume: Volume, why: bool, dry_run: bool) -> Self {
        let verbose = matches!(volume, Volume::Verbose);
        Self { built: !dry_run, output: true, reasons: why || verbose || dry_run, dry_run }
    }
}

/// Turns events into text.
pub(crate) struct Lines {
    cast: Cast,
    detail: Detail,
    exported: bool,
    started: u32,
}

impl Lines {
    /// For a build with this cast.
    pub(crate) const fn new(cast: Cast, detail: Detail) -> Self {
        Self { cast, detail, exported: false, started: 0 }
    }

    /// What people call an action.
    pub(crate) fn label(&self, action: ActionId) -> &str {
        self.cast.label(action)
    }

    /// What there is to say about an event: whole lines, or nothing.
    pub(crate) fn text(&mut self, event: &Event<'_>) -> String {
        match event {
            Event::Planned { .. } | Event::Hit { .. } => String::new(),
            Event::Started { action, because } => self.started(*action, because),
            Event::Ran { action, took, how } => {
                let label = self.cast.label(*action);
                let took = duration(*took);
                match how {
                    Ran::Built { unchanged, streams } => self.built(label, &took, *unchanged, streams),
                    Ran::Failed { failure } => failed(label, &took, failure),
                }
            }
            Event::Undeclared { what, help, .. } => format!("  it looked for {what}\n  help: {help}\n"),
            Event::Skipped { action, because_of: Some(failed) } => {
                format!("skipped: {}, which needs {}\n", self.cast.label(*action), self.cast.label(*failed))
            }
            Event::Skipped { because_of: None, .. } => String::new(),
            Event::Exported { .. } => {
                self.exported = true;
                String::new()
            }
            Event::Sandboxed { strength } if self.detail.output => format!("sandbox: {}\n", name_of(*strength)),
            Event::Sandboxed { .. } => String::new(),
            Event::Comparing { .. } => String::new(),
            Event::Compared { action, verdict, .. } => verdict::paragraph(self.cast.label(*action), verdict),
            Event::Degraded { what, instead } => format!("warning: {what}: {instead}\n"),
            Event::Finished { summary } => {
                let reused = summary.reused_local + summary.reused_remote;
                let idle = summary.is_success() && summary.built == 0 && summary.reused_remote == 0;
                if self.detail.dry_run {
                    summary::dry_run(self.started, reused, summary.took)
                } else if let Some(compared) = &summary.compared {
                    summary::last_line(summary) + &verdict::last_line(compared)
                } else if idle && !self.exported {
                    summary::nothing_to_do(self.cast.targets, summary.took)
                } else {
                    summary::last_line(summary)
                }
            }
        }
    }

    fn started(&mut self, action: ActionId, because: &Reason) -> String {
        self.started += 1;
        if !self.detail.reasons {
            return String::new();
        }
        let tense = if self.detail.dry_run { Tense::Would } else { Tense::Ran };
        paragraph(self.cast.label(action), because, self.cast.totals(action), tense)
    }

    fn built(&self, label: &str, took: &str, unchanged: bool, streams: &Streams<'_>) -> String {
        let unchanged = if unchanged { ", output unchanged" } else { "" };
        let mut text = String::new();
        let output = if self.detail.output { quoted(streams.stdout) + &quoted(streams.stderr) } else { String::new() };
        // A tool that had something to say needs its name above it.
        if self.detail.built || !output.is_empty() {
            text = format!("built: {label}, {took}{unchanged}\n");
        }
        text + &output
    }
}

/// What people call a strength.
pub(crate) const fn name_of(strength: Strength) -> &'static str {
    match strength {
        Strength::Bare => "bare",
        Strength::Partial => "partial",
        Strength::Full => "full",
    }
}

pub(super) fn failed(label: &str, took: &str, failure: &Failure) -> String {
    match failure {
        Failure::Ended { status, stdout, stderr, .. } => {
            format!("failed: {label}, {status}, {took}\n{}{}", quoted(stdout), quoted(stderr))
        }
        Failure::MissingOutput { path, stderr } => {
            format!("failed: {label}, it did not make `{path}`, {took}\n{}", quoted(stderr))
        }
        Failure::ChangedInput { path } => format!(
            "failed: {label}, it changed its input `{path}`, {took}\nhelp: have it change a copy, or declare what it makes as an output of another name\n"
        ),
        // The sentence names the output.
        Failure::BadOutput { why, .. } => format!("failed: {label}, its {why}, {took}\n"),
        // The sentence names the file.
        Failure::SourceChanged { why, .. } => format!("failed: {label}, {why}, {took}\nhelp: build again\n"),
        Failure::BadInput { why } => format!("failed: {label}, {why}, {took}\n"),
        Failure::Bug { why } => format!("failed: {label}, {why}, {took}\nthis is a bug in `run`\n"),
        Failure::Machine { why } => {
            format!("failed: {label}, {why}, {took}\nhelp: `run v2 doctor` says what this machine lacks\n")
        }
    }
}

/// A tool's own words, untouched but for a margin that says whose they are.
fn quoted(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).lines().map(|line| format!("  | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, check};
    use super::*;

    fn told(volume: Volume, dry_run: bool) -> String {
        let mut lines = Lines::new(testing::cast(), Detail::of(volume, false, dry_run));
        testing::story(&mut |event| lines.text(&event))
    }

    #[test]
    fn a_line_an_action() {
        check("line.txt", &told(Volume::Normal, false));
    }

    #[test]
    fn and_why_when_asked() {
        check("line-verbose.txt", &told(Volume::Verbose, false));
    }

    #[test]
    fn a_dry_run_is_nothing_but_reasons() {
        let mut lines = Lines::new(testing::cast(), Detail::of(Volume::Normal, false, true));
        let text = lines.text(&Event::Started { action: ActionId(0), because: &Reason::New });
        assert_eq!(text, "calc compile would run because nothing is remembered of it\n");
    }

    #[test]
    fn nothing_to_do_is_said_only_when_nothing_was_done() {
        let summary = run_engine::event::Summary { reused_local: 3, ..Default::default() };
        let mut lines = Lines::new(testing::cast(), Detail::of(Volume::Normal, false, false));
        assert_eq!(lines.text(&Event::Finished { summary }), "nothing to do (2 targets up to date) in 0 ms\n");
        let path = run_engine::path::RelPath::new("target/wasm/calc.wasm").expect("a path");
        lines.text(&Event::Exported { action: ActionId(0), path: &path });
        assert_eq!(lines.text(&Event::Finished { summary }), "0 built, 3 reused (3 local, 0 remote) in 0 ms\n");
    }
}
