//! The C library of this machine: the one part of it that every program is shown, named as a platform property in keys.

use std::path::{Path, PathBuf};

/// Programs name their loader by its absolute path.
const LOADERS: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Where a loader looks without being told.
const DIRECTORIES: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/lib/riscv64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// The C library, which glibc splits.
const LIBRARIES: &[&str] = &[
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libnss_files.so.2",
    "libnss_dns.so.2",
];

/// The directory that this machine's loader finds libraries in by itself. A library that is shown there is found.
#[must_use]
pub fn library_directory() -> PathBuf {
    let has_libc = |dir: &&&str| Path::new(dir).join(LIBRARIES[0]).is_file();
    PathBuf::from(DIRECTORIES.iter().find(has_libc).copied().unwrap_or("/lib"))
}

/// The one locale that every program may expect besides `C`.
const LOCALES: &[&str] = &["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"];

/// The files of the loader and the C library, and the directory of its locale, as far as this machine has them.
#[must_use]
pub fn files() -> Vec<PathBuf> {
    let directory = library_directory();
    let libraries = LIBRARIES.iter().map(|name| directory.join(name));
    let named = LOADERS.iter().chain(LOCALES).map(PathBuf::from);
    named.chain(libraries).filter(|file| file.exists()).collect()
}
