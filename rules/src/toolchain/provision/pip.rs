//! Packages of Python by pip: wheels of pure Python alone, each held to the digests of its requirement, and of what pip leaves
//! only what the wheels hold.
//!
//! Pip says in sentences what went wrong; they are taken apart here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::client::{Client, unwritable};
use super::pep508::PYTHON;
use super::requirements::Requirements;
use crate::toolchain::ToolchainError;

/// What pip notes of itself beside a package: where it has put it, by which version of pip.
const OF_PIP: [&str; 4] = ["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"];

/// How the names of files end that hold code of some machine.
const NATIVE: [&str; 4] = ["so", "pyd", "dylib", "dll"];

impl Client<'_> {
    /// Fetches what `requirements` name as one `site-packages`.
    pub(super) fn site_packages(&self, requirements: &Requirements) -> Result<PathBuf, ToolchainError> {
        let list = self.into.join("requirements.txt");
        fs::write(&list, requirements.for_pip()).map_err(|e| unwritable(self.into, &e))?;
        let mut command = self.pip()?;
        command.args(["install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"]);
        command.args(["--no-input", "--disable-pip-version-check", "--root-user-action=ignore"]);
        // No wheel but those of pure Python fits this.
        command.args(["--python-version", PYTHON, "--implementation", "py", "--abi", "none", "--platform", "any"]);
        let site = self.into.join("site");
        command.arg("--target").arg(&site).arg("-r").arg(&list);
        if let Some(complaint) = self.attempt(command, "pip")? {
            let told =
                mismatch(&complaint.lines, requirements).or_else(|| nothing_fits(&complaint.lines, requirements));
            return Err(told.unwrap_or_else(|| {
                complaint.shown("pip", "the packages of requirements.txt").coded("unfetched-packages")
            }));
        }
        let unreadable = |e: io::Error| unwritable(&site, &e);
        if let Some(file) = native(&site, Path::new("")).map_err(unreadable)? {
            let what = format!("`{}`, of a package in requirements.txt, is native code", file.display());
            return Err(ToolchainError::new(what, PURE).coded("native-package"));
        }
        for package in packages(&site).map_err(unreadable)? {
            complete(&site.join(&package), requirements).map_err(unreadable)??;
            tidy(&site, &package).map_err(unreadable)?;
        }
        Ok(site)
    }
}

/// The way out of native code.
const PURE: &str =
    "a component can load pure Python alone: use a package that does the same without native code, or leave it out";

/// What pip says when an archive is not what the requirement says.
fn mismatch(lines: &[String], requirements: &Requirements) -> Option<ToolchainError> {
    let at = lines.iter().position(|line| line.contains("DO NOT MATCH THE HASHES"))?;
    let package = lines.get(at + 1)?.trim().split(" from ").next()?;
    let (mut wanted, mut found) = (Vec::new(), None);
    let mut function = "sha256".to_owned();
    for line in &lines[at + 2..] {
        match after(line, "Expected").as_deref() {
            Some(["or", hex]) => wanted.push(format!("    or {function}:{hex}")),
            Some([named, hex]) => {
                function = (*named).to_owned();
                wanted.push(format!("wanted {function}:{hex}"));
            }
            _ => {}
        }
        if let Some([hex]) = after(line, "Got").as_deref() {
            found = Some(format!(" found {function}:{hex}"));
            break;
        }
    }
    let error = ToolchainError::new(
        format!("PyPI gives other bytes as {package} than requirements.txt has"),
        "if a mirror is in between, ask it for another copy: a published version never changes",
    );
    let mut error = placed(error.coded("other-bytes"), requirements, package);
    error.notes = wanted.into_iter().chain(found).collect();
    error.helps.push(
        "if it is requirements.txt that is wrong, or has the digest of another archive than the wheel, write it anew with \
         `uv pip compile --generate-hashes` or `pip-compile --generate-hashes`"
            .to_owned(),
    );
    Some(error)
}

/// The words of a line after its first.
fn after<'l>(line: &'l str, word: &str) -> Option<Vec<&'l str>> {
    Some(line.trim().strip_prefix(word)?.split_whitespace().collect())
}

/// What pip says when it finds no archive, or could not ask.
fn nothing_fits(lines: &[String], requirements: &Requirements) -> Option<ToolchainError> {
    let line = lines.iter().find(|line| line.contains("No matching distribution found for"))?;
    let package = line.rsplit_once(" for ")?.1.split_whitespace().next()?.to_owned();
    let mut silent =
        lines.iter().filter(|line| line.contains("after connection broken") || line.contains("Could not fetch URL"));
    if let Some(why) = silent.next() {
        let why = why.split_once("broken by ").map_or(why.as_str(), |(_, why)| why).trim_matches(['\'', ':']);
        let why = why.rsplit_once("object at 0x").and_then(|(_, why)| why.split_once(": ")).map_or(why, |(_, why)| why);
        let why = why.split(": /").next().unwrap_or(why).trim_matches(['\'', ')']);
        let help = "check the network, and pip's configuration: index, proxy, certificates; what was fetched once needs neither";
        let error =
            ToolchainError::new(format!("PyPI can't be reached for {package}"), help).coded("unfetched-packages");
        return Some(placed(error, requirements, &package).noted(format!("pip says: {why}")));
    }
    let versions = lines.iter().find_map(|line| line.split_once("(from versions: ")?.1.strip_suffix(')'));
    Some(match versions {
        Some(versions) if versions != "none" => {
            let help = "lock a version that has such a wheel: `uv pip compile --generate-hashes --upgrade`";
            let error = ToolchainError::new(format!("PyPI has no wheel of pure Python of {package}"), help);
            placed(error.coded("stale-lockfile"), requirements, &package).noted(format!("it has them of {versions}"))
        }
        _ => {
            let what = format!("PyPI has no wheel of pure Python of {package}, nor of any other version");
            placed(ToolchainError::new(what, PURE).coded("native-package"), requirements, &package)
        }
    })
}

/// Points at the line that names a package, `NAME==VERSION`.
fn placed(error: ToolchainError, requirements: &Requirements, package: &str) -> ToolchainError {
    let name = package.split(['=', '[', ' ']).next().unwrap_or(package);
    match requirements.place(name) {
        Some((file, span)) => error.at(file, span),
        None => error,
    }
}

/// The first file below a directory that holds code of some machine.
fn native(site: &Path, below: &Path) -> io::Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(site.join(below))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if let Some(found) = native(site, &path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|end| NATIVE.iter().any(|native| end == *native))
            || path.to_string_lossy().contains(".so.")
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The directories in which packages tell about themselves, sorted.
fn packages(site: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(site)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".dist-info"));
    names.sort();
    Ok(names)
}

/// Whether all that a package requires is among the requirements.
fn complete(package: &Path, requirements: &Requirements) -> io::Result<Result<(), ToolchainError>> {
    let text = String::from_utf8_lossy(&fs::read(package.join("METADATA"))?).into_owned();
    // As in a message, the head ends with an empty line.
    let head = || text.lines().take_while(|line| !line.is_empty());
    let name = head().find_map(|line| line.strip_prefix("Name: ")).unwrap_or_default();
    let required = head().filter_map(|line| line.strip_prefix("Requires-Dist: "));
    Ok(match requirements.unmet(required, &requirements.extras_of(name)) {
        None => Ok(()),
        Some(unmet) => {
            let help =
                "lock all that is required: `uv pip compile --generate-hashes`, or `pip-compile --generate-hashes`";
            let error = ToolchainError::new(format!("`{name}` requires {unmet}"), help).coded("stale-lockfile");
            Err(placed(error, requirements, name))
        }
    })
}

/// Removes what pip added: its own notes, and programs that begin with the path of this machine's Python.
fn tidy(site: &Path, package: &str) -> io::Result<()> {
    let record = fs::read_to_string(site.join(package).join("RECORD")).unwrap_or_default();
    let outside = record.lines().filter_map(|line| line.strip_prefix("../../")?.split(',').next());
    let programs: Vec<&str> =
        outside.filter(|path| path.strip_prefix("bin/").is_some_and(|name| !name.contains('/'))).collect();
    let own = OF_PIP.iter().map(|name| format!("{package}/{name}"));
    for file in programs.iter().map(ToString::to_string).chain(own) {
        match fs::remove_file(site.join(file)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    if !programs.is_empty() {
        // A directory of the same name that holds something else stays.
        let _ = fs::remove_dir(site.join("bin"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements() -> Requirements {
        let hash = "0".repeat(64);
        Requirements::parse("requirements.txt", &format!("inflection==0.5.1 --hash=sha256:{hash}\n")).unwrap()
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn both_digests_of_a_mismatch_are_shown() {
        let said = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated\n    \
                    inflection==0.5.1 from https://files.example.org/inflection.whl (from -r r.txt (line 1)):\n        \
                    Expected sha256 0000\n        Expected     or 1111\n             Got        f38b\n";
        let error = mismatch(&lines(said), &requirements()).unwrap();
        assert_eq!(error.what, "PyPI gives other bytes as inflection==0.5.1 than requirements.txt has");
        assert_eq!(error.notes, ["wanted sha256:0000", "    or sha256:1111", " found sha256:f38b"]);
        assert_eq!(error.place.unwrap().1, 0..96);
    }

    #[test]
    fn what_can_not_be_found_is_told_from_what_can_not_be_asked() {
        let told = |said: &str| {
            let error = nothing_fits(&lines(said), &requirements()).unwrap();
            (error.code, error.what, error.notes)
        };
        let none = "ERROR: No matching distribution found for inflection==0.5.1";
        let versions = |list: &str| {
            format!(
                "ERROR: Could not find a version that satisfies the requirement inflection==0.5.1 (from versions: {list})\n{none}"
            )
        };
        let (code, what, _) = told(&versions("none"));
        assert_eq!(code, "native-package");
        assert_eq!(what, "PyPI has no wheel of pure Python of inflection==0.5.1, nor of any other version");
        let (code, _, notes) = told(&versions("0.4.0, 0.5.0"));
        assert_eq!((code, notes), ("stale-lockfile", vec!["it has them of 0.4.0, 0.5.0".to_owned()]));
        let silent = "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by \
                      'NewConnectionError('<pip._vendor.HTTPConnection object at 0x7f66>: Failed to establish a new \
                      connection: [Errno 111] Connection refused')': /simple/inflection/\n";
        let (code, what, notes) = told(&format!("{silent}{}", versions("none")));
        assert_eq!((code, what.as_str()), ("unfetched-packages", "PyPI can't be reached for inflection==0.5.1"));
        assert_eq!(notes, ["pip says: Failed to establish a new connection: [Errno 111] Connection refused"]);
    }

    #[test]
    fn only_what_wheels_hold_stays() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("bin/slugify", "#!/usr/bin/python3");
        write("s-1.dist-info/RECORD", "../../bin/slugify,sha256=x,239\ns/__init__.py,,\n");
        write("s-1.dist-info/INSTALLER", "pip");
        write(
            "s-1.dist-info/METADATA",
            "Name: inflection\nRequires-Dist: text-unidecode>=1.3\n\nRequires-Dist: body\n",
        );
        write("s/__init__.py", "");
        assert_eq!(packages(dir.path()).unwrap(), ["s-1.dist-info"]);
        let unmet = complete(&dir.path().join("s-1.dist-info"), &requirements()).unwrap().unwrap_err();
        assert_eq!(unmet.what, "`inflection` requires `text-unidecode>=1.3`, which requirements.txt does not name");
        tidy(dir.path(), "s-1.dist-info").unwrap();
        assert!(!dir.path().join("bin").exists() && !dir.path().join("s-1.dist-info/INSTALLER").exists());
        assert!(dir.path().join("s-1.dist-info/METADATA").exists());
        assert_eq!(native(dir.path(), Path::new("")).unwrap(), None);
        write("s/fast.cpython-314.so", "");
        assert_eq!(native(dir.path(), Path::new("")).unwrap(), Some("s/fast.cpython-314.so".into()));
    }
}
