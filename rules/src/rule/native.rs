//! Native: a finished component's machine code, so that running it starts in milliseconds.

use run_engine::action::ActionId;
use run_engine::path::RelPath;

use super::component::Checked;
use super::{builtin, made};
use crate::builtin::{self as builtins, native};
use crate::lower::Lowering;
use crate::manifest::Spanned;
use crate::name::TargetName;

/// Adds the action. `platform` is what the code depends on besides the component.
pub fn lower(
    lowering: &mut Lowering<'_>,
    target: &Spanned<TargetName>,
    checked: &Checked,
    platform: &str,
) -> (ActionId, RelPath) {
    let inputs = vec![made(builtins::component(), &checked.component)];
    let level = format!("level={}", native::level_name(lowering.level));
    let place = lowering.place(&target.span);
    let label = format!("{} native", target.as_str());
    let mut action = builtin(label, place, &builtins::NATIVE, vec![level], inputs);
    action.outputs = vec![builtins::native_code()];
    action.platform.insert("native".into(), platform.to_owned());
    (lowering.add(action), builtins::native_code())
}
