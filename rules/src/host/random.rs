//! `wasi:random` with a fixed seed: the same numbers in the same order in every run, so a guest's output depends on
//! its input alone. Not for secrets; real ones come with [`Grants::allow_random`](super::Grants::allow_random).

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::strict::forbid;

/// Bytes a guest may ask for at once; wasmtime-wasi's own bound.
const REQUEST_BYTES_MAX: u64 = 64 << 20;

/// The state behind the three interfaces of `wasi:random`. `secure` and `insecure` are separate streams, so that use
/// of one does not disturb the other.
pub(super) struct SeededRandom {
    secure: SplitMix64,
    insecure: SplitMix64,
    strict: bool,
}

impl SeededRandom {
    pub(super) fn new(strict: bool) -> Self {
        // The first digits of π and e: arbitrary, and plainly so.
        Self { secure: SplitMix64(0x3141_5926_5358_9793), insecure: SplitMix64(0x2718_2818_2845_9045), strict }
    }
}

impl random::Host for SeededRandom {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        forbid(self.strict, "wasi:random/random.get-random-bytes")?;
        self.secure.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        forbid(self.strict, "wasi:random/random.get-random-u64")?;
        Ok(self.secure.next())
    }
}

impl insecure::Host for SeededRandom {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        forbid(self.strict, "wasi:random/insecure.get-insecure-random-bytes")?;
        self.insecure.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        forbid(self.strict, "wasi:random/insecure.get-insecure-random-u64")?;
        Ok(self.insecure.next())
    }
}

impl insecure_seed::Host for SeededRandom {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        forbid(self.strict, "wasi:random/insecure-seed.insecure-seed")?;
        // The interface may be called once or often and always answers the same.
        Ok((0x1618_0339_8874_9894, 0x8482_0458_6834_3656))
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): tiny, and every seed is good.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > REQUEST_BYTES_MAX {
            wasmtime::bail!("{len} random bytes were asked for at once; at most {REQUEST_BYTES_MAX} are given");
        }
        let len = usize::try_from(len)?;
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}
