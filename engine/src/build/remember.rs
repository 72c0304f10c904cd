//! What a build leaves for the next: why each action was settled, and why what it leaves moved.

use std::time::Duration;

use super::Driver;
use crate::action::ActionId;
use crate::explain::{self, Reason};
use crate::history::{Remembered, Shift, digest_of_outputs};
use crate::key::KeyRecord;
use crate::store::ActionResult;

/// How an action was settled that was not simply as before.
pub(super) struct Settled<'a> {
    pub(super) because: &'a Reason,
    /// How long it took, where it was run.
    pub(super) took: Option<Duration>,
    /// Whether a store had its result.
    pub(super) reused: bool,
}

impl Driver<'_, '_> {
    /// Adds to a reason where it began.
    pub(super) fn lead_back(&self, id: ActionId, reason: &mut Reason) {
        let label = &self.graph.action(id).label;
        if let Some(before) = self.history.find(label) {
            explain::lead_back(reason, &before.record, |producer| self.history.why_moved(producer, label));
        }
    }

    /// Why an action that a store has a result of was not simply as before; `None` when it was.
    pub(super) fn why_looked_up(&self, id: ActionId, record: &KeyRecord) -> Option<Reason> {
        let before = self.history.find(&self.graph.action(id).label);
        let mut reason = match before {
            Some(before) if before.record.key == record.key && !before.failed => return None,
            Some(before) if before.record.key == record.key => Reason::FailedBefore,
            before => explain::reason(before.map(|b| &b.record), record),
        };
        self.lead_back(id, &mut reason);
        Some(reason)
    }

    /// Remembers how an action was settled; `settled` is `None` where all was as before.
    pub(super) fn remember(
        &mut self,
        id: ActionId,
        record: KeyRecord,
        settled: Option<Settled<'_>>,
        result: Option<&ActionResult>,
    ) {
        let label = &self.graph.action(id).label;
        let now = self.history.time();
        let before = self.history.find(label).cloned().unwrap_or_default();
        let left = result.map_or_else(|| before.left.clone(), digest_of_outputs);
        let because = settled.as_ref().map(|settled| settled.because.clone());
        let shift = match before.shift {
            shift if left == before.left => shift,
            shift => Some(Shift {
                build: self.history.build(),
                earlier: shift.map_or(0, |shift| shift.build),
                because: because.clone(),
            }),
        };
        let (at, reused) = settled.as_ref().map_or((before.at, before.reused), |settled| (now, settled.reused));
        let remembered = Remembered {
            record,
            took: settled.and_then(|settled| settled.took).unwrap_or(before.took),
            failed: result.is_none(),
            left,
            because: because.or(before.because),
            reused,
            at,
            seen: 0,
            shift,
            varies: before.varies,
        };
        self.history.remember(label, remembered);
    }
}
