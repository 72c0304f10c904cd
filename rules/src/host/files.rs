//! `wasi:filesystem` as wasmtime-wasi has it, with what differs between machines taken out: the order of directory
//! entries, times, link counts, the size of a directory, and hashes made of inode numbers.
//!
//! Only those functions are replaced, by shadowing them in the linker; opening, reading, writing and every check of
//! what a path may reach stay wasmtime-wasi's.

use std::collections::{HashMap, VecDeque};

use run_engine::digest::{Blob, Digest, DigestFunction};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    self, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, OpenFlags, PathFlags,
};

use super::link::WASI_VERSION;
use super::state::State;

/// What the guest holds, as far as wasmtime-wasi does not remember it for us.
pub(super) struct Files {
    /// What every file's times are, unless the machine's own were granted.
    frozen_time: Option<Datetime>,
    /// The guest's path of each descriptor, by its place in the resource table.
    paths: HashMap<u32, String>,
    /// What is left of each directory being listed, in order of name.
    listings: HashMap<u32, VecDeque<DirectoryEntry>>,
}

impl Files {
    pub(super) fn new(frozen_time: Option<Datetime>) -> Self {
        Self { frozen_time, paths: HashMap::new(), listings: HashMap::new() }
    }

    /// The path of `path`, seen from the directory `fd`.
    fn path_at(&self, fd: &Resource<Descriptor>, path: &str) -> String {
        let parent = self.paths.get(&fd.rep()).map_or("", String::as_str);
        normal_path(&format!("{parent}/{path}"))
    }

    fn normalize(&self, mut stat: DescriptorStat) -> DescriptorStat {
        stat.link_count = 1;
        if matches!(stat.type_, DescriptorType::Directory) {
            // Depends on the file system's own bookkeeping.
            stat.size = 0;
        }
        if let Some(time) = self.frozen_time {
            stat.data_access_timestamp = Some(time);
            stat.data_modification_timestamp = Some(time);
            stat.status_change_timestamp = Some(time);
        }
        stat
    }
}

/// Defines `wasi:filesystem/preopens`, remembering what each directory is called.
pub(super) fn link_preopens(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(&format!("wasi:filesystem/preopens@{WASI_VERSION}"))?;
    instance.func_wrap("get-directories", |mut cx: StoreContextMut<'_, State>, (): ()| {
        let state = cx.data_mut();
        let dirs = preopens::Host::get_directories(&mut state.filesystem())?;
        for (fd, name) in &dirs {
            state.files.paths.insert(fd.rep(), normal_path(name));
        }
        Ok((dirs,))
    })
}

/// Defines `wasi:filesystem/types`.
pub(super) fn link_types(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    linker.allow_shadowing(true);
    link_opening(linker)?;
    link_metadata(linker)?;
    link_listing(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn instance_name() -> String {
    format!("wasi:filesystem/types@{WASI_VERSION}")
}

type OpenAt = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
type At = (Resource<Descriptor>, PathFlags, String);

fn link_opening(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(&instance_name())?.func_wrap(
        "[method]descriptor.open-at",
        |mut cx: StoreContextMut<'_, State>, (fd, path_flags, path, open_flags, flags): OpenAt| {
            let state = cx.data_mut();
            let full = state.files.path_at(&fd, &path);
            let opened = state.filesystem().open_at(fd, path_flags, path, open_flags, flags);
            if let Ok(descriptor) = &opened {
                state.files.paths.insert(descriptor.rep(), full);
            }
            answer(state, opened)
        },
    )
}

fn link_metadata(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(&instance_name())?;
    instance.func_wrap(
        "[method]descriptor.stat",
        |mut cx: StoreContextMut<'_, State>, (fd,): (Resource<Descriptor>,)| {
            let state = cx.data_mut();
            let stat = state.filesystem().stat(fd).map(|stat| state.files.normalize(stat));
            answer(state, stat)
        },
    )?;
    instance.func_wrap("[method]descriptor.stat-at", |mut cx: StoreContextMut<'_, State>, (fd, flags, path): At| {
        let state = cx.data_mut();
        let stat = state.filesystem().stat_at(fd, flags, path).map(|stat| state.files.normalize(stat));
        answer(state, stat)
    })?;
    instance.func_wrap(
        "[method]descriptor.metadata-hash",
        |mut cx: StoreContextMut<'_, State>, (fd,): (Resource<Descriptor>,)| {
            let state = cx.data_mut();
            let path = state.files.path_at(&fd, "");
            let hash = state.filesystem().stat(fd).map(|stat| metadata_hash(&path, &state.files.normalize(stat)));
            answer(state, hash)
        },
    )?;
    instance.func_wrap(
        "[method]descriptor.metadata-hash-at",
        |mut cx: StoreContextMut<'_, State>, (fd, flags, path): At| {
            let state = cx.data_mut();
            let full = state.files.path_at(&fd, &path);
            let stat = state.filesystem().stat_at(fd, flags, path);
            let hash = stat.map(|stat| metadata_hash(&full, &state.files.normalize(stat)));
            answer(state, hash)
        },
    )
}

fn link_listing(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut instance = linker.instance(&instance_name())?;
    instance.func_wrap(
        "[method]descriptor.read-directory",
        |mut cx: StoreContextMut<'_, State>, (fd,): (Resource<Descriptor>,)| {
            let state = cx.data_mut();
            let listing = read_sorted(state, fd);
            answer(state, listing)
        },
    )?;
    instance.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut cx: StoreContextMut<'_, State>, (stream,): (Resource<DirectoryEntryStream>,)| {
            let state = cx.data_mut();
            let entry = state.files.listings.get_mut(&stream.rep()).and_then(VecDeque::pop_front);
            answer(state, Ok(entry))
        },
    )
}

/// Opens a listing and reads it to its end; the guest keeps the handle, we keep the sorted entries.
fn read_sorted(state: &mut State, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
    let stream = state.filesystem().read_directory(fd)?;
    let mut entries = Vec::new();
    while let Some(entry) = state.filesystem().read_directory_entry(Resource::new_borrow(stream.rep()))? {
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    state.files.listings.insert(stream.rep(), entries.into());
    Ok(stream)
}

/// Tells a file from another and one state of it from the next, as far as path, type and size can.
pub(super) fn metadata_hash(path: &str, stat: &DescriptorStat) -> MetadataHashValue {
    let text = format!("{path}\0{:?}\0{}", stat.type_, stat.size);
    let digest: Digest<Blob> = DigestFunction::Blake3.digest(text.as_bytes());
    let (low, high) = digest.hash().split_at(8);
    let word = |bytes: &[u8]| bytes.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte));
    MetadataHashValue { lower: word(low), upper: word(high) }
}

/// Turns a result of wasmtime-wasi's into what the guest is handed, or into a trap.
fn answer<T>(state: &mut State, result: FsResult<T>) -> wasmtime::Result<(Result<T, ErrorCode>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(types::Host::convert_error_code(&mut state.filesystem(), error)?),)),
    }
}

/// A path without `.`, `..` and doubled slashes, by its text alone.
pub(super) fn normal_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(type_: DescriptorType, size: u64) -> DescriptorStat {
        let time = Some(Datetime { seconds: 77, nanoseconds: 7 });
        DescriptorStat {
            type_,
            link_count: 3,
            size,
            data_access_timestamp: time,
            data_modification_timestamp: time,
            status_change_timestamp: time,
        }
    }

    #[test]
    fn paths_have_one_form() {
        for (written, normal) in [("/a/./b//c", "a/b/c"), ("a/../b", "b"), ("./", ""), ("../../a", "a")] {
            assert_eq!(normal_path(written), normal);
        }
    }

    #[test]
    fn a_stat_keeps_what_is_content_and_drops_what_is_bookkeeping() {
        let frozen = Datetime { seconds: 5, nanoseconds: 0 };
        let files = Files::new(Some(frozen));
        let file = files.normalize(stat(DescriptorType::RegularFile, 10));
        assert_eq!((file.size, file.link_count), (10, 1));
        assert_eq!(file.data_modification_timestamp.map(|t| t.seconds), Some(5));
        assert_eq!(files.normalize(stat(DescriptorType::Directory, 4096)).size, 0);
        let granted = Files::new(None).normalize(stat(DescriptorType::RegularFile, 10));
        assert_eq!(granted.status_change_timestamp.map(|t| t.seconds), Some(77));
    }

    #[test]
    fn a_metadata_hash_tells_path_type_and_size_apart_and_nothing_else() {
        let hash = |path, stat: &DescriptorStat| {
            let MetadataHashValue { lower, upper } = metadata_hash(path, stat);
            (lower, upper)
        };
        let file = stat(DescriptorType::RegularFile, 1);
        let older = DescriptorStat { data_modification_timestamp: None, link_count: 9, ..file };
        assert_eq!(hash("a", &file), hash("a", &older));
        assert_ne!(hash("a", &file), hash("b", &file));
        assert_ne!(hash("a", &file), hash("a", &stat(DescriptorType::RegularFile, 2)));
        assert_ne!(hash("a", &file), hash("a", &stat(DescriptorType::Directory, 1)));
    }
}
