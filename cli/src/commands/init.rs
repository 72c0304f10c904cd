//! `run v2 init`: makes a project that builds at once.

use std::io::ErrorKind;
use std::path::Path;

use clap::ValueEnum;
use run_rules::diagnostic::Refused;
use run_rules::name::TargetName;
use run_rules::session::MANIFEST;
use serde_json::json;

use crate::context::Context;
use crate::fail::Failure;

/// Make a new project
///
/// Makes the directory NAME with a `run.toml`, a component, its interface and a test. The default starter is in
/// WebAssembly's text format and needs no other tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory to make, and the project's name
    name: String,
    /// The language to start in
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<Language>,
    /// What to start with: a library of functions, a command, or a web page
    #[arg(long, value_name = "TEMPLATE", default_value = "component")]
    template: Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Wat,
    Rust,
    Go,
    Python,
    #[value(name = "javascript")]
    JavaScript,
    #[value(name = "typescript")]
    TypeScript,
    Zig,
    C,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// Functions that others call.
    Component,
    /// A program with arguments, streams and an exit status.
    Command,
    /// An HTTP handler.
    Http,
}

/// The files of a starter: where they go, and their text. In `run.toml`, `{name}` stands for the project's name.
type Starter = &'static [(&'static str, &'static str)];

macro_rules! starter {
    ($directory:literal: $($file:literal)*) => { starter!($directory, "gitignore": $($file)*) };
    ($directory:literal, $ignored:literal: $($file:literal)*) => {
        &[
            (".gitignore", include_str!(concat!("../../templates/", $ignored))),
            $(($file, include_str!(concat!("../../templates/", $directory, "/", $file)))),*
        ]
    };
}

/// Every starter.
const STARTERS: &[(Language, Template, Starter)] = &[
    (Language::Wat, Template::Component, starter!("wat": "run.toml" "components/hello.wat" "wit/hello.wit")),
    (
        Language::Rust,
        Template::Component,
        starter!("rust-component": "run.toml" "Cargo.toml" "Cargo.lock" "src/lib.rs" "src/bindings.rs" "wit/hello.wit"),
    ),
    (Language::Rust, Template::Command, starter!("rust-command": "run.toml" "Cargo.toml" "Cargo.lock" "src/main.rs")),
    (Language::Rust, Template::Http, starter!("rust-http": "run.toml" "Cargo.toml" "Cargo.lock" "src/lib.rs")),
    (
        Language::Go,
        Template::Component,
        starter!("go-component", "go.gitignore": "run.toml" "go.mod" "exports/export_wit_world/hello.go" "wit/hello.wit"),
    ),
    (Language::Go, Template::Command, starter!("go-command", "go.gitignore": "run.toml" "go.mod" "main.go")),
    (
        Language::Go,
        Template::Http,
        starter!("go-http", "go.gitignore": "run.toml" "go.mod" "exports/export_wasi_http_incoming_handler/handler.go"),
    ),
    (
        Language::Python,
        Template::Component,
        starter!("python-component": "run.toml" "pyrightconfig.json" "src/app.py" "wit/hello.wit"),
    ),
    (Language::Python, Template::Command, starter!("python-command": "run.toml" "pyrightconfig.json" "src/app.py")),
    (Language::Python, Template::Http, starter!("python-http": "run.toml" "pyrightconfig.json" "src/app.py")),
    (
        Language::JavaScript,
        Template::Component,
        starter!("javascript-component": "run.toml" "jsconfig.json" "src/index.js" "wit/hello.wit"),
    ),
    (
        Language::JavaScript,
        Template::Command,
        starter!("javascript-command": "run.toml" "jsconfig.json" "src/index.js"),
    ),
    (Language::JavaScript, Template::Http, starter!("javascript-http": "run.toml" "jsconfig.json" "src/index.js")),
    (
        Language::TypeScript,
        Template::Component,
        starter!("typescript-component": "run.toml" "tsconfig.json" "src/index.ts" "wit/hello.wit"),
    ),
    (
        Language::TypeScript,
        Template::Command,
        starter!("typescript-command": "run.toml" "tsconfig.json" "src/index.ts"),
    ),
    (Language::TypeScript, Template::Http, starter!("typescript-http": "run.toml" "tsconfig.json" "src/index.ts")),
    (
        Language::Zig,
        Template::Component,
        starter!("zig-component", "zig.gitignore": "run.toml" "src/main.zig" "wit/hello.wit"),
    ),
    (Language::Zig, Template::Command, starter!("zig-command", "zig.gitignore": "run.toml" "src/main.zig")),
    (Language::Zig, Template::Http, starter!("zig-http", "zig.gitignore": "run.toml" "src/main.zig")),
    (
        Language::C,
        Template::Component,
        starter!("c-component": "run.toml" "compile_flags.txt" "src/main.c" "wit/hello.wit"),
    ),
    (Language::C, Template::Command, starter!("c-command": "run.toml" "src/main.c")),
    (Language::C, Template::Http, starter!("c-http": "run.toml" "compile_flags.txt" "src/main.c")),
];

/// Makes it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let starter = choose(args.language.unwrap_or(Language::Wat), args.template)?;
    let target = context.env.directory.join(&args.name);
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name, &args.name)?;
    make(&target, starter, name, &args.name)?;
    if context.console.is_json() {
        let files: Vec<&str> = starter.iter().map(|(file, _)| *file).collect();
        return context.console.document(&json!({ "project": name, "directory": args.name, "files": files }));
    }
    context.console.say(&format!("made `{}`; next: cd {} && run v2 build\n", args.name, args.name));
    Ok(())
}

fn choose(language: Language, template: Template) -> Result<Starter, Failure> {
    let is_it = |(of, what, _): &&(Language, Template, Starter)| (*of, *what) == (language, template);
    STARTERS.iter().find(is_it).map(|(_, _, starter)| *starter).ok_or_else(|| {
        let has = |of: Language| STARTERS.iter().any(|(one, what, _)| (*one, *what) == (of, template));
        let others = Language::value_variants().iter().filter(|of| has(**of)).filter_map(|of| of.to_possible_value());
        let others: Vec<String> = others.map(|other| format!("`--language {}`", other.get_name())).collect();
        Failure::yours("there is no such starter in this language")
            .help(format!("there is one with {}", others.join(", ")))
    })
}

/// The name stands in `run.toml`, so it has to be one that is understood there.
fn check_name(name: &str, written: &str) -> Result<(), Failure> {
    let refused = |e: Refused| {
        let problem = if name.is_empty() { String::new() } else { format!(": it {}", e.why) };
        Failure::yours(format!("`{written}` can't be a project's name{problem}")).help(e.help)
    };
    name.parse::<TargetName>().map(drop).map_err(refused)
}

/// Writes the files beside the target and moves them there in one step, so that nothing half-made is ever seen.
fn make(target: &Path, starter: Starter, name: &str, shown: &str) -> Result<(), Failure> {
    let parent = target.parent().unwrap_or(Path::new("."));
    let failed = |what: &str| {
        let what = format!("can't {what} `{shown}`");
        move |error: std::io::Error| Failure::machine(what, error)
    };
    refuse_to_overwrite(target, starter, shown)?;
    std::fs::create_dir_all(parent).map_err(failed("make the directory of"))?;
    let draft = tempfile::Builder::new().prefix(".run-init-").tempdir_in(parent).map_err(failed("make"))?;
    let project = draft.path().join("project");
    for (file, text) in starter {
        let file = project.join(file);
        let directory = file.parent().expect("the file of a starter is in a directory");
        std::fs::create_dir_all(directory).map_err(failed("make"))?;
        let text = if file.ends_with(MANIFEST) { text.replace("{name}", name) } else { (*text).to_owned() };
        std::fs::write(&file, text).map_err(failed("write the files of"))?;
    }
    // An empty directory gives way to one that is renamed over it; anything else does not.
    match std::fs::rename(&project, target) {
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            Err(Failure::yours(format!("`{shown}` came to be while it was made")))
        }
        result => result.map_err(failed("make")),
    }
}

/// A directory with something in it is somebody's work.
fn refuse_to_overwrite(target: &Path, starter: Starter, shown: &str) -> Result<(), Failure> {
    let there = match std::fs::read_dir(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(_) if target.is_file() => return Err(Failure::yours(format!("`{shown}` exists and is not a directory"))),
        Err(error) => return Err(Failure::machine(format!("can't make `{shown}`"), error)),
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect::<Vec<_>>(),
    };
    let Some(first) = there.iter().min() else { return Ok(()) };
    // The file that would have been overwritten says more than one that only happens to be there.
    let clash = starter.iter().map(|(file, _)| *file).find(|file| target.join(file).exists());
    let named = clash.map_or_else(|| first.to_string_lossy().into_owned(), str::to_owned);
    Err(Failure::yours(format!("`{shown}/{named}` exists")).help("choose another name, or an empty directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_and_nothing_is_half_made() {
        let here = tempfile::tempdir().expect("a temporary directory");
        let target = here.path().join("app");
        std::fs::create_dir_all(target.join("wit")).expect("a directory");
        std::fs::write(target.join("wit/hello.wit"), "mine").expect("a file");
        assert!(make(&target, STARTERS[0].2, "app", "app").is_err());
        let left: Vec<_> = std::fs::read_dir(here.path()).expect("a directory").collect();
        assert_eq!(left.len(), 1, "drafts are removed");
        assert!(!target.join("run.toml").exists());
    }

    #[test]
    fn an_empty_directory_will_do() {
        let here = tempfile::tempdir().expect("a temporary directory");
        let target = here.path().join("app");
        std::fs::create_dir(&target).expect("a directory");
        make(&target, STARTERS[0].2, "app", "app").expect("it is empty");
        let manifest = std::fs::read_to_string(target.join("run.toml")).expect("a file");
        assert!(manifest.contains("name = \"app\""), "{manifest}");
    }
}
