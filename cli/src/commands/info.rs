//! `run v2 info`: what a WebAssembly file is, imports and exports; or what a project has to offer.

use std::path::{Path, PathBuf};

use run_engine::action::{ActionId, Input, Source};
use run_engine::digest::{Blob, DigestFunction};
use run_rules::manifest::{Project, TargetKind};
use run_rules::session::{Ask, Goal, Session};
use run_rules::step::inspect::{Inspected, inspect};
use run_rules::step::kind;
use run_rules::target::Target;
use serde_json::json;

use crate::context::{Context, select, verdict};
use crate::fail::Failure;
use crate::put::put;
use crate::report::{Wishes, bytes, plural};

/// Show what a file, a target or the project is
///
/// For a file or a built target: its type, size, digest, imports, and exports as WIT. Without an argument: the
/// project's targets.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A `.wasm` file or a target
    #[arg(value_name = "FILE|TARGET")]
    what: Option<String>,
}

/// Shows it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let Some(what) = args.what.as_deref() else { return project(context) };
    let file = context.env.directory.join(what);
    if file.is_file() {
        return show(&file, what, context);
    }
    if Path::new(what).extension().is_some_and(|extension| extension == "wasm") {
        return Err(Failure::yours(format!("there is no file `{what}`")));
    }
    show(&bring(what, context)?, what, context)
}

/// Brings a target up to date, and tells where its component is.
fn bring(target: &str, context: &mut Context) -> Result<PathBuf, Failure> {
    let options = context.options(Ask { targets: vec![target.to_owned()], goal: Goal::Outputs }, None)?;
    let mut session = context.open(options)?;
    let found = session.find_target(target).filter(|found| found.component.is_some());
    let Some(export) = found.and_then(|found| found.exports.first()) else {
        return Err(Failure::yours(format!("`{target}` is not a component"))
            .help("`run v2 info` lists the targets, `run v2 graph` shows what they are made of"));
    };
    let output = session.root().join(export.to.as_str());
    let selection = select(&session)?;
    let wishes = Wishes { keeps_stdout: true, quiet_when_reused: true, ..Wishes::default() };
    let options = context.build_options();
    verdict(&context.build(&mut session, &selection, options, wishes, &mut |_| false)?)?;
    Ok(output)
}

fn show(file: &Path, name: &str, context: &mut Context) -> Result<(), Failure> {
    let content =
        std::fs::read(file).map_err(|error| Failure::machine(format!("can't read `{}`", file.display()), error))?;
    let binary = match name.ends_with(".wat") {
        true => kind::text(name, &content)
            .map_err(|error| Failure::diagnostics(error.diagnostics, context.env.directory.clone()))?,
        false => content.clone(),
    };
    let found = inspect(&binary).map_err(|error| {
        let why: Vec<&str> = error.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
        let failure = Failure::yours(format!("`{name}`: {}", why.join("; ")));
        error.diagnostics.iter().flat_map(|diagnostic| diagnostic.helps.clone()).fold(failure, Failure::help)
    })?;
    let digest = DigestFunction::Blake3.digest::<Blob>(&content).hex();
    match context.console.is_json() {
        true => context.console.document(&document(name, content.len(), &digest, &found)),
        false => context.console.data(&text(name, content.len(), &digest, &found)),
    }
}

fn text(name: &str, size: usize, digest: &str, found: &Inspected) -> String {
    let mut text = format!("{name}: {}, {}\nblake3: {digest}\n", found.kind.name(), bytes(size as u64));
    for (title, names) in [("imports", &found.imports), ("exports", &found.exports)] {
        put!(text, "{title}:{}\n", if names.is_empty() { " none" } else { "" });
        text.extend(names.iter().map(|name| format!("  {name}\n")));
    }
    if !found.wit.is_empty() {
        put!(text, "\n{}\n", found.wit.trim_end());
    }
    text
}

fn document(name: &str, size: usize, digest: &str, found: &Inspected) -> serde_json::Value {
    json!({
        "name": name, "type": found.kind.name(), "size_bytes": size, "digest": { "blake3": digest },
        "imports": found.imports, "exports": found.exports, "wit": found.wit,
    })
}

fn project(context: &mut Context) -> Result<(), Failure> {
    let options = context.options(Ask { targets: vec![], goal: Goal::Outputs }, None)?;
    let session = context.open(options)?;
    let (project, varying) = (&session.manifest().project, varying(&session));
    match context.console.is_json() {
        true => {
            let targets: Vec<_> = session.targets().iter().map(|t| target_document(t, &varying)).collect();
            let document = json!({
                "name": project.name.as_str(),
                "version": project.version.to_string(),
                "description": project.description,
                "authors": project.authors,
                "license": project.license,
                "repository": project.repository,
                "directory": session.root().display().to_string(),
                "targets": targets,
            });
            context.console.document(&document)
        }
        false => {
            let text = project_text(session.targets(), &varying);
            context.console.data(&format!("{} {}: {text}{}", project.name.as_str(), project.version, about(project)))
        }
    }
}

/// What the project says of itself beyond its name, a line each.
fn about(project: &Project) -> String {
    let mut text = String::new();
    let authors = (!project.authors.is_empty()).then(|| project.authors.join(", "));
    let said = [
        ("description", &project.description),
        ("authors", &authors),
        ("license", &project.license),
        ("repository", &project.repository),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            put!(text, "{name}: {}\n", value.trim_end().replace('\n', " "));
        }
    }
    text
}

const fn target_kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Component => "component",
        TargetKind::Compose => "composition",
        TargetKind::Command => "command",
    }
}

fn target_document(target: &Target, varying: &[&str]) -> serde_json::Value {
    let place = target.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
    json!({
        "name": target.name,
        "kind": target_kind(target.kind),
        "language": target.language.map(|language| language.name()),
        "shape": target.shape.map(|shape| shape.as_str()),
        "tests": target.tests.len(),
        "place": place,
        "varies": varying.contains(&target.name.as_str()),
    })
}

/// The targets that are known to be other bytes at other times or places. What varies on the way to a target and is only
/// used there is not what the target is.
fn varying(session: &Session) -> Vec<&str> {
    let graph = session.graph();
    let is_used = |target: &Target, id: ActionId| {
        let uses = |input: &Input| matches!(&input.source, Source::Output { action, .. } if *action == id);
        target.actions.iter().any(|other| graph.action(*other).inputs.iter().any(uses))
    };
    let varies = |target: &&Target| {
        target.actions.iter().any(|id| match graph.action(*id).varying {
            true => !is_used(target, *id),
            false => session.varies(*id),
        })
    };
    session.targets().iter().filter(varies).map(|target| target.name.as_str()).collect()
}

fn project_text(targets: &[Target], varying: &[&str]) -> String {
    let width = targets.iter().map(|target| target.name.chars().count()).max().unwrap_or_default();
    let mut text = format!("{}\n", plural(targets.len() as u64, "target"));
    for target in targets {
        let language = target.language.map_or_else(String::new, |language| format!(", {language}"));
        let place = target.place.as_ref().map_or_else(String::new, |p| format!("  {}:{}", p.file, p.line));
        let varies = if varying.contains(&target.name.as_str()) { "  (not reproducible)" } else { "" };
        put!(text, "  {:width$}  {}{language}{place}{varies}\n", target.name, target_kind(target.kind));
    }
    text
}

#[cfg(test)]
mod tests {
    use run_engine::action::Place;
    use run_rules::manifest::Language;
    use run_rules::step::kind::Kind;

    use super::*;

    #[test]
    fn targets_stand_in_columns() {
        let target = |name: &str, kind, language| Target {
            name: name.into(),
            kind,
            language,
            shape: None,
            place: Some(Place { file: "run.toml".into(), line: 5 }),
            component: None,
            native: None,
            interface: None,
            package: None,
            tests: Vec::new(),
            exports: Vec::new(),
            outputs: Vec::new(),
            actions: Vec::new(),
        };
        let targets =
            [target("calc", TargetKind::Component, Some(Language::Rust)), target("tokens", TargetKind::Command, None)];
        assert_eq!(
            project_text(&targets, &["tokens"]),
            "2 targets\n  calc    component, rust  run.toml:5\n  tokens  command  run.toml:5  (not reproducible)\n"
        );
    }

    #[test]
    fn a_file_says_what_it_is() {
        let found = Inspected {
            kind: Kind::Component,
            imports: vec![],
            exports: vec!["greet".into()],
            wit: "world root {}\n".into(),
        };
        assert_eq!(
            text("x.wasm", 1250, "ab", &found),
            "x.wasm: component, 1.2 kB\nblake3: ab\nimports: none\nexports:\n  greet\n\nworld root {}\n"
        );
    }
}
