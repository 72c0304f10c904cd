//! Sealed bytes: what this program writes for itself, with a kind, a version and a checksum, so that whatever can't be
//! read is recognised and counts as absent.
//!
//! Layout: kind (4 bytes), version (u32), checksum (16 bytes), body. Integers are little-endian. The checksum is the
//! front of the BLAKE3 hash of everything else: it finds accidents (torn writes, flipped bits), not forgeries.

/// Where the body starts.
const HEADER_BYTES: usize = 24;

/// A kind of sealed bytes. A change of the body's layout is a new version; the old ones are then absent.
pub(crate) struct Seal {
    /// Four letters that tell the kinds apart.
    pub(crate) kind: [u8; 4],
    /// The layout of the body.
    pub(crate) version: u32,
}

impl Seal {
    /// The body with its header in front.
    pub(crate) fn close(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend(self.kind);
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.checksum(body));
        bytes.extend(body);
        bytes
    }

    /// The body; `None` when the bytes are of another kind or version, or not those that were written.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
        let ours = header[..4] == self.kind
            && header[4..8] == self.version.to_le_bytes()
            && header[8..] == self.checksum(body);
        ours.then_some(body)
    }

    fn checksum(&self, body: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.kind);
        hasher.update(&self.version.to_le_bytes());
        hasher.update(body);
        let mut front = [0; 16];
        front.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        front
    }
}

/// Reads flat fields one after the other. Every method answers `None` once the bytes run out.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `n` bytes.
    pub(crate) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    /// The next `N` bytes, by value.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next four bytes.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next eight bytes, signed.
    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A `u32` length and that many bytes.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let n = self.u32()?;
        self.bytes(n as usize)
    }

    /// A length and that much UTF-8.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.sized()?).ok()
    }
}

/// Appends what [`Fields::sized`] reads.
pub(crate) fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let n = u32::try_from(bytes.len()).expect("paths and notes are far shorter than 4 GiB");
    out.extend(n.to_le_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { kind: *b"TEST", version: 3 };

    #[test]
    fn only_untouched_bytes_of_the_same_kind_and_version_open() {
        let sealed = SEAL.close(b"body");
        assert_eq!(SEAL.open(&sealed), Some(&b"body"[..]));
        assert_eq!(Seal { version: 4, ..SEAL }.open(&sealed), None);
        assert_eq!(Seal { kind: *b"TOST", ..SEAL }.open(&sealed), None);
        for cut in 0..sealed.len() {
            assert_eq!(SEAL.open(&sealed[..cut]), None, "torn at {cut}");
        }
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SEAL.open(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn the_header_is_golden() {
        let hex: String = SEAL.close(b"body").iter().map(|b| format!("{b:02x}")).collect();
        assert!(hex.starts_with("5445535403000000"), "{hex}");
        assert!(hex.ends_with("626f6479"), "{hex}");
        assert_eq!(hex.len(), 2 * (HEADER_BYTES + 4));
    }

    #[test]
    fn fields_run_out_quietly() {
        let mut out = vec![7];
        push_sized(&mut out, b"ab");
        let mut fields = Fields(&out);
        assert_eq!((fields.u8(), fields.text(), fields.u8()), (Some(7), Some("ab"), None));
        assert_eq!(Fields(&[255, 255, 255, 255, 1]).sized(), None);
    }
}
