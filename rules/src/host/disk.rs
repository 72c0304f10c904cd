//! `wasi:filesystem` over files in memory that nobody can change: what a rehearsed component sees instead of a machine's
//! directories. Times are zero, listings are in order of name, and nothing but paths and content can be told apart.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, Resource, ResourceType, Type, Val};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::p2::DynInputStream;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHashValue, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;

use super::files::{metadata_hash, normal_path};
use super::state::State;

/// Files by path, without a leading slash. A directory is there where a file is below it.
#[derive(Debug, Clone, Default)]
pub struct Disk(BTreeMap<String, Bytes>);

/// What a guest's descriptor is of.
pub(super) struct Open {
    path: String,
    entry: Entry,
}

/// What is left of a listing.
pub(super) struct Listing(VecDeque<DirectoryEntry>);

#[derive(Clone)]
enum Entry {
    File(Bytes),
    Directory,
}

impl Disk {
    /// Adds a file, or replaces it.
    pub fn insert(&mut self, path: &str, content: Bytes) {
        self.0.insert(normal_path(path), content);
    }

    fn find(&self, path: &str) -> Option<Entry> {
        if let Some(content) = self.0.get(path) {
            return Some(Entry::File(content.clone()));
        }
        let is_directory = path.is_empty() || self.below(path).next().is_some();
        is_directory.then_some(Entry::Directory)
    }

    /// The files below a directory, by their path from there.
    fn below(&self, directory: &str) -> impl Iterator<Item = &str> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let all = self.0.range(prefix.clone()..).map(|(path, _)| path.as_str());
        all.map_while(move |path| path.strip_prefix(prefix.as_str()))
    }

    fn list(&self, directory: &str) -> Listing {
        let entries = self.below(directory).map(|path| match path.split_once('/') {
            Some((name, _)) => (name, DescriptorType::Directory),
            None => (path, DescriptorType::RegularFile),
        });
        let entries: BTreeMap<&str, DescriptorType> = entries.collect();
        let entry = |(name, type_): (&str, _)| DirectoryEntry { type_, name: name.to_owned() };
        Listing(entries.into_iter().map(entry).collect())
    }
}

impl Open {
    fn stat(&self) -> DescriptorStat {
        stat(&self.entry)
    }

    fn content(&self) -> Result<&Bytes, ErrorCode> {
        match &self.entry {
            Entry::File(content) => Ok(content),
            Entry::Directory => Err(ErrorCode::IsDirectory),
        }
    }
}

fn stat(entry: &Entry) -> DescriptorStat {
    let never = Some(Datetime { seconds: 0, nanoseconds: 0 });
    let (type_, size) = match entry {
        Entry::File(content) => (DescriptorType::RegularFile, content.len() as u64),
        Entry::Directory => (DescriptorType::Directory, 0),
    };
    DescriptorStat {
        type_,
        link_count: 1,
        size,
        data_access_timestamp: never,
        data_modification_timestamp: never,
        status_change_timestamp: never,
    }
}

type Context<'a> = StoreContextMut<'a, State>;
type Descriptor = Resource<Open>;
type At = (Descriptor, PathFlags, String);

/// What a function of WASI answers: a value, or a code.
type Answer<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;

/// Defines `wasi:filesystem` over `disk` under the names by which `component` imports it, in place of what was defined before.
/// What would change a file answers that it can't.
pub(super) fn define(linker: &mut Linker<State>, component: &Component, disk: &Arc<Disk>) -> wasmtime::Result<()> {
    let engine = component.engine();
    linker.allow_shadowing(true);
    for (name, import) in component.component_type().imports(engine) {
        if name.starts_with("wasi:filesystem/preopens@") {
            linker.instance(name)?.func_wrap("get-directories", |mut cx: Context<'_>, (): ()| {
                let root = cx.data_mut().table.push(Open { path: String::new(), entry: Entry::Directory })?;
                Ok((vec![(root, "/".to_owned())],))
            })?;
        }
        if name.starts_with("wasi:filesystem/types@") {
            refuse_all(linker, engine, name, &import.ty)?;
            define_descriptors(linker, name, disk)?;
            define_reading(linker, name, disk)?;
            define_listing(linker, name, disk)?;
        }
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Every function answers that the file system can't be changed, until it is defined better.
fn refuse_all(linker: &mut Linker<State>, engine: &Engine, name: &str, item: &ComponentItem) -> wasmtime::Result<()> {
    let ComponentItem::ComponentInstance(instance) = item else { return Ok(()) };
    let mut defined = linker.instance(name)?;
    for (inner, item) in instance.exports(engine) {
        if let ComponentItem::ComponentFunc(ty) = item.ty {
            let can_fail = matches!(ty.results().next(), Some(Type::Result(_)));
            let name = inner.to_owned();
            defined.func_new(inner, move |mut cx, _, arguments, results| {
                for argument in arguments {
                    // What is lent has to be given back.
                    if let Val::Resource(lent) = argument {
                        lent.resource_drop(&mut cx)?;
                    }
                }
                if !can_fail {
                    wasmtime::bail!("`{name}` was called while the program was loaded");
                }
                results[0] = Val::Result(Err(Some(Box::new(Val::Enum("read-only".to_owned())))));
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn define_descriptors(linker: &mut Linker<State>, name: &str, disk: &Arc<Disk>) -> wasmtime::Result<()> {
    let mut types = linker.instance(name)?;
    types.resource("descriptor", ResourceType::host::<Open>(), |mut cx, rep| {
        cx.data_mut().table.delete(Resource::<Open>::new_own(rep))?;
        Ok(())
    })?;
    let files = Arc::clone(disk);
    types.func_wrap(
        "[method]descriptor.open-at",
        move |mut cx: Context<'_>,
              (fd, _, path, how, flags): (Descriptor, PathFlags, String, OpenFlags, DescriptorFlags)|
              -> Answer<Descriptor> {
            let table = &mut cx.data_mut().table;
            let path = normal_path(&format!("{}/{path}", table.get(&fd)?.path));
            let is_changing = flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY);
            let opened = match files.find(&path) {
                Some(_) if is_changing || how.intersects(OpenFlags::TRUNCATE) => Err(ErrorCode::ReadOnly),
                Some(_) if how.contains(OpenFlags::EXCLUSIVE) => Err(ErrorCode::Exist),
                Some(Entry::File(_)) if how.contains(OpenFlags::DIRECTORY) => Err(ErrorCode::NotDirectory),
                Some(entry) => Ok(table.push(Open { path, entry })?),
                None if how.contains(OpenFlags::CREATE) => Err(ErrorCode::ReadOnly),
                None => Err(ErrorCode::NoEntry),
            };
            Ok((opened,))
        },
    )?;
    let files = Arc::clone(disk);
    types.func_wrap(
        "[method]descriptor.stat-at",
        move |mut cx: Context<'_>, (fd, _, path): At| -> Answer<DescriptorStat> {
            let path = normal_path(&format!("{}/{path}", cx.data_mut().table.get(&fd)?.path));
            Ok((files.find(&path).map(|entry| stat(&entry)).ok_or(ErrorCode::NoEntry),))
        },
    )?;
    let files = Arc::clone(disk);
    types.func_wrap(
        "[method]descriptor.metadata-hash-at",
        move |mut cx: Context<'_>, (fd, _, path): At| -> Answer<MetadataHashValue> {
            let path = normal_path(&format!("{}/{path}", cx.data_mut().table.get(&fd)?.path));
            let found = files.find(&path).map(|entry| metadata_hash(&path, &stat(&entry)));
            Ok((found.ok_or(ErrorCode::NoEntry),))
        },
    )
}

fn define_reading(linker: &mut Linker<State>, name: &str, disk: &Arc<Disk>) -> wasmtime::Result<()> {
    let mut types = linker.instance(name)?;
    types.func_wrap("[method]descriptor.stat", |mut cx: Context<'_>, (fd,): (Descriptor,)| -> Answer<_> {
        Ok((Ok(cx.data_mut().table.get(&fd)?.stat()),))
    })?;
    types.func_wrap("[method]descriptor.metadata-hash", |mut cx: Context<'_>, (fd,): (Descriptor,)| -> Answer<_> {
        let open = cx.data_mut().table.get(&fd)?;
        Ok((Ok(metadata_hash(&open.path, &open.stat())),))
    })?;
    types.func_wrap("[method]descriptor.get-type", |mut cx: Context<'_>, (fd,): (Descriptor,)| -> Answer<_> {
        Ok((Ok(cx.data_mut().table.get(&fd)?.stat().type_),))
    })?;
    types.func_wrap("[method]descriptor.get-flags", |_: Context<'_>, (_,): (Descriptor,)| -> Answer<_> {
        Ok((Ok(DescriptorFlags::READ),))
    })?;
    let files = Arc::clone(disk);
    types.func_wrap(
        "[method]descriptor.readlink-at",
        move |mut cx: Context<'_>, (fd, path): (Descriptor, String)| -> Answer<String> {
            let path = normal_path(&format!("{}/{path}", cx.data_mut().table.get(&fd)?.path));
            Ok((Err(if files.find(&path).is_some() { ErrorCode::Invalid } else { ErrorCode::NoEntry }),))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.is-same-object",
        |mut cx: Context<'_>, (one, other): (Descriptor, Descriptor)| {
            let table = &mut cx.data_mut().table;
            Ok((table.get(&one)?.path == table.get(&other)?.path,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.read",
        |mut cx: Context<'_>, (fd, length, offset): (Descriptor, u64, u64)| -> Answer<(Vec<u8>, bool)> {
            let read = cx.data_mut().table.get(&fd)?.content().map(|content| {
                let rest = rest_of(content, offset);
                let wanted = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
                (rest[..wanted].to_vec(), wanted == rest.len())
            });
            Ok((read,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.read-via-stream",
        |mut cx: Context<'_>, (fd, offset): (Descriptor, u64)| -> Answer<Resource<DynInputStream>> {
            let table = &mut cx.data_mut().table;
            let rest = match table.get(&fd)?.content() {
                Ok(content) => rest_of(content, offset),
                Err(code) => return Ok((Err(code),)),
            };
            let stream: DynInputStream = Box::new(MemoryInputPipe::new(rest));
            Ok((Ok(table.push(stream)?),))
        },
    )
}

fn rest_of(content: &Bytes, offset: u64) -> Bytes {
    content.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(content.len())..)
}

fn define_listing(linker: &mut Linker<State>, name: &str, disk: &Arc<Disk>) -> wasmtime::Result<()> {
    let mut types = linker.instance(name)?;
    types.resource("directory-entry-stream", ResourceType::host::<Listing>(), |mut cx, rep| {
        cx.data_mut().table.delete(Resource::<Listing>::new_own(rep))?;
        Ok(())
    })?;
    let files = Arc::clone(disk);
    types.func_wrap(
        "[method]descriptor.read-directory",
        move |mut cx: Context<'_>, (fd,): (Descriptor,)| -> Answer<Resource<Listing>> {
            let table = &mut cx.data_mut().table;
            let open = table.get(&fd)?;
            let listing = match open.entry {
                Entry::Directory => files.list(&open.path),
                Entry::File(_) => return Ok((Err(ErrorCode::NotDirectory),)),
            };
            Ok((Ok(table.push(listing)?),))
        },
    )?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut cx: Context<'_>, (stream,): (Resource<Listing>,)| -> Answer<Option<DirectoryEntry>> {
            Ok((Ok(cx.data_mut().table.get_mut(&stream)?.0.pop_front()),))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        let mut disk = Disk::default();
        for path in ["/lib/b.py", "lib/a/x.py", "lib/a/y.py", "lib/a.py", "top"] {
            disk.insert(path, Bytes::from(path.to_owned()));
        }
        disk
    }

    #[test]
    fn directories_are_where_files_are_below() {
        let disk = disk();
        assert!(matches!(disk.find("lib/a"), Some(Entry::Directory)));
        assert!(matches!(disk.find(""), Some(Entry::Directory)));
        assert!(matches!(disk.find("lib/a.py"), Some(Entry::File(_))));
        assert!(disk.find("li").is_none());
        assert!(disk.find("lib/a/z").is_none());
    }

    #[test]
    fn a_listing_names_each_entry_once_and_in_order() {
        let names: Vec<String> = disk().list("lib").0.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "a.py", "b.py"]);
        let names: Vec<String> = disk().list("").0.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["lib", "top"]);
    }
}
