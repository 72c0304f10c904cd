//! `run v2 why`: why a target was built, or would be, here or compared with another machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use run_engine::action::ActionId;
use run_engine::event::{Event, Failure as ActionFailure};
use run_engine::explain::Reason;
use run_engine::explain::compare::{Side, Verdict, compare};
use run_engine::history::Remembered;
use run_engine::key::KeyRecord;
use run_engine::store::{ActionResult, Blobs as _, OutputNode, Results, Strength};
use run_rules::codes::bad_key_records;
use run_rules::diagnostic::Diagnostic;
use run_rules::session::{Ask, BuildOptions, Goal, Options, Selection, Session, read_manifest};
use serde_json::{Value, json};

use crate::context::{Context, open_failed, select};
use crate::fail::{Failure, Kind};
use crate::keys::{Records, Unreadable};
use crate::put::put;
use crate::report::json;
use crate::report::moment::moment;
use crate::report::plural;
use crate::report::reason::{Tense, Totals, list, paragraph, short};

/// Say why a target was built, or would be
///
/// The smallest true reason: what is different in the key of each action, from what to what, led back to the file that
/// began it. Of what is up to date, what that was compared with. With `--against`, where this machine and another part,
/// from a file that the other wrote with `--export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The target, a part of it (`NAME:native`), or a test
    target: String,
    /// Compare with the key records in FILE
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Write the key records of this target to FILE
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

/// What there is to say of one action.
struct Finding {
    label: String,
    state: State,
    /// Whether it is known to leave other bytes at other times or places.
    varies: bool,
}

enum State {
    /// It would run.
    Would { reason: Reason, record: KeyRecord, totals: Option<Totals> },
    /// Its key depends on what others leave that would run.
    Waits,
    /// The store has its result.
    UpToDate { remembered: Box<Remembered>, result: Option<ActionResult> },
    /// It can't even be tried.
    Broken { why: String },
}

/// Says it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let against = args.against.as_deref().map(|file| read(file, args, context)).transpose()?;
    let (mut session, selection) = open(&args.target, context)?;
    let findings = look(&mut session, &selection, context)?;
    if args.export.is_some() || against.is_some() {
        let sides: BTreeMap<String, Side> =
            findings.iter().filter_map(|finding| Some((finding.label.clone(), finding.side()?))).collect();
        let unknown = findings.iter().filter(|f| f.side().is_none()).map(|f| f.label.clone()).collect();
        let records = Records::new(session.store().function().name(), &args.target, &sides, unknown);
        if let Some(file) = &args.export {
            let file = context.env.directory.join(file);
            std::fs::write(&file, records.to_text())
                .map_err(|error| Failure::machine(format!("can't write `{}`", file.display()), error))?;
        }
        return match against {
            Some((theirs, there)) => tell_apart(&args.target, (&theirs, &there), (&records, &sides), context),
            None => Ok(()),
        };
    }
    if context.console.is_json() {
        let actions: Vec<Value> = findings.iter().map(document).collect();
        let is_up_to_date = findings.iter().all(|finding| matches!(finding.state, State::UpToDate { .. }));
        let document = json!({ "schema": 1, "target": args.target, "up_to_date": is_up_to_date, "actions": actions });
        context.console.document(&document)?;
    } else {
        context.console.data(&(text(&args.target, &findings) + &varying(&findings)))?;
    }
    match findings.iter().any(|finding| matches!(finding.state, State::Broken { .. })) {
        true => Err(Failure::told(Kind::Build)),
        false => Ok(()),
    }
}

/// Opens the project for a target, or for the tests whose names hold what was asked for.
fn open(target: &str, context: &mut Context) -> Result<(Session, Selection), Failure> {
    let ask = |goal| Ask { targets: vec![target.to_owned()], goal };
    let options = context.options(ask(Goal::Outputs), None)?;
    let name = target.split(':').next().unwrap_or(target);
    let is_target = read_manifest(&options.root).is_ok_and(|(manifest, _)| manifest.find_kind(name).is_some());
    // What can't be opened without fetching is opened below, where the fetching is told.
    let at_once = Options { offline: true, ..context.options(ask(Goal::Tests), None)? };
    if !is_target && let Ok(session) = Session::open(at_once, &|_| {}) {
        let selection = select(&session)?;
        if !selection.tests.is_empty() {
            return Ok((session, selection));
        }
    }
    let session = context.open(options)?;
    let selection = select(&session)?;
    Ok((session, selection))
}

/// Looks everything up, and runs nothing.
fn look(session: &mut Session, selection: &Selection, context: &mut Context) -> Result<Vec<Finding>, Failure> {
    let totals = |session: &Session, id: ActionId| {
        let label = &session.graph().action(id).label;
        (id, session.history().find(label).map(|remembered| Totals::of(&remembered.record)))
    };
    let before: BTreeMap<ActionId, Option<Totals>> = session.graph().ids().map(|id| totals(session, id)).collect();
    let (mut would, mut hits) = (BTreeMap::new(), BTreeSet::new());
    let mut note = |event: Event<'_>| match event {
        Event::Started { action, because } => drop(would.insert(action, because.clone())),
        Event::Hit { action, .. } => drop(hits.insert(action)),
        _ => {}
    };
    let dry = BuildOptions { keep_going: true, dry_run: true, ..context.build_options() };
    let root = session.root().to_owned();
    let outcome =
        session.build(selection, dry, &context.cancel, &mut note).map_err(|error| open_failed(error, &root))?;
    let state = |id: ActionId, label: &str| {
        if let (Some(reason), Some(record)) = (would.get(&id), outcome.pending.get(&id)) {
            let totals = before.get(&id).copied().flatten();
            return State::Would { reason: reason.clone(), record: record.clone(), totals };
        }
        match (outcome.failures.get(&id), session.history().find(label)) {
            (Some(failure), _) => State::Broken { why: why_not(failure) },
            (None, Some(remembered)) if hits.contains(&id) => {
                let key = remembered.record.key.parse().ok();
                let result = key.and_then(|key| Results::get(session.store(), &key).ok().flatten());
                State::UpToDate { remembered: Box::new(remembered.clone()), result }
            }
            _ => State::Waits,
        }
    };
    let finding = |id: ActionId| {
        let label = session.graph().action(id).label.clone();
        Finding { state: state(id, &label), varies: session.varies(id), label }
    };
    Ok(session.graph().closure(&selection.wanted).into_iter().map(finding).collect())
}

/// Why an action can't be tried: what can come up before anything runs.
fn why_not(failure: &ActionFailure) -> String {
    match failure {
        ActionFailure::BadInput { why } | ActionFailure::Machine { why } | ActionFailure::Bug { why } => why.clone(),
        other => format!("{other:?}"),
    }
}

impl Finding {
    /// What this machine knows of it, where its key is known.
    fn side(&self) -> Option<Side> {
        match &self.state {
            State::Would { record, .. } => Some(Side { record: record.clone(), outputs: BTreeMap::new() }),
            State::UpToDate { remembered, result } => {
                let outputs = result.iter().flat_map(|result| &result.outputs);
                let outputs = outputs.map(|output| (output.path.to_string(), left(&output.node))).collect();
                Some(Side { record: remembered.record.clone(), outputs })
            }
            State::Waits | State::Broken { .. } => None,
        }
    }
}

fn left(node: &OutputNode) -> String {
    match node {
        OutputNode::File { digest, executable: false } => digest.to_string(),
        OutputNode::File { digest, executable: true } => format!("{digest} executable"),
        OutputNode::Directory { tree } => tree.to_string(),
    }
}

fn document(finding: &Finding) -> Value {
    let mut document = document_of_state(&finding.label, &finding.state);
    document["varies"] = finding.varies.into();
    document
}

fn document_of_state(action: &str, state: &State) -> Value {
    match state {
        State::Would { reason, record, .. } => json!({
            "action": action, "state": "would-run", "ran": false, "reason": json::reason(reason), "key": record.key,
        }),
        State::Waits => json!({ "action": action, "state": "waits", "ran": false, "reason": null }),
        State::UpToDate { remembered, result } => json!({
            "action": action,
            "state": "up-to-date",
            "ran": !remembered.reused,
            "reason": remembered.because.as_ref().map(json::reason),
            "key": remembered.record.key,
            "sandbox": result.as_ref().map(|result| strength(result.strength)),
            "at": moment(remembered.at),
        }),
        State::Broken { why } => {
            json!({ "action": action, "state": "broken", "ran": false, "reason": null, "why": why })
        }
    }
}

const fn strength(strength: Strength) -> &'static str {
    match strength {
        Strength::Bare => "bare",
        Strength::Partial => "partial",
        Strength::Full => "full",
    }
}

/// Names what would leave other bytes if it ran at another time or place.
fn varying(findings: &[Finding]) -> String {
    let labels: Vec<&str> = findings.iter().filter(|f| f.varies).map(|f| f.label.as_str()).collect();
    if labels.is_empty() { String::new() } else { format!("known not to be reproducible: {}\n", labels.join(", ")) }
}

fn text(target: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut waiting = Vec::new();
    let mut up_to_date = Vec::new();
    for Finding { label, state, .. } in findings {
        match state {
            State::Would { reason, totals, .. } => text.push_str(&paragraph(label, reason, *totals, Tense::Would)),
            State::Waits => waiting.push(label.as_str()),
            State::UpToDate { remembered, result } => up_to_date.push((label.as_str(), &**remembered, result.as_ref())),
            State::Broken { why } => put!(text, "{label} can't be run: {why}\n"),
        }
    }
    if !waiting.is_empty() {
        put!(text, "then, unless what they read comes out as it was: {}\n", waiting.join(", "));
    }
    if up_to_date.len() == findings.len() {
        return text + &why_not_built(target, &up_to_date);
    }
    if !up_to_date.is_empty() {
        put!(text, "{} up to date\n", plural(up_to_date.len() as u64, "other action"));
    }
    text
}

type UpToDate<'a> = (&'a str, &'a Remembered, Option<&'a ActionResult>);

/// Of a target that is up to date: why it last was not, and what each key was compared with.
fn why_not_built(target: &str, actions: &[UpToDate<'_>]) -> String {
    let mut text = format!("{target} is up to date: the store has a result under the key of each of its actions\n");
    let is_new = |remembered: &Remembered| matches!(remembered.because, None | Some(Reason::New));
    for (label, remembered, _) in actions.iter().filter(|(_, remembered, _)| !is_new(remembered)) {
        let tense = if remembered.reused { Tense::Reused } else { Tense::Ran };
        let reason = remembered.because.as_ref().unwrap_or(&Reason::New);
        text.push_str(&paragraph(label, reason, Some(Totals::before(&remembered.record, reason)), tense));
    }
    // Most actions of most targets ran once, because they had never been run before; that is one sentence.
    let new = |reused: bool| -> Vec<&str> {
        let fits = |(_, remembered, _): &&UpToDate<'_>| is_new(remembered) && remembered.reused == reused;
        actions.iter().filter(fits).map(|(label, ..)| *label).collect()
    };
    if !new(false).is_empty() {
        put!(text, "nothing was remembered, so these ran: {}\n", new(false).join(", "));
    }
    if !new(true).is_empty() {
        put!(text, "never run here, because the store had their results: {}\n", new(true).join(", "));
    }
    text.push_str("what was compared:\n");
    let width = actions.iter().map(|(label, ..)| label.chars().count()).max().unwrap_or_default();
    for (label, remembered, result) in actions {
        let strength = result.map_or("unknown", |result| strength(result.strength));
        let (key, at) = (short(&remembered.record.key), moment(remembered.at));
        put!(text, "  {label:width$}  key {key}  {strength} sandbox  since {at}\n");
    }
    text
}

/// Tells where this machine and the one that wrote a file part.
fn tell_apart(
    target: &str,
    (theirs, there): (&Records, &BTreeMap<String, Side>),
    (ours, here): (&Records, &BTreeMap<String, Side>),
    context: &mut Context,
) -> Result<(), Failure> {
    let verdicts = if theirs.digest == ours.digest { compare(there, here) } else { BTreeMap::new() };
    let verdict = |label: &String, verdict: &Verdict| (label.clone(), verdict.clone());
    // In the order of this machine's graph, and then what only the other has.
    let known = |label: &&String| !theirs.unknown.contains(*label) && !ours.unknown.contains(*label);
    let verdicts: Vec<(String, Verdict)> =
        verdicts.iter().filter(|(label, _)| known(label)).map(|(label, v)| verdict(label, v)).collect();
    if context.console.is_json() {
        let actions: Vec<Value> = verdicts.iter().map(|(label, verdict)| document_of(label, verdict)).collect();
        let agree = theirs.digest == ours.digest
            && theirs.unknown.is_empty()
            && ours.unknown.is_empty()
            && verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Same);
        let digests = json!({ "there": theirs.digest, "here": ours.digest });
        return context.console.document(&json!({
            "schema": 1, "target": target, "agree": agree, "digest": digests, "actions": actions,
            "unknown": { "there": theirs.unknown, "here": ours.unknown },
        }));
    }
    if theirs.digest != ours.digest {
        return context.console.data(&format!(
            "nothing can be compared: there, bytes are named by {}, and here by {}; `[cache] digest` in run.toml decides\n",
            theirs.digest, ours.digest
        ));
    }
    context.console.data(&comparison(target, &verdicts, theirs, ours))
}

fn document_of(label: &str, verdict: &Verdict) -> Value {
    let changes = |changes: &[run_engine::explain::Change]| json!(changes.iter().map(json::change).collect::<Vec<_>>());
    match verdict {
        Verdict::Same => json!({ "action": label, "verdict": "same" }),
        Verdict::Differs(of) => json!({ "action": label, "verdict": "differs", "changes": changes(of) }),
        Verdict::Follows(of) => json!({ "action": label, "verdict": "follows", "from": of }),
        Verdict::Varies(of) => json!({ "action": label, "verdict": "varies", "changes": changes(of) }),
        Verdict::OnlyThere => json!({ "action": label, "verdict": "only-there" }),
        Verdict::OnlyHere => json!({ "action": label, "verdict": "only-here" }),
    }
}

/// The differences that no other explains come first: they are what there is to do something about.
fn comparison(target: &str, verdicts: &[(String, Verdict)], theirs: &Records, ours: &Records) -> String {
    let mut text = String::new();
    if theirs.run != ours.run {
        put!(text, "`run` is {} there and {} here\n", theirs.run, ours.run);
    }
    for (label, verdict) in verdicts {
        match verdict {
            Verdict::Differs(changes) if changes.is_empty() => {
                put!(text, "{label} is keyed differently, in nothing that is recorded of it\n");
            }
            Verdict::Differs(changes) => put!(text, "{label} is keyed differently there → here:\n{}", list(changes)),
            Verdict::Varies(changes) => put!(
                text,
                "{label} has the same key and left something else there → here, so it can't be reproduced:\n{}",
                list(changes)
            ),
            _ => {}
        }
    }
    let of = |wanted: &dyn Fn(&Verdict) -> bool| -> Vec<&str> {
        verdicts.iter().filter(|(_, verdict)| wanted(verdict)).map(|(label, _)| label.as_str()).collect()
    };
    let mut name = |what: &str, labels: Vec<&str>| {
        if !labels.is_empty() {
            put!(text, "{what}: {}\n", labels.join(", "));
        }
    };
    name("keyed differently only because of these", of(&|verdict| matches!(verdict, Verdict::Follows(_))));
    name("only there", of(&|verdict| *verdict == Verdict::OnlyThere));
    name("only here", of(&|verdict| *verdict == Verdict::OnlyHere));
    name("not known there before others have run", theirs.unknown.iter().map(String::as_str).collect());
    name("not known here before others have run", ours.unknown.iter().map(String::as_str).collect());
    let same = of(&|verdict| *verdict == Verdict::Same).len() as u64;
    match text.is_empty() {
        true => put!(text, "{target} has the same keys there and here ({})\n", plural(same, "action")),
        false => put!(text, "{} the same there and here\n", plural(same, "action")),
    }
    text
}

/// Reads the file to compare with.
fn read(file: &Path, args: &Args, context: &Context) -> Result<(Records, BTreeMap<String, Side>), Failure> {
    let path = context.env.directory.join(file);
    if file == Path::new("remote") && !path.exists() {
        return Err(Failure::yours(
            "`--against remote` needs a remote cache, which this version of `run` does not have",
        )
        .help("compare with a file that `run v2 why TARGET --export FILE` wrote on the other machine"));
    }
    let shown = file.display();
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::yours(format!("can't read `{shown}`: {error}"))
            .help(format!("write it on the other machine: `run v2 why {} --export FILE`", args.target))
    })?;
    let refused = |unreadable: Unreadable| Failure::diagnostics(vec![refusal(file, &unreadable, args)], PathBuf::new());
    let records = Records::from_text(&bytes).map_err(refused)?;
    if records.target != args.target {
        let (theirs, target) = (&records.target, &args.target);
        return Err(Failure::yours(format!("`{shown}` holds the key records of `{theirs}`, not of `{target}`"))
            .help(format!("compare like with like: `run v2 why {theirs} --against {shown}`")));
    }
    let sides = records.sides().map_err(refused)?;
    Ok((records, sides))
}

fn refusal(file: &Path, unreadable: &Unreadable, args: &Args) -> Diagnostic {
    let shown = file.display();
    let again = format!("write it on the other machine: `run v2 why {} --export FILE`", args.target);
    match unreadable {
        Unreadable::Foreign => bad_key_records(format!("`{shown}` holds no key records")).help(again),
        Unreadable::Broken(why) => bad_key_records(format!("the key records in `{shown}` can't be read to their end"))
            .note(why.clone())
            .help(again),
        Unreadable::Version(version) => {
            bad_key_records(format!("the key records in `{shown}` are of version {version}"))
                .note("this `run` reads version 1")
                .help("use the same version of `run` on both machines")
        }
    }
}
