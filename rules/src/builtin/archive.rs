//! Component → archive: the same bytes for the same input, whoever packs it and when.

use std::io;

use run_engine::sandbox::builtin::{Call, CallError, Returned};

use super::{Named, archive_file, component, interface};

/// How hard to compress: the highest level that is still quick.
const LEVEL: i32 = 19;

/// Packs a component and its interface. `name=`, `version=` and `epoch=` (seconds since 1970, the time of every file)
/// come from the project.
pub(super) fn package(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let (name, version) = (named.get("name")?, named.get("version")?);
    let epoch = named.get("epoch")?.parse().map_err(|_| CallError::Bug("`epoch` is not a number".into()))?;
    let bytes = call.read(&component())?;
    let wit = call.read(&interface())?;
    let about = serde_json::json!({ "name": name, "version": version, "component": format!("{name}.wasm") });
    let about = format!("{about:#}\n");
    let folder = format!("{name}-{version}");
    let files = [
        (format!("{folder}/{name}.wasm"), bytes.as_slice()),
        (format!("{folder}/{name}.wit"), wit.as_slice()),
        (format!("{folder}/package.json"), about.as_bytes()),
    ];
    let packed = pack(&files, epoch).map_err(|e| CallError::Machine(format!("the archive can't be packed: {e}")))?;
    Ok(Returned::files(vec![(archive_file(), packed)]))
}

/// A tar archive with nothing in it that depends on who packs it, compressed.
fn pack(files: &[(String, &[u8])], epoch: u64) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(epoch);
        archive.append_data(&mut header, path, *bytes)?;
    }
    zstd::encode_all(archive.into_inner()?.as_slice(), LEVEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_the_same_each_time_and_can_be_read() {
        let files = [("a-1/a.wasm".to_owned(), &b"bytes"[..])];
        let packed = pack(&files, 1).unwrap();
        assert_eq!(packed, pack(&files, 1).unwrap());
        assert_ne!(packed, pack(&files, 2).unwrap());
        let plain = zstd::decode_all(packed.as_slice()).unwrap();
        let mut archive = tar::Archive::new(plain.as_slice());
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("a-1/a.wasm"));
        assert_eq!((entry.size(), entry.header().mtime().unwrap()), (5, 1));
    }
}
