//! Lowering: hands each planned target to its rule and collects the actions into one graph. Pure: everything it needs
//! to know of the outside is in [`Facts`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use run_engine::action::{Action, ActionId, Place};
use run_engine::digest::DigestFunction;
use run_engine::files::scan::Sources;
use run_engine::graph::{ActionGraph, Export};
use run_engine::path::RelPath;

use crate::builtin::native_code;
use crate::diagnostic::Diagnostic;
use crate::facts::Facts;
use crate::host::OptLevel;
use crate::manifest::{Call, Component, Manifest, Profile, Recipe, Spanned, TargetKind};
use crate::name::TargetName;
use crate::plan::Plan;
use crate::rule::component::Checked;
use crate::rule::compose::Composed;
use crate::rule::test::Case;
use crate::rule::{command, component, compose, package};
use crate::target::{Target, TestTarget};

/// What lowering depends on besides the plan and the facts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to optimise.
    pub profile: Profile,
    /// Whether tools are told to leave out when they run.
    pub reproducible: bool,
    /// The digest function of the workspace.
    pub function: DigestFunction,
    /// Facts about this machine that a process can see.
    pub platform: BTreeMap<String, String>,
    /// What native code of this machine depends on.
    pub native_platform: String,
}

/// A lowered plan.
#[derive(Debug)]
pub struct Lowered {
    /// The actions.
    pub graph: ActionGraph,
    /// The targets of the plan, in its order.
    pub targets: Vec<Target>,
    /// Where the bytes of every input are.
    pub sources: Sources,
    /// What is odd and stops nothing.
    pub warnings: Vec<Diagnostic>,
}

/// What a lowered target offers those that depend on it.
#[derive(Debug, Clone, Default)]
pub struct Provider {
    /// The finished component.
    pub component: Option<Checked>,
    /// Its native code.
    pub native: Option<(ActionId, RelPath)>,
    /// The files it leaves in the project, by their path there.
    pub files: Vec<(RelPath, (ActionId, RelPath))>,
}

/// The state of lowering, as rules see it.
pub struct Lowering<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// The digest function of the workspace.
    pub function: DigestFunction,
    /// Facts about this machine that a process can see.
    pub platform: &'a BTreeMap<String, String>,
    /// How native code is optimised.
    pub level: OptLevel,
    /// What native code of this machine depends on besides the component.
    pub native_platform: &'a str,
    /// Seconds since 1970 at which virtual time starts.
    pub epoch_seconds: u64,
    /// Whether tools are told to leave out when they run.
    pub reproducible: bool,
    /// Where bytes are; rules add what they make.
    pub sources: Sources,
    /// Components by themselves, by name.
    pub checked: BTreeMap<String, Checked>,
    actions: Vec<Action>,
    providers: BTreeMap<String, Provider>,
    /// Who makes each file that a target leaves in the project.
    makers: BTreeMap<RelPath, (ActionId, RelPath)>,
}

/// Lowers a plan.
///
/// # Errors
/// Every wiring that does not fit, and two targets that write one path.
pub fn lower(manifest: &Manifest, plan: &Plan, facts: Facts, settings: &Settings) -> Result<Lowered, Vec<Diagnostic>> {
    let mut facts = facts;
    let sources = std::mem::take(&mut facts.sources);
    let mut lowering = Lowering {
        manifest,
        function: settings.function,
        platform: &settings.platform,
        level: crate::builtin::native::level(settings.profile),
        native_platform: &settings.native_platform,
        epoch_seconds: facts.epoch_seconds,
        reproducible: settings.reproducible,
        sources,
        checked: BTreeMap::new(),
        actions: Vec::new(),
        providers: BTreeMap::new(),
        makers: BTreeMap::new(),
    };
    let (mut targets, mut warnings, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for name in &plan.targets {
        let first = lowering.actions.len();
        let mut lower = Lower { lowering: &mut lowering, facts: &facts, settings, warnings: &mut warnings };
        match lower.target(name) {
            Ok(mut target) => {
                target.actions = (first..lowering.actions.len()).map(id).collect();
                targets.push(target);
            }
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(told_once(problems));
    }
    let warnings = told_once(warnings);
    name_tests(&mut targets);
    let exports = targets.iter().flat_map(|target| target.exports.clone()).collect();
    match ActionGraph::new(lowering.actions, exports) {
        Ok(graph) => Ok(Lowered { graph, targets, sources: lowering.sources, warnings }),
        Err(errors) => Err(errors.iter().map(|e| Diagnostic::error("duplicate-output", e.to_string())).collect()),
    }
}

fn id(index: usize) -> ActionId {
    ActionId(u32::try_from(index).expect("ids are 32 bits wide"))
}

/// What is wrong or odd in a component is met again in every composition that holds it.
fn told_once(all: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut told: Vec<Diagnostic> = Vec::new();
    for one in all {
        let is_told =
            |other: &Diagnostic| (other.code, &other.message, &other.labels) == (one.code, &one.message, &one.labels);
        if !told.iter().any(is_told) {
            told.push(one);
        }
    }
    told
}

/// Gives every test whose own name is not unique its component's in front.
fn name_tests(targets: &mut [Target]) {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for test in targets.iter().flat_map(|target| &target.tests) {
        if !seen.insert(test.name.clone()) {
            twice.insert(test.name.clone());
        }
    }
    for target in targets {
        for test in target.tests.iter_mut().filter(|test| twice.contains(&test.name)) {
            test.name = format!("{}::{}", target.name, test.name);
        }
    }
}

impl Lowering<'_> {
    /// Adds an action.
    pub fn add(&mut self, action: Action) -> ActionId {
        self.actions.push(action);
        id(self.actions.len() - 1)
    }

    /// Where in the manifest something was asked for.
    #[must_use]
    pub fn place(&self, span: &Range<usize>) -> Option<Place> {
        let line = u32::try_from(self.manifest.line_of(span)).ok()?;
        Some(Place { file: self.manifest.file.clone(), line })
    }

    /// The files that a target leaves in the project: what its dependents may read.
    #[must_use]
    pub fn files_of(&self, target: &str) -> Vec<(RelPath, (ActionId, RelPath))> {
        self.providers.get(target).map(|provider| provider.files.clone()).unwrap_or_default()
    }

    /// The finished component of a target that was lowered before.
    #[must_use]
    pub fn whole_of(&self, target: &str) -> &Checked {
        self.providers[target].component.as_ref().expect("facts checked that it is a component")
    }

    /// Who makes a file of the project.
    #[must_use]
    pub fn maker_of(&self, file: &RelPath) -> Option<&(ActionId, RelPath)> {
        self.makers.get(file)
    }

    fn offer(&mut self, target: &str, provider: Provider) {
        self.makers.extend(provider.files.iter().cloned());
        self.providers.insert(target.to_owned(), provider);
    }
}

/// Lowers one target.
struct Lower<'a, 'b> {
    lowering: &'a mut Lowering<'b>,
    facts: &'a Facts,
    settings: &'a Settings,
    warnings: &'a mut Vec<Diagnostic>,
}

impl Lower<'_, '_> {
    fn target(&mut self, name: &str) -> Result<Target, Vec<Diagnostic>> {
        let manifest = self.lowering.manifest;
        match manifest.find_kind(name).expect("a plan names targets") {
            TargetKind::Component => self.component(manifest.find_component(name).expect("its kind says so")),
            TargetKind::Compose => self.composition(name),
            TargetKind::Command => Ok(self.command(name)),
        }
    }

    fn component(&mut self, component: &Component) -> Result<Target, Vec<Diagnostic>> {
        let name = component.name.as_str();
        let facts = &self.facts.components[name];
        let (wiring, warnings) = compose::wiring(self.lowering.manifest, self.facts, name)?;
        self.warnings.extend(warnings);
        let checked = component::lower(self.lowering, component, facts, wiring.is_some());
        self.lowering.checked.insert(name.to_owned(), checked.clone());
        let finished = match wiring {
            None => checked,
            Some(wiring) => {
                let composed = compose::lower(self.lowering, &component.name, &wiring);
                compose::check(self.lowering, &component.name, &composed)
            }
        };
        let mut target = self.finish(&component.name, TargetKind::Component, finished);
        target.language = facts.language;
        target.shape = Some(facts.interface.shape);
        self.tests(&mut target, Some(component), &facts.found_tests);
        Ok(target)
    }

    fn composition(&mut self, name: &str) -> Result<Target, Vec<Diagnostic>> {
        let manifest = self.lowering.manifest;
        let compose_of = manifest.find_compose(name).expect("its kind says so");
        let composed = match &compose_of.recipe {
            Recipe::Script(_) => compose::lower_script(self.lowering, compose_of, &self.facts.scripts[name]),
            Recipe::Root(root) => {
                let (wiring, warnings) = compose::wiring(manifest, self.facts, name)?;
                self.warnings.extend(warnings);
                match wiring {
                    Some(wiring) => compose::lower(self.lowering, &compose_of.name, &wiring),
                    None => Composed::of(self.lowering.whole_of(root.as_str())),
                }
            }
        };
        let checked = compose::check(self.lowering, &compose_of.name, &composed);
        let mut target = self.finish(&compose_of.name, TargetKind::Compose, checked);
        self.tests(&mut target, None, &[]);
        Ok(target)
    }

    /// What every finished component gets: native code, an archive, a place in the project.
    fn finish(&mut self, name: &Spanned<TargetName>, kind: TargetKind, checked: Checked) -> Target {
        let native = (checked.native, native_code());
        let package = package::lower(self.lowering, name, &checked);
        let to = self.output_path(name.as_str());
        let export = Export { action: checked.component.0, output: checked.component.1.clone(), to: to.clone() };
        let provider = Provider {
            component: Some(checked.clone()),
            native: Some(native.clone()),
            files: vec![(to, checked.component.clone())],
        };
        self.lowering.offer(name.as_str(), provider);
        Target {
            name: name.as_str().to_owned(),
            kind,
            language: None,
            shape: None,
            place: self.lowering.place(&name.span),
            outputs: vec![checked.component.0],
            component: Some(checked.component),
            interface: Some(checked.interface),
            native: Some(native),
            package: Some(package),
            tests: vec![],
            exports: vec![export],
            actions: vec![],
        }
    }

    fn output_path(&self, name: &str) -> RelPath {
        let build = &self.lowering.manifest.build;
        let folder = match self.settings.profile {
            Profile::Release => build.output_dir.clone(),
            Profile::Debug => build.output_dir.push("debug").expect("a plain name"),
        };
        folder.push(&format!("{name}.wasm")).expect("a target's name is a plain name")
    }

    fn command(&mut self, name: &str) -> Target {
        let manifest = self.lowering.manifest;
        let declared = manifest.find_command(name).expect("its kind says so");
        let action = command::action(self.lowering, declared, &self.facts.commands[name]);
        let action = self.lowering.add(action);
        let made = |output: &Spanned<RelPath>| (output.value.clone(), (action, output.value.clone()));
        let files: Vec<_> = declared.outputs.iter().map(made).collect();
        let export = |(to, (action, output)): &(RelPath, (ActionId, RelPath))| Export {
            action: *action,
            output: output.clone(),
            to: to.clone(),
        };
        let mut target = Target {
            name: name.to_owned(),
            kind: TargetKind::Command,
            language: None,
            shape: None,
            place: self.lowering.place(&declared.name.span),
            component: None,
            native: None,
            interface: None,
            package: None,
            tests: vec![],
            exports: files.iter().map(export).collect(),
            outputs: vec![action],
            actions: vec![],
        };
        self.lowering.offer(name, Provider { files, ..Provider::default() });
        self.command_tests(&mut target);
        target
    }

    /// The tests of a component or composition: those of the manifest, then those found by their names.
    fn tests(&mut self, target: &mut Target, component: Option<&Component>, found: &[String]) {
        let manifest = self.lowering.manifest;
        let offered = self.lowering.providers[&target.name].clone();
        let mut cases = Vec::new();
        for test in manifest.tests_of(&target.name) {
            let place = self.lowering.place(&test.name.span);
            cases.push((Case::written(self.lowering, test, component), place));
        }
        let written: BTreeSet<String> = cases.iter().map(|(case, _)| case.label.clone()).collect();
        for function in found {
            let Some(component) = component else { break };
            let case = Case::found(self.lowering, component, function);
            // A test of the manifest may say more about a function that would be found anyway.
            if !written.contains(&case.label) {
                cases.push((case, target.place.clone()));
            }
        }
        for (case, place) in cases {
            let name = case.label.clone();
            let action = case.action(self.facts, &target.name, &offered, place);
            let action = self.lowering.add(action);
            target.tests.push(TestTarget { name, action });
        }
    }

    fn command_tests(&mut self, target: &mut Target) {
        let manifest = self.lowering.manifest;
        let declared = manifest.find_command(&target.name).expect("it was lowered from one");
        for test in manifest.tests_of(&target.name) {
            let Call::Command { stdout, exit, .. } = &test.call else { continue };
            let action = command::action(self.lowering, declared, &self.facts.commands[&target.name]);
            let label = format!("{} test {}", target.name, test.name.value);
            let mut action =
                command::expecting(action, label, exit.value, stdout.as_ref().map(|text| text.value.as_str()));
            action.place = self.lowering.place(&test.name.span);
            let action = self.lowering.add(action);
            target.tests.push(TestTarget { name: test.name.value.clone(), action });
        }
    }
}
