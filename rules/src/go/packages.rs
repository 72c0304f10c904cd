//! [`groups`]: the packages of the project that a program is made of, in the order in which they can be compiled.
//!
//! Which files go leaves out by their build tags only go knows. So this is what a program is made of at most: what is
//! imported under any tags.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use run_engine::path::{RelPath, under};

use super::GoModule;
use super::source::Head;
use crate::cargo::Content;

/// A package of the project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package {
    /// The path by which it is imported.
    pub path: String,
    /// Its directory in the project; `None` is the project's own.
    pub dir: Option<RelPath>,
    /// What is compiled, with what that embeds.
    pub files: BTreeMap<RelPath, Content>,
    /// The packages that it imports.
    pub imports: BTreeSet<String>,
    /// What the names of files begin with that may become part of it, from its directory on.
    pub embeds: BTreeSet<String>,
}

/// The packages that `main` needs, those that others import before these. Those that import each other (under tags that
/// never hold together, or go refuses them) are one group.
#[must_use]
pub fn groups(packages: Vec<Package>, main: &str) -> Vec<Vec<Package>> {
    let mut graph = DiGraph::<(), ()>::new();
    let nodes: BTreeMap<&str, NodeIndex> =
        packages.iter().map(|package| (package.path.as_str(), graph.add_node(()))).collect();
    let imported = |package: &Package| -> Vec<NodeIndex> {
        package.imports.iter().filter_map(|path| nodes.get(path.as_str()).copied()).collect()
    };
    for package in &packages {
        for other in imported(package) {
            graph.add_edge(nodes[package.path.as_str()], other, ());
        }
    }
    let mut needed = BTreeSet::new();
    if let Some(main) = nodes.get(main) {
        let mut walk = petgraph::visit::Dfs::new(&graph, *main);
        while let Some(node) = walk.next(&graph) {
            needed.insert(node);
        }
    }
    let mut components = tarjan_scc(&graph);
    components.retain(|members| members.iter().any(|member| needed.contains(member)));
    let mut packages: Vec<Option<Package>> = packages.into_iter().map(Some).collect();
    let group = |mut members: Vec<NodeIndex>| {
        members.sort_unstable();
        members.into_iter().filter_map(|member| packages[member.index()].take()).collect()
    };
    components.into_iter().map(group).collect()
}

impl Package {
    /// Whether a file of the project may become part of it.
    #[must_use]
    pub fn may_embed(&self, file: &RelPath) -> bool {
        let below = match &self.dir {
            Some(dir) => file.as_str().strip_prefix(dir.as_str()).and_then(|rest| rest.strip_prefix('/')),
            None => Some(file.as_str()),
        };
        below.is_some_and(|below| self.embeds.iter().any(|start| below.starts_with(start)))
    }
}

/// Every package of a module and of those beside it, sorted by path. `sources` are what go compiles of them, `others` what they
/// may embed besides; `is_left_out` says which directories are compiled elsewhere.
pub fn all(
    module: &GoModule,
    sources: &BTreeMap<RelPath, Content>,
    others: &BTreeMap<RelPath, Content>,
    is_left_out: impl Fn(&RelPath) -> bool,
) -> Vec<Package> {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    for (file, content) in sources {
        if !file.as_str().ends_with(".go") || file.parent().is_some_and(|dir| is_left_out(&dir)) {
            continue;
        }
        let dir = file.parent();
        let Some(path) = module.package(dir.as_ref()) else { continue };
        let made;
        let head = match content {
            Content::Project => module.heads.get(file),
            Content::Text(text) => {
                made = Head::of(text);
                Some(&made)
            }
        };
        let package = packages.entry(path.clone()).or_insert_with(|| Package { path, dir, ..Package::default() });
        package.files.insert(file.clone(), content.clone());
        if let Some(head) = head {
            package.imports.extend(head.imports.iter().cloned());
            package.embeds.extend(head.embeds.iter().cloned());
        }
    }
    for package in packages.values_mut().filter(|package| !package.embeds.is_empty()) {
        let embedded: Vec<_> = sources.iter().chain(others).filter(|(file, _)| package.may_embed(file)).collect();
        package.files.extend(embedded.into_iter().map(|(file, content)| (file.clone(), content.clone())));
    }
    packages.into_values().collect()
}

/// What go is to know of the sources to tell what it would do with them: their heads, and that the others are there.
#[must_use]
pub fn outline(module: &GoModule, sources: &BTreeMap<RelPath, Content>) -> BTreeMap<RelPath, Content> {
    let part = |file: &RelPath| match module.heads.get(file) {
        Some(head) => Content::Text(head.text.clone()),
        // Not a text, so that go says so.
        None if file.as_str().ends_with(".go") => Content::Project,
        None => Content::Text(String::new()),
    };
    sources.keys().map(|file| (file.clone(), part(file))).collect()
}

/// The directory of what a build makes of the package `path`. No package is called `=`.
#[must_use]
pub fn place(at: &str, path: &str) -> RelPath {
    under(
        Some(&RelPath::new(at).expect("a constant that is a path")),
        &RelPath::new(path).expect("go's paths are plain"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(path: &str, imports: &[&str]) -> Package {
        let imports = imports.iter().map(|path| (*path).to_owned()).collect();
        Package { path: path.to_owned(), imports, ..Package::default() }
    }

    #[track_caller]
    fn check(packages: &[(&str, &[&str])], main: &str, expected: &[&[&str]]) {
        let packages = packages.iter().map(|(path, imports)| package(path, imports)).collect();
        let groups = groups(packages, main);
        let names: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(|package| package.path.as_str()).collect()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_imported_comes_first_and_what_is_not_needed_not_at_all() {
        check(
            &[("a", &["fmt", "a/b", "a/c"]), ("a/b", &["a/c"]), ("a/c", &["os"]), ("a/d", &["a/b"])],
            "a",
            &[&["a/c"], &["a/b"], &["a"]],
        );
        check(&[("a", &[])], "b", &[]);
    }

    #[test]
    fn packages_that_import_each_other_are_compiled_together() {
        check(&[("a", &["b"]), ("b", &["c"]), ("c", &["d", "b"]), ("d", &["d"])], "a", &[&["d"], &["b", "c"], &["a"]]);
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn module(heads: &[(&str, &str)]) -> GoModule {
        let heads = heads.iter().map(|(file, text)| (path(file), Head::of(text))).collect();
        let own = vec![(Some(path("l")), "x.org/l".to_owned()), (None, "m".to_owned())];
        GoModule { heads, own, ..GoModule::default() }
    }

    #[test]
    fn a_package_is_a_directory_with_what_it_embeds() {
        let module = module(&[
            ("m.go", "package main\nimport \"m/p\"\n"),
            ("p/p.go", "package p\nimport _ \"embed\"\n//go:embed x\n"),
            ("l/q/q.go", "package q"),
        ]);
        let own = ["m.go", "p/p.go", "p/x/y.txt", "p/z.txt", "l/q/q.go", "README"];
        let own = own.into_iter().map(|file| (path(file), Content::Project));
        let generated = [("m/g.go", "package m\nimport \"x.org/l/q\"\n"), ("left/out.go", "package out")];
        let text = |text: &str| Content::Text(text.to_owned());
        let sources = own.chain(generated.map(|(file, of)| (path(file), text(of)))).collect();
        let others = BTreeMap::from([(path("p/x.mod"), text("module p"))]);
        let found = all(&module, &sources, &others, |dir| *dir == path("left"));
        let listed = found.iter().map(|package| {
            let files: Vec<&str> = package.files.keys().map(RelPath::as_str).collect();
            let imports: Vec<&str> = package.imports.iter().map(String::as_str).collect();
            format!("{}: {} imports {}", package.path, files.join(" "), imports.join(" "))
        });
        assert_eq!(
            listed.collect::<Vec<_>>(),
            [
                "m: m.go imports m/p",
                "m/m: m/g.go imports x.org/l/q",
                "m/p: p/p.go p/x.mod p/x/y.txt imports embed",
                "x.org/l/q: l/q/q.go imports ",
            ]
        );
        assert!(found[2].may_embed(&path("p/x/other")) && !found[2].may_embed(&path("p/z.txt")));
    }

    #[test]
    fn an_outline_has_heads_and_names() {
        let module = module(&[("a.go", "package a\nfunc f() {}\n")]);
        let sources = ["a.go", "a.txt", "latin.go"].into_iter().map(|file| (path(file), Content::Project)).collect();
        let text = |text: &str| Content::Text(text.to_owned());
        let expected = [("a.go", text("package a")), ("a.txt", text("")), ("latin.go", Content::Project)];
        let expected = expected.into_iter().map(|(file, content)| (path(file), content)).collect::<BTreeMap<_, _>>();
        assert_eq!(outline(&module, &sources), expected);
    }
}
