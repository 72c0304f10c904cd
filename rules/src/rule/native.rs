//! Native: a finished component's machine code, so that running it starts in milliseconds.

use run_engine::action::{Action, ActionId, Input, Place};
use run_engine::path::RelPath;

use super::component::Checked;
use super::{builtin, made};
use crate::builtin::{self as builtins, native};
use crate::lower::Lowering;
use crate::manifest::Spanned;
use crate::name::TargetName;

/// Adds the action for a finished component.
pub fn lower(lowering: &mut Lowering<'_>, target: &Spanned<TargetName>, checked: &Checked) -> (ActionId, RelPath) {
    let inputs = vec![made(builtins::component(), &checked.component)];
    let place = lowering.place(&target.span);
    let outputs = vec![builtins::native_code()];
    let mut action = action(lowering, format!("{} native", target.as_str()), place, inputs, outputs);
    let known = |(n, engine): (usize, &ActionId)| (format!("functions-{n}"), *engine, builtins::functions());
    action.accelerators = checked.engines.iter().enumerate().map(known).collect();
    (lowering.add(action), builtins::native_code())
}

/// The action for the component that these inputs hold. Its outputs are native code, and the functions where those are
/// wanted.
pub(super) fn action(
    lowering: &Lowering<'_>,
    label: String,
    place: Option<Place>,
    inputs: Vec<Input>,
    outputs: Vec<RelPath>,
) -> Action {
    let mut args = vec![format!("level={}", native::level_name(lowering.level))];
    if outputs.contains(&builtins::functions()) {
        args.push("keep=functions".to_owned());
    }
    let mut action = builtin(label, place, &builtins::NATIVE, args, inputs);
    action.outputs = outputs;
    action.platform.insert("native".into(), lowering.native_platform.to_owned());
    action
}
