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
    let action = action(lowering, format!("{} native", target.as_str()), place, inputs);
    (lowering.add(action), builtins::native_code())
}

/// The action for the component that these inputs hold.
pub(super) fn action(lowering: &Lowering<'_>, label: String, place: Option<Place>, inputs: Vec<Input>) -> Action {
    let level = format!("level={}", native::level_name(lowering.level));
    let mut action = builtin(label, place, &builtins::NATIVE, vec![level], inputs);
    action.outputs = vec![builtins::native_code()];
    action.platform.insert("native".into(), lowering.native_platform.to_owned());
    action
}
