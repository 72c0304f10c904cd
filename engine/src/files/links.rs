//! [`links_on`]: what a path depends on besides the file at its end.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Every path whose change could lead `path` elsewhere: each symbolic link on the way, and last what it leads to.
#[must_use]
pub fn links_on(path: &Path) -> Vec<PathBuf> {
    /// As many links as the kernel follows.
    const LINKS_MAX: usize = 40;
    let mut found = Vec::new();
    let mut todo: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut at = PathBuf::new();
    while let Some(part) = todo.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        match fs::read_link(&next) {
            Ok(target) if found.len() < LINKS_MAX => {
                found.push(next);
                todo.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
            }
            _ => at = next,
        }
    }
    found.push(at);
    found
}
