//! The check that a build is reproducible: everything once more, elsewhere, and what differs told in words.

use run_engine::build::{Compare, Outcome, Repetition, Services, repeat};
use run_engine::digest::BlobDigest;
use run_engine::event::{Event, EventSink};
use run_engine::history::History;
use run_engine::sandbox::{Sandbox, World};
use run_engine::store::{Blobs, Strength};
use run_engine::tree::Tree;
use run_engine::verdict::{Aspect, Compared, Difference, Differences, Hint};

use super::{Selection, Session};
use crate::difference::describe_trees;

/// Locates differences in WebAssembly, in archives and in text.
struct Located;

impl Compare for Located {
    fn compare(&self, usual: &Tree, other: &Tree, blobs: &dyn Blobs) -> Differences {
        // What the store has lost is told by its digest.
        let mut read = |digest: BlobDigest| blobs.get(digest).ok().flatten();
        let found = describe_trees(usual, other, &mut read);
        let told = found.told.into_iter().map(|difference| Difference {
            place: difference.place,
            what: difference.what,
            hint: difference
                .cause
                .map(|cause| Hint { looks_like: cause.to_string(), remedy: cause.remedy().to_owned() }),
        });
        Differences { told: told.collect(), n_more: found.n_more }
    }
}

/// What stays as it is where there are no namespaces.
const ONLY_SOMETHING: &str = "without namespaces, the user, the host name, the number of processors and process numbers were \
     the same in both runs: only paths, variables, file times and the order of directories were others";

impl Session {
    /// Runs every action of a build once more, elsewhere.
    pub(super) fn repeat(
        &self,
        selection: &Selection,
        outcome: &Outcome,
        services: &Services<'_>,
        history: &mut History,
        jobs: usize,
        sink: &mut dyn EventSink,
    ) -> Compared {
        if outcome.summary.built > 0 {
            // Compilers and clocks of programs tell seconds: the second run is to be in another one.
            std::thread::sleep(std::time::Duration::from_millis(1050));
        }
        let elsewhere = self.sandbox(jobs, World::UNUSUAL);
        let each = Aspect::ALL.map(|aspect| (aspect, self.sandbox(jobs, World::unusual_in(aspect))));
        let one_by_one = each.each_ref().map(|(aspect, sandbox)| (*aspect, sandbox as &dyn Sandbox));
        let repetition = Repetition {
            wanted: &selection.wanted,
            known: &outcome.known,
            jobs,
            elsewhere: &elsewhere,
            one_by_one: &one_by_one,
            compare: &Located,
        };
        let compared = repeat(&self.lowered.graph, &repetition, services, history, sink);
        if elsewhere.if_needed().is_some_and(|(strength, _)| strength < Strength::Full) {
            sink.event(Event::Degraded { what: "the comparison", instead: ONLY_SOMETHING });
        }
        compared
    }
}
