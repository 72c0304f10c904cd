//! Bytes around a difference → what commonly makes builds differ like that, and what helps.

use std::fmt;

/// What commonly makes the outputs of two runs differ. A guess by the looks of the bytes, and told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A path from the root of the file system.
    AbsolutePath,
    /// A path into somebody's home: a user's name.
    User,
    /// A date, a time of day, or seconds since 1970.
    Time,
    /// The same things in another order.
    Order,
    /// A long number in hexadecimal digits.
    Random,
}

impl Cause {
    /// What helps, as a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AbsolutePath => {
                "have the tool write paths from the project's directory (`--remap-path-prefix` of rustc, \
                 `-ffile-prefix-map` of C compilers, `-trimpath` of Go), or leave debug information out"
            }
            Self::User => {
                "have the tool leave out who runs it and where: remap path prefixes, and set no user or host in its output"
            }
            Self::Time => "have the tool take the time from `SOURCE_DATE_EPOCH`, or leave it out",
            Self::Order => {
                "have the tool sort before it writes: directory listings and hash tables have no order of their own"
            }
            Self::Random => "derive it from the content, or give the tool a fixed seed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AbsolutePath => "this looks like an absolute path",
            Self::User => "this looks like a user's own directory",
            Self::Time => "this looks like a time",
            Self::Order => "these are the same in another order",
            Self::Random => "this looks like a hash or a random number",
        })
    }
}

/// What the bytes around `at`, the first place where `a` and `b` differ, look like.
pub(super) fn recognise(a: &[u8], b: &[u8], at: usize) -> Option<Cause> {
    match (printable(a, at), printable(b, at)) {
        (Some(first), Some(second)) if first != second => of_texts(first, second),
        _ => None,
    }
    .or_else(|| is_time_in_binary(a, b, at).then_some(Cause::Time))
}

/// What two texts that differ look like.
pub(super) fn of_texts(a: &str, b: &str) -> Option<Cause> {
    let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let (first, second) = (word(a, at)?, word(b, at)?);
    let both = |is: fn(&str) -> bool| is(first) && is(second);
    if both(is_path) {
        let homes = ["/home/", "/Users/", "/root/"];
        let is_home = |path: &str| homes.iter().any(|home| path.contains(home));
        return Some(if is_home(first) || is_home(second) { Cause::User } else { Cause::AbsolutePath });
    }
    if both(is_time) || (both(|word| word.bytes().any(|b| b.is_ascii_digit())) && is_dated(a) && is_dated(b)) {
        return Some(Cause::Time);
    }
    both(is_hash).then_some(Cause::Random)
}

/// The printable text around `at`, where there is enough of it to be one. The end of the bytes counts as around.
pub(super) fn printable(bytes: &[u8], at: usize) -> Option<&str> {
    const AROUND: usize = 120;
    const LEAST: usize = 4;
    let is_text = |byte: &u8| (b' '..0x7f).contains(byte);
    let at = at.min(bytes.len());
    let front = bytes[..at].iter().rev().take(AROUND).take_while(|byte| is_text(byte)).count();
    let back = bytes[at..].iter().take(AROUND).take_while(|byte| is_text(byte)).count();
    let run = &bytes[at - front..at + back];
    if run.len() < LEAST { None } else { std::str::from_utf8(run).ok() }
}

/// What stands between blanks and quotes around `at`.
fn word(text: &str, at: usize) -> Option<&str> {
    let ends = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '=' | ',' | ';' | '(' | ')' | '<' | '>' | '[' | ']')
    };
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind(ends).map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
    let end = text[at..].find(ends).map_or(text.len(), |i| at + i);
    (start < end).then(|| &text[start..end])
}

/// An absolute path, wherever it begins in the word: strings of a program stand side by side.
fn is_path(word: &str) -> bool {
    let roots = [
        "/home/",
        "/Users/",
        "/root/",
        "/tmp/",
        "/private/",
        "/var/",
        "/usr/",
        "/opt/",
        "/build",
        "/work",
        "/mnt/",
        "/nix/",
    ];
    let is_rooted = word.starts_with('/') && word[1..].contains('/');
    let bytes = word.as_bytes();
    let has_drive = bytes.windows(3).any(|w| w[0].is_ascii_alphabetic() && w[1] == b':' && w[2] == b'\\');
    is_rooted || has_drive || roots.iter().any(|root| word.contains(root))
}

/// `2026-11-22…`, `21:33…` or seconds since 1970 of this century.
fn is_time(word: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        word.as_bytes().get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let mark = |at: usize| word.as_bytes().get(at).copied();
    let is_date =
        digits(0..4) && matches!(mark(4), Some(b'-' | b'/')) && digits(5..7) && mark(7) == mark(4) && digits(8..10);
    let is_clock = digits(0..2) && mark(2) == Some(b':') && digits(3..5);
    let is_seconds = word.parse::<u64>().is_ok_and(|n| is_plausible(n) || is_plausible(n / 1_000));
    is_date || is_clock || is_seconds
}

/// A text that names a month or a day of the week beside a clock, as `__DATE__` and `ctime` do.
fn is_dated(text: &str) -> bool {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let has_year =
        text.split(|c: char| !c.is_ascii_digit()).any(|n| n.len() == 4 && (n.starts_with("19") || n.starts_with("20")));
    has_year && words.any(|word| MONTHS.contains(&word))
}

fn is_hash(word: &str) -> bool {
    const LEAST: usize = 12;
    let longest = word.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap_or_default();
    longest >= LEAST
}

/// Between 2001 and 2065.
const fn is_plausible(seconds: u64) -> bool {
    seconds >= 1_000_000_000 && seconds < 3_000_000_000
}

/// Two numbers of four bytes, at or just before the difference, that are near times of one year.
fn is_time_in_binary(a: &[u8], b: &[u8], at: usize) -> bool {
    const YEAR: u64 = 366 * 24 * 60 * 60;
    let number = |bytes: &[u8], from: usize| -> Option<[u64; 2]> {
        let four: [u8; 4] = bytes.get(from..from + 4)?.try_into().ok()?;
        Some([u64::from(u32::from_le_bytes(four)), u64::from(u32::from_be_bytes(four))])
    };
    (at.saturating_sub(3)..=at).any(|from| {
        // All that differs in the number must be the number, so that what follows it is not taken for a part.
        let (Some(first), Some(second)) = (number(a, from), number(b, from)) else { return false };
        let is_time = |(a, b): (&u64, &u64)| is_plausible(*a) && is_plausible(*b) && a != b && a.abs_diff(*b) < YEAR;
        let rest = (a.get(from + 4..from + 8), b.get(from + 4..from + 8));
        rest.0 == rest.1 && first.iter().zip(&second).any(is_time)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_recognised_by_their_looks() {
        let told = |a: &str, b: &str| of_texts(a, b);
        assert_eq!(told("in /build/a/lib.rs:3", "in /build/b/lib.rs:3"), Some(Cause::AbsolutePath));
        assert_eq!(told("/home/ada/x", "/home/bob/x"), Some(Cause::User));
        assert_eq!(told("panicked/tmp/xyz/a.rs", "panicked/tmp/abc/a.rs"), Some(Cause::AbsolutePath));
        assert_eq!(told(r"C:\a\x", r"C:\b\x"), Some(Cause::AbsolutePath));
        assert_eq!(told("built 2026-11-22T10:00", "built 2026-11-23T10:00"), Some(Cause::Time));
        assert_eq!(told("at 10:00:01", "at 10:00:02"), Some(Cause::Time));
        assert_eq!(told("Nov 22 2026 10 h", "Nov 23 2026 10 h"), Some(Cause::Time));
        assert_eq!(told("time=1764000000", "time=1764000001"), Some(Cause::Time));
        assert_eq!(told("h17d3a9b2c4d5e6f708", "h27d3a9b2c4d5e6f708"), Some(Cause::Random));
        assert_eq!(told("one", "two"), None);
        assert_eq!(told("", "x"), None);
        assert_eq!(told("ä", "ö"), None);
    }

    #[test]
    fn a_number_that_is_a_time_is_seen_in_binary() {
        let bytes = |n: u32| [b"\0\0", &n.to_le_bytes()[..], b"\x01\x02\x03\x04"].concat();
        let (a, b) = (bytes(1_764_000_000), bytes(1_764_000_001));
        assert_eq!(recognise(&a, &b, 2), Some(Cause::Time));
        let (a, b) = (bytes(17), bytes(18));
        assert_eq!(recognise(&a, &b, 2), None);
    }
}
