//! From the mirror of the file to the [`Manifest`]: fills in every default, drops every `Option` that means one.

use std::collections::BTreeMap;
use std::ops::Range;

use run_engine::digest::DigestFunction;
use run_engine::path::RelPath;

use super::raw::{Raw, RawCommand, RawComponent, RawCompose, RawTest, RawToolchain, RawToolchains};
use super::{
    Build, Cache, Call, Command, Component, Compose, Detection, Expected, GoCompiler, Interface, Language,
    LanguageChoice, Manifest, Origin, Profile, Project, Recipe, RustTarget, Source, Sources, Spanned, TargetKind, Test,
    Toolchain, default_test_name, detect,
};
use crate::name::TargetName;
use crate::quantity::Size;

/// How many instructions a guest may execute unless told otherwise.
const DEFAULT_FUEL: u64 = 1_000_000_000_000;
/// How much memory a guest may use unless told otherwise.
const DEFAULT_MEMORY: Size = Size { bytes: 1 << 30 };
/// How large the store on this machine may grow unless told otherwise.
const DEFAULT_MAX_SIZE: Size = Size { bytes: 20_000_000_000 };
/// Where components are put unless told otherwise.
const DEFAULT_OUTPUT_DIR: &str = "target/wasm";

/// Fills in the defaults; `None` where something required is missing, which has been reported.
pub(super) fn manifest(raw: Raw, text: &str, file: &str, digest_function: DigestFunction) -> Option<Manifest> {
    let project = Project {
        name: raw.project.name?,
        version: raw.project.version?.0,
        description: raw.project.description,
        authors: raw.project.authors,
        license: raw.project.license,
        repository: raw.project.repository,
    };
    let build = Build {
        output_dir: match raw.build.output_dir {
            Some(dir) => dir.value.0,
            None => RelPath::new(DEFAULT_OUTPUT_DIR).ok()?,
        },
        profile: raw.build.opt_level.unwrap_or(Profile::Release),
        reproducible: raw.build.reproducible.unwrap_or(false),
    };
    let components: Vec<_> = raw.component.into_iter().map(|c| component(c.value)).collect::<Option<_>>()?;
    let composes: Vec<_> = raw.compose.into_iter().map(|c| compose(c.value)).collect::<Option<_>>()?;
    let commands: Vec<_> = raw.command.into_iter().map(|c| command(c.value)).collect::<Option<_>>()?;
    let entry = |kind, i, name: &Spanned<TargetName>| (name.value.clone(), (kind, i));
    let by_name = (components.iter().enumerate().map(|(i, c)| entry(TargetKind::Component, i, &c.name)))
        .chain(composes.iter().enumerate().map(|(i, c)| entry(TargetKind::Compose, i, &c.name)))
        .chain(commands.iter().enumerate().map(|(i, c)| entry(TargetKind::Command, i, &c.name)))
        .collect();
    let tests: Vec<Test> = raw.test.into_iter().map(test).collect::<Option<_>>()?;
    let mut tests_of: BTreeMap<TargetName, Vec<usize>> = BTreeMap::new();
    for (i, test) in tests.iter().enumerate() {
        tests_of.entry(test.component.value.clone()).or_default().push(i);
    }
    Some(Manifest {
        file: file.to_owned(),
        project,
        components,
        composes,
        commands,
        tests,
        tests_of,
        build,
        cache: Cache { dir: raw.cache.dir, max_size: raw.cache.max_size.unwrap_or(DEFAULT_MAX_SIZE) },
        toolchains: toolchains(raw.toolchain),
        digest_function,
        by_name,
        line_starts: std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect(),
    })
}

fn component(raw: RawComponent) -> Option<Component> {
    let language_keys = language_keys(&raw);
    let origin = match (raw.source, raw.path) {
        (Some(source), None) => {
            let interface = match (raw.wit, raw.world) {
                (Some(wit), world) => Interface::Wit { path: wit.map(|path| path.0), world },
                (None, Some(world)) => {
                    let standard = world.value.as_str().parse().ok()?;
                    Interface::Standard(world.map(|_| standard))
                }
                (None, None) => Interface::Unsaid,
            };
            let at = source.span.clone();
            Origin::Source(Box::new(Source {
                language: language_choice(raw.language.as_ref(), &source.value.0),
                path: source.map(|path| path.0),
                interface,
                sources: raw.sources.map_or(Sources::Language, |patterns| Sources::Matching(patterns.value)),
                rust_target: raw.target.map_or(RustTarget::Wasip2, |target| target.value),
                features: raw.features.map(|features| features.value).unwrap_or_default(),
                engine: raw.engine,
                typecheck: raw.typecheck.is_none_or(|typecheck| typecheck.value),
                go_compiler: raw.compiler.unwrap_or(Spanned { value: GoCompiler::Go, span: at }),
                language_keys,
            }))
        }
        (None, Some(path)) => Origin::Prebuilt(path.map(|path| path.0)),
        _ => return None,
    };
    Some(Component {
        name: raw.name?,
        origin,
        capabilities: raw.capabilities,
        depends: raw.depends,
        enabled: raw.enabled.unwrap_or(true),
        env: raw.env,
    })
}

fn compose(raw: RawCompose) -> Option<Compose> {
    let recipe = match (raw.root, raw.wac) {
        (Some(root), None) => Recipe::Root(root),
        (None, Some(script)) => Recipe::Script(script.map(|path| path.0)),
        _ => return None,
    };
    Some(Compose { name: raw.name?, recipe, with: raw.with })
}

fn command(raw: RawCommand) -> Option<Command> {
    Some(Command {
        name: raw.name?,
        run: raw.run?.value,
        inputs: raw.inputs,
        outputs: raw.outputs.into_iter().map(|output| output.map(|path| path.0)).collect(),
        depends: raw.depends,
        tools: raw.tools,
    })
}

fn test(Spanned { value: raw, span }: Spanned<RawTest>) -> Option<Test> {
    let component = raw.component.clone()?;
    let name = test_name(&raw, &component, &span);
    let call = match raw.function {
        Some(function) => Call::Function {
            function,
            args: raw.args,
            expected: match (raw.expected, raw.expected_error) {
                (Some(value), None) if value.value.trim() == "()" => Expected::Nothing(value.span),
                (Some(value), None) => Expected::Value(value),
                (None, Some(error)) => Expected::Error(error),
                _ => return None,
            },
        },
        None => Call::Command {
            argv: raw.argv.map(|argv| argv.value).unwrap_or_default(),
            stdin: raw.stdin.map(|stdin| stdin.value).unwrap_or_default(),
            stdout: raw.expected_stdout,
            exit: raw.expected_exit.unwrap_or(Spanned { value: 0, span }),
        },
    };
    Some(Test {
        component,
        name,
        call,
        env: raw.env.map(|env| env.value).unwrap_or_default(),
        dirs: raw.dirs.map(|dirs| dirs.value).unwrap_or_default(),
        allow: raw.allow.map(|allow| allow.value).unwrap_or_default(),
        fuel: raw.fuel.map_or(DEFAULT_FUEL, |fuel| fuel.value),
        memory: raw.memory.map_or(DEFAULT_MEMORY, |memory| memory.value),
        timeout: raw.timeout.map(|timeout| timeout.value),
    })
}

/// The test's name, or what it is called for want of one: after its function, or after the program it runs.
pub(super) fn test_name(raw: &RawTest, component: &Spanned<TargetName>, table: &Range<usize>) -> Spanned<String> {
    let texts = |texts: &[Spanned<String>]| texts.iter().map(|text| text.value.clone()).collect::<Vec<_>>();
    let argv = raw.argv.as_ref().map(|argv| texts(&argv.value)).unwrap_or_default();
    match (&raw.name, &raw.function) {
        (Some(name), _) => name.clone(),
        (None, Some(function)) => {
            let value = default_test_name(&function.value, texts(&raw.args).iter().map(String::as_str));
            Spanned { value, span: function.span.clone() }
        }
        (None, None) => {
            let value = default_test_name(component.as_str(), argv.iter().map(String::as_str));
            Spanned { value, span: table.clone() }
        }
    }
}

fn toolchains(raw: RawToolchains) -> BTreeMap<&'static str, Toolchain> {
    let RawToolchains { rust, go, python, javascript, typescript, zig, c, esbuild } = raw;
    let given = [
        ("rust", rust),
        ("go", go),
        ("python", python),
        ("javascript", javascript),
        ("typescript", typescript),
        ("zig", zig),
        ("c", c),
        ("esbuild", esbuild),
    ];
    let toolchain = |raw: RawToolchain| raw.version.map(Toolchain::Version).or(raw.path.map(Toolchain::Path));
    given.into_iter().filter_map(|(table, raw)| Some((table, toolchain(raw?)?))).collect()
}

/// What a component is written in, as far as its keys and the name of its source say.
pub(super) fn language_choice(given: Option<&Spanned<Language>>, source: &Option<RelPath>) -> LanguageChoice {
    match (given, detect(source.as_ref(), &[])) {
        (Some(given), _) => LanguageChoice::Given(given.clone()),
        (None, Detection::Found(language)) => LanguageChoice::Named(language),
        (None, _) => LanguageChoice::Detect,
    }
}

/// The keys of a component that only some languages have.
pub(super) fn language_keys(component: &RawComponent) -> Vec<Spanned<&'static str>> {
    noted([
        ("target", component.target.as_ref().map(|s| &s.span)),
        ("features", component.features.as_ref().map(|s| &s.span)),
        ("compiler", component.compiler.as_ref().map(|s| &s.span)),
        ("engine", component.engine.as_ref().map(|s| &s.span)),
        ("typecheck", component.typecheck.as_ref().map(|s| &s.span)),
    ])
}

/// Those keys that were given, with the places of their values.
pub(super) fn noted<const N: usize>(keys: [(&'static str, Option<&Range<usize>>); N]) -> Vec<Spanned<&'static str>> {
    keys.into_iter().filter_map(|(key, span)| Some(Spanned { value: key, span: span?.clone() })).collect()
}
