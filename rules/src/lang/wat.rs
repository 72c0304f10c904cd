//! WebAssembly in text form: one file, no toolchain.

use super::{Asked, Recipe, Row, Shown, Step, StepWork, Yields};
use crate::builtin;
use crate::diagnostic::Diagnostic;
use crate::facts::Gatherer;
use crate::manifest::Language;
use crate::step::kind::{self, Kind};

pub(super) const ROW: Row = Row { language: Language::Wat, recipe };

fn recipe(asked: &Asked<'_>, gatherer: &mut Gatherer<'_>) -> Result<Recipe, Vec<Diagnostic>> {
    let file = gatherer.source_file(asked, "wat")?;
    let bytes = gatherer.read(&file, &asked.source.path.span)?;
    let binary = kind::text(file.as_str(), &bytes).map_err(|e| e.diagnostics)?;
    let yields = match Kind::of(&binary) {
        Kind::Component => Yields::Component,
        _ => Yields::CoreModule,
    };
    let text = StepWork::Builtin { builtin: &builtin::TEXT, args: vec![file.to_string()], native: None };
    let step = Step { tree: gatherer.file_as_read(&file, &bytes), ..Step::new("compile", text, vec![builtin::raw()]) };
    Ok(Recipe { steps: vec![step], raw: builtin::raw(), yields, shown: Shown::new() })
}
