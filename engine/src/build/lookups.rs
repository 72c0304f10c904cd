//! Why a process failed that did not say why: it is run once more, to see what it looks for in vain.
//!
//! Successful actions pay nothing for it, nor do those that said what is wrong.

use super::execute::job;
use super::worker::Common;
use crate::action::{ActionId, Network, Work};
use crate::event::{Failure, Status};
use crate::key::InputRoot;

/// Up to how many bytes of standard error are next to nothing: a line that says that it failed, and not why.
const LITTLE_BYTES: usize = 200;

/// Adds to a failure what the process looked for in vain, where it says too little without that. What can't be found out
/// is left out: that it failed is known.
pub(super) fn look(common: &Common<'_>, id: ActionId, root: &InputRoot, failure: Failure) -> Failure {
    let action = common.graph.action(id);
    let services = common.services;
    match (failure, &action.work) {
        (Failure::Ended { status: status @ Status::Exited(_), stdout, stderr, .. }, Work::Process { argv })
            if stderr.len() <= LITTLE_BYTES
                && action.network == Network::Denied
                && !services.cancel.is_cancelled()
                && !(services.is_explained)(id, [&stdout, &stderr]) =>
        {
            let job = job(common, action, argv, root);
            let lookups = services.sandbox.lookups(&job, services.cancel).unwrap_or_default();
            Failure::Ended { status, stdout, stderr, lookups }
        }
        (failure, _) => failure,
    }
}
