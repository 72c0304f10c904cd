//! TypeScript: checked against its world by its own compiler, bundled by esbuild, and from there on JavaScript.

use std::collections::BTreeMap;

use run_engine::action::Word;
use run_engine::path::{RelPath, under};
use serde_json::json;

use super::interpreted::STARLINGMONKEY;
use super::{Asked, Recipe, Row, Step, StepWork, Yields, interpreted, javascript};
use crate::builtin::{self, bindings};
use crate::cargo::Content;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::facts::tools::Tools;
use crate::manifest::Language;
use crate::rule::TOOLCHAIN;
use crate::step::bindings::typescript as text;

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
    let own_settings = gatherer.nearest(directory.as_ref(), "tsconfig.json");
    let declared: Vec<RelPath> = files.iter().filter(|file| file.as_str().ends_with(".d.ts")).cloned().collect();
    let world = asked.world.expect("only a text form comes without a world");
    let mut engine = javascript::engine(asked, gatherer, &files)?;
    let content: BTreeMap<RelPath, Content> = files.into_iter().map(|file| (file, Content::Project)).collect();
    let mut steps = std::mem::take(&mut engine.steps);

    let modules = gatherer.node_modules(asked)?;
    let bundled = interpreted::bundle(asked, gatherer, &content, &entry, modules.as_ref())?;
    let module = under(directory.as_ref(), &at("index.js"));
    let program = (steps.len(), at(interpreted::BUNDLE), module.clone());
    steps.push(bundled);

    let is_starlingmonkey = javascript::is_starlingmonkey(asked);
    let library: &[&str] = if is_starlingmonkey { &["es2022", "webworker"] } else { &["es2022"] };
    let mut uses = vec![program];
    if asked.source.typecheck {
        let mut content = content;
        content.extend(own_settings.iter().map(|file| (file.clone(), Content::Project)));
        content.insert(
            at(CHECK).join(&at("tsconfig.json")),
            Content::Text(settings(own_settings.as_ref(), &declared, modules.is_some(), library)),
        );
        // From the directory of the check.
        let mut args = vec![format!("name={}", world.short_name()), format!("entry=../../{entry}")];
        if is_starlingmonkey {
            args.push(format!("engine={STARLINGMONKEY}"));
            args.extend(engine.args.clone());
        }
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
        let mut toolchains = BTreeMap::from([
            ("base", gatherer.tools.base()?),
            ("typescript", gatherer.tools.fetched("typescript", span)?),
        ]);
        toolchains.extend(modules.map(|modules| (interpreted::MODULES, modules)));
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
    steps.push(Step { uses, ..engine.load(asked, vec![format!("entry={module}"), format!("shown={entry}")]) });
    let shown = interpreted::declarations(asked, gatherer, &entry, engine.values);
    Ok(Recipe { steps, raw: builtin::component(), yields: Yields::Program, shown })
}

/// How a program is checked: as its own settings say, where it has some, and with what the check needs.
/// `library` is what there is besides, where they do not say.
fn settings(own: Option<&RelPath>, declared: &[RelPath], has_modules: bool, library: &[&str]) -> String {
    let own_declarations = declared.iter().map(|file| format!("../../{file}"));
    let files: Vec<String> =
        [text::DECLARATIONS, text::PROOF].map(str::to_owned).into_iter().chain(own_declarations).collect();
    let mut settings = json!({
        "compilerOptions": { "noEmit": true, "allowImportingTsExtensions": true, "skipLibCheck": true },
        "files": files,
    });
    if has_modules {
        // Seen from the directory of the check.
        let modules = format!("../../../{TOOLCHAIN}/{}/*", interpreted::MODULES);
        settings["compilerOptions"]["paths"] = json!({ "*": ["../../*", modules] });
    }
    match own {
        Some(own) => {
            settings["extends"] = json!(format!("../../{own}"));
            // What is checked is what the program is made of, whatever else its editor looks at.
            settings["include"] = json!([]);
        }
        None => {
            let defaults = [
                ("strict", json!(true)),
                ("target", json!("es2022")),
                ("lib", json!(library)),
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
