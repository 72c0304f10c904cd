//! Reports: consumes [`Event`]s and owns the terminal while a build runs. Knows no command.

mod amount;
mod bytes;
pub(crate) mod console;
pub(crate) mod ending;
pub(crate) mod json;
pub(crate) mod line;
mod live;
pub(crate) mod moment;
pub(crate) mod reason;
pub(crate) mod summary;
#[cfg(test)]
mod testing;
mod trace;
mod verdict;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use run_engine::action::ActionId;
use run_engine::cancel::Cancel;
use run_engine::event::{Event, EventSink};
use run_engine::graph::ActionGraph;
use run_engine::history::History;
use run_engine::verdict::Verdict;

pub(crate) use self::amount::{bytes, plural};
pub(crate) use self::bytes::Bytes;
use self::console::{Console, Volume};
use self::line::{Detail, Lines};
use self::live::Live;
use self::reason::Totals;
use self::trace::Trace;
use crate::fail::Failure;

/// Who plays in a build: what events, which speak of actions by number, can't say themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cast {
    labels: Vec<String>,
    totals: HashMap<ActionId, Totals>,
    /// How many targets were asked for.
    pub(crate) targets: u32,
}

impl Cast {
    /// The actions of a graph, and what is remembered of them.
    pub(crate) fn new(graph: &ActionGraph, history: &History, targets: u32) -> Self {
        let remembered = |id: ActionId| Some((id, Totals::of(&history.find(&graph.action(id).label)?.record)));
        Self {
            labels: graph.ids().map(|id| graph.action(id).label.clone()).collect(),
            totals: graph.ids().filter_map(remembered).collect(),
            targets,
        }
    }

    /// What people call an action.
    pub(crate) fn label(&self, action: ActionId) -> &str {
        self.labels.get(action.index()).map_or("?", String::as_str)
    }

    /// What its key was made of the last time.
    pub(crate) fn totals(&self, action: ActionId) -> Option<Totals> {
        self.totals.get(&action).copied()
    }
}

/// How a build wants to be reported.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Say why each action runs.
    pub(crate) why: bool,
    /// Nothing is run.
    pub(crate) dry_run: bool,
    /// Where the trace goes.
    pub(crate) profile: Option<PathBuf>,
    /// Say nothing at the end when nothing was run.
    pub(crate) quiet_when_reused: bool,
    /// Standard output is for the command's own results, so the events stay away from it.
    pub(crate) keeps_stdout: bool,
}

/// Reports one build.
pub(crate) struct Reporter<'a> {
    console: &'a mut Console,
    cast: Cast,
    manner: Manner,
    trace: Option<(PathBuf, Trace)>,
    started: Instant,
    cancel: Cancel,
    failure: Option<Failure>,
    quiet_when_reused: bool,
}

enum Manner {
    Json,
    Line(Lines),
    Live(Box<Live>),
}

impl<'a> Reporter<'a> {
    /// Chooses: JSON if that is asked for, a moving display where somebody watches, else lines.
    pub(crate) fn new(console: &'a mut Console, cast: Cast, wishes: Wishes, started: Instant, cancel: &Cancel) -> Self {
        let detail = Detail::of(console.volume(), wishes.why, wishes.dry_run);
        let manner = if console.is_json() && !wishes.keeps_stdout {
            Manner::Json
        } else if console.moves() && console.volume() > Volume::Quiet {
            // Those who watch have seen what was built.
            let detail = Detail { built: detail.reasons && !detail.dry_run, ..detail };
            Manner::Live(Box::new(Live::new(Lines::new(cast.clone(), detail))))
        } else {
            Manner::Line(Lines::new(cast.clone(), detail))
        };
        let trace = wishes.profile.map(|file| (file, Trace::default()));
        let quiet_when_reused = wishes.quiet_when_reused;
        Self { console, cast, manner, trace, started, cancel: cancel.clone(), failure: None, quiet_when_reused }
    }

    /// Puts away the display, and writes the trace.
    ///
    /// # Errors
    /// When events or the trace could not be written.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        match self.trace {
            Some((file, trace)) => write_trace(&file, &trace),
            None => Ok(()),
        }
    }

    fn write_json(&mut self, line: &str) {
        if self.failure.is_none()
            && let Err(failure) = self.console.data(line)
        {
            // Nobody reads what we build for; the first failure is the one to tell.
            self.cancel.cancel();
            self.failure = Some(failure);
        }
    }
}

impl Reporter<'_> {
    /// Takes note of an event that somebody else tells of.
    pub(crate) fn pass(&mut self, event: &Event<'_>) {
        self.trace(event);
        if let Manner::Live(live) = &mut self.manner {
            live.advance(event);
        }
    }

    fn trace(&mut self, event: &Event<'_>) {
        if let Some((_, trace)) = &mut self.trace {
            trace.event(event, self.started.elapsed(), &self.cast);
        }
    }
}

fn write_trace(file: &Path, trace: &Trace) -> Result<(), Failure> {
    std::fs::write(file, trace.text())
        .map_err(|error| Failure::machine(format!("can't write the profile to `{}`", file.display()), error))
}

impl EventSink for Reporter<'_> {
    fn event(&mut self, event: Event<'_>) {
        self.trace(&event);
        let is_failure = is_failure(&event);
        if self.quiet_when_reused
            && let Event::Finished { summary } = &event
            && summary.is_success()
            && summary.built == 0
        {
            return;
        }
        match &mut self.manner {
            Manner::Json => {
                let line = json::line(&event, &self.cast);
                self.write_json(&line);
            }
            Manner::Line(lines) => say(self.console, &lines.text(&event), is_failure),
            Manner::Live(live) => {
                let text = live.event(&event);
                if !text.is_empty() {
                    live.aside(|| say(self.console, &text, is_failure));
                }
            }
        }
    }
}

/// What even a user who asked for quiet has to hear.
const fn is_failure(event: &Event<'_>) -> bool {
    use run_engine::event::Ran;
    match event {
        Event::Ran { how: Ran::Failed { .. }, .. } => true,
        Event::Compared { verdict, .. } => !matches!(verdict, Verdict::Same | Verdict::Fetches | Verdict::Known),
        Event::Finished { summary } => !summary.is_success(),
        _ => false,
    }
}

fn say(console: &mut Console, text: &str, is_failure: bool) {
    if is_failure {
        console.complain(text);
    } else {
        console.say(text);
    }
}
