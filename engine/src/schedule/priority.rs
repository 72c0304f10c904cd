//! Critical-path rank: how long, at least, from the start of an action to the end of the build.

use std::time::Duration;

use crate::graph::ActionGraph;

/// For each action, its own expected duration plus that of the longest chain of consumers behind it.
///
/// `expected` gives what is known of an action from earlier runs, or a guess.
#[must_use]
pub fn critical_path(
    graph: &ActionGraph,
    mut expected: impl FnMut(crate::action::ActionId) -> Duration,
) -> Vec<Duration> {
    let mut rank = vec![Duration::ZERO; graph.len()];
    for id in graph.order().iter().rev() {
        let behind = graph.consumers(*id).iter().map(|c| rank[c.index()]).max().unwrap_or_default();
        rank[id.index()] = behind + expected(*id);
    }
    rank
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::action::parse_graph;

    #[test]
    fn the_long_chain_ranks_above_the_short_one() {
        let (actions, exports) = parse_graph("a\nb <- a\nc <- b\nlone");
        let graph = ActionGraph::new(actions, exports).unwrap();
        let rank = critical_path(&graph, |_| Duration::from_secs(1));
        let seconds: Vec<u64> = rank.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [3, 2, 1, 1]);
    }
}
