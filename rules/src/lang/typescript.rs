//! TypeScript: checked against its world by its own compiler, bundled by esbuild, and from there on JavaScript.

use std::collections::{BTreeMap, BTreeSet};

use run_engine::action::Word;
use run_engine::path::{RelPath, under};
use serde_json::json;
use wit_parser::WorldItem;

use super::{Asked, Recipe, Row, Step, StepWork, Yields, javascript};
use crate::builtin::{self, bindings};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::manifest::Language;
use crate::rule::TOOLCHAIN;
use crate::step::bindings::typescript as text;
use crate::step::wit::World;

pub(super) const ROW: Row = Row { language: Language::TypeScript, recipe };

/// Where a check finds what it is told, and leaves that it was passed.
const CHECK: &str = ".run/types";

/// Leaves a mark where the compiler, which leaves nothing, has no complaint.
const CHECKED: &str = "\"$@\" && : > .run/types/passed";

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let at = |constant: &str| RelPath::new(constant).expect("a constant that is a path");
    let span = &asked.source.path.span;
    let files = gatherer.source_files(asked, &["ts", "mts", "js", "mjs", "json"])?;
    let entry = gatherer.root_file(asked, &files, "index.ts")?;
    let directory = gatherer.source_directory(asked)?;
    let own_settings = files.iter().find(|file| **file == under(directory.as_ref(), &at("tsconfig.json"))).cloned();
    let content: BTreeMap<RelPath, Content> = files.into_iter().map(|file| (file, Content::Project)).collect();
    let world = asked.world.expect("only a text form comes without a world");
    let (mut steps, encoded) = javascript::engine(asked, gatherer)?;

    let bundled = under(directory.as_ref(), &at("index.js"));
    let bundle = Step {
        tree: gatherer.mixed_tree(&content, asked)?,
        produced: asked.produced.to_vec(),
        toolchains: [("esbuild", gatherer.tools.fetched("esbuild", span)?)].into(),
        ..Step::new("bundle", bundle(&entry, world), vec![at(".run/bundle/index.js")])
    };
    let program = (steps.len(), at(".run/bundle/index.js"), bundled.clone());
    steps.push(bundle);

    let mut uses = vec![program];
    if asked.source.typecheck {
        let mut content = content;
        content.insert(at(CHECK).join(&at("tsconfig.json")), Content::Text(settings(own_settings.as_ref())));
        let args = vec![
            format!("name={}", world.short_name()),
            // From the directory of the check.
            format!("entry=../../{entry}"),
        ];
        let write = StepWork::Builtin { builtin: &builtin::TYPESCRIPT_TYPES, args, native: None };
        let written = [text::DECLARATIONS, text::PROOF];
        let types = steps.len();
        steps.push(Step {
            tree: gatherer.world_tree(world)?,
            ..Step::new("types", write, written.map(bindings::left).to_vec())
        });
        let compiler = Word::path(at(&format!("{TOOLCHAIN}/typescript/lib/tsc")));
        let words = ["-c", CHECKED, "check"].map(Word::from).into_iter().chain([compiler]);
        let args = words.chain(["-p", CHECK, "--pretty", "false"].map(Word::from)).collect();
        let passed = at(CHECK).join(&at("passed"));
        let run = StepWork::Process { program: ("base", Tools::program("sh")?), args, env: BTreeMap::new() };
        steps.push(Step {
            tree: gatherer.mixed_tree(&content, asked)?,
            produced: asked.produced.to_vec(),
            uses: written.map(|file| (types, bindings::left(file), at(CHECK).join(&at(file)))).to_vec(),
            toolchains: [("base", gatherer.tools.base()?), ("typescript", gatherer.tools.fetched("typescript", span)?)]
                .into(),
            ..Step::new("typecheck", run, vec![passed.clone()])
        });
        // No component of what does not pass.
        uses.push((steps.len() - 1, passed.clone(), passed));
    }
    steps.push(Step { uses, ..javascript::load(asked, encoded, &bundled) });
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Component, varying: false })
}

/// One file of JavaScript, without types. What the world imports is left for the engine to find.
fn bundle(entry: &RelPath, world: &World) -> StepWork {
    let mut namespaces = BTreeSet::new();
    for (key, item) in &world.resolve.worlds[world.id].imports {
        if let (WorldItem::Interface { .. }, Some((namespace, _))) =
            (item, world.resolve.name_world_key(key).split_once(':'))
        {
            namespaces.insert(namespace.to_owned());
        }
    }
    let mut args: Vec<Word> = vec![Word::from(entry.as_str())];
    args.extend(namespaces.iter().map(|namespace| Word::from(format!("--external:{namespace}:*"))));
    args.extend(
        [
            "--external:$root",
            "--bundle",
            "--format=esm",
            "--platform=neutral",
            "--main-fields=module,main",
            "--target=es2022",
            "--charset=utf8",
            "--legal-comments=none",
            "--log-level=warning",
            "--color=false",
            "--outfile=.run/bundle/index.js",
        ]
        .map(Word::from),
    );
    let program = ("esbuild", RelPath::new("bin/esbuild").expect("a constant that is a path"));
    StepWork::Process { program, args, env: BTreeMap::new() }
}

/// How a program is checked: as its own settings say, where it has some, and with what the check needs.
fn settings(own: Option<&RelPath>) -> String {
    let mut settings = json!({
        "compilerOptions": { "noEmit": true, "allowImportingTsExtensions": true, "skipLibCheck": true },
        "files": [text::DECLARATIONS, text::PROOF],
    });
    match own {
        Some(own) => settings["extends"] = json!(format!("../../{own}")),
        None => {
            let defaults = [
                ("strict", json!(true)),
                ("target", json!("es2022")),
                ("lib", json!(["es2022"])),
                ("module", json!("esnext")),
                ("moduleResolution", json!("bundler")),
                ("types", json!([])),
            ];
            for (name, value) in defaults {
                settings["compilerOptions"][name] = value;
            }
        }
    }
    settings.to_string()
}
