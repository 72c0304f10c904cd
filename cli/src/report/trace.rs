//! Events → a Chrome trace, for `chrome://tracing`, Perfetto and their like.

use std::collections::BTreeMap;
use std::time::Duration;

use run_engine::action::ActionId;
use run_engine::event::{Event, Layer, Ran};
use serde_json::{Value, json};

use super::Cast;
use super::reason::brief;

/// Collects what happened and when.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    entries: Vec<Value>,
    /// What occupies each lane; an action takes the lowest one that is free.
    lanes: Vec<Option<ActionId>>,
    reasons: BTreeMap<ActionId, String>,
}

impl Trace {
    /// Something happened, this long after the build began.
    pub(crate) fn event(&mut self, event: &Event<'_>, at: Duration, cast: &Cast) {
        match event {
            Event::Started { action, because } => {
                self.take_lane(*action);
                self.reasons.insert(*action, brief(because));
            }
            Event::Ran { action, took, how } => {
                let lane = self.free_lane(*action);
                let result = match how {
                    Ran::Built { unchanged: false, .. } => "built",
                    Ran::Built { unchanged: true, .. } => "unchanged",
                    Ran::Failed { .. } => "failed",
                };
                let because = self.reasons.remove(action).unwrap_or_default();
                self.entries.push(json!({
                    "name": cast.label(*action), "cat": "action", "ph": "X", "pid": 1, "tid": lane + 1,
                    "ts": microseconds(at.saturating_sub(*took)), "dur": microseconds(*took),
                    "args": { "result": result, "because": because },
                }));
            }
            Event::Hit { action, from } => {
                // It was started, and then another process had done it.
                if self.reasons.remove(action).is_some() {
                    self.free_lane(*action);
                }
                let from = match from {
                    Layer::Local => "local",
                    Layer::Remote => "remote",
                };
                self.entries.push(json!({
                    "name": cast.label(*action), "cat": "hit", "ph": "i", "s": "t", "pid": 1, "tid": 0,
                    "ts": microseconds(at), "args": { "from": from },
                }));
            }
            _ => {}
        }
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let entries: Vec<String> = self.entries.iter().map(Value::to_string).collect();
        format!("[\n{}\n]\n", entries.join(",\n"))
    }

    fn take_lane(&mut self, action: ActionId) {
        match self.lanes.iter_mut().find(|lane| lane.is_none()) {
            Some(lane) => *lane = Some(action),
            None => self.lanes.push(Some(action)),
        }
    }

    fn free_lane(&mut self, action: ActionId) -> usize {
        let lane = self.lanes.iter().position(|lane| *lane == Some(action)).unwrap_or_default();
        if let Some(lane) = self.lanes.get_mut(lane) {
            *lane = None;
        }
        lane
    }
}

fn microseconds(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, check};
    use super::*;

    #[test]
    fn actions_lie_in_lanes() {
        let (cast, mut trace, mut seconds) = (testing::cast(), Trace::default(), 0);
        testing::story(&mut |event| {
            seconds += 1;
            trace.event(&event, Duration::from_secs(seconds), &cast);
            String::new()
        });
        check("trace.txt", &trace.text());
    }
}
