//! Two WebAssembly binaries → the sections that differ, and in them the functions, segments and names.
//!
//! Sections are split by hand, because what has to be compared may be broken; only what is inside one is read by wasmparser,
//! and where that gives up, the section is told by its first byte.

use std::collections::BTreeMap;

use wasmparser::{
    BinaryReader, CodeSectionReader, DataSectionReader, ExportSectionReader, ImportSectionReader, Name, TypeRef,
};

use super::cause::Cause;
use super::{Differences, Place, bytes, quoted};

/// What every binary begins with.
pub(super) const MAGIC: &[u8] = b"\0asm";

/// Magic, version and layer.
const HEADER_BYTES: usize = 8;

/// A section as it stands.
#[derive(Debug, Clone, Copy)]
struct Section<'a> {
    id: u8,
    /// The name of a custom section.
    name: &'a str,
    /// All of it but its id, its length and the name of a custom section.
    body: &'a [u8],
    /// Where `body` begins.
    at: usize,
}

/// Compares section by section; adds nothing where the sections can't be told apart.
pub(super) fn compare(place: &Place, a: &[u8], b: &[u8], found: &mut Differences) {
    let (Some(first), Some(second)) = (a.get(..HEADER_BYTES), b.get(..HEADER_BYTES)) else { return };
    let (Some(sections), Some(others)) = (split(a), split(b)) else { return };
    if first != second {
        return;
    }
    let is_component = first[6] == 1;
    let (keyed, others_keyed) = (keyed(&sections), keyed(&others));
    let keys = |keyed: &[(Key<'_>, Section<'_>)]| keyed.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    let (a_keys, b_keys) = (keys(&keyed), keys(&others_keyed));
    let find = |wanted: &Key<'_>| others_keyed.iter().find(|(key, _)| key == wanted).map(|(_, section)| section);
    let (names, other_names) = (function_names(&sections), function_names(&others));
    for (key, section) in &keyed {
        let place = place.inside(key.title(is_component));
        let Some(other) = find(key) else {
            found.add(
                &place,
                format!("is only in the first, {} bytes at byte {}", section.body.len(), section.at),
                None,
            );
            continue;
        };
        if section.body == other.body {
            continue;
        }
        let pair = Pair { a: section, b: other, place: place.further(section.at, other.at) };
        pair.compare(is_component, (&sections, &others), (&names, &other_names), found);
    }
    for (key, section) in others_keyed.iter().filter(|(key, _)| !keyed.iter().any(|(other, _)| other == key)) {
        let place = place.inside(key.title(is_component));
        found.add(&place, format!("is only in the second, {} bytes at byte {}", section.body.len(), section.at), None);
    }
    if a_keys != b_keys && sorted(a_keys.clone()) == sorted(b_keys.clone()) {
        let at = a_keys.iter().zip(&b_keys).position(|(a, b)| a != b).unwrap_or_default();
        let title = |keyed: &[(Key<'_>, Section<'_>)]| keyed[at].0.title(is_component);
        let what = format!("section {at} is {} in the first and {} in the second", title(&keyed), title(&others_keyed));
        found.add(place, what, Some(Cause::Order));
    }
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys
}

/// What two sections have to share to be compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    id: u8,
    name: &'a str,
    /// The number among those of its kind.
    nth: usize,
}

impl Key<'_> {
    /// What people call it: `module 0`, `code`, `custom section "producers"`.
    fn title(&self, is_component: bool) -> String {
        let kind = match (is_component, self.id) {
            (_, 0) => {
                let name = quoted(self.name);
                return match self.nth {
                    0 => format!("custom section {name}"),
                    n => format!("custom section {name} {n}"),
                };
            }
            (false, id) => CORE.get(usize::from(id)),
            (true, id) => COMPONENT.get(usize::from(id)),
        };
        match (kind, is_component) {
            (None, _) => format!("section of kind {}", self.id),
            // A core module has one of each.
            (Some(kind), false) if self.nth == 0 => (*kind).to_owned(),
            (Some(kind), _) => format!("{kind} {}", self.nth),
        }
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.id, self.name, self.nth)
    }
}

const CORE: [&str; 14] = [
    "custom",
    "types",
    "imports",
    "functions",
    "tables",
    "memories",
    "globals",
    "exports",
    "start",
    "elements",
    "code",
    "data",
    "data count",
    "tags",
];

const COMPONENT: [&str; 13] = [
    "custom",
    "module",
    "core instances",
    "core types",
    "component",
    "instances",
    "aliases",
    "types",
    "canonical functions",
    "start",
    "imports",
    "exports",
    "values",
];

fn keyed<'a>(sections: &[Section<'a>]) -> Vec<(Key<'a>, Section<'a>)> {
    let mut seen: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    let mut key = |section: &Section<'a>| {
        let n = seen.entry((section.id, section.name)).or_default();
        *n += 1;
        Key { id: section.id, name: section.name, nth: *n - 1 }
    };
    sections.iter().map(|section| (key(section), *section)).collect()
}

/// The sections; `None` when the lengths don't fit.
fn split(bytes: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(id) = bytes.get(at) {
        let (size, length_bytes) = leb(bytes.get(at + 1..)?)?;
        let start = at + 1 + length_bytes;
        let end = start.checked_add(size)?;
        let mut section = Section { id: *id, name: "", body: bytes.get(start..end)?, at: start };
        if section.id == 0 {
            let (size, length_bytes) = leb(section.body)?;
            let name_end = length_bytes.checked_add(size)?;
            section.name = std::str::from_utf8(section.body.get(length_bytes..name_end)?).ok()?;
            section.body = &section.body[name_end..];
            section.at += name_end;
        }
        sections.push(section);
        at = end;
    }
    Some(sections)
}

/// An unsigned number of at most 32 bits, and how many bytes it takes.
fn leb(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (n, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, n + 1));
        }
    }
    None
}

/// Two sections with one key whose bodies differ.
struct Pair<'a> {
    a: &'a Section<'a>,
    b: &'a Section<'a>,
    /// Where the bodies begin.
    place: Place,
}

type Names = BTreeMap<u32, String>;

impl Pair<'_> {
    fn compare(
        &self,
        is_component: bool,
        (sections, others): (&[Section<'_>], &[Section<'_>]),
        names: (&Names, &Names),
        found: &mut Differences,
    ) {
        let before = found.n_seen();
        let looked = match (is_component, self.a.id) {
            (true, 1 | 4) => {
                super::compare(&self.place, self.a.body, self.b.body, found);
                Some(())
            }
            (false, 2) => self.lists(import_names, found),
            (false, 7) => self.lists(export_names, found),
            (false, 10) => self.functions((imported_functions(sections), imported_functions(others)), names, found),
            (false, 11) => self.segments(found),
            (_, 0) if self.a.name == "producers" => self.lists(producers, found),
            (false, 0) if self.a.name == "name" => self.names(names, found),
            (_, 0) => {
                super::compare(&self.place, self.a.body, self.b.body, found);
                Some(())
            }
            _ => None,
        };
        // Not understood, or the difference is in how it is written and not in what is said.
        if looked.is_none() || found.n_seen() == before {
            bytes(&self.place, self.a.body, self.b.body, found);
        }
    }

    /// What is a list of words: what only one side has, or that the order is another.
    fn lists(&self, read: fn(&[u8]) -> Option<Vec<String>>, found: &mut Differences) -> Option<()> {
        let (first, second) = (read(self.a.body)?, read(self.b.body)?);
        let only = |those: &[String], in_these: &[String]| -> Vec<String> {
            those.iter().filter(|word| !in_these.contains(word)).cloned().collect()
        };
        let (only_first, only_second) = (only(&first, &second), only(&second, &first));
        if only_first.is_empty() && only_second.is_empty() {
            let at = first.iter().zip(&second).position(|(a, b)| a != b)?;
            let what = format!("entry {at} is {} in the first and {} in the second", first[at], second[at]);
            found.add(&self.place, what, Some(Cause::Order));
            return Some(());
        }
        let cause = only_first.first().zip(only_second.first()).and_then(|(a, b)| super::cause::of_texts(a, b));
        let told = |words: &[String]| if words.is_empty() { "nothing".to_owned() } else { few(words) };
        let what =
            format!("has {} only in the first, and {} only in the second", told(&only_first), told(&only_second));
        found.add(&self.place, what, cause);
        Some(())
    }

    fn functions(&self, imported: (u32, u32), names: (&Names, &Names), found: &mut Differences) -> Option<()> {
        let (first, second) = (bodies(self.a.body)?, bodies(self.b.body)?);
        if first.len() != second.len() {
            let what = format!("has {} functions in the first and {} in the second", first.len(), second.len());
            found.add(&self.place, what, None);
            return Some(());
        }
        let is_reordered = {
            let sorted = |bodies: &[Part<'_>]| {
                let mut bodies: Vec<Vec<u8>> = bodies.iter().map(|(body, _)| body.to_vec()).collect();
                bodies.sort_unstable();
                bodies
            };
            sorted(&first) == sorted(&second)
        };
        for (n, ((a, a_at), (b, b_at))) in first.iter().zip(&second).enumerate() {
            if a == b {
                continue;
            }
            let index = |imported: u32| imported.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
            let title = title(index(imported.0), names.0.get(&index(imported.0)), names.1.get(&index(imported.1)));
            let place = self.place.inside(title).further(*a_at, *b_at);
            if is_reordered {
                found.add(&place, "is at another place among the same functions".to_owned(), Some(Cause::Order));
                return Some(());
            }
            bytes(&place, a, b, found);
        }
        Some(())
    }

    fn segments(&self, found: &mut Differences) -> Option<()> {
        let (first, second) = (segments(self.a.body)?, segments(self.b.body)?);
        if first.len() != second.len() {
            let what = format!("has {} segments in the first and {} in the second", first.len(), second.len());
            found.add(&self.place, what, None);
            return Some(());
        }
        for (n, (a, b)) in first.iter().zip(&second).enumerate() {
            // Where it goes is told only when what it holds is the same: lengths would stand in the way of texts.
            for ((a, a_at), (b, b_at)) in [(a.data, b.data), (a.whole, b.whole)] {
                if a != b {
                    bytes(&self.place.inside(format!("segment {n}")).further(a_at, b_at), a, b, found);
                    break;
                }
            }
        }
        Some(())
    }

    fn names(&self, (first, second): (&Names, &Names), found: &mut Differences) -> Option<()> {
        let indices: std::collections::BTreeSet<&u32> = first.keys().chain(second.keys()).collect();
        for index in indices {
            let (a, b) = (first.get(index), second.get(index));
            if a != b {
                let shown = |name: Option<&String>| name.map_or("nothing".to_owned(), |name| quoted(name));
                let cause = a.zip(b).and_then(|(a, b)| super::cause::of_texts(a, b));
                let what = format!("is called {} in the first and {} in the second", shown(a), shown(b));
                found.add(&self.place.inside(format!("function {index}")), what, cause);
            }
        }
        Some(())
    }
}

/// `function 12 "foo"`; where the two have other names for it, both.
fn title(index: u32, a: Option<&String>, b: Option<&String>) -> String {
    match (a, b) {
        (None, None) => format!("function {index}"),
        (Some(name), None) | (None, Some(name)) => format!("function {index} {}", quoted(name)),
        (Some(a), Some(b)) if a == b => format!("function {index} {}", quoted(a)),
        (Some(a), Some(b)) => format!("function {index} {} (or {})", quoted(a), quoted(b)),
    }
}

fn few(words: &[String]) -> String {
    const FEW: usize = 3;
    let shown = words.iter().take(FEW).map(String::as_str).collect::<Vec<_>>().join(", ");
    if words.len() > FEW { format!("{shown} and {} more", words.len() - FEW) } else { shown }
}

/// Bytes and where they begin in their section's body.
type Part<'a> = (&'a [u8], usize);

fn bodies(body: &[u8]) -> Option<Vec<Part<'_>>> {
    let reader = CodeSectionReader::new(BinaryReader::new(body, 0)).ok()?;
    reader.into_iter().map(|function| part(body, function.ok()?.range())).collect()
}

/// A data segment: what it holds, and all of it.
struct Segment<'a> {
    data: Part<'a>,
    whole: Part<'a>,
}

fn segments(body: &[u8]) -> Option<Vec<Segment<'_>>> {
    let reader = DataSectionReader::new(BinaryReader::new(body, 0)).ok()?;
    let segment = |segment: wasmparser::Data<'_>| {
        let whole = segment.range;
        let data = whole.end.checked_sub(segment.data.len() as u64)?..whole.end;
        Some(Segment { data: part(body, data)?, whole: part(body, whole)? })
    };
    reader.into_iter().map(|read| segment(read.ok()?)).collect()
}

fn part(body: &[u8], range: std::ops::Range<u64>) -> Option<Part<'_>> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    Some((body.get(start..end)?, start))
}

fn import_names(body: &[u8]) -> Option<Vec<String>> {
    let reader = ImportSectionReader::new(BinaryReader::new(body, 0)).ok()?;
    let name = |import: wasmparser::Import<'_>| quoted(&format!("{}#{}", import.module, import.name));
    reader.into_imports().map(|import| import.ok().map(name)).collect()
}

fn export_names(body: &[u8]) -> Option<Vec<String>> {
    let reader = ExportSectionReader::new(BinaryReader::new(body, 0)).ok()?;
    reader.into_iter().map(|export| export.ok().map(|export| quoted(export.name))).collect()
}

fn producers(body: &[u8]) -> Option<Vec<String>> {
    let reader = wasmparser::ProducersSectionReader::new(BinaryReader::new(body, 0)).ok()?;
    let mut words = Vec::new();
    for field in reader {
        let field = field.ok()?;
        for value in field.values {
            let value = value.ok()?;
            words.push(quoted(&format!("{} {} {}", field.name, value.name, value.version)));
        }
    }
    Some(words)
}

/// How many functions come before those of the code section.
fn imported_functions(sections: &[Section<'_>]) -> u32 {
    let Some(section) = sections.iter().find(|section| section.id == 2) else { return 0 };
    let Ok(reader) = ImportSectionReader::new(BinaryReader::new(section.body, 0)) else { return 0 };
    let is_function = |import: &wasmparser::Result<wasmparser::Import<'_>>| {
        import.as_ref().is_ok_and(|import| matches!(import.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)))
    };
    u32::try_from(reader.into_imports().filter(is_function).count()).unwrap_or(u32::MAX)
}

/// The names of functions, where a name section has them.
fn function_names(sections: &[Section<'_>]) -> Names {
    let mut names = Names::new();
    for section in sections.iter().filter(|section| section.id == 0 && section.name == "name") {
        let reader = wasmparser::NameSectionReader::new(BinaryReader::new(section.body, 0));
        for name in reader {
            let Ok(Name::Function(map)) = name else { continue };
            for naming in map {
                let Ok(naming) = naming else { break };
                names.insert(naming.index, naming.name.to_owned());
            }
        }
    }
    names
}
