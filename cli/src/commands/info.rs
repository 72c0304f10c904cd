//! `run v2 info`: what a WebAssembly file is, imports and exports; or what a project has to offer.

use std::path::Path;

use run_engine::digest::{Blob, DigestFunction};
use run_rules::inspect::{Inspected, Kind as Wasm, inspect};
use run_rules::manifest::{Project, TargetKind};
use run_rules::session::{Ask, Goal};
use run_rules::target::Target;
use serde_json::json;

use crate::context::Context;
use crate::fail::Failure;
use crate::put::put;
use crate::report::{bytes, plural};

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
    let output = context.project()?.join("target/wasm").join(format!("{what}.wasm"));
    if !output.is_file() {
        return Err(Failure::yours(format!("`{what}` is neither a file nor a target that is built"))
            .help(format!("`run v2 build {what}` builds it, if it is a target; `run v2 info` lists the targets")));
    }
    show(&output, what, context)
}

fn show(file: &Path, name: &str, context: &mut Context) -> Result<(), Failure> {
    let content =
        std::fs::read(file).map_err(|error| Failure::machine(format!("can't read `{}`", file.display()), error))?;
    let found = inspect(&content).map_err(|diagnostic| {
        let failure = Failure::yours(format!("`{name}`: {}", diagnostic.message));
        diagnostic.helps.into_iter().fold(failure, Failure::help)
    })?;
    let digest = DigestFunction::Blake3.digest::<Blob>(&content).hex();
    match context.console.is_json() {
        true => context.console.document(&document(name, content.len(), &digest, &found)),
        false => context.console.data(&text(name, content.len(), &digest, &found)),
    }
}

const fn kind(kind: Wasm) -> &'static str {
    match kind {
        Wasm::Component => "component",
        Wasm::Module => "core module",
        Wasm::WitPackage => "WIT package",
    }
}

fn text(name: &str, size: usize, digest: &str, found: &Inspected) -> String {
    let mut text = format!("{name}: {}, {}\nblake3: {digest}\n", kind(found.kind), bytes(size as u64));
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
        "name": name, "type": kind(found.kind), "size_bytes": size, "digest": { "blake3": digest },
        "imports": found.imports, "exports": found.exports, "wit": found.wit,
    })
}

fn project(context: &mut Context) -> Result<(), Failure> {
    let options = context.options(Ask { targets: vec![], goal: Goal::Outputs }, None)?;
    let session = context.open(options)?;
    let project = &session.manifest().project;
    match context.console.is_json() {
        true => {
            let targets: Vec<_> = session.targets().iter().map(target_document).collect();
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
            let text = project_text(session.targets());
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

fn target_document(target: &Target) -> serde_json::Value {
    let place = target.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
    json!({
        "name": target.name,
        "kind": target_kind(target.kind),
        "language": target.language.map(|language| language.name()),
        "shape": target.shape.map(|shape| shape.as_str()),
        "tests": target.tests.len(),
        "place": place,
    })
}

fn project_text(targets: &[Target]) -> String {
    let width = targets.iter().map(|target| target.name.chars().count()).max().unwrap_or_default();
    let mut text = format!("{}\n", plural(targets.len() as u64, "target"));
    for target in targets {
        let language = target.language.map_or_else(String::new, |language| format!(", {language}"));
        let place = target.place.as_ref().map_or_else(String::new, |p| format!("  {}:{}", p.file, p.line));
        put!(text, "  {:width$}  {}{language}{place}\n", target.name, target_kind(target.kind));
    }
    text
}

#[cfg(test)]
mod tests {
    use run_engine::action::Place;
    use run_rules::manifest::Language;

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
            project_text(&targets),
            "2 targets\n  calc    component, rust  run.toml:5\n  tokens  command  run.toml:5\n"
        );
    }

    #[test]
    fn a_file_says_what_it_is() {
        let found = Inspected {
            kind: Wasm::Component,
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
