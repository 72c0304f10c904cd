//! `run v2 clean`: removes outputs and state; with `--cache`, the local store.

use std::io::ErrorKind;
use std::path::Path;

use run_rules::session::{PRIVATE, read_manifest};
use serde_json::json;

use crate::context::Context;
use crate::fail::Failure;

/// Remove outputs and state
///
/// Removes `target/wasm` and `.run`. Nothing of it is needed: the next build takes what it can from the store and
/// makes the rest again. What a `[[command]]` wrote into the project stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove the local store too, which all projects of this user share
    #[arg(long)]
    cache: bool,
}

/// Where outputs are when `run.toml` can't be asked.
const OUTPUTS: &str = "target/wasm";

/// A file that every store has, and a directory that somebody named by mistake has not.
const STORE_MARK: &str = "CACHEDIR.TAG";

/// Removes it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let mut removed = Vec::new();
    // The store is the user's and not the project's: it can be removed from anywhere.
    match context.project() {
        Ok(root) => {
            let outputs = outputs(&root);
            for left in [outputs.as_str(), PRIVATE] {
                if remove(&root.join(left))? {
                    removed.push(left.to_owned());
                }
            }
            // The directory that outputs are in by default has often nothing else in it.
            for above in Path::new(&outputs).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                let _ = std::fs::remove_dir(root.join(above));
            }
        }
        Err(failure) if !args.cache => return Err(failure),
        Err(_) => {}
    }
    if args.cache {
        let store = context.store_in_use()?;
        if store.is_dir() && !store.join(STORE_MARK).is_file() {
            return Err(Failure::yours(format!("`{}` is no store of `run`", store.display()))
                .help("nothing in it was removed; look at `RUN_CACHE_DIR` and at `[cache] dir` in `run.toml`"));
        }
        if remove(&store)? {
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

/// Where the outputs of a project are, from its directory.
fn outputs(root: &Path) -> String {
    match read_manifest(root) {
        Ok((manifest, _)) => manifest.build.output_dir.as_str().to_owned(),
        Err(_) => OUTPUTS.to_owned(),
    }
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
