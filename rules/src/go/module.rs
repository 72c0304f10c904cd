//! [`find`]: reads a Go module of the project, with the modules of the project that replace others in it.

use std::collections::{BTreeMap, BTreeSet};

use run_engine::path::{RelPath, under};

use super::manifest::{Manifest, NAMELESS, RUNTIME, vendored};
use super::source::Head;
use crate::cargo::{Content, Files};
use crate::diagnostic::Diagnostic;

/// A Go module of the project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoModule {
    /// Its directory; `None` is the project's own.
    pub dir: Option<RelPath>,
    /// Its path, which imports begin with.
    pub path: String,
    /// What says which modules there are: `go.mod`, `go.sum` and the like, of this module and of those beside it.
    pub manifests: BTreeMap<RelPath, Content>,
    /// Vendored packages.
    pub vendor: Vec<RelPath>,
    /// Everything else that the build reads: sources, and what they embed.
    pub sources: Vec<RelPath>,
    /// What each of the sources that are Go begins with.
    pub heads: BTreeMap<RelPath, Head>,
    /// The modules that are files of the project, this one among them: the directory and the path of each.
    pub own: Vec<(Option<RelPath>, String)>,
    /// Whether some of it is no Go, but has to be linked with it: assembly that says something, objects.
    pub has_objects: bool,
    /// Where other people's modules come from.
    pub needs: Needs,
    /// The version of Go that it is written in, where it says one.
    pub go: Option<String>,
    /// Whether modules of others that are fetched may import packages of the project.
    pub is_imported_back: bool,
    /// Whether a directory stands for several modules, or several for one.
    pub is_ambiguous: bool,
    /// Whether it says where the runtime of bindings is.
    pub replaces_runtime: bool,
}

/// Where the modules come from that are not files of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Needs {
    /// There are none.
    #[default]
    Nothing,
    /// They are in `vendor`; what bindings import is not, and has to be put there.
    Vendored,
    /// They are in `vendor`, and what bindings import with them.
    VendoredWhole,
    /// They are fetched.
    Fetched,
}

/// The endings of the files that go compiles.
const ENDINGS: &[&str] = &[".go", ".s", ".h", ".syso"];

/// The endings of those that it compiles for tests only.
const TEST: &str = "_test.go";

/// Whether go compiles a file, or has it assembled or linked.
#[must_use]
pub fn is_compiled(file: &RelPath) -> bool {
    ENDINGS.iter().any(|ending| file.as_str().ends_with(ending))
}

impl GoModule {
    /// The packages it imports that are not its own, sorted.
    pub fn foreign(&self) -> impl Iterator<Item = &str> {
        let dirs: BTreeSet<RelPath> = self.heads.keys().filter_map(RelPath::parent).collect();
        // Somebody else's module may be called as if it were a part of this one.
        let is_own = move |package: &str| {
            self.own.iter().any(|(dir, module)| match package.strip_prefix(module.as_str()) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('/').is_some_and(|below| {
                    let is_generated = below.starts_with("imports/") || below.starts_with("exports/");
                    is_generated || RelPath::new(below).is_ok_and(|below| dirs.contains(&under(dir.as_ref(), &below)))
                }),
                None => false,
            })
        };
        self.imports().into_iter().filter(move |package| !is_own(package) && *package != "C")
    }

    /// Whether the modules that are not its own are in the project.
    #[must_use]
    pub const fn is_vendored(&self) -> bool {
        matches!(self.needs, Needs::Vendored | Needs::VendoredWhole)
    }

    /// The generated packages that it imports, sorted.
    pub fn bindings(&self) -> impl Iterator<Item = &str> {
        let prefix = format!("{}/imports/", self.path);
        self.imports().into_iter().filter(move |package| package.starts_with(&prefix))
    }

    /// The packages that the sources import.
    fn imports(&self) -> BTreeSet<&str> {
        self.heads.values().flat_map(|head| &head.imports).map(String::as_str).collect()
    }

    /// The path of the package in a directory.
    #[must_use]
    pub fn package(&self, dir: Option<&RelPath>) -> Option<String> {
        let is_above = |(module, _): &&(Option<RelPath>, String)| {
            module.as_ref().is_none_or(|module| dir.is_some_and(|dir| dir.starts_with(module)))
        };
        // One module may be below another, and is none of it then.
        let depth = |(module, _): &&(Option<RelPath>, String)| module.as_ref().map_or(0, |dir| dir.parts().count());
        let (module, path) = self.own.iter().filter(is_above).max_by_key(depth)?;
        let below = match module {
            Some(module) => dir.and_then(|dir| dir.strip_prefix(module)),
            None => dir.cloned(),
        };
        Some(below.map_or_else(|| path.clone(), |below| format!("{path}/{below}")))
    }
}

/// Reads the module in `dir`.
///
/// # Errors
/// `bad-go-module`, `missing-lockfile`, `path-outside-project`.
pub fn find(files: &dyn Files, dir: Option<&RelPath>) -> Result<GoModule, Vec<Diagnostic>> {
    let at = |name: &str| under(dir, &RelPath::new(name).expect("a constant that is a path"));
    let mut module = GoModule { dir: dir.cloned(), ..GoModule::default() };
    let text = files.read(&at("go.mod")).unwrap_or_else(|| NAMELESS.to_owned());
    let manifest = read(&text, &at("go.mod"))?;
    module.path.clone_from(&manifest.module);
    module.go.clone_from(&manifest.go);
    let mut beside = Vec::new();
    for (path, written) in manifest.directories() {
        beside.push((path, Some(directory(&at("go.mod"), dir, written)?)));
    }
    let listed = at("vendor/modules.txt");
    let vendored_list = files.read(&listed);
    module.needs = match (&vendored_list, manifest.needs_others()) {
        (Some(_), _) => Needs::Vendored,
        (None, true) => Needs::Fetched,
        (None, false) => Needs::Nothing,
    };
    module.replaces_runtime = manifest.replaces_runtime();
    let mut amendment = manifest.amendment();
    if let Some(list) = vendored_list.filter(|_| module.needs == Needs::Vendored) {
        if list.lines().any(|line| line.split(' ').nth(1) == Some(RUNTIME)) {
            module.needs = Needs::VendoredWhole;
            amendment.clear();
        } else {
            module.manifests.insert(listed, Content::Text(vendored(&list)));
        }
    }
    module.manifests.insert(at("go.mod"), Content::Text(text + &amendment));
    let sums = files.read(&at("go.sum"));
    if sums.is_some() {
        module.manifests.insert(at("go.sum"), Content::Project);
    } else if module.needs == Needs::Fetched {
        let missing = Diagnostic::error("missing-lockfile", format!("there is no `{}`", at("go.sum")))
            .note("without it, nothing tells whether the modules that are fetched are the ones that were meant")
            .help("run `go mod tidy` there and commit what it writes");
        return Err(vec![missing]);
    }
    if module.is_vendored() {
        // With these among the rest.
        beside.clear();
    }
    for (path, other) in beside {
        let file = under(other.as_ref(), &RelPath::new("go.mod").expect("a plain name"));
        let Some(text) = files.read(&file) else { continue };
        read(&text, &file)?;
        // It is called what it stands for, whatever it calls itself.
        module.own.push((other.clone(), path.to_owned()));
        module.manifests.insert(file, Content::Project);
        module.take_sources(files, other.as_ref());
    }
    let is_known = |sums: String| sums.lines().any(|line| line.split(' ').next() == Some(manifest.module.as_str()));
    module.is_imported_back = module.needs == Needs::Fetched && (!module.own.is_empty() || sums.is_some_and(is_known));
    module.own.push((dir.cloned(), manifest.module));
    // One directory under two names, or the other way round: which of them counts go knows.
    let (mut dirs, mut paths) = (BTreeSet::new(), BTreeSet::new());
    module.is_ambiguous = !module.own.iter().all(|(dir, path)| dirs.insert(dir) && paths.insert(path));
    module.take_sources(files, dir);
    module.sources.sort_unstable();
    module.sources.dedup();
    Ok(module)
}

fn read(text: &str, file: &RelPath) -> Result<Manifest, Vec<Diagnostic>> {
    Manifest::parse(text).ok_or_else(|| {
        let problem = Diagnostic::error("bad-go-module", format!("`{file}` does not say what the module is called"));
        vec![problem.help("begin it with `module NAME`, as `go mod init NAME` does")]
    })
}

/// The directory of the project that is meant by a replacement.
fn directory(file: &RelPath, dir: Option<&RelPath>, written: &str) -> Result<RelPath, Vec<Diagnostic>> {
    let text = dir.map_or_else(|| written.to_owned(), |dir| format!("{dir}/{written}"));
    let found = if written.starts_with('/') { None } else { RelPath::normalize(&text).ok().flatten() };
    found.ok_or_else(|| {
        let problem = Diagnostic::error(
            "path-outside-project",
            format!("`{file}` replaces a module by `{written}`, which is no directory below the project's"),
        );
        let note =
            "an action sees the files of this project and nothing else, so that its result is the same elsewhere";
        vec![problem.note(note).help("move the module into the project, or require it by version")]
    })
}

impl GoModule {
    /// Adds the files of a module: what go compiles, and what that may embed. Modules further below are none of it.
    fn take_sources(&mut self, files: &dyn Files, dir: Option<&RelPath>) {
        let is_below = |file: &&RelPath| dir.is_none_or(|dir| file.starts_with(dir));
        let all: Vec<&RelPath> = files.list().iter().filter(is_below).collect();
        let is_manifest = |file: &&&RelPath| file.file_name() == "go.mod" && file.parent().as_ref() != dir;
        let others: Vec<RelPath> = all.iter().filter(is_manifest).filter_map(|file| file.parent()).collect();
        let vendor = under(dir, &RelPath::new("vendor").expect("a plain name"));
        let mut embedding = BTreeSet::new();
        let mut rest = Vec::new();
        for file in all {
            let is_vendored = file.starts_with(&vendor);
            if is_vendored && self.dir.as_ref() == dir && !self.manifests.contains_key(file) {
                self.vendor.push(file.clone());
            }
            if is_vendored || others.iter().any(|other| file.starts_with(other)) || file.as_str().ends_with(TEST) {
                continue;
            }
            if !is_compiled(file) {
                rest.push(file.clone());
                continue;
            }
            if file.as_str().ends_with(".go")
                && let Some(text) = files.read(file)
            {
                let head = Head::of(&text);
                if !head.embeds.is_empty() {
                    embedding.insert(file.parent());
                }
                self.heads.insert(file.clone(), head);
            }
            self.has_objects |= file.as_str().ends_with(".syso")
                || file.as_str().ends_with(".s") && files.read(file).is_none_or(|text| !is_empty_assembly(&text));
            self.sources.push(file.clone());
        }
        let is_embedded =
            |file: &RelPath| embedding.iter().any(|dir| dir.as_ref().is_none_or(|dir| file.starts_with(dir)));
        self.sources.extend(rest.into_iter().filter(|file| !self.manifests.contains_key(file) && is_embedded(file)));
    }
}

/// Whether an assembler would find nothing in a file: one that is there so that go accepts functions without a body.
pub(super) fn is_empty_assembly(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project in memory, written as texts after lines `//- path`.
    struct Project {
        texts: BTreeMap<RelPath, String>,
        listed: Vec<RelPath>,
    }

    impl Project {
        fn new(text: &str) -> Self {
            let files = text.split("//- ").skip(1).map(|file| file.split_once('\n').expect("a path ends its line"));
            let texts: BTreeMap<RelPath, String> =
                files.map(|(path, text)| (RelPath::new(path).expect("a path"), text.to_owned())).collect();
            Self { listed: texts.keys().cloned().collect(), texts }
        }
    }

    impl Files for Project {
        fn read(&self, path: &RelPath) -> Option<String> {
            self.texts.get(path).cloned()
        }

        fn list(&self) -> &[RelPath] {
            &self.listed
        }
    }

    #[track_caller]
    fn found(text: &str, dir: &str) -> GoModule {
        let dir = (dir != ".").then(|| RelPath::new(dir).unwrap());
        find(&Project::new(text), dir.as_ref()).unwrap()
    }

    #[track_caller]
    fn check_refused(text: &str, code: &str) {
        let problems = find(&Project::new(text), None).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), [code], "{text}");
    }

    const MODULE: &str = "//- api/go.mod\nmodule example.com/api\nrequire example.com/x v1.0.0\nreplace example.com/l => ../l\n\
                          //- api/go.sum\n\
                          //- api/a.go\npackage api\nimport (\n\"fmt\"\n\"example.com/api/b\"\n\"example.com/x/y\"\n\"example.com/l\"\n)\n\
                          //- api/a_test.go\npackage api\nimport \"testing\"\n\
                          //- api/b/b.go\npackage b\nimport _ \"embed\"\n//go:embed b.txt\nvar s string\n\
                          //- api/b/b.txt\n//- api/README.md\n//- api/n/go.mod\nmodule n\n//- api/n/n.go\n\
                          //- l/go.mod\nmodule example.com/l\n//- l/l.go\npackage l\nimport \"os\"\n";

    #[test]
    fn a_module_is_what_go_compiles_of_it() {
        let module = found(MODULE, "api");
        let names = |files: &[RelPath]| files.iter().map(|file| file.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&module.sources), ["api/a.go", "api/b/b.go", "api/b/b.txt", "l/l.go"]);
        assert_eq!(module.foreign().collect::<Vec<_>>(), ["embed", "example.com/x/y", "fmt", "os"]);
        let manifests: Vec<&str> = module.manifests.keys().map(RelPath::as_str).collect();
        assert_eq!(manifests, ["api/go.mod", "api/go.sum", "l/go.mod"]);
        assert_eq!((module.path.as_str(), module.needs), ("example.com/api", Needs::Fetched));
        let package = |dir: &str| module.package(Some(&RelPath::new(dir).unwrap()));
        assert_eq!(package("api/b").as_deref(), Some("example.com/api/b"));
        assert_eq!(package("l").as_deref(), Some("example.com/l"));
        assert_eq!(package("other"), None);
    }

    #[test]
    fn a_module_below_another_has_its_own_name() {
        let text = "//- go.mod\nmodule a\nreplace b => ./c/b\n//- a.go\npackage a\n//- c/b/go.mod\nmodule b\n";
        let module = found(text, ".");
        let package = |dir: Option<&str>| module.package(dir.map(|dir| RelPath::new(dir).unwrap()).as_ref()).unwrap();
        assert_eq!([package(None), package(Some("c")), package(Some("c/b"))], ["a", "a/c", "b"]);
    }

    #[test]
    fn a_replacement_is_called_what_it_stands_for_unless_all_is_vendored() {
        let text = "//- go.mod\nmodule a\nreplace b => ./c\n//- a.go\npackage a\n//- c/go.mod\nmodule d\n//- c/c.go\npackage c\n";
        let module = found(text, ".");
        assert_eq!(module.package(Some(&RelPath::new("c").unwrap())).as_deref(), Some("b"));
        let vendored = found(&format!("{text}//- vendor/modules.txt\n# b v1.0.0\n"), ".");
        assert_eq!((vendored.own.len(), vendored.sources.len()), (1, 1));
    }

    #[test]
    fn a_directory_may_stand_for_two_modules() {
        let with = |replaced: &str| {
            let text = format!("//- go.mod\nmodule a\nreplace b => ./c\n{replaced}//- a.go\npackage a\n");
            found(&format!("{text}//- c/go.mod\nmodule b\n//- d/go.mod\nmodule b\n"), ".").is_ambiguous
        };
        assert!(!with(""));
        assert!(with("replace e => ./c\n"));
        assert!(with("replace b v1.0.0 => ./d\n"));
    }

    #[test]
    fn modules_of_others_may_import_the_project_back() {
        let with =
            |text: &str| found(&format!("//- go.mod\nmodule a\nrequire b v1.0.0\n//- a.go\npackage a\n{text}"), ".");
        assert!(!with("//- go.sum\nb v1.0.0 h1:x\n").is_imported_back);
        assert!(with("//- go.sum\na v0.1.0/go.mod h1:x\nb v1.0.0 h1:x\n").is_imported_back);
        let replaced =
            MODULE.replace("require example.com/x", "require example.com/other v1.0.0\nrequire example.com/x");
        assert!(found(&replaced, "api").is_imported_back);
    }

    #[test]
    fn a_module_of_others_may_be_called_as_a_part_of_this_one() {
        let text = "//- go.mod\nmodule a\nrequire a/x v1.0.0\n//- go.sum\n//- a.go\npackage a\nimport (\"a/x/y\"; \"a/b\")\n//- b/b.go\npackage b\n";
        assert_eq!(found(text, ".").foreign().collect::<Vec<_>>(), ["a/x/y"]);
    }

    #[test]
    fn only_assembly_that_says_something_is_an_object() {
        let with = |rest: &str| found(&format!("//- go.mod\nmodule a\n//- a.go\npackage a\n{rest}"), ".").has_objects;
        assert!(!with("//- empty.s\n// So that go accepts declarations.\n\n"));
        assert!(with("//- f.s\nTEXT f(SB), 0, $0\n"));
        assert!(with("//- f.syso\n"));
    }

    #[test]
    fn what_is_vendored_is_not_fetched() {
        let text =
            "//- go.mod\nmodule a\nrequire b v1.0.0\n//- a.go\n//- vendor/modules.txt\n# b v1.0.0\n//- vendor/b/b.go\n";
        let module = found(text, ".");
        assert_eq!(module.needs, Needs::Vendored);
        assert_eq!(module.vendor, [RelPath::new("vendor/b/b.go").unwrap()]);
        let whole = found(&text.replace("# b v", "# go.bytecodealliance.org/pkg v0.4.0\n# b v"), ".");
        assert_eq!(whole.needs, Needs::VendoredWhole);
    }

    #[test]
    fn what_can_not_be_built_is_refused() {
        check_refused("//- go.mod\ngo 1.24\n", "bad-go-module");
        check_refused("//- go.mod\nmodule a\nrequire b v1.0.0\n", "missing-lockfile");
        check_refused("//- go.mod\nmodule a\nreplace b => ../b\n", "path-outside-project");
        check_refused("//- go.mod\nmodule a\nreplace b => /b\n", "path-outside-project");
    }

    #[test]
    fn loose_sources_are_a_module() {
        let module = found("//- main.go\npackage main\n", ".");
        assert_eq!((module.path.as_str(), module.needs), ("wit_component", Needs::Nothing));
    }
}
