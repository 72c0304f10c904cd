//! Two archives → the members that differ, and in what.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::cause::Cause;
use super::{Differences, Place, UNPACKED_MAX};

/// What a zstd frame begins with.
pub(super) const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// What an ar archive begins with: a static library.
pub(super) const AR: &[u8] = b"!<arch>\n";

/// One member of an archive: what is said of it, and what it holds.
struct Member<'a> {
    name: String,
    /// By what it is called, in the order in which it is told.
    about: Vec<(&'static str, String)>,
    content: std::borrow::Cow<'a, [u8]>,
    /// Where its content stands in the archive; `None` where it does not stand there as it is.
    at: Option<usize>,
}

/// What is behind a compressed artifact; `None` when it is broken, or too much.
pub(super) fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::new(bytes).ok()?;
    decoder.take(UNPACKED_MAX + 1).read_to_end(&mut plain).ok()?;
    (plain.len() as u64 <= UNPACKED_MAX).then_some(plain)
}

/// Whether bytes begin with the header of a tar archive.
pub(super) fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

pub(super) fn compare_tar(place: &Place, a: &[u8], b: &[u8], found: &mut Differences) {
    if let (Some(a), Some(b)) = (read_tar(a), read_tar(b)) {
        compare(place, &a, &b, found);
    }
}

pub(super) fn compare_ar(place: &Place, a: &[u8], b: &[u8], found: &mut Differences) {
    if let (Some(a), Some(b)) = (read_ar(a), read_ar(b)) {
        compare(place, &a, &b, found);
    }
}

fn compare(place: &Place, a: &[Member<'_>], b: &[Member<'_>], found: &mut Differences) {
    let names = |members: &[Member<'_>]| members.iter().map(|member| member.name.clone()).collect::<Vec<_>>();
    let (first, second) = (numbered(a), numbered(b));
    for (key, member) in &first {
        let place = place.inside(format!("`{}`", member.name.escape_debug()));
        match second.get(key) {
            None => found.add(&place, "is only in the first".to_owned(), None),
            Some(other) => compare_members(&place, member, other, found),
        }
    }
    for (key, member) in &second {
        if !first.contains_key(key) {
            let place = place.inside(format!("`{}`", member.name.escape_debug()));
            found.add(&place, "is only in the second".to_owned(), None);
        }
    }
    if first.keys().eq(second.keys()) && names(a) != names(b) {
        let at = names(a).iter().zip(names(b)).position(|(a, b)| *a != b).unwrap_or_default();
        let (a, b) = (a[at].name.escape_debug(), b[at].name.escape_debug());
        found.add(place, format!("member {at} is `{a}` in the first and `{b}` in the second"), Some(Cause::Order));
    }
}

/// Members by name; where a name is there more than once, by that and its number among them.
fn numbered<'a, 'b>(members: &'a [Member<'b>]) -> BTreeMap<(&'a str, usize), &'a Member<'b>> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut number = |name: &'a str| {
        let n = seen.entry(name).or_default();
        *n += 1;
        *n
    };
    members.iter().map(|member| ((member.name.as_str(), number(&member.name)), member)).collect()
}

fn compare_members(place: &Place, a: &Member<'_>, b: &Member<'_>, found: &mut Differences) {
    for ((name, first), (_, second)) in a.about.iter().zip(&b.about) {
        if first != second {
            let cause = match *name {
                "time" => Some(Cause::Time),
                "owner" => Some(Cause::User),
                _ => None,
            };
            let (first, second) = (first.escape_debug(), second.escape_debug());
            found.add(place, format!("its {name} is {first} in the first and {second} in the second"), cause);
        }
    }
    let inside = match (a.at, b.at) {
        (Some(a), Some(b)) => place.clone().further(a, b),
        _ => place.clone().anew(),
    };
    super::compare(&inside, &a.content, &b.content, found);
}

/// The members of a tar archive; `None` when it can't be read to its end, or holds files with holes, which could be of any
/// size.
fn read_tar(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut archive = tar::Archive::new(bytes);
    let mut members = Vec::new();
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        let header = entry.header().clone();
        if header.entry_type().is_gnu_sparse() {
            return None;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let number = |number: std::io::Result<u64>| number.map_or_else(|_| "unreadable".to_owned(), |n| n.to_string());
        let text =
            |text: Option<&[u8]>| text.map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned());
        let owner = |id: std::io::Result<u64>, name: Option<&[u8]>| format!("{} ({})", number(id), text(name));
        let link = entry.link_name_bytes().map(|link| link.into_owned());
        let about = vec![
            ("time", number(header.mtime())),
            ("mode", header.mode().map_or_else(|_| "unreadable".to_owned(), |mode| format!("{mode:o}"))),
            ("owner", owner(header.uid(), header.username_bytes())),
            ("group", owner(header.gid(), header.groupname_bytes())),
            ("kind", format!("{:?}", header.entry_type())),
            ("link", text(link.as_deref())),
        ];
        let at = usize::try_from(entry.raw_file_position()).ok();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).ok()?;
        members.push(Member { name, about, content: content.into(), at });
    }
    Some(members)
}

/// The members of an ar archive; `None` when it is not one to its end.
fn read_ar(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    const HEADER_BYTES: usize = 60;
    let field = |header: &[u8], from: usize, to: usize| String::from_utf8_lossy(&header[from..to]).trim().to_owned();
    let mut members = Vec::new();
    let mut at = AR.len();
    while at < bytes.len() {
        let header = bytes.get(at..at + HEADER_BYTES)?;
        if header[58..] != *b"`\n" {
            return None;
        }
        let size: usize = field(header, 48, 58).parse().ok()?;
        let start = at + HEADER_BYTES;
        let content = bytes.get(start..start.checked_add(size)?)?;
        let about = vec![
            ("time", field(header, 16, 28)),
            ("mode", field(header, 40, 48)),
            ("owner", field(header, 28, 34)),
            ("group", field(header, 34, 40)),
        ];
        members.push(Member { name: field(header, 0, 16), about, content: content.into(), at: Some(start) });
        // Members begin at even places.
        at = start + size + size % 2;
    }
    Some(members)
}
