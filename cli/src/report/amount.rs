//! Numbers as people read them.

/// `1 input`, `2 inputs`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `999 B`, `1.2 MB`: powers of a thousand, as `run.toml` understands these units.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(size, _)| n >= *size) {
        Some((size, unit)) => format!("{}.{} {unit}", n / size, n % size / (size / 10)),
        None => format!("{n} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!([plural(0, "blob"), plural(1, "blob"), plural(2, "blob")], ["0 blobs", "1 blob", "2 blobs"]);
        let shown = [0, 999, 1_000, 1_250_000, 20_000_000_000].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.2 MB", "20.0 GB"]);
    }
}
