//! Package: a finished component and its interface in a deterministic archive.

use run_engine::action::ActionId;

use super::component::Checked;
use super::{builtin, made};
use crate::builtin as builtins;
use crate::lower::Lowering;
use crate::manifest::Spanned;
use crate::name::TargetName;

/// Adds the action.
pub fn lower(lowering: &mut Lowering<'_>, target: &Spanned<TargetName>, checked: &Checked) -> ActionId {
    let inputs = vec![made(builtins::component(), &checked.component), made(builtins::interface(), &checked.interface)];
    let args = vec![
        format!("name={}", target.as_str()),
        format!("version={}", lowering.manifest.project.version),
        format!("epoch={}", lowering.epoch_seconds),
    ];
    let place = lowering.place(&target.span);
    let label = format!("{} package", target.as_str());
    let mut action = builtin(label, place, &builtins::PACKAGE, args, inputs);
    action.outputs = vec![builtins::archive_file()];
    lowering.add(action)
}
