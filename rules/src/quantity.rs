//! Amounts as users write them: [`Size`] (`20GB`, `64MiB`) and [`Timeout`] (`500ms`, `2s`).

use std::str::FromStr;
use std::time::Duration;

use crate::diagnostic::Refused;

/// An amount of memory or disk, in bytes. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    /// The amount, in bytes.
    pub bytes: u64,
}

/// How long something may take, on the wall clock. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeout {
    /// The limit.
    pub duration: Duration,
}

/// The units of [`Size`] in lowercase, with how many bytes one is.
const SIZES: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// The units of [`Timeout`], with how many milliseconds one is.
const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl FromStr for Size {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let help = "write a whole number and a unit, as in `64MiB` or `20GB`";
        amount(text, SIZES).map(|bytes| Self { bytes }).map_err(|why| Refused {
            what: "size",
            text: text.to_owned(),
            why,
            help: help.to_owned(),
        })
    }
}

impl FromStr for Timeout {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let help = "write a whole number and a unit (`ms`, `s`, `m` or `h`), as in `500ms` or `2s`";
        amount(text, DURATIONS).map(|ms| Self { duration: Duration::from_millis(ms) }).map_err(|why| Refused {
            what: "duration",
            text: text.to_owned(),
            why,
            help: help.to_owned(),
        })
    }
}

/// Reads a whole number and a unit, and multiplies them; the error is a clause.
fn amount(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let end_of_digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end_of_digits);
    let unit = unit.trim_start();
    if digits.is_empty() {
        return Err("does not start with a number".to_owned());
    }
    if unit.is_empty() {
        return Err("has no unit".to_owned());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit.to_ascii_lowercase()) else {
        return Err(format!("has the unknown unit `{}`", unit.escape_debug()));
    };
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)) {
        Some(0) => Err("is nothing at all".to_owned()),
        Some(n) => Ok(n),
        None => Err("is too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Result<u64, String> {
        text.parse::<Size>().map(|s| s.bytes).map_err(|e| e.to_string())
    }

    #[test]
    fn sizes_count_in_thousands_or_in_1024s() {
        assert_eq!(size("20GB"), Ok(20_000_000_000));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1 kb"), Ok(1000));
        assert_eq!(size("GB"), Err("size `GB` does not start with a number".into()));
        assert_eq!(size("-1GB"), Err("size `-1GB` does not start with a number".into()));
        assert_eq!(size("20"), Err("size `20` has no unit".into()));
        assert_eq!(size("1.5GB"), Err("size `1.5GB` has the unknown unit `.5GB`".into()));
        assert_eq!(size("0GB"), Err("size `0GB` is nothing at all".into()));
        assert_eq!(size("99999999999TB"), Err("size `99999999999TB` is too large".into()));
    }

    #[test]
    fn durations_have_units() {
        let ms = |text: &str| text.parse::<Timeout>().map(|t| t.duration.as_millis()).map_err(|e| e.to_string());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("2s"), Ok(2_000));
        assert_eq!(ms("3m"), Ok(180_000));
        assert_eq!(ms("1d"), Err("duration `1d` has the unknown unit `d`".into()));
    }
}
