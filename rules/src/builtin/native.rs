//! Native code: component → a directory of `.cwasm`, and the engines that make and run it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;

use run_engine::build::Known;
use run_engine::digest::BlobDigest;
use run_engine::sandbox::builtin::{Call, CallError, Returned};
use run_engine::store::StoreError;
use run_engine::store::disk::DiskStore;
use run_engine::tree::Node;

use super::{NATIVE_CODE, Named, Table, component, native_code, path};
use crate::host::{Component, LoadError, OptLevel, Runtime, Stopped};
use crate::manifest::Profile;

/// One engine for each level, made on first use and shared by every thread.
#[derive(Default)]
pub struct Runtimes {
    speed: OnceLock<Result<Runtime, LoadError>>,
    none: OnceLock<Result<Runtime, LoadError>>,
}

impl Runtimes {
    /// The engine of a level.
    ///
    /// # Errors
    /// [`LoadError`] when this machine can't run it.
    pub fn get(&self, level: OptLevel) -> Result<&Runtime, LoadError> {
        let slot = match level {
            OptLevel::Speed => &self.speed,
            OptLevel::None => &self.none,
        };
        slot.get_or_init(|| Runtime::new(level)).as_ref().map_err(Clone::clone)
    }
}

/// How native code is optimised in a profile.
#[must_use]
pub const fn level(profile: Profile) -> OptLevel {
    match profile {
        Profile::Release => OptLevel::Speed,
        Profile::Debug => OptLevel::None,
    }
}

/// The word for a level, in arguments.
#[must_use]
pub const fn level_name(level: OptLevel) -> &'static str {
    match level {
        OptLevel::Speed => "speed",
        OptLevel::None => "none",
    }
}

pub(super) fn level_of(named: &Named<'_>) -> Result<OptLevel, CallError> {
    match named.get("level")? {
        "speed" => Ok(OptLevel::Speed),
        "none" => Ok(OptLevel::None),
        other => Err(CallError::Bug(format!("there is no level called `{other}`"))),
    }
}

/// Component → native code for this machine, as files. `level=` says how hard to optimise. Its accelerators, whatever they
/// are called, are native code of other components: modules they have in common are not compiled again.
pub(super) fn precompile(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let runtime = table.runtimes().get(level_of(&named)?).map_err(|e| CallError::Machine(e.to_string()))?;
    let component = call.read(&component())?;
    let others: BTreeMap<&str, &PathBuf> =
        call.accelerators.iter().filter_map(|(name, file)| Some((name.rsplit_once('/')?.1, file))).collect();
    // One that can't be read is compiled, as one that could not be made.
    let known = |name: &str| std::fs::read(others.get(name)?).ok();
    let compile = || runtime.precompile(&component, &known, call.cancel);
    // The engine that was unwound out of is gone with it.
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(Ok(files)) => {
            let at = |(name, bytes): (String, Vec<u8>)| (native_code().join(&path(&name)), bytes);
            Ok(Returned::files(files.into_iter().map(at).collect()))
        }
        Ok(Err(e)) => Ok(Returned::failure(format!("{e}\n"))),
        Err(unwound) if unwound.is::<Stopped>() => Ok(Returned::failure("")),
        Err(unwound) => resume_unwind(unwound),
    }
}

/// Files of native code, by name.
pub type Files = BTreeMap<String, PathBuf>;

/// What the store keeps of native code: the digest of each file, by name.
pub type Digests = BTreeMap<String, BlobDigest>;

/// The digests of the files of native code that an action left; nothing where it left something else.
#[must_use]
pub fn digests(left: &Known) -> Option<Digests> {
    let Some(Node::Directory(tree)) = left.node(&native_code()) else { return None };
    let mut digests = Digests::new();
    tree.walk(&mut |path, node| {
        if let Node::File { digest, .. } = node {
            digests.insert(path.to_string(), *digest);
        }
    });
    Some(digests)
}

/// The files of native code in the store; nothing where it has lost one.
///
/// # Errors
/// The store can't be read.
pub fn files(store: &DiskStore, digests: &Digests) -> Result<Option<Files>, StoreError> {
    let file = |(name, digest): (&String, &BlobDigest)| {
        store.lend(*digest, false).map(|file| file.map(|file| (name.clone(), file)))
    };
    digests.iter().map(file).collect()
}

/// Native code that an action was given as an accelerator; nothing where there is none that can be used.
pub(super) fn given(runtime: &Runtime, call: &Call<'_>) -> Option<Component> {
    let name = |file: &str| file.strip_prefix(NATIVE_CODE)?.strip_prefix('/').map(str::to_owned);
    let files: Files = call.accelerators.iter().filter_map(|(at, file)| Some((name(at)?, file.clone()))).collect();
    load(runtime, &files).ok()
}

/// Loads native code that an action of ours left in the local store.
///
/// # Errors
/// [`LoadError`] when the files can't be used by this engine.
#[expect(unsafe_code, reason = "native code can't be checked; this one comes from our own store, by its digest")]
pub fn load(runtime: &Runtime, files: &Files) -> Result<Component, LoadError> {
    // SAFETY: the files are lent by the local store, which verified their digests against the result of a `native` action.
    unsafe { runtime.load_native(&|name| files.get(name).cloned()) }
}
