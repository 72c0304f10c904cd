//! Events → the public, versioned JSON of `cli/docs/events.md`: an event a line.
//!
//! These structs are not the engine's: renaming something there changes nothing here.

use std::time::Duration;

use run_engine::action::ActionId;
use run_engine::event::{Event, Failure, Layer, Ran, Summary};
use run_engine::explain::{Change, Changed, Reason, Root};
use run_engine::key::Field;
use run_engine::verdict::{Compared, Difference, Verdict};
use serde::Serialize;

use super::Cast;
use super::bytes::Bytes;
use super::reason::{brief, shown_path};

/// Raised when a field changes its meaning or goes away; new events and fields do not raise it.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Public<'a> {
    Planned {
        schema: u32,
        actions: u32,
        wanted: u32,
    },
    Hit {
        action: &'a str,
        from: &'static str,
    },
    Started {
        action: &'a str,
        reason: PublicReason<'a>,
    },
    Built {
        action: &'a str,
        duration_ms: u64,
        unchanged: bool,
        #[serde(skip_serializing_if = "Bytes::is_empty")]
        stdout: Bytes<'a>,
        #[serde(skip_serializing_if = "Bytes::is_empty")]
        stderr: Bytes<'a>,
    },
    Failed {
        action: &'a str,
        duration_ms: u64,
        failure: PublicFailure<'a>,
    },
    Skipped {
        action: &'a str,
        because_of: Option<&'a str>,
    },
    Exported {
        action: &'a str,
        path: &'a str,
    },
    Comparing {
        actions: u32,
    },
    Compared {
        action: &'a str,
        duration_ms: u64,
        #[serde(flatten)]
        verdict: PublicVerdict<'a>,
    },
    Degraded {
        what: &'a str,
        instead: &'a str,
    },
    Sandbox {
        strength: &'static str,
    },
    Undeclared {
        action: &'a str,
        what: &'a str,
        help: &'a str,
    },
    Finished {
        ok: bool,
        built: u32,
        reused: Reused,
        failed: u32,
        #[serde(skip_serializing_if = "is_zero")]
        skipped: u32,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        compared: Option<PublicCompared>,
        duration_ms: u64,
    },
}

#[derive(Serialize)]
struct PublicCompared {
    same: u32,
    varying: u32,
    fetches: u32,
    known: u32,
    unable: u32,
}

#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
enum PublicVerdict<'a> {
    Same,
    Differs { differences: Vec<PublicDifference<'a>>, more: usize, cause: String },
    Fails { failure: PublicFailure<'a>, cause: String },
    Fetches,
    Known,
    Unable { why: &'a str },
}

#[derive(Serialize)]
struct PublicDifference<'a> {
    place: &'a str,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_like: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
}

#[derive(Serialize)]
struct Reused {
    local: u32,
    remote: u32,
}

#[derive(Serialize)]
pub(crate) struct PublicReason<'a> {
    kind: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<PublicChange<'a>>,
}

#[derive(Serialize)]
pub(crate) struct PublicChange<'a> {
    what: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    made_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a str>,
    old: Option<&'a str>,
    new: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roots: Vec<PublicRoot<'a>>,
}

#[derive(Serialize)]
struct PublicRoot<'a> {
    through: &'a [String],
    reason: PublicReason<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum PublicFailure<'a> {
    Ended { status: String, stdout: Bytes<'a>, stderr: Bytes<'a> },
    MissingOutput { path: &'a str, stderr: Bytes<'a> },
    ChangedInput { path: &'a str },
    BadOutput { path: &'a str, why: &'a str },
    SourceChanged { path: &'a str, why: &'a str },
    BadInput { why: &'a str },
    Machine { why: &'a str },
    Bug { why: &'a str },
}

/// An event as a line.
pub(crate) fn line(event: &Event<'_>, cast: &Cast) -> String {
    let mut line = serde_json::to_string(&public(event, cast)).expect("these structs have no maps with other keys");
    line.push('\n');
    line
}

/// The only event of a build that found everything in place without looking further.
pub(crate) fn up_to_date(targets: u32, took: Duration, cast: &Cast) -> String {
    let planned = Event::Planned { actions: 0, wanted: targets };
    let finished = Event::Finished { summary: Summary { took, ..Summary::default() } };
    line(&planned, cast) + &line(&finished, cast)
}

fn public<'a>(event: &'a Event<'a>, cast: &'a Cast) -> Public<'a> {
    let name = |action: ActionId| cast.label(action);
    match event {
        Event::Planned { actions, wanted } => Public::Planned { schema: SCHEMA, actions: *actions, wanted: *wanted },
        Event::Hit { action, from } => Public::Hit { action: name(*action), from: layer(*from) },
        Event::Started { action, because } => Public::Started { action: name(*action), reason: reason(because) },
        Event::Ran { action, took, how } => match how {
            Ran::Built { unchanged, streams } => Public::Built {
                action: name(*action),
                duration_ms: milliseconds(*took),
                unchanged: *unchanged,
                stdout: Bytes(streams.stdout),
                stderr: Bytes(streams.stderr),
            },
            Ran::Failed { failure: why } => {
                Public::Failed { action: name(*action), duration_ms: milliseconds(*took), failure: failure(why) }
            }
        },
        Event::Sandboxed { strength } => Public::Sandbox { strength: super::line::name_of(*strength) },
        Event::Undeclared { action, what, help } => Public::Undeclared { action: name(*action), what, help },
        Event::Skipped { action, because_of } => {
            Public::Skipped { action: name(*action), because_of: because_of.map(name) }
        }
        Event::Exported { action, path } => Public::Exported { action: name(*action), path: path.as_str() },
        Event::Comparing { actions } => Public::Comparing { actions: *actions },
        Event::Compared { action, took, verdict } => Public::Compared {
            action: name(*action),
            duration_ms: milliseconds(*took),
            verdict: public_verdict(verdict),
        },
        Event::Degraded { what, instead } => Public::Degraded { what, instead },
        Event::Finished { summary } => finished(summary),
    }
}

fn public_difference(Difference { place, what, hint }: &Difference) -> PublicDifference<'_> {
    let (looks_like, remedy) = hint.as_ref().map(|h| (h.looks_like.as_str(), h.remedy.as_str())).unzip();
    PublicDifference { place, what, looks_like, remedy }
}

fn public_verdict(verdict: &Verdict) -> PublicVerdict<'_> {
    match verdict {
        Verdict::Same => PublicVerdict::Same,
        Verdict::Fetches => PublicVerdict::Fetches,
        Verdict::Known => PublicVerdict::Known,
        Verdict::Unable { why } => PublicVerdict::Unable { why },
        Verdict::Fails { failure: why, cause } => {
            PublicVerdict::Fails { failure: failure(why), cause: cause.to_string() }
        }
        Verdict::Differs { differences, cause } => PublicVerdict::Differs {
            differences: differences.told.iter().map(public_difference).collect(),
            more: differences.n_more,
            cause: cause.to_string(),
        },
    }
}

fn finished(summary: &Summary) -> Public<'static> {
    Public::Finished {
        ok: summary.is_success(),
        built: summary.built,
        reused: Reused { local: summary.reused_local, remote: summary.reused_remote },
        failed: summary.failed,
        skipped: summary.skipped,
        cancelled: summary.cancelled,
        compared: summary.compared.map(|Compared { same, varying, fetches, known, unable }| PublicCompared {
            same,
            varying,
            fetches,
            known,
            unable,
        }),
        duration_ms: milliseconds(summary.took),
    }
}

/// A reason in public.
pub(crate) fn reason(because: &Reason) -> PublicReason<'_> {
    let (kind, changes) = match because {
        Reason::New => ("new", &[][..]),
        Reason::Changed(changes) => ("changed", changes.as_slice()),
        Reason::ResultLost => ("result-lost", &[][..]),
        Reason::FailedBefore => ("failed-before", &[][..]),
        Reason::WeakerSandbox => ("weaker-sandbox", &[][..]),
        Reason::Forced => ("forced", &[][..]),
        Reason::Rewound => ("rewound", &[][..]),
        Reason::Unexplained => ("unexplained", &[][..]),
    };
    PublicReason { kind, text: brief(because), changes: changes.iter().map(change).collect() }
}

/// A change in public.
pub(crate) fn change(change: &Change) -> PublicChange<'_> {
    let (what, name, made_by, tools) = match &change.what {
        Changed::Source { path } => ("source", shown_path(path), None, None),
        Changed::Made { path, by } => ("made", shown_path(path), Some(by.as_str()), None),
        Changed::Mounted { path, name } => ("tools", path.as_str(), None, Some(name.as_str())),
        Changed::Field { field, name } => (field_name(*field), name.as_str(), None, None),
    };
    let roots = change.roots.iter().map(root).collect();
    PublicChange { what, name, made_by, tools, old: change.old.as_deref(), new: change.new.as_deref(), roots }
}

fn root(root: &Root) -> PublicRoot<'_> {
    PublicRoot { through: &root.through, reason: reason(&root.because) }
}

/// The name of a kind of keyed value.
pub(crate) const fn field_name(field: Field) -> &'static str {
    match field {
        Field::Argument => "argument",
        Field::Variable => "variable",
        Field::Output => "output",
        Field::Directory => "directory",
        Field::Property => "property",
        Field::Timeout => "timeout",
        Field::Salt => "salt",
        Field::InputRoot => "input-root",
    }
}

fn failure(failure: &Failure) -> PublicFailure<'_> {
    match failure {
        Failure::Ended { status, stdout, stderr, .. } => {
            PublicFailure::Ended { status: status.to_string(), stdout: Bytes(stdout), stderr: Bytes(stderr) }
        }
        Failure::ChangedInput { path } => PublicFailure::ChangedInput { path: path.as_str() },
        Failure::MissingOutput { path, stderr } => {
            PublicFailure::MissingOutput { path: path.as_str(), stderr: Bytes(stderr) }
        }
        Failure::BadOutput { path, why } => PublicFailure::BadOutput { path, why },
        Failure::SourceChanged { path, why } => PublicFailure::SourceChanged { path: shown_path(path), why },
        Failure::BadInput { why } => PublicFailure::BadInput { why },
        Failure::Machine { why } => PublicFailure::Machine { why },
        Failure::Bug { why } => PublicFailure::Bug { why },
    }
}

const fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Local => "local",
        Layer::Remote => "remote",
    }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

const fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, check};
    use super::*;

    #[test]
    fn every_event_has_its_line() {
        let cast = testing::cast();
        check("json.txt", &testing::story(&mut |event| line(&event, &cast)));
    }

    #[test]
    fn the_last_line_is_the_one_that_is_promised() {
        let summary = Summary {
            built: 3,
            reused_local: 38,
            reused_remote: 3,
            took: Duration::from_millis(6100),
            ..Summary::default()
        };
        assert_eq!(
            line(&Event::Finished { summary }, &testing::cast()),
            concat!(
                r#"{"event":"finished","ok":true,"built":3,"reused":{"local":38,"remote":3},"failed":0,"#,
                r#""duration_ms":6100}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_documentation_knows_every_event() {
        let documentation = include_str!("../../docs/events.md");
        let names = [
            "planned",
            "hit",
            "started",
            "built",
            "failed",
            "skipped",
            "exported",
            "comparing",
            "compared",
            "degraded",
            "finished",
        ];
        for name in names {
            assert!(documentation.contains(&format!("## `{name}`")), "cli/docs/events.md says nothing of `{name}`");
        }
    }
}
