//! One test: a component in the deterministic host, and what it should do.

use std::path::Path;
use std::time::Duration;

use run_engine::files::materialize::{MaterializeError, materialize};
use run_engine::path::RelPath;
use run_engine::sandbox::builtin::{Call, CallError, Returned};
use run_engine::tree::{Node, Tree};
use wasmtime::component::Val;

use super::native::{self, level_of};
use super::{Named, Table, component, path, report};
use crate::diagnostic::Diagnostic;
use crate::host::{
    Access, Component, Dir, Ending, Grants, HostError, Limits, Network, Outcome, Program, Stdin, Streams,
};
use crate::value::{self, Function};

/// Where the directories that a test sees are staged, by number.
pub const DIRS: &str = "dirs";

/// Runs one test. The arguments are those that [`crate::rule::test`] writes.
pub(super) fn run(table: &Table, call: &Call<'_>) -> Result<Returned, CallError> {
    let named = Named::parse(call.args)?;
    let loaded = match load(table, call, &named)? {
        Ok(component) => component,
        Err(message) => return Ok(Returned::failure(message)),
    };
    // Directories are private copies: what the guest writes there is gone with them.
    let private = tempfile::tempdir().map_err(|e| CallError::Machine(format!("no temporary directory: {e}")))?;
    let program = program(call, &named, loaded, private.path())?;
    let verdict = match named.get("call")? {
        "function" => call_function(&program, &named),
        "command" => run_command(&program, &named),
        other => return Err(CallError::Bug(format!("there is no kind of test called `{other}`"))),
    };
    Ok(match verdict {
        Ok(Verdict::Passed(outcome)) => Returned {
            stdout: outcome.stdout,
            stderr: outcome.stderr,
            outputs: vec![(report(), format!("{{\"fuel_used\":{}}}\n", outcome.fuel_used).into_bytes())],
            status: 0,
        },
        Ok(Verdict::Failed(why, outcome)) => {
            let mut stderr = format!("{why}\n").into_bytes();
            if !outcome.stderr.is_empty() {
                stderr.extend(b"the guest wrote to stderr:\n");
                stderr.extend(&outcome.stderr);
            }
            Returned { status: 1, stdout: outcome.stdout, stderr, outputs: vec![] }
        }
        Err(Trouble::Said(message)) => Returned::failure(message),
        Err(Trouble::Machine(why)) => return Err(CallError::Machine(why)),
    })
}

/// Why there is no verdict.
enum Trouble {
    /// The test asks for what can't be.
    Said(String),
    /// This machine can't run it.
    Machine(String),
}

impl From<HostError> for Trouble {
    fn from(error: HostError) -> Self {
        match error {
            HostError::OpenDir { .. } | HostError::NoMemory(_) => Self::Machine(error.to_string()),
            error => Self::Said(format!("{error}\n")),
        }
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Said(format!("{error:?}\n"))
    }
}

impl From<Diagnostic> for Trouble {
    fn from(error: Diagnostic) -> Self {
        Self::Said(describe(&error))
    }
}

/// What came of a test.
enum Verdict {
    Passed(Outcome),
    /// Why not.
    Failed(String, Outcome),
}

/// The component, from native code where that was made for us.
fn load(table: &Table, call: &Call<'_>, named: &Named<'_>) -> Result<Result<Component, String>, CallError> {
    let machine = |e: &dyn std::error::Error| CallError::Machine(e.to_string());
    let runtime = table.runtimes().get(level_of(named)?).map_err(|e| machine(&e))?;
    if let Some(component) = native::given(runtime, call) {
        return Ok(Ok(component));
    }
    let bytes = call.read(&component())?;
    Ok(runtime.compile(&bytes).map_err(|e| format!("{e}\n")))
}

fn program(call: &Call<'_>, named: &Named<'_>, component: Component, private: &Path) -> Result<Program, CallError> {
    let number = |name: &str| -> Result<u64, CallError> {
        named.get(name)?.parse().map_err(|_| CallError::Bug(format!("`{name}` is not a number")))
    };
    let allowed = |what: &str| named.all("allow").contains(&what);
    let env = named.all("env").iter().filter_map(|pair| pair.split_once('='));
    let timeout = named.find("timeout-ms").map(|_| number("timeout-ms")).transpose()?;
    Ok(Program {
        component,
        grants: Grants {
            epoch_seconds: number("epoch")?,
            allow_clock: allowed("clock"),
            allow_random: allowed("random"),
            network: Network::Closed,
            dirs: directories(call, named, private)?,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            strict: false,
        },
        limits: Limits {
            memory_bytes: number("memory")?,
            fuel: number("fuel")?,
            timeout: timeout.map(Duration::from_millis),
            ..Limits::default()
        },
        streams: Streams {
            stdin: named.find("stdin").map_or(Stdin::Empty, |text| Stdin::Bytes(text.as_bytes().to_vec())),
            ..Streams::default()
        },
        cancel: Some(call.cancel.clone()),
    })
}

/// Writes out the directories a test sees: `dir=GUEST` in order, with `:ro` to forbid writing.
fn directories(call: &Call<'_>, named: &Named<'_>, private: &Path) -> Result<Vec<Dir>, CallError> {
    let mut dirs = Vec::new();
    for (number, guest) in named.all("dir").iter().enumerate() {
        let host = private.join(number.to_string());
        write_out(call, &path(&format!("{DIRS}/{number}")), &host)?;
        let (guest, access) = match guest.strip_suffix(":ro") {
            Some(guest) => (guest, Access::ReadOnly),
            None => (*guest, Access::ReadWrite),
        };
        dirs.push(Dir { host, guest: guest.to_owned(), access });
    }
    Ok(dirs)
}

fn write_out(call: &Call<'_>, from: &RelPath, to: &Path) -> Result<(), CallError> {
    let nothing = Tree::new();
    let tree = match call.inputs.find(from) {
        Some(Node::Directory(tree)) => tree,
        _ => &nothing,
    };
    materialize(tree, to, call.blobs).map_err(|error| match error {
        MaterializeError::Lost { digest, .. } => CallError::Lost(digest),
        MaterializeError::Store(error) => CallError::Store(error),
    })
}

fn call_function(program: &Program, named: &Named<'_>) -> Result<Verdict, Trouble> {
    let function = value::find_function(&program.component, named.get("function")?)?;
    let args: Vec<String> = named.all("arg").iter().map(|a| (*a).to_owned()).collect();
    let args = value::parse_arguments(&function, &args)?;
    let outcome = program.call(&function, &args)?;
    let expected = Expected {
        value: named.find("expected"),
        error: named.find("expected-error"),
        discovered: named.find("discovered").is_some(),
    };
    let problem = expected.problem(&function, &outcome.ending)?;
    Ok(match problem {
        None => Verdict::Passed(outcome),
        Some(why) => Verdict::Failed(why, outcome),
    })
}

/// What a function should return. With neither value nor error: nothing at all.
struct Expected<'a> {
    value: Option<&'a str>,
    error: Option<&'a str>,
    /// Found by its name: any return but `err(…)` and `false` is a pass.
    discovered: bool,
}

impl Expected<'_> {
    /// What is wrong with how a call ended, if anything is.
    fn problem(&self, function: &Function, ending: &Ending) -> Result<Option<String>, Diagnostic> {
        let unequal = |c: value::Comparison| (!c.equal).then(|| mismatch(&c.expected, &c.actual));
        let returned = match ending {
            Ending::Returned(value) => Ok(value.clone()),
            Ending::ReturnedErr(payload) => Err(payload.clone()),
            other => return Ok(Some(mismatch(&self.wanted(), &describe_ending(other)))),
        };
        let whole = |returned: &Result<Option<Val>, Option<Val>>| match returned {
            Ok(value) => value.clone(),
            Err(payload) => Some(Val::Result(Err(payload.clone().map(Box::new)))),
        };
        if self.discovered {
            let bad = match &returned {
                Ok(Some(Val::Bool(false))) => Some("false".to_owned()),
                Ok(_) => None,
                Err(_) => whole(&returned).as_ref().map(value::to_wave),
            };
            return Ok(bad.map(|actual| format!("the test returned {actual}")));
        }
        match (self.value, self.error, &returned) {
            (Some(expected), ..) => match whole(&returned) {
                Some(actual) => value::compare(function, expected, &actual).map(unequal),
                None => Ok(Some(mismatch(expected, "nothing"))),
            },
            // A message may be written as it is; quoted, it is WAVE like any other value.
            (None, Some(expected), Err(Some(Val::String(message)))) if !is_literal(expected) => {
                Ok((expected != message).then(|| mismatch(&format!("err({expected:?})"), &format!("err({message:?})"))))
            }
            (None, Some(expected), Err(Some(payload))) => {
                value::compare_error(function, expected, payload).map(unequal)
            }
            (None, Some(""), Err(None)) => Ok(None),
            (None, Some(expected), _) => {
                let actual = whole(&returned).as_ref().map_or_else(|| "nothing".to_owned(), value::to_wave);
                Ok(Some(mismatch(&format!("err({expected})"), &actual)))
            }
            (None, None, Ok(None)) => Ok(None),
            (None, None, _) => {
                let actual = whole(&returned).as_ref().map_or_else(|| "nothing".to_owned(), value::to_wave);
                Ok(Some(mismatch("nothing", &actual)))
            }
        }
    }

    fn wanted(&self) -> String {
        match (self.value, self.error) {
            (Some(value), _) => value.to_owned(),
            (None, Some(error)) => format!("err({error})"),
            (None, None) => "to return".to_owned(),
        }
    }
}

/// Whether a text says itself that it is a string: quoted, or with its type in front.
fn is_literal(text: &str) -> bool {
    text.starts_with('"') || text.starts_with("string:")
}

fn run_command(program: &Program, named: &Named<'_>) -> Result<Verdict, Trouble> {
    let argv: Vec<String> = named.all("argv").iter().map(|a| (*a).to_owned()).collect();
    let outcome = program.run_command(&argv)?;
    let exit = named.find("expected-exit").and_then(|e| e.parse::<i32>().ok()).unwrap_or(0);
    let mut wrong = Vec::new();
    match &outcome.ending {
        Ending::Exited(status) if *status == exit => {}
        Ending::Exited(status) => {
            wrong.push(mismatch(&format!("exit status {exit}"), &format!("exit status {status}")));
        }
        other => wrong.push(mismatch(&format!("exit status {exit}"), &describe_ending(other))),
    }
    if let Some(expected) = named.find("expected-stdout")
        && expected.as_bytes() != outcome.stdout
    {
        wrong.push(mismatch(&format!("{expected:?}"), &format!("{:?}", String::from_utf8_lossy(&outcome.stdout))));
    }
    Ok(if wrong.is_empty() { Verdict::Passed(outcome) } else { Verdict::Failed(wrong.join("\n"), outcome) })
}

fn mismatch(expected: &str, actual: &str) -> String {
    format!("expected: {expected}\n  actual: {actual}")
}

/// How a run ended that returned nothing to compare.
fn describe_ending(ending: &Ending) -> String {
    match ending {
        Ending::Trapped(trap) => format!("a trap: {} (in `{}`)", trap.message, trap.function),
        Ending::LimitHit(hit) => format!("a limit: {hit}; {}", hit.limit.remedy()),
        Ending::MissingImports(missing) => {
            let names: Vec<&str> = missing.iter().map(|m| m.name.as_str()).collect();
            format!("imports that nothing provides: `{}`", names.join("`, `"))
        }
        Ending::Exited(status) => format!("exit status {status}"),
        Ending::Returned(_) | Ending::ReturnedErr(_) => "a return".to_owned(),
    }
}

/// A diagnostic without a place of its own, in plain text.
fn describe(diagnostic: &Diagnostic) -> String {
    let mut text = format!("error[{}]: {}", diagnostic.code, diagnostic.message);
    for note in &diagnostic.notes {
        text.push_str("\nnote: ");
        text.push_str(note);
    }
    for help in &diagnostic.helps {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    text.push('\n');
    text
}
