//! `run v2 clean`: removes outputs and state; with `--cache`, the local store.

use std::io::ErrorKind;
use std::path::Path;

use run_engine::store::disk::{ENTRIES, MARK};
use run_rules::session::{PRIVATE, read_manifest, remove_bindings};
use serde_json::json;

use crate::context::Context;
use crate::fail::Failure;

/// Remove outputs and state
///
/// Removes what `run` wrote to `target/wasm`, and `.run`, with the bindings that it wrote for editors. Nothing of it is needed: the next build takes what it can from the store and
/// makes the rest again. What a `[[command]]` wrote into the project stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove the local store too, which all projects of this user share
    #[arg(long)]
    cache: bool,
}

/// Removes it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let mut removed = Vec::new();
    // The store is the user's and not the project's: it can be removed from anywhere.
    match context.project() {
        Ok(root) => {
            removed.extend(remove_outputs(&root)?);
            removed.extend(remove_bindings(&root).iter().map(ToString::to_string));
            if remove(&root.join(PRIVATE))? {
                removed.push(PRIVATE.to_owned());
            }
        }
        Err(failure) if !args.cache => return Err(failure),
        Err(_) => {}
    }
    if args.cache {
        let store = context.store_in_use()?;
        if remove_store(&store)? {
            removed.push(store.display().to_string());
        }
    }
    if context.console.is_json() {
        return context.console.document(&json!({ "removed": removed }));
    }
    for path in &removed {
        context.console.say(&format!("removed {path}\n"));
    }
    if removed.is_empty() {
        context.console.say("nothing to remove\n");
    }
    Ok(())
}

/// Removes what builds write into the output directory, and nothing that somebody else put there; then the directories
/// that are empty. Returns the directory if there was anything of ours in it.
fn remove_outputs(root: &Path) -> Result<Option<String>, Failure> {
    let Ok((manifest, _)) = read_manifest(root) else { return Ok(None) };
    let directory = manifest.build.output_dir.as_str().to_owned();
    let mut found = false;
    for (_, name) in manifest.targets() {
        for path in written(name.as_str(), &manifest.project.version.to_string()) {
            found |= remove(&root.join(&directory).join(path))?;
        }
    }
    for directory in [format!("{directory}/debug")].iter().map(Path::new).chain(Path::new(&directory).ancestors()) {
        // Only an empty one can be removed so.
        if !directory.as_os_str().is_empty() {
            let _ = std::fs::remove_dir(root.join(directory));
        }
    }
    Ok(found.then_some(directory))
}

/// What builds of a target may have left in the output directory.
fn written(name: &str, version: &str) -> Vec<String> {
    let endings = [".wasm", ".wit"].map(|ending| format!("{name}{ending}"));
    endings.into_iter().chain([format!("debug/{name}.wasm"), format!("{name}-{version}.tar.zst")]).collect()
}

/// Removes a store, and nothing that is not of a store; false when there was none.
fn remove_store(store: &Path) -> Result<bool, Failure> {
    if !store.exists() {
        return Ok(false);
    }
    if !store.join(MARK).is_file() || !store.join("cas").is_dir() {
        return Err(Failure::yours(format!("`{}` is no store of `run`", store.display()))
            .help("nothing in it was removed; look at `RUN_CACHE_DIR` and at `[cache] dir` in `run.toml`"));
    }
    for entry in ENTRIES {
        remove(&store.join(entry))?;
    }
    // What somebody else keeps there stays, and its directory with it.
    let _ = std::fs::remove_dir(store);
    Ok(true)
}

/// Removes a directory; false when there was none. A link is removed, and not what it leads to.
fn remove(directory: &Path) -> Result<bool, Failure> {
    let result = match directory.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(directory),
        Ok(_) => std::fs::remove_file(directory),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::machine(format!("can't remove `{}`", directory.display()), error)),
    }
}
