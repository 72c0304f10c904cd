//! Test: one action a case. Its result is kept like any other, so a test never runs twice for the same inputs.

use run_engine::action::{Action, Input, Place, Source};

use super::{builtin, made, path};
use crate::builtin as builtins;
use crate::capability::{Access, DirGrant};
use crate::facts::Facts;
use crate::host::Limits;
use crate::lower::{Lowering, Provider};
use crate::manifest::{Call, Component, Expected, Test};

/// A test, as it will be run.
pub struct Case {
    /// What it is called.
    pub label: String,
    /// The arguments of the builtin.
    args: Vec<String>,
    /// The directories it sees.
    dirs: Vec<DirGrant>,
}

impl Case {
    /// A test of the manifest. `component` is the one whose variables the guest has, where there is one.
    #[must_use]
    pub fn written(lowering: &Lowering<'_>, test: &Test, component: Option<&Component>) -> Self {
        let mut args = limits(lowering, test.memory.bytes, test.fuel);
        if let Some(timeout) = test.timeout {
            args.push(format!("timeout-ms={}", timeout.duration.as_millis()));
        }
        match &test.call {
            Call::Function { function, args: given, expected } => {
                args.push("call=function".into());
                args.push(format!("function={}", function.value));
                args.extend(given.iter().map(|arg| format!("arg={}", arg.value)));
                match expected {
                    Expected::Value(value) => args.push(format!("expected={}", value.value)),
                    Expected::Error(error) => args.push(format!("expected-error={}", error.value)),
                    Expected::Nothing(_) => {}
                }
            }
            Call::Command { argv, stdin, stdout, exit } => {
                args.push("call=command".into());
                // The first argument of a program is its own name.
                args.push(format!("argv={}", test.component.as_str()));
                args.extend(argv.iter().map(|arg| format!("argv={}", arg.value)));
                args.push(format!("stdin={stdin}"));
                args.extend(stdout.iter().map(|text| format!("expected-stdout={}", text.value)));
                args.push(format!("expected-exit={}", exit.value));
            }
        }
        let mut env = component.map(|c| c.env.clone()).unwrap_or_default();
        env.extend(test.env.clone());
        args.extend(env.iter().map(|(name, value)| format!("env={name}={value}")));
        args.extend(test.allow.iter().map(|capability| format!("allow={}", capability.value)));
        let dirs: Vec<DirGrant> = test.dirs.iter().map(|dir| dir.value.clone()).collect();
        args.extend(dirs.iter().map(guest_directory));
        Self { label: test.name.value.clone(), args, dirs }
    }

    /// A test found by its name among a component's exports.
    #[must_use]
    pub fn found(lowering: &Lowering<'_>, component: &Component, function: &str) -> Self {
        let defaults = Limits::default();
        let mut args = limits(lowering, defaults.memory_bytes, defaults.fuel);
        args.extend(["call=function".to_owned(), format!("function={function}"), "discovered=yes".to_owned()]);
        args.extend(component.env.iter().map(|(name, value)| format!("env={name}={value}")));
        let label = function.rsplit('#').next().unwrap_or(function).to_owned();
        Self { label, args, dirs: vec![] }
    }

    /// The action.
    #[must_use]
    pub fn action(self, facts: &Facts, target: &str, offered: &Provider, place: Option<Place>) -> Action {
        let checked = offered.component.as_ref().expect("only what is a component has such tests");
        let mut inputs = vec![made(builtins::component(), &checked.component)];
        for (number, dir) in self.dirs.iter().enumerate() {
            let tree = facts.test_dirs[&directory_name(dir)].clone();
            inputs.push(Input {
                at: Some(path(&format!("{}/{number}", builtins::test::DIRS))),
                source: Source::Tree(tree),
            });
        }
        let label = format!("{target} test {}", self.label);
        let mut action = builtin(label, place, &builtins::TEST, self.args, inputs);
        action.outputs = vec![builtins::report()];
        let native = offered.native.clone();
        action.accelerators =
            native.map(|(id, file)| (builtins::NATIVE_CODE.to_owned(), id, file)).into_iter().collect();
        action
    }
}

fn limits(lowering: &Lowering<'_>, memory: u64, fuel: u64) -> Vec<String> {
    vec![
        format!("level={}", builtins::native::level_name(lowering.level)),
        format!("epoch={}", lowering.epoch_seconds),
        format!("memory={memory}"),
        format!("fuel={fuel}"),
    ]
}

fn guest_directory(dir: &DirGrant) -> String {
    let suffix = match dir.access {
        Access::Read => ":ro",
        Access::ReadWrite => "",
    };
    format!("dir={}{suffix}", dir.guest)
}

/// The key of a granted directory in [`Facts::test_dirs`].
#[must_use]
pub fn directory_name(dir: &DirGrant) -> String {
    dir.host.as_ref().map_or_else(|| ".".to_owned(), ToString::to_string)
}
