//! The sections of WebAssembly binaries, as they stand: for what changes some and copies the others.

use wasmparser::{BinaryReader, BinaryReaderError};

/// Bytes of the magic number and the version, with which modules and components begin.
const PREAMBLE: usize = 8;

/// The number and the content of each section of a module or component, in order.
///
/// # Errors
/// The bytes are neither.
pub fn sections(binary: &[u8]) -> Result<Vec<(u8, &[u8])>, BinaryReaderError> {
    let mut reader = BinaryReader::new(binary, 0);
    reader.read_bytes(PREAMBLE)?;
    let mut sections = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()?;
        sections.push((id, reader.read_bytes(size as usize)?));
    }
    Ok(sections)
}
