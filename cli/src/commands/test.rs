//! `run v2 test`: runs tests as targets of the graph; an unchanged test is not run again.

use std::num::NonZeroU32;
use std::path::PathBuf;

use run_engine::action::ActionId;
use run_engine::event::{Event, Failure as ActionFailure, Ran};
use run_rules::manifest::Profile;
use run_rules::session::{Ask, BuildOptions, Goal, up_to_date};
use run_rules::target::TestTarget;
use serde_json::json;

use crate::context::{Context, select, verdict};
use crate::fail::{Failure, Kind};
use crate::put::put;
use crate::report::{Wishes, summary};

/// Build what is needed and run the tests
///
/// A test whose component, arguments and expectation are as they were is not run again; its result is reused. A test
/// that fails never is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets whose tests to run, or parts of tests' names; all tests by default
    #[arg(value_name = "TARGET|FILTER")]
    names: Vec<String>,
    /// A component whose tests to run; the same as naming it
    #[arg(long, value_name = "NAME")]
    component: Vec<String>,
    /// Accepted: tests are always built first
    #[arg(long, hide_short_help = true)]
    build: bool,
    /// Test what is compiled for debugging
    #[arg(long)]
    debug: bool,
    /// Run every test again, whatever the store has
    #[arg(long)]
    force: bool,
    /// Go on after a failure (the default)
    #[arg(long, hide_short_help = true)]
    keep_going: bool,
    /// Run at most N actions at once; the number of cores by default
    #[arg(short, long, value_name = "N", value_parser = crate::args::jobs)]
    jobs: Option<NonZeroU32>,
    /// Write a report in JUnit's format to FILE
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// One test, and what became of it.
#[derive(Debug)]
struct Case {
    name: String,
    /// The action that gives the verdict.
    action: ActionId,
    verdict: Verdict,
    took_ms: u128,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass {
        cached: bool,
    },
    /// What was expected and what came.
    Fail(String),
    /// What it needs could not be built, or the build was ended.
    NotRun,
}

/// Tests.
pub(crate) fn run(mut args: Args, context: &mut Context) -> Result<(), Failure> {
    args.names.extend_from_slice(&args.component);
    let profile = args.debug.then_some(Profile::Debug);
    let ask = Ask { targets: args.names.clone(), goal: Goal::Tests };
    let options = context.options(ask, profile)?;
    if !args.force
        && let Some(done) = up_to_date(&options)
    {
        let passed = |name| Case { name, action: ActionId(0), verdict: Verdict::Pass { cached: true }, took_ms: 0 };
        context.console.say(&summary::nothing_to_do(done.n_targets, context.env.started.elapsed()));
        return report(&args, &done.tests.into_iter().map(passed).collect::<Vec<_>>(), context);
    }
    let mut session = context.open(options)?;
    // A name alone may be a part of a test's name; this one is a target's.
    if let Some(unknown) = args.component.iter().find(|name| session.manifest().find_kind(name).is_none()) {
        return Err(Failure::yours(format!("no target is called `{}`", unknown.escape_debug()))
            .help("`run v2 info` lists the targets"));
    }
    let selection = select(&session)?;
    if selection.tests.is_empty() {
        return Err(no_tests(&args.names));
    }
    let mut tally = Tally::new(&selection.tests);
    let wishes = Wishes { keeps_stdout: true, ..Wishes::default() };
    let options = BuildOptions {
        jobs: usize::try_from(args.jobs.unwrap_or(context.env.cores).get()).unwrap_or(1),
        keep_going: true,
        force: args.force,
        dry_run: false,
        verify: false,
    };
    // What a test has to say goes to standard output, with its verdict.
    let outcome = context.build(&mut session, &selection, options, wishes, &mut |event| tally.take(event))?;
    report(&args, &tally.cases, context)?;
    if tally.failed_builds > 0 || outcome.summary.cancelled {
        return verdict(&outcome);
    }
    match count(&tally.cases).1 {
        0 => Ok(()),
        _ => Err(Failure::told(Kind::Tests)),
    }
}

fn no_tests(names: &[String]) -> Failure {
    let failure = match names {
        [] => Failure::new(Kind::NoTests, "no tests found"),
        names => Failure::new(Kind::NoTests, format!("no tests found for `{}`", names.join("`, `"))),
    };
    failure
        .help("add a `[[test]]` to `run.toml`, or export a function whose name starts with `test-` and takes nothing")
}

/// Says what became of the tests, on standard output and where else it was asked for.
fn report(args: &Args, cases: &[Case], context: &mut Context) -> Result<(), Failure> {
    if let Some(file) = &args.junit {
        let file = context.env.directory.join(file);
        std::fs::write(&file, junit(cases))
            .map_err(|error| Failure::machine(format!("can't write `{}`", file.display()), error))?;
    }
    match context.console.is_json() {
        true => context.console.document(&document(cases)),
        false => context.console.data(&text(cases)),
    }
}

/// Listens to a build for the verdicts of tests.
struct Tally {
    cases: Vec<Case>,
    /// Actions that failed and are no test's verdict.
    failed_builds: u32,
}

impl Tally {
    fn new(tests: &[TestTarget]) -> Self {
        let case = |test: &TestTarget| Case {
            name: test.name.clone(),
            action: test.action,
            verdict: Verdict::NotRun,
            took_ms: 0,
        };
        Self { cases: tests.iter().map(case).collect(), failed_builds: 0 }
    }

    /// Takes an event into account; true when nobody else has to tell of it.
    fn take(&mut self, event: &Event<'_>) -> bool {
        let action = match event {
            Event::Hit { action, .. } | Event::Ran { action, .. } => *action,
            _ => return false,
        };
        let case = self.cases.iter_mut().find(|case| case.action == action);
        match event {
            Event::Hit { .. } => {
                if let Some(case) = case {
                    case.verdict = Verdict::Pass { cached: true };
                }
                false
            }
            Event::Ran { took, how, .. } => match (case, how) {
                (Some(case), Ran::Built { .. }) => {
                    (case.verdict, case.took_ms) = (Verdict::Pass { cached: false }, took.as_millis());
                    true
                }
                (Some(case), Ran::Failed { failure: ActionFailure::Ended { stdout, stderr, .. } }) => {
                    case.verdict = Verdict::Fail(said(stdout, stderr));
                    case.took_ms = took.as_millis();
                    true
                }
                // A test that could not even be tried is no verdict on the component.
                (_, Ran::Failed { .. }) => {
                    self.failed_builds += 1;
                    false
                }
                (None, Ran::Built { .. }) => false,
            },
            _ => false,
        }
    }
}

/// Why a test failed, then what its guest wrote.
fn said(stdout: &[u8], stderr: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(stderr).into_owned();
    if !stdout.is_empty() {
        put!(text, "the guest wrote to stdout:\n{}", String::from_utf8_lossy(stdout));
    }
    text
}

/// How many passed, and how many failed.
fn count(cases: &[Case]) -> (usize, usize) {
    let passed = cases.iter().filter(|case| matches!(case.verdict, Verdict::Pass { .. })).count();
    let failed = cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail(_))).count();
    (passed, failed)
}

fn text(cases: &[Case]) -> String {
    let mut text = String::new();
    for Case { name, verdict, .. } in cases {
        match verdict {
            Verdict::Pass { cached: false } => put!(text, "PASS {name}\n"),
            Verdict::Pass { cached: true } => put!(text, "PASS {name} (cached)\n"),
            Verdict::Fail(why) => {
                put!(text, "FAIL {name}\n");
                text.extend(why.lines().map(|line| format!("  {line}\n")));
            }
            Verdict::NotRun => put!(text, "SKIP {name}\n"),
        }
    }
    let (passed, failed) = count(cases);
    text + &format!("{passed} passed, {failed} failed\n")
}

fn document(cases: &[Case]) -> serde_json::Value {
    let (passed, failed) = count(cases);
    let tests: Vec<_> = cases
        .iter()
        .map(|Case { name, verdict, .. }| match verdict {
            Verdict::Pass { cached } => json!({ "name": name, "outcome": "pass", "cached": cached }),
            Verdict::Fail(why) => json!({ "name": name, "outcome": "fail", "cached": false, "detail": why }),
            Verdict::NotRun => json!({ "name": name, "outcome": "not-run", "cached": false }),
        })
        .collect();
    json!({ "schema": 1, "passed": passed, "failed": failed, "tests": tests })
}

fn junit(cases: &[Case]) -> String {
    let (_, failed) = count(cases);
    let skipped = cases.iter().filter(|case| case.verdict == Verdict::NotRun).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"run\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\">\n",
        cases.len()
    );
    for Case { name, verdict, took_ms, .. } in cases {
        let inside = match verdict {
            Verdict::Pass { .. } => String::new(),
            Verdict::Fail(why) => format!("<failure>{}</failure>", escape(why)),
            Verdict::NotRun => "<skipped/>".to_owned(),
        };
        let seconds = format!("{}.{:03}", took_ms / 1000, took_ms % 1000);
        put!(text, "  <testcase name=\"{}\" time=\"{seconds}\">{inside}</testcase>\n", escape(name));
    }
    text + "</testsuite>\n"
}

/// XML has no way to say most control characters, so they become what stands for the unknown.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use run_engine::event::{Layer, Status, Streams};

    use super::*;

    fn tally() -> Tally {
        let case =
            |n: u32, name: &str| Case { name: name.into(), action: ActionId(n), verdict: Verdict::NotRun, took_ms: 0 };
        let cases = vec![case(1, "greet_42"), case(2, "adds"), case(3, "fails"), case(4, "late")];
        let mut tally = Tally { cases, failed_builds: 0 };
        let failure = ActionFailure::Ended {
            status: Status::Exited(1),
            stdout: Vec::new(),
            stderr: b"expected: 5\n  actual: 4\n".to_vec(),
            lookups: Vec::new(),
        };
        let took = Duration::from_millis(12);
        let built = || Ran::Built { unchanged: false, streams: Streams::default() };
        tally.take(&Event::Hit { action: ActionId(1), from: Layer::Local });
        tally.take(&Event::Ran { action: ActionId(2), took, how: built() });
        assert!(tally.take(&Event::Ran { action: ActionId(3), took, how: Ran::Failed { failure: &failure } }));
        tally
    }

    #[test]
    fn verdicts_are_lines() {
        assert_eq!(
            text(&tally().cases),
            "PASS greet_42 (cached)\nPASS adds\nFAIL fails\n  expected: 5\n    actual: 4\nSKIP late\n2 passed, 1 failed\n"
        );
    }

    #[test]
    fn what_fails_before_a_test_is_a_failed_build() {
        let mut tally = tally();
        let failure = ActionFailure::Machine { why: "no space".into() };
        for action in [0, 4].map(ActionId) {
            let how = Ran::Failed { failure: &failure };
            assert!(!tally.take(&Event::Ran { action, took: Duration::ZERO, how }));
        }
        assert_eq!(tally.failed_builds, 2);
    }

    #[test]
    fn junit_is_well_formed() {
        let mut tally = tally();
        tally.cases[2].verdict = Verdict::Fail("<\x1b[1m&".into());
        let xml = junit(&tally.cases);
        assert!(xml.contains("<failure>&lt;\u{fffd}[1m&amp;</failure>"), "{xml}");
        assert!(xml.contains("tests=\"4\" failures=\"1\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("<testcase name=\"adds\" time=\"0.012\"></testcase>"), "{xml}");
    }
}
