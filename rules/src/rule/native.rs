//! Native: a component's machine code, so that running it starts in milliseconds.

use std::collections::BTreeSet;

use run_engine::action::{Action, ActionId, Input, Place};

use super::builtin;
use crate::builtin::{self as builtins, native};
use crate::lower::Lowering;

/// The action for the component that these inputs hold. What it has in common with those behind `others`, which are such
/// actions too, is not compiled again.
pub(super) fn action(
    lowering: &Lowering<'_>,
    label: String,
    place: Option<Place>,
    inputs: Vec<Input>,
    others: &BTreeSet<ActionId>,
) -> Action {
    let args = vec![format!("level={}", native::level_name(lowering.level))];
    let mut action = builtin(label, place, &builtins::NATIVE, args, inputs);
    action.outputs = vec![builtins::native_code()];
    action.platform.insert("native".into(), lowering.native_platform.to_owned());
    let known = |(n, other): (usize, &ActionId)| (format!("other-{n}"), *other, builtins::native_code());
    action.accelerators = others.iter().enumerate().map(known).collect();
    action
}
