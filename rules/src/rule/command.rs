//! Command: any other step, as a sandboxed process whose outputs are written back into the project.

use run_engine::action::{Action, Input, Network, Part, Slot, Source, Word, Work};
use run_engine::path::RelPath;

use super::{TOOLCHAIN, environment, known, made, path, search_path, work};
use crate::facts::CommandFacts;
use crate::lower::Lowering;
use crate::manifest::Command;

/// The name of the toolchain that holds a command's tools.
const TOOLS: &str = "base";

/// The action of a command, with another command line in front of its own when `around` is given.
pub fn action(lowering: &Lowering<'_>, command: &Command, facts: &CommandFacts) -> Action {
    let tools = path(&format!("{TOOLCHAIN}/{TOOLS}"));
    let mut inputs = vec![
        known(work(), facts.inputs.clone()),
        Input { at: Some(tools), source: Source::Mounted(facts.tools.clone()) },
    ];
    for depends in &command.depends {
        for (at, made_by) in lowering.files_of(depends.as_str()) {
            inputs.push(made(work().join(&at), &made_by));
        }
    }
    Action {
        label: format!("{} run", command.name.as_str()),
        place: lowering.place(&command.name.span),
        work: Work::Process { argv: argv(command, facts) },
        env: environment(lowering, search_path([TOOLS].into_iter())),
        directory: Some(work()),
        inputs,
        outputs: command.outputs.iter().map(|output| output.value.clone()).collect(),
        platform: lowering.platform.clone(),
        timeout: None,
        network: Network::Denied,
        slot: Slot::Cpu,
        accelerators: vec![],
        varying: false,
    }
}

fn argv(command: &Command, facts: &CommandFacts) -> Vec<Word> {
    let program = match &facts.program {
        Some(tool) => Word::path(tool_path(tool)),
        // A file of the project, found from the directory that the command starts in.
        None => Word::path(project_file(&command.run[0].value)),
    };
    let rest = command.run[1..].iter().map(|word| Word::new(vec![Part::Text(word.value.clone())]));
    [program].into_iter().chain(rest).collect()
}

/// Where a file of the project stands in the input root; the manifest was checked to name one.
fn project_file(written: &str) -> RelPath {
    match RelPath::normalize(written) {
        Ok(Some(file)) => work().join(&file),
        Ok(None) | Err(_) => unreachable!("the manifest refuses a program that is no file of the project"),
    }
}

/// A tool's path in the input root.
fn tool_path(tool: &RelPath) -> RelPath {
    path(&format!("{TOOLCHAIN}/{TOOLS}")).join(tool)
}

/// Turns the action of a command into the test that it exits with `status`, and prints `stdout` where that matters.
#[must_use]
pub fn expecting(mut action: Action, label: String, status: u8, stdout: Option<&str>) -> Action {
    /// Compares in the shell that every command has: `$1` is the status, `$2` what to print, or nothing to compare.
    const CHECK: &str = "want=$1 print=$2; shift 2\n\
        out=$(\"$@\"; s=$?; echo x; exit $s); got=$?; out=${out%x}\n\
        printf '%s' \"$out\"\n\
        if [ \"$got\" != \"$want\" ]; then\n\
        printf 'expected: exit status %s\\n  actual: exit status %s\\n' \"$want\" \"$got\" >&2; exit 1; fi\n\
        if [ -n \"$print\" ] && [ \"=$out\" != \"$print\" ]; then\n\
        printf 'expected: %s\\n  actual: %s\\n' \"${print#=}\" \"$out\" >&2; exit 1; fi";
    let Work::Process { argv } = action.work else { unreachable!("a command is a process") };
    let shell = Word::path(tool_path(&path("bin/sh")));
    let print = stdout.map_or_else(String::new, |text| format!("={text}"));
    let words = [shell, "-c".into(), CHECK.into(), "test".into(), status.to_string().into(), print.into()];
    action.work = Work::Process { argv: words.into_iter().chain(argv).collect() };
    action.label = label;
    action.outputs = vec![];
    action
}
