//! Compiled functions, kept apart from the component they were compiled for: another with the same functions, as a
//! program has those of its interpreter, need not compile them again.
//!
//! Cranelift asks for each function by a digest of its intermediate code, the target and the compiler's own version
//! (`cranelift_codegen::incremental_cache`), so what is found is what would have been made, byte for byte. It may ask for one
//! function by several digests, though: they depend on what the same thread compiled before. So a pack varies from one
//! compilation to the next, as no native code does, and now and then a function is compiled again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use run_engine::cancel::Cancel;
use wasmtime::CacheStore;

/// How hard packs are compressed: they are read more often than sent.
const LEVEL: i32 = 1;

/// What the compiler asks for a function by.
type Key = [u8; 32];

/// What the compiler is stopped by: it can't be told to, and asks here between any two functions.
#[derive(Debug)]
pub struct Stopped;

/// Functions that are known, and those that were asked for.
#[derive(Debug)]
pub struct Functions {
    packs: Vec<Pack>,
    /// All that were asked for, once they are there.
    asked: Mutex<BTreeMap<Key, Vec<u8>>>,
    keeps: bool,
    cancel: Cancel,
}

/// An unpacked file of functions.
#[derive(Debug)]
struct Pack {
    bytes: Vec<u8>,
    places: BTreeMap<Key, Range<usize>>,
}

impl Functions {
    /// None known; those that are asked for are kept, for [`Functions::pack`], if `keeps`. Once `cancel` is set, whoever asks
    /// is unwound with [`Stopped`].
    #[must_use]
    pub fn new(keeps: bool, cancel: &Cancel) -> Self {
        Self { packs: vec![], asked: Mutex::default(), keeps, cancel: cancel.clone() }
    }

    /// Adds those of a file that holds what [`Functions::pack`] returned.
    ///
    /// The functions are executable code: the file must be the unmodified output of an action of ours.
    ///
    /// # Errors
    /// It can't be read, or holds something else.
    pub fn learn(&mut self, file: &Path) -> io::Result<()> {
        let mut bytes = Vec::new();
        zstd::Decoder::new(std::fs::File::open(file)?)?.read_to_end(&mut bytes)?;
        self.packs.push(Pack::read(bytes).ok_or(io::ErrorKind::InvalidData)?);
        Ok(())
    }

    /// All functions that were asked for, as one compressed file.
    ///
    /// # Panics
    /// They were not to be kept.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        assert!(self.keeps, "whoever wants a pack says so before");
        let mut plain = Vec::new();
        for (key, code) in &*self.asked.lock().unwrap_or_else(PoisonError::into_inner) {
            plain.extend_from_slice(key);
            plain.extend_from_slice(&u32::try_from(code.len()).expect("code is far below 4 GiB").to_le_bytes());
            plain.extend_from_slice(code);
        }
        zstd::encode_all(plain.as_slice(), LEVEL).expect("memory is there")
    }

    fn keep(&self, key: &[u8], code: &[u8]) {
        if let (true, Ok(key)) = (self.keeps, Key::try_from(key)) {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(key, code.to_vec());
        }
    }
}

impl Pack {
    /// Where each function is: for each its key, its length as 32 bits in little endian, and its code.
    fn read(bytes: Vec<u8>) -> Option<Self> {
        let mut places = BTreeMap::new();
        let mut at = 0;
        while at < bytes.len() {
            let (key, rest) = bytes[at..].split_first_chunk::<32>()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.get(..length)?;
            let start = at + 32 + 4;
            places.insert(*key, start..start + length);
            at = start + length;
        }
        Some(Self { bytes, places })
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        if self.cancel.is_cancelled() {
            // Not a bug, so it is not told as one.
            resume_unwind(Box::new(Stopped));
        }
        let found = self.packs.iter().find_map(|pack| Some(&pack.bytes[pack.places.get(key)?.clone()]))?;
        self.keep(key, found);
        Some(Cow::Borrowed(found))
    }

    fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
        self.keep(key, &code);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use super::*;
    use crate::host::{OptLevel, Runtime};

    const LIBRARY: &str = r#"(core module $library
        (func (export "square") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
        (func (export "half") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
    )"#;

    fn component(modules: &[&str]) -> Vec<u8> {
        wat::parse_str(format!("(component {})", modules.join("\n"))).unwrap()
    }

    /// Compiles, knowing these packs; returns the native code, which functions were compiled, and all functions.
    fn compile(level: OptLevel, component: &[u8], packs: &[&[u8]]) -> (Vec<u8>, BTreeSet<Vec<u8>>, Vec<u8>) {
        #[derive(Debug)]
        struct Watched(Functions, Mutex<BTreeSet<Vec<u8>>>);
        impl CacheStore for Watched {
            fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
                self.0.get(key)
            }
            fn insert(&self, key: &[u8], code: Vec<u8>) -> bool {
                self.1.lock().unwrap().insert(key.to_vec());
                self.0.insert(key, code)
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let mut functions = Functions::new(true, &Cancel::new());
        for pack in packs {
            let file = directory.path().join("pack");
            std::fs::write(&file, pack).unwrap();
            functions.learn(&file).unwrap();
        }
        let watched = Arc::new(Watched(functions, Mutex::default()));
        let native = Runtime::new(level).unwrap().precompile_with(component, Arc::clone(&watched) as _).unwrap();
        let compiled = watched.1.lock().unwrap().clone();
        (native, compiled, watched.0.pack())
    }

    #[test]
    fn a_known_function_is_not_compiled_and_changes_nothing() {
        for level in [OptLevel::Speed, OptLevel::None] {
            let plain = |component: &[u8]| Runtime::new(level).unwrap().precompile(component).unwrap();
            let small = component(&[LIBRARY]);
            let (native, first, pack) = compile(level, &small, &[]);
            assert_eq!(native, plain(&small));
            let (native, again, _) = compile(level, &small, &[&pack]);
            assert!(native == plain(&small) && again.len() < first.len());

            let program = r#"(core module $program (func (export "run") (result i32) (i32.const 7)))"#;
            let large = component(&[program, LIBRARY]);
            let (native, all, _) = compile(level, &large, &[]);
            let (helped, some, _) = compile(level, &large, &[&pack]);
            assert!(native == plain(&large) && helped == native);
            assert!(some.len() < all.len() && some.is_disjoint(&first), "what is known is not compiled");
        }
    }

    #[test]
    fn what_is_no_pack_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pack");
        let mut functions = Functions::new(false, &Cancel::new());
        assert!(functions.learn(&file).is_err());
        for bytes in [b"no pack".to_vec(), zstd::encode_all(&b"short"[..], 1).unwrap()] {
            std::fs::write(&file, bytes).unwrap();
            assert!(functions.learn(&file).is_err());
        }
    }

    #[test]
    fn the_compiler_can_be_stopped() {
        let cancel = Cancel::new();
        let functions = Arc::new(Functions::new(false, &cancel));
        let runtime = Runtime::new(OptLevel::None).unwrap();
        let compile = || runtime.precompile_with(&component(&[LIBRARY]), Arc::clone(&functions) as _);
        assert!(compile().is_ok());
        cancel.cancel();
        let stopped = catch_unwind(AssertUnwindSafe(compile)).unwrap_err();
        assert!(stopped.is::<Stopped>());
    }
}
