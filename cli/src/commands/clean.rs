//! `run v2 clean`: removes outputs and state; with `--cache`, the local store.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::json;

use crate::context::Context;
use crate::fail::Failure;

/// Remove outputs and state
///
/// Removes `target/wasm` and `.run`. Nothing of it is needed: the next build takes what it can from the store and
/// makes the rest again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove the local store too, which all projects of this user share
    #[arg(long)]
    cache: bool,
}

/// What a build leaves in a project.
const LEFT: [&str; 2] = ["target/wasm", ".run"];

/// Removes it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let mut removed = Vec::new();
    // The store is the user's and not the project's: it can be removed from anywhere.
    match context.project() {
        Ok(root) => {
            for left in LEFT {
                if remove(&root.join(left))? {
                    removed.push(left.to_owned());
                }
            }
        }
        Err(failure) if !args.cache => return Err(failure),
        Err(_) => {}
    }
    if args.cache {
        let store = context.store()?;
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
