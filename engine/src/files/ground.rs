//! `Ground`: what looking at files asks of a directory, and the operating system's answer, so that a test can stand in for
//! it.

use std::ffi::CString;
use std::fs::File;
use std::io;

use rustix::fs::{Mode, OFlags};

use super::stamp::Stamp;
use crate::store::volume::Handle;

/// A directory whose files are looked at, by paths that are relative to it or absolute. Links are never followed.
pub(crate) trait Ground: Sync {
    /// The stamp of what stands at `path`.
    fn stamp(&self, path: &str) -> io::Result<Stamp>;

    /// Opens a file to read it.
    fn open(&self, path: &str) -> io::Result<Box<dyn Handle>>;

    /// Where a link points.
    fn target(&self, path: &str) -> io::Result<CString>;
}

/// An open directory.
impl Ground for File {
    fn stamp(&self, path: &str) -> io::Result<Stamp> {
        Stamp::below(self, path)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Handle>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(Box::new(Self::from(rustix::fs::openat(self, path, flags, Mode::empty())?)))
    }

    fn target(&self, path: &str) -> io::Result<CString> {
        Ok(rustix::fs::readlinkat(self, path, Vec::new())?)
    }
}
