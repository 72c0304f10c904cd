//! What `check` says of manifests: text in, text out. The cases are in `cases.txt`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::Value;

use super::*;

/// The head that most cases share.
const PROJECT: &str = "[project]\nname = \"shop\"\nversion = \"1.0.0\"\n";

/// A manifest that uses every key that works.
const EVERYTHING: &str = include_str!("everything.toml");

/// Renders problems as the message, then the places, then the ways out.
fn render(text: &str, problems: &[Diagnostic]) -> String {
    let mut out = String::new();
    for problem in problems {
        let severity = if problem.severity == Severity::Error { "error" } else { "warning" };
        writeln!(out, "{severity}[{}]: {}", problem.code, problem.message).unwrap();
        for label in &problem.labels {
            let before = &text[..label.span.start];
            let line = before.matches('\n').count() + 1;
            let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1) + 1;
            let marked = text[label.span.clone()].replace('\n', "⏎");
            writeln!(out, "  at {line}:{column}: {marked} {}", label.text).unwrap();
        }
        for note in &problem.notes {
            writeln!(out, "  note: {note}").unwrap();
        }
        for help in &problem.helps {
            writeln!(out, "  help: {help}").unwrap();
        }
    }
    out.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Whether expected texts are to be written instead of compared with.
#[expect(clippy::disallowed_methods, reason = "a switch for people who run the tests")]
fn is_updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

/// Runs every case of `cases.txt`: a line `=== what it shows`, a manifest, a line `---`, all that is said of it.
///
/// `UPDATE_EXPECT=1` writes what is said into the file, to be read as a diff.
#[test]
fn cases() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manifest/cases.txt");
    let cases = std::fs::read_to_string(&path).unwrap();
    let mut updated = String::new();
    for case in cases.split("=== ").skip(1) {
        let (title, case) = case.split_once('\n').unwrap();
        let (text, _) = case.split_once("---\n").unwrap();
        let (manifest, problems) = check(text, "run.toml");
        let is_broken = problems.iter().any(|problem| problem.severity == Severity::Error);
        assert_eq!(manifest.is_none(), is_broken, "{title}");
        write!(updated, "=== {title}\n{text}---\n{}\n", render(text, &problems)).unwrap();
    }
    if is_updating() {
        std::fs::write(&path, &updated).unwrap();
    } else {
        for (line, (was, is)) in cases.lines().zip(updated.lines()).enumerate() {
            assert_eq!(was, is, "cases.txt:{}; accept with UPDATE_EXPECT=1", line + 1);
        }
        assert_eq!(cases.lines().count(), updated.lines().count(), "accept with UPDATE_EXPECT=1");
    }
}

/// Each fixture of a manifest code shows that code and, but for what follows from it, no other.
#[test]
fn fixtures_show_their_code_alone() {
    let bad = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/bad");
    for code in MANIFEST_CODES {
        let text = std::fs::read_to_string(bad.join(code).join("run.toml")).unwrap();
        let mut codes: Vec<_> = check(&text, "run.toml").1.iter().map(|problem| problem.code).collect();
        // A fixture that needs a table that this version lacks is told so as well.
        codes.retain(|found| found == code || *found != "not-yet");
        assert_eq!(codes, [*code]);
    }
}

/// The codes that this module's diagnostics have.
#[rustfmt::skip]
const MANIFEST_CODES: &[&str] = &[
    "bad-capability",
    "bad-duration",
    "bad-name",
    "bad-path",
    "bad-pattern",
    "bad-size",
    "bad-text",
    "bad-url",
    "bad-version",
    "beyond-capabilities",
    "conflicting-keys",
    "cycle",
    "disabled-target",
    "duplicate-output",
    "duplicate-target",
    "duplicate-test",
    "empty-command",
    "inapplicable-key",
    "malformed",
    "missing-key",
    "not-yet",
    "out-of-range",
    "repeated-target",
    "reserved-output",
    "token-in-manifest",
    "unknown-key",
    "unknown-target",
    "unknown-value",
    "wrong-kind",
    "wrong-type",
];

/// The manifest of a file without problems.
#[track_caller]
fn good(text: &str) -> Manifest {
    let (manifest, problems) = check(text, "run.toml");
    assert_eq!(render(text, &problems), "");
    manifest.unwrap()
}

#[test]
fn everything_is_understood() {
    let manifest = good(EVERYTHING);
    let names: Vec<_> = manifest.targets().map(|(kind, name)| format!("{kind} {}", name.value)).collect();
    assert_eq!(
        names.join(", "),
        "component api, component calc, component legacy, composition app, composition scripted, command tokens"
    );
    for (kind, name) in manifest.targets() {
        assert_eq!(manifest.find_kind(name.as_str()), Some(kind));
    }
    assert_eq!(manifest.find_command("tokens").map(|command| command.run[0].as_str()), Some("sh"));
    assert!(manifest.find_component("tokens").is_none());
    assert_eq!(manifest.digest_function(), DigestFunction::Sha256);
}

#[test]
fn defaults_are_filled_in() {
    let text = format!(
        "{PROJECT}[[component]]\nname = \"calc\"\nsource = \"./components/calc.wat\"\n[[test]]\ncomponent = \"calc\"\n\
         function = \"add\"\nargs = [\"s32:2\", \"-3\"]\nexpected = \"()\"\n"
    );
    let manifest = good(&text);
    let Origin::Source(source) = &manifest.components[0].origin else { panic!("{manifest:?}") };
    assert_eq!(source.path.value.as_ref().map(RelPath::as_str), Some("components/calc.wat"));
    assert_eq!(source.language, LanguageChoice::Named(Language::Wat));
    assert_eq!(source.interface, Interface::Unsaid);
    assert_eq!(source.sources, Sources::Language);
    assert!(manifest.components[0].enabled);
    assert_eq!(manifest.build.output_dir.as_str(), "target/wasm");
    assert_eq!(manifest.build.profile, Profile::Release);
    assert_eq!(manifest.cache.max_size, Size { bytes: 20_000_000_000 });
    let test = &manifest.tests[0];
    assert_eq!((test.name.value.as_str(), test.fuel, test.memory.bytes), ("add_2__3", 1_000_000_000_000, 1 << 30));
    assert!(matches!(&test.call, Call::Function { expected: Expected::Nothing(_), .. }));
    assert_eq!(manifest.line_of(&test.component.span), 8);
}

#[test]
fn tests_are_called_after_function_and_arguments() {
    assert_eq!(default_test_name("greet", ["s32:42"]), "greet_42");
    assert_eq!(default_test_name("math.add", ["1", "string:a b"]), "math_add_1_a_b");
    assert_eq!(default_test_name("now", []), "now");
    assert_eq!(default_test_name("at", ["12:30"]), "at_12_30");
}

#[test]
fn the_digest_is_decided_by_the_file_alone() {
    let digest = |tables: &str| check(&format!("{PROJECT}{tables}"), "run.toml").0.map(|m| m.digest_function());
    assert_eq!(digest(""), Some(DigestFunction::Blake3));
    assert_eq!(digest("[remote]"), Some(DigestFunction::Sha256));
    assert_eq!(digest("[remote]\n[cache]\ndigest = \"blake3\""), Some(DigestFunction::Blake3));
    assert_eq!(digest("[cache]\ndigest = \"sha256\""), Some(DigestFunction::Sha256));
}

#[test]
fn a_detected_language_is_judged_later() {
    let text = format!("{PROJECT}[[component]]\nname = \"x\"\nsource = \"y\"\nfeatures = [\"json\"]\n");
    let manifest = good(&text);
    let Origin::Source(source) = &manifest.components[0].origin else { panic!("{manifest:?}") };
    assert_eq!(source.language, LanguageChoice::Detect);
    assert_eq!(render(&text, &source.problems_in(Language::Rust, "run.toml")), "");
    assert_eq!(
        render(&text, &source.problems_in(Language::Zig, "run.toml")),
        r#"error[inapplicable-key]: `features` does not apply to `zig`
  at 7:12: ["json"]
  help: remove it; it is for `rust`
"#
    );
}

#[test]
fn a_long_chain_of_targets_is_walked() {
    let mut text = PROJECT.to_owned();
    for i in 0..20_000 {
        write!(text, "[[command]]\nname = \"c{i}\"\nrun = [\"x\"]\ndepends = [\"c{}\"]\n", (i + 1) % 20_000).unwrap();
    }
    let (_, problems) = check(&text, "run.toml");
    assert_eq!(
        problems.iter().map(|problem| (problem.code, problem.labels.len())).collect::<Vec<_>>(),
        [("cycle", 20_000)]
    );
}

#[test]
fn the_mirror_has_exactly_the_keys_that_work() {
    let check = |table: &schema::Table, fields: Vec<&str>| {
        let works = |key: &&schema::Key| !matches!(key.standing, schema::Standing::NotYet { .. });
        let keys: Vec<_> = table.keys.iter().filter(works).map(|key| key.name).collect();
        let sorted = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!(sorted(fields), sorted(keys), "{}", table.title);
    };
    check(&schema::ROOT, fields_of::<raw::Raw>());
    check(&schema::PROJECT, fields_of::<raw::RawProject>());
    check(&schema::COMPONENT, fields_of::<raw::RawComponent>());
    check(&schema::COMPOSE, fields_of::<raw::RawCompose>());
    check(&schema::COMMAND, fields_of::<raw::RawCommand>());
    check(&schema::TEST, fields_of::<raw::RawTest>());
    check(&schema::BUILD, fields_of::<raw::RawBuild>());
    check(&schema::CACHE, fields_of::<raw::RawCache>());
    check(&schema::TOOLCHAINS, fields_of::<raw::RawToolchains>());
    check(&schema::TOOLCHAIN, fields_of::<raw::RawToolchain>());
}

#[test]
fn the_schema_has_exactly_the_keys_of_the_reader() {
    let mut keys = BTreeSet::new();
    keys_of_table(&schema::ROOT, "", &mut keys);
    let mut properties = BTreeSet::new();
    keys_of_schema(&json_schema(), "", &mut properties);
    assert_eq!(properties, keys);
    for key in ["component.name", "test.expected_error", "dependencies.rev", "toolchain.zig.version", "deploy.options"]
    {
        assert!(keys.contains(key), "{key}");
    }
}

#[test]
fn examples_are_what_the_reader_takes() {
    let document: String = schema::ROOT.keys.iter().map(|key| format!("{} = {}\n", key.name, example(key))).collect();
    let mut table = toml::de::DeTable::parse(&document).unwrap();
    let problems = conform::conform(table.get_mut(), "run.toml").problems;
    let expected = ["conflicting-keys", "not-yet", "token-in-manifest"];
    let unexpected: Vec<_> = problems.iter().filter(|problem| !expected.contains(&problem.code)).cloned().collect();
    assert_eq!(render(&document, &unexpected), "");
}

/// A value for a key, with examples for all that is inside.
fn example(key: &schema::Key) -> String {
    use schema::Shape;

    let inline = |table: &schema::Table| {
        let entries: Vec<_> = table.keys.iter().map(|key| format!("{} = {}", key.name, example(key))).collect();
        format!("{{ {} }}", entries.join(", "))
    };
    match &key.shape {
        Shape::Table(table) => inline(table),
        Shape::Tables(table) => format!("[{}]", inline(table)),
        Shape::Map { values: Shape::TextOrTable(_, table), .. } => {
            format!("{{ \"demo:a\" = \"1.0\", \"demo:b\" = {} }}", inline(table))
        }
        Shape::Map { values: Shape::Table(table), .. } => format!("{{ production = {} }}", inline(table)),
        _ => key.example.to_owned(),
    }
}

fn keys_of_table(table: &schema::Table, above: &str, keys: &mut BTreeSet<String>) {
    for key in table.keys {
        let path = format!("{above}{}", key.name);
        keys_of_shape(&key.shape, &format!("{path}."), keys);
        keys.insert(path);
    }
}

fn keys_of_shape(shape: &schema::Shape, above: &str, keys: &mut BTreeSet<String>) {
    use schema::Shape;

    match shape {
        Shape::Table(table) | Shape::Tables(table) | Shape::TextOrTable(_, table) => keys_of_table(table, above, keys),
        Shape::Map { values, .. } => keys_of_shape(values, above, keys),
        _ => {}
    }
}

fn keys_of_schema(schema: &Value, above: &str, keys: &mut BTreeSet<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        keys_of_schema(inner, &format!("{path}."), keys);
        keys.insert(path);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|name| schema.get(name)) {
        keys_of_schema(inner, above, keys);
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        keys_of_schema(inner, above, keys);
    }
}

/// The fields that a struct asks a deserializer for.
fn fields_of<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
    struct Asked<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("only structs are asked"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.extend(fields);
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields = Vec::new();
    let asked = T::deserialize(Asked(&mut fields));
    assert!(asked.is_err());
    fields
}

/// What holds for any text at all.
fn check_any(text: &str) {
    let (manifest, problems) = check(text, "run.toml");
    let is_broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(manifest.is_none(), is_broken, "{text}\n{problems:#?}");
    for problem in &problems {
        assert!(crate::codes::find(problem.code).is_some(), "{problem:?}");
        assert!(!problem.labels.is_empty() && !problem.helps.is_empty(), "{problem:?}");
        for label in &problem.labels {
            assert!(text.get(label.span.clone()).is_some(), "{problem:?}");
        }
        // Only a file that is not TOML hides what else is wrong with it.
        assert!(problem.code != "malformed" || toml::de::DeTable::parse(text).is_err(), "{text}\n{problem:?}");
    }
}

/// What manifests are made of, and what breaks them.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "[[component]]\n", "[[compose]]\n", "[[command]]\n", "[[test]]\n", "[project]\n", "[deploy.a]\n", "[remote]\n",
    "name = ", "source = ", "path = ", "depends = ", "root = ", "with = ", "component = ", "outputs = ", "world = ",
    "\"api\"", "\"calc\"", "\"../x\"", "\"\"", "\"ü\"", "[\"api\", \"calc\"]", "[]", "{}", "{ a = 1 }", "true", "-1",
    "99999999999999999999", "1e400", "1979-05-27", "\n", "=", "[", "]", "\"", "'''", "#", "\r", "\0", "\u{feff}",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        check_any(&text);
    }

    #[test]
    fn any_heap_of_pieces_gets_an_answer(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        check_any(&pieces.concat());
    }

    #[test]
    fn any_edit_of_a_good_manifest_gets_an_answer(
        edits in proptest::collection::vec(
            (any::<proptest::sample::Index>(), 0_usize..30, proptest::sample::select(PIECES)),
            1..6,
        ),
    ) {
        let mut chars: Vec<char> = EVERYTHING.chars().collect();
        for (place, n_removed, piece) in edits {
            let start = place.index(chars.len() + 1);
            let end = (start + n_removed).min(chars.len());
            chars.splice(start..end, piece.chars());
        }
        check_any(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn any_lines_left_out_get_an_answer(place in any::<proptest::sample::Index>(), n_lines in 1_usize..4) {
        let mut lines: Vec<_> = EVERYTHING.lines().collect();
        let start = place.index(lines.len());
        lines.drain(start..(start + n_lines).min(lines.len()));
        check_any(&lines.join("\n"));
    }

    #[test]
    fn any_value_replaced_gets_an_answer(place in any::<proptest::sample::Index>(), value in proptest::sample::select(PIECES)) {
        let mut lines: Vec<_> = EVERYTHING.lines().map(str::to_owned).collect();
        let keyed: Vec<_> = (0..lines.len()).filter(|&i| lines[i].contains(" = ")).collect();
        let line = &mut lines[keyed[place.index(keyed.len())]];
        if let Some((key, _)) = line.split_once(" = ") {
            *line = format!("{key} = {value}");
        }
        check_any(&lines.join("\n"));
    }
}
