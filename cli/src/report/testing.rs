//! One story, for every reporter to tell; what they make of it is in `golden/`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use run_engine::action::ActionId;
use run_engine::event::{Event, Failure, Layer, Ran, Status, Streams, Summary};
use run_engine::explain::{Change, Changed, Reason};
use run_engine::key::{Field, KeyRecord};
use run_engine::path::RelPath;
use run_engine::verdict::{Aspect, Cause, Compared, Difference, Differences, Hint, Verdict};

use super::Cast;
use super::reason::Totals;

/// Three actions of two targets.
pub(crate) fn cast() -> Cast {
    let mut record = KeyRecord::default();
    for (name, value) in [("a", "cargo"), ("b", "build")] {
        record.fields.push((Field::Argument, name.into(), value.into()));
    }
    Cast {
        labels: ["calc compile", "calc componentize", "app compile", "app compose", "hello"].map(str::to_owned).into(),
        totals: HashMap::from([(ActionId(0), Totals::of(&record))]),
        targets: 2,
    }
}

/// A build in which everything happens once.
pub(crate) fn story(tell: &mut dyn FnMut(Event<'_>) -> String) -> String {
    let changed = Reason::Changed(vec![Change {
        what: Changed::Source { path: "work/src/lib.rs".into() },
        old: Some(format!("1f9c{}/7", "0".repeat(60))),
        new: Some(format!("77ab{}/8", "0".repeat(60))),
        roots: vec![],
    }]);
    let failure = Failure::Ended {
        status: Status::Exited(101),
        stdout: Vec::new(),
        stderr: b"error[E0425]: cannot find value `lenght` in this scope\n  --> src/lib.rs:12:5\n".to_vec(),
        lookups: Vec::new(),
    };
    let [calc, component, app, compose, hello] = [0, 1, 2, 3, 4].map(ActionId);
    let path = RelPath::new("target/wasm/calc.wasm").expect("a path");
    let streams = Streams { stdout: b"", stderr: b"warning: unused variable\n" };
    let took = Duration::from_millis(20);
    let hint = Hint { looks_like: "this looks like a time".into(), remedy: "leave it out".into() };
    let difference = |place: &str| Difference {
        place: place.into(),
        what: "differs in line 1: \"a\" and \"b\"".into(),
        hint: Some(hint.clone()),
    };
    let differs = Verdict::Differs {
        differences: Differences { told: vec![difference("out/a"), difference("out/b")], n_more: 3 },
        cause: Cause::Surroundings(vec![Aspect::Hostname]),
    };
    let fails = Verdict::Fails { failure: failure.clone(), cause: Cause::EachTime };
    let compared = Some(Compared { same: 1, varying: 2, fetches: 0, known: 0, unable: 1 });
    let summary = Summary {
        compared,
        built: 2,
        reused_local: 1,
        failed: 1,
        skipped: 1,
        took: Duration::from_millis(6100),
        ..Summary::default()
    };
    [
        Event::Planned { actions: 5, wanted: 2 },
        Event::Hit { action: hello, from: Layer::Local },
        Event::Started { action: calc, because: &changed },
        Event::Started { action: app, because: &Reason::New },
        Event::Degraded { what: "the remote cache did not answer", instead: "building locally" },
        Event::Ran { action: calc, took: Duration::from_millis(1200), how: Ran::Built { unchanged: false, streams } },
        Event::Started { action: component, because: &Reason::ResultLost },
        Event::Ran {
            action: component,
            took: Duration::from_millis(3),
            how: Ran::Built { unchanged: true, streams: Streams::default() },
        },
        Event::Exported { action: component, path: &path },
        Event::Ran { action: app, took: Duration::from_millis(4200), how: Ran::Failed { failure: &failure } },
        Event::Skipped { action: compose, because_of: Some(app) },
        Event::Comparing { actions: 4 },
        Event::Compared { action: calc, took, verdict: &Verdict::Same },
        Event::Compared { action: component, took, verdict: &differs },
        Event::Compared { action: app, took, verdict: &fails },
        Event::Compared { action: hello, took, verdict: &Verdict::Unable { why: "the disk is full".to_owned() } },
        Event::Finished { summary },
    ]
    .into_iter()
    .map(tell)
    .collect()
}

/// Compares with `golden/NAME`, or writes it when `UPDATE_EXPECT` is set.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a switch for people who run the tests")]
pub(crate) fn check(name: &str, actual: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(file.parent().expect("a file has a directory")).expect("the directory can be made");
        std::fs::write(&file, actual).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "{name}; UPDATE_EXPECT=1 writes it anew");
}
