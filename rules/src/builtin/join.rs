//! Builtins that make one component of several.

use std::collections::BTreeMap;

use run_engine::sandbox::builtin::{Call, CallError, Returned};

use super::shape::{only_file, parts};
use super::{Named, component, refused};
use crate::step::interface::ExternName;
use crate::step::{compose as composing, script as scripts};
use crate::wiring::{Argument, Instance, Wiring};

/// A wiring as arguments: `instance=TARGET`, each followed by its `argument=IMPORT|INSTANCE|EXPORT|ITEM`.
#[must_use]
pub fn arguments(wiring: &Wiring) -> Vec<String> {
    let mut args = Vec::new();
    for instance in &wiring.instances {
        args.push(format!("instance={}", instance.target));
        for argument in &instance.arguments {
            let item = argument.item.as_deref().unwrap_or_default();
            args.push(format!("argument={}|{}|{}|{item}", argument.import, argument.instance, argument.export));
        }
    }
    args
}

/// Reads what [`arguments`] wrote. What is left to the host is found by the composition itself.
fn wiring(args: &[String]) -> Option<Wiring> {
    let mut wiring = Wiring::default();
    for arg in args {
        match arg.split_once('=')? {
            ("instance", target) => wiring.instances.push(Instance { target: target.to_owned(), arguments: vec![] }),
            ("argument", text) => {
                let mut parts = text.split('|');
                let (import, instance, export, item) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
                wiring.instances.last_mut()?.arguments.push(Argument {
                    import: ExternName::from_written(import),
                    instance: instance.to_owned(),
                    export: ExternName::from_written(export),
                    item: (!item.is_empty()).then(|| item.to_owned()),
                });
            }
            _ => return None,
        }
    }
    Some(wiring)
}

/// Components → one component, by a wiring.
pub(super) fn compose(call: &Call<'_>) -> Result<Returned, CallError> {
    let wiring = wiring(call.args).ok_or_else(|| CallError::Bug("a wiring that can't be read".into()))?;
    let names: Vec<&str> = wiring.instances.iter().map(|i| i.target.as_str()).collect();
    match composing::compose(&wiring, &parts(call, &names)?) {
        Ok(bytes) => Ok(Returned::files(vec![(component(), bytes)])),
        Err(e) => Ok(refused(&e)),
    }
}

/// Components → one component, by the script in `script/`. `package=NAME` names each part.
pub(super) fn script(call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let (file, bytes) = only_file(call, crate::rule::SCRIPT)?;
    let source = String::from_utf8_lossy(&bytes).into_owned();
    let packages: BTreeMap<String, Vec<u8>> = parts(call, named.all("package"))?;
    match scripts::compose_script(&file, &source, &packages) {
        Ok(bytes) => Ok(Returned::files(vec![(component(), bytes)])),
        Err(e) => Ok(Returned::failure(format!("{}\n", e.told_of(&file, &source)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiring_survives_being_arguments() {
        let name = ExternName::from_written;
        let instances = vec![
            Instance { target: "calc".into(), arguments: vec![] },
            Instance {
                target: "app".into(),
                arguments: vec![Argument {
                    import: name("demo:calc/math@1.0.0"),
                    instance: "calc".into(),
                    export: name("demo:calc/math@1.0.1"),
                    item: None,
                }],
            },
        ];
        let original = Wiring { instances, ..Wiring::default() };
        assert_eq!(wiring(&arguments(&original)), Some(original));
    }
}
