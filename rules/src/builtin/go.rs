//! [`plan`]: what go would do → what each package, and the program, is made by.
//!
//! `package=PATH…` are packages that one action compiles, and `archive=PATH` a package that some of them may import. Every
//! action is given no more of what was compiled before than it may import, so that it is done again for nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use run_engine::path::RelPath;
use run_engine::sandbox::builtin::{Call, CallError, Returned};
use run_engine::tree::Node;

use super::{Named, path};
use crate::go::plan::{Compile, Import, Plan};
use crate::go::{packages, steps};
use crate::rule::WORK;

const ROOM: &str = "a string has room";

pub(super) fn plan(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let text = call.read(&path(WORK).join(&path(steps::LIST)).join(&path("plan")))?;
    let mut plan = match Plan::parse(&String::from_utf8_lossy(&text)) {
        Ok(plan) => plan,
        Err(what) => {
            return Ok(Returned::failure(format!(
                "{what} of what `go build -n` prints is not understood: use the Go that this version comes with\n"
            )));
        }
    };
    let mut files = archives(call, &named, &plan)?;
    for group in named.all("package") {
        let members: Vec<&str> = group.split(' ').collect();
        let at = packages::place(steps::PLAN, members[0]).join(&path("="));
        let mut script = String::new();
        let is_ours = |package: &Compile| members.contains(&package.package.as_str());
        let (ours, others): (Vec<Compile>, Vec<Compile>) = plan.packages.into_iter().partition(is_ours);
        plan.packages = others;
        for (number, package) in ours.into_iter().enumerate() {
            script += &call_of(&package, number, &plan.tools);
            let imports = importcfg(&package.imports, "export");
            files.push((at.join(&path(&format!("imports{number}"))), imports.into_bytes()));
            let embeds = package.embeds.map(|text| (at.join(&path(&format!("embeds{number}"))), text.into_bytes()));
            files.extend(embeds);
        }
        files.push((at.join(&path("build.sh")), script.into_bytes()));
    }
    if let Some(package) = plan.packages.first() {
        return Ok(Returned::failure(format!(
            "go compiles `{}`, which no source of the project seems to import: import it where it is needed, if only by `_`\n",
            package.package
        )));
    }
    let link = path(steps::PLAN).join(&path("="));
    let mut script = format!("link {}", quoted(&plan.tools));
    plan.link.flags.iter().for_each(|flag| write!(script, " {}", quoted(flag)).expect(ROOM));
    files.push((link.join(&path("imports")), importcfg(&plan.link.imports, "object").into_bytes()));
    files.push((link.join(&path("link.sh")), (script + "\n").into_bytes()));
    Ok(Returned::files(files))
}

/// What is compiled already of what is imported, by the path by which it is. Of what go turns out not to want, nothing.
fn archives(call: &Call<'_>, named: &Named<'_>, plan: &Plan) -> Result<Vec<(RelPath, Vec<u8>)>, CallError> {
    let mut wanted: BTreeMap<&str, Option<&str>> =
        named.all("archive").iter().map(|package| (*package, None)).collect();
    let imports = plan.packages.iter().flat_map(|package| &package.imports).chain(&plan.link.imports);
    wanted.extend(imports.filter_map(|import| match import {
        Import::Kept(package, file) => Some((package.as_str(), Some(file.as_str()))),
        Import::Planned(_) | Import::Line(_) => None,
    }));
    let bytes = |file: &str| {
        let layers = steps::LAYERS.iter().map(|layer| path(WORK).join(&path(layer)).join(&path(file)));
        let mut found = layers.filter(|file| matches!(call.inputs.find(file), Some(Node::File { .. })));
        match found.next() {
            Some(file) => call.read(&file),
            None => Err(CallError::Bug(format!("go has kept `{file}` nowhere"))),
        }
    };
    let archive = |(package, file): (&str, Option<&str>)| {
        Ok((packages::place(steps::ARCHIVES, package).join(&path("=")), file.map_or_else(|| Ok(vec![]), bytes)?))
    };
    wanted.into_iter().map(archive).collect()
}

/// The text that tells the compiler, or the linker, where packages are.
fn importcfg(imports: &[Import], part: &str) -> String {
    let mut text = String::new();
    for import in imports {
        match import {
            Import::Planned(package) => {
                writeln!(text, "packagefile {package}={}/=/{part}", packages::place(steps::PACKAGES, package))
            }
            Import::Kept(package, _) => {
                writeln!(text, "packagefile {package}={}/=", packages::place(steps::ARCHIVES, package))
            }
            Import::Line(line) => writeln!(text, "{line}"),
        }
        .expect(ROOM);
    }
    text
}

/// The line of a script that compiles a package.
fn call_of(package: &Compile, number: usize, tools: &str) -> String {
    let mut line = format!("package {} {number}", quoted(tools));
    let words = [&package.package, &package.dir, &package.shown];
    for word in words.into_iter().chain(&package.flags) {
        write!(line, " {}", quoted(word)).expect(ROOM);
    }
    for file in &package.files {
        write!(line, " \"$here\"/{}", quoted(file)).expect(ROOM);
    }
    line + "\n"
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
