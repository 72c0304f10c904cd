//! The other life of this program: the small process from which sandboxes are forked.

use std::process::ExitCode;

use crate::env::Env;
use crate::exit::Exit;

/// Serves as the spawner of another `run`, if this one was started to be that.
#[cfg(target_os = "linux")]
pub(crate) fn serve_if_wanted(env: &Env) -> Option<ExitCode> {
    use run_engine::sandbox::linux::spawner;

    let first = env.args.first().map(std::ffi::OsString::as_os_str);
    spawner::is_wanted(first).then(|| match spawner::serve() {
        Ok(()) => Exit::Done.code().into(),
        // Nobody listens: whoever started this sees it end.
        Err(_) => Exit::Machine.code().into(),
    })
}

/// Only Linux has namespaces to fork into.
#[cfg(not(target_os = "linux"))]
pub(crate) fn serve_if_wanted(_: &Env) -> Option<ExitCode> {
    None
}
