//! `run v2 cache`: looks after the local store, which all projects of a user share.

use clap::Subcommand;
use run_engine::digest::DigestFunction;
use run_engine::store::disk::DiskStore;
use run_rules::quantity::Size;
use serde_json::json;

use crate::context::Context;
use crate::fail::{Failure, Kind};
use crate::put::put;
use crate::report::{bytes, plural};

/// Look after the local store
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what is in it
    Stats,
    /// Remove what was not used for longest, until it is small enough
    Gc {
        /// The size to get below, as in `20GB`
        #[arg(long, value_name = "SIZE", default_value = "20GB", value_parser = size)]
        max_size: u64,
    },
    /// Read all of it, and remove what is damaged
    Verify,
}

/// Looks after it.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let directory = context.store_in_use()?;
    let store = DiskStore::open(&directory, DigestFunction::Blake3)
        .map_err(|error| Failure::machine("can't open the store", error))?;
    let (document, text) = match args.what {
        What::Stats => stats(&store)?,
        What::Gc { max_size } => collect(&store, max_size)?,
        What::Verify => verify(&store)?,
    };
    match context.console.is_json() {
        true => context.console.document(&document),
        false => context.console.data(&text),
    }
}

type Told = (serde_json::Value, String);

fn stats(store: &DiskStore) -> Result<Told, Failure> {
    let stats = store.stats().map_err(|error| Failure::machine("can't read the store", error))?;
    let mut text = format!("store: {}\n", store.root().display());
    let mut functions = serde_json::Map::new();
    for (function, usage) in &stats.per_function {
        let name = function.name().to_owned();
        put!(
            text,
            "{name}: {} ({}), {} ({})\n",
            plural(usage.n_blobs, "blob"),
            bytes(usage.blob_bytes),
            plural(usage.n_results, "result"),
            bytes(usage.result_bytes)
        );
        let document = json!({
            "blobs": usage.n_blobs, "blob_bytes": usage.blob_bytes,
            "results": usage.n_results, "result_bytes": usage.result_bytes,
        });
        functions.insert(name, document);
    }
    if functions.is_empty() {
        text += "it is empty\n";
    }
    Ok((json!({ "store": store.root().display().to_string(), "functions": functions }), text))
}

fn collect(store: &DiskStore, max_size: u64) -> Result<Told, Failure> {
    let done = store.collect(max_size).map_err(|error| Failure::machine("can't clean the store", error))?;
    let done = done.ok_or_else(busy)?;
    let text = format!(
        "removed {} and {} ({}), {} left\n",
        plural(done.n_blobs, "blob"),
        plural(done.n_results, "result"),
        bytes(done.freed_bytes),
        bytes(done.kept_bytes)
    );
    let document = json!({
        "removed_blobs": done.n_blobs, "removed_results": done.n_results, "removed_abandoned": done.n_abandoned,
        "freed_bytes": done.freed_bytes, "kept_bytes": done.kept_bytes,
    });
    Ok((document, text))
}

fn verify(store: &DiskStore) -> Result<Told, Failure> {
    let found = store.verify_all().map_err(|error| Failure::machine("can't read the store", error))?;
    let found = found.ok_or_else(busy)?;
    let text = format!(
        "read {} ({}) and {}; removed {} that were damaged and {} that stood for nothing\n",
        plural(found.n_blobs, "blob"),
        bytes(found.blob_bytes),
        plural(found.n_results, "result"),
        plural(found.n_corrupt, "blob"),
        plural(found.n_dangling, "result")
    );
    let document = json!({
        "blobs": found.n_blobs, "blob_bytes": found.blob_bytes, "results": found.n_results,
        "damaged_blobs": found.n_corrupt, "dangling_results": found.n_dangling,
    });
    Ok((document, text))
}

fn busy() -> Failure {
    Failure::new(Kind::Machine, "another process is cleaning or verifying this store").help("wait for it to end")
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<Size>().map(|size| size.bytes).map_err(|refused| format!("{}: {}", refused.why, refused.help))
}
