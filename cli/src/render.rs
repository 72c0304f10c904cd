//! Draws a [`Diagnostic`] as an annotated snippet. The only user of `annotate-snippets`; knows no command.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use run_rules::diagnostic::{Diagnostic, Label, Severity};

/// Draws a diagnostic: what is wrong, where, what we know, what to do. Ends with a newline.
///
/// `source_of` gives the text of a file by the name that labels use; a label whose file it does not have, or whose
/// span lies outside the text, is drawn as the file's name alone. `colour` puts terminal colours in.
#[must_use]
pub(crate) fn render(diagnostic: &Diagnostic, source_of: &dyn Fn(&str) -> Option<String>, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&diagnostic.message).id(diagnostic.code));
    for (file, labels) in by_file(&diagnostic.labels) {
        let is_first_file = diagnostic.labels.first().is_some_and(|label| label.file == file);
        group = match source_of(file).filter(|text| labels.iter().all(|label| text.get(label.span.clone()).is_some())) {
            Some(text) => group.element(snippet(file, text, &labels, is_first_file)),
            None => group.element(Origin::path(file)),
        };
    }
    let mut groups = vec![group];
    groups.extend(diagnostic.notes.iter().map(|note| line(Level::NOTE, note)));
    groups.extend(diagnostic.helps.iter().map(|help| line(Level::HELP, help)));
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    if !diagnostic.labels.is_empty() {
        return format!("{}\n", renderer.render(&groups));
    }
    // Without a snippet there is no margin to hang the help on, so each group is drawn by itself.
    groups.into_iter().map(|group| format!("{}\n", renderer.render(&[group]))).collect()
}

/// One line below the snippet: `help: …`.
fn line<'a>(level: Level<'a>, text: &str) -> Group<'a> {
    // Unlike the primary title, a secondary one is not cleaned of control characters by the renderer.
    Group::with_title(level.secondary_title(annotate_snippets::normalize_untrusted_str(text)))
}

/// The labels of each file, files in the order in which they are first named.
fn by_file(labels: &[Label]) -> Vec<(&str, Vec<&Label>)> {
    let mut files: Vec<(&str, Vec<&Label>)> = Vec::new();
    for label in labels {
        match files.iter_mut().find(|(file, _)| *file == label.file) {
            Some((_, labels)) => labels.push(label),
            None => files.push((&label.file, vec![label])),
        }
    }
    files
}

/// A file's lines that matter. The very first label is the place itself; all others are context.
fn snippet<'a>(file: &'a str, text: String, labels: &[&'a Label], is_first_file: bool) -> Snippet<'a, Annotation<'a>> {
    let annotations = labels.iter().enumerate().map(|(i, label)| {
        let kind = if is_first_file && i == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let annotation = kind.span(label.span.clone());
        if label.text.is_empty() { annotation } else { annotation.label(&label.text) }
    });
    let annotations: Vec<_> = annotations.collect();
    Snippet::source(text).path(file).annotations(annotations)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[project]\nname = \"shop\"\n\n[[command]]\nname = \"a\"\noutputs = [\"gen/a.rs\"]\n\n\
                            [[command]]\nname = \"b\"\noutputs = [\"gen/a.rs\"]\n";

    fn source_of(file: &str) -> Option<String> {
        match file {
            "run.toml" => Some(MANIFEST.to_owned()),
            "wit/api.wit" => Some("package demo:api;\nworld api {}\n".to_owned()),
            _ => None,
        }
    }

    /// Compares the whole drawing with what is expected of it.
    #[track_caller]
    fn check(diagnostic: &Diagnostic, expected: &str) {
        let drawn = render(diagnostic, &source_of, false);
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    fn last(text: &str) -> std::ops::Range<usize> {
        let start = MANIFEST.rfind(text).unwrap();
        start..start + text.len()
    }

    fn first(text: &str) -> std::ops::Range<usize> {
        let start = MANIFEST.find(text).unwrap();
        start..start + text.len()
    }

    #[test]
    fn a_clash_shows_both_places() {
        let diagnostic = Diagnostic::error("duplicate-output", "`gen/a.rs` is written twice")
            .at("run.toml", last("\"gen/a.rs\""), "")
            .at("run.toml", first("\"gen/a.rs\""), "written here too")
            .help("let one command write it");
        check(
            &diagnostic,
            r#"error[duplicate-output]: `gen/a.rs` is written twice
  --> run.toml:10:12
   |
 6 | outputs = ["gen/a.rs"]
   |            ---------- written here too
...
10 | outputs = ["gen/a.rs"]
   |            ^^^^^^^^^^
   |
help: let one command write it
"#,
        );
    }

    #[test]
    fn a_warning_may_have_notes_and_several_ways_out() {
        let diagnostic = Diagnostic::warning("not-yet", "`name` is not used")
            .at("run.toml", first("name"), "has no effect")
            .note("it is for a later version")
            .help("remove it")
            .help("or keep it");
        check(
            &diagnostic,
            r#"warning[not-yet]: `name` is not used
 --> run.toml:2:1
  |
2 | name = "shop"
  | ^^^^ has no effect
  |
note: it is for a later version
help: remove it
help: or keep it
"#,
        );
    }

    #[test]
    fn a_problem_may_have_no_place() {
        check(
            &Diagnostic::error("unknown-target", "no target is called `pakage`").help("did you mean `package`?"),
            r#"error[unknown-target]: no target is called `pakage`
help: did you mean `package`?
"#,
        );
    }

    #[test]
    fn places_may_be_in_several_files_and_some_unreadable() {
        let diagnostic = Diagnostic::error("unknown-target", "three places")
            .at("run.toml", first("shop"), "the first")
            .at("wit/api.wit", 18..23, "the second")
            .at("vendor/x.wasm", 0..0, "the third");
        check(
            &diagnostic,
            r#"error[unknown-target]: three places
 --> run.toml:2:9
  |
2 | name = "shop"
  |         ^^^^ the first
  |
 ::: wit/api.wit:2:1
  |
2 | world api {}
  | ----- the second
 ::: vendor/x.wasm
"#,
        );
    }

    #[test]
    fn the_ends_of_a_text_can_be_pointed_at() {
        let diagnostic =
            Diagnostic::error("malformed", "the file ends here").at("run.toml", MANIFEST.len()..MANIFEST.len(), "");
        check(
            &diagnostic,
            r#"error[malformed]: the file ends here
  --> run.toml:10:24
   |
10 | outputs = ["gen/a.rs"]
   |                       ^
"#,
        );
        let diagnostic = Diagnostic::error("missing-key", "nothing is here").at("run.toml", 0..0, "");
        check(
            &diagnostic,
            r#"error[missing-key]: nothing is here
 --> run.toml:1:1
  |
1 | [project]
  | ^
"#,
        );
        let diagnostic = Diagnostic::error("malformed", "outside").at("run.toml", 9999..9999, "");
        check(
            &diagnostic,
            r#"error[malformed]: outside
--> run.toml
"#,
        );
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let diagnostic =
            Diagnostic::error("cycle", "`a` depends on itself").at("run.toml", first("\"a\""), "").help("remove it");
        let coloured = render(&diagnostic, &source_of, true);
        assert!(coloured.contains("\u{1b}["));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), render(&diagnostic, &source_of, false));
    }
}
