//! `run v2 exec`: runs a component, deterministic unless told otherwise.

mod doors;

use std::path::{Path, PathBuf};

use run_engine::store::StoreError;
use run_engine::store::disk::DiskStore;
use run_rules::builtin::{Table, native};
use run_rules::diagnostic::Diagnostic;
use run_rules::host::{Component, HostError, LoadError, OptLevel, Outcome, Output, Program, Stdin};
use run_rules::loose::{self, NativeError};
use run_rules::manifest::{self, Origin, Profile};
use run_rules::session::{Ask, Goal, Runnable, Session, read_manifest, up_to_date};
use run_rules::step::kind::{self, Kind};
use run_rules::value;

use self::doors::Doors;
use crate::context::{Context, open_failed, select, verdict};
use crate::fail::{Failure, Kind as FailureKind};
use crate::report::{Wishes, ending};

/// Run a component
///
/// Builds the target if needed, then calls one of its functions, or runs it as a command.
///
/// The same component with the same arguments does the same everywhere: clocks are virtual, random numbers are seeded,
/// and there is no network and there are no files. The `--allow` flags and `--dir` open doors one by one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A target, or a `.wasm` file, which needs no project
    #[arg(value_name = "TARGET|FILE")]
    what: String,
    /// The function to call, as in `add`, `math.add` or `demo:calc/math@1.0.0#add`
    #[arg(long, value_name = "NAME", conflicts_with = "invoke")]
    function: Option<String>,
    /// An argument: `s32:3`, or any value in WAVE, as in `{x: 1, y: -2}`; may be repeated
    #[arg(long, value_name = "VALUE", requires = "function", allow_hyphen_values = true)]
    args: Vec<String>,
    /// A whole call in WAVE, as in `add(3, 4)`
    #[arg(long, value_name = "CALL")]
    invoke: Option<String>,
    /// What a command component gets as its arguments
    #[arg(last = true, value_name = "ARGS", conflicts_with_all = ["function", "invoke"])]
    argv: Vec<String>,
    /// Run what is compiled for debugging: slower, and traps tell source lines
    #[arg(long)]
    debug: bool,
    #[command(flatten)]
    doors: Doors,
}

/// Runs.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let table = Table::new();
    let mut program = program(args, &table, context)?;
    program.limits = args.doors.limits();
    // From here on there is nothing of ours to finish: the first Ctrl-C ends the process.
    context.cancel.cancel();
    let (outcome, is_call) = start(args, &mut program, context.console.is_json())?;
    if outcome.missed_input {
        let what = &args.what;
        context.console.complain(&format!(
            "warning: `{what}` read standard input, which it may not be granted, and found it empty\n\
             help: add `capabilities = [\"stdin\"]` to `{what}` in run.toml\n"
        ));
    }
    ending::tell(&outcome, is_call, &mut context.console)
}

/// What was named, ready to be run: a file as it is, or a target, brought up to date.
fn program(args: &Args, table: &Table, context: &mut Context) -> Result<Program, Failure> {
    let what = args.what.as_str();
    let file = context.env.directory.join(what);
    let is_wasm = Path::new(what).extension().is_some_and(|extension| extension == "wasm");
    if file.is_file() {
        let mut program = Program::new(of_file(&file, what, table, context)?);
        program.grants = args.doors.grants(&context.env)?;
        program.streams.stdin = Stdin::Inherit;
        return Ok(program);
    }
    let target = match is_wasm {
        true => target_of_text(&file, what, context)?,
        false => what.to_owned(),
    };
    let (runnable, code) = bring(&target, args.debug, context)?;
    let mut grants = args.doors.grants(&context.env)?;
    args.doors.check(&target, &runnable.capabilities, &context.project()?, &context.env.directory)?;
    // Flags come last, so they win.
    grants.env = runnable.env.iter().cloned().chain(grants.env).collect();
    let mut program = Program::new(load(&code, runnable.level, table)?);
    program.grants = grants;
    program.streams.stdin = match runnable.capabilities.iter().any(|capability| capability == "stdin") {
        true => Stdin::Inherit,
        false => Stdin::Withheld,
    };
    Ok(program)
}

/// A component in a file that belongs to nobody in particular.
fn of_file(file: &Path, what: &str, table: &Table, context: &Context) -> Result<Component, Failure> {
    let bytes =
        std::fs::read(file).map_err(|error| Failure::yours(format!("can't read `{}`: {error}", file.display())))?;
    let bytes = match what.ends_with(".wat") {
        true => kind::text(what, &bytes)
            .map_err(|error| Failure::diagnostics(error.diagnostics, context.env.directory.clone()))?,
        false => bytes,
    };
    match Kind::of(&bytes) {
        Kind::Component => {}
        Kind::NotWasm(reason) => {
            return Err(Failure::yours(format!("`{what}` is not WebAssembly: {reason}"))
                .help("a component in text form is the `source` of a target; `run v2 init` makes one"));
        }
        other => {
            return Err(Failure::yours(format!("`{what}` is {}, not a component", other.describe()))
                .help("`wasm-tools component new` makes a component of a core module that has its world in it"));
        }
    }
    let code = loose::native_code(table, &context.store()?, &bytes, &context.cancel).map_err(|error| match error {
        NativeError::Refused(why) => Failure::yours(format!("`{what}` can't be run: {why}")),
        NativeError::Machine(why) => Failure::machine(format!("`{what}` can't be compiled"), why)
            .help("make sure that the store can be written and has room, or move it with `RUN_CACHE_DIR`"),
        NativeError::Interrupted => Failure::told(FailureKind::Interrupted),
    })?;
    load(&code, OptLevel::Speed, table)
}

/// The files of a built target's native code; `None` where the store has lost one.
fn native_code(runnable: &Runnable) -> Result<Option<native::Files>, StoreError> {
    native::files(&DiskStore::open(&runnable.store, runnable.function)?, &runnable.native)
}

fn load(code: &native::Files, level: OptLevel, table: &Table) -> Result<Component, Failure> {
    let bug = |error: LoadError| Failure::new(FailureKind::Bug, error.to_string());
    let runtime = table.runtimes().get(level).map_err(bug)?;
    native::load(runtime, code).map_err(bug)
}

/// The target whose source is the text form of a `.wasm` that is not there.
fn target_of_text(file: &Path, what: &str, context: &Context) -> Result<String, Failure> {
    let text = file.with_extension("wat");
    if !text.is_file() {
        return Err(Failure::yours(format!("there is no file `{what}`")));
    }
    let root = context.project()?;
    let (manifest, _) = read_manifest(&root).map_err(|error| open_failed(error, &root))?;
    let is_it = |component: &&manifest::Component| match &component.origin {
        Origin::Source(source) => source.path.value.as_ref().is_some_and(|path| root.join(path) == text),
        Origin::Prebuilt(path) => root.join(&path.value) == text,
    };
    manifest
        .components
        .iter()
        .find(is_it)
        .map(|component| component.name.to_string())
        .ok_or_else(|| Failure::yours(format!("there is no file `{what}`, and no target whose source is its `.wat`")))
}

/// Brings a target's native code up to date, and says where it is.
fn bring(target: &str, debug: bool, context: &mut Context) -> Result<(Runnable, native::Files), Failure> {
    let ask = Ask { targets: vec![target.to_owned()], goal: Goal::Native };
    let options = context.options(ask, debug.then_some(Profile::Debug))?;
    if let Some(runnable) = up_to_date(&options).and_then(|done| done.runnable)
        && let Ok(Some(code)) = native_code(&runnable)
    {
        return Ok((runnable, code));
    }
    let mut session = context.open(options)?;
    // A store that notices only when asked for the file that it is damaged drops it; then it is made once more.
    for _ in 0..2 {
        let runnable = build(&mut session, target, context)?;
        let code = native_code(&runnable).map_err(|error| Failure::machine("can't read the store", error))?;
        if let Some(code) = code {
            return Ok((runnable, code));
        }
    }
    Err(Failure::new(FailureKind::Machine, "the store keeps losing the native code that was just made")
        .help("`run v2 cache verify` removes what is damaged; the disk may be failing"))
}

fn build(session: &mut Session, target: &str, context: &mut Context) -> Result<Runnable, Failure> {
    let selection = select(session)?;
    let options = context.build_options();
    let wishes = Wishes { keeps_stdout: true, quiet_when_reused: true, ..Wishes::default() };
    let outcome = context.build(session, &selection, options, wishes, &mut |_| false)?;
    verdict(&outcome)?;
    session.runnable(&selection, &outcome).ok_or_else(|| {
        Failure::yours(format!("`{target}` is a command of the project, not a component"))
            .help(format!("`run v2 build {target}` runs it"))
    })
}

/// Calls the function, or runs the command; true for a call.
fn start(args: &Args, program: &mut Program, json: bool) -> Result<(Outcome, bool), Failure> {
    let asked = |diagnostic: Diagnostic| Failure::diagnostics(vec![diagnostic], PathBuf::new());
    let is_call = args.function.is_some() || args.invoke.is_some();
    if is_call {
        program.streams.stdin = Stdin::Empty;
    }
    let outcome = match (&args.function, &args.invoke) {
        (Some(name), _) => {
            let function = value::find_function(&program.component, name).map_err(asked)?;
            let arguments = value::parse_arguments(&function, &args.args).map_err(asked)?;
            program.call(&function, &arguments)
        }
        (None, Some(text)) => {
            let call = value::parse_invocation(&program.component, text).map_err(asked)?;
            program.call(&call.function, &call.arguments)
        }
        (None, None) => {
            if !program.is_command() {
                return Err(not_a_command(args, program));
            }
            let output = if json { Output::Capture } else { Output::Inherit };
            (program.streams.stdout, program.streams.stderr) = (output, output);
            // A program's own name is no news from outside: a target's file is called what the target is called.
            let name =
                Path::new(&args.what).file_stem().map_or(args.what.as_str().into(), std::ffi::OsStr::to_string_lossy);
            let mut argv = vec![name.into_owned()];
            argv.extend_from_slice(&args.argv);
            return Ok((program.run_command(&argv).map_err(host_failure)?, false));
        }
    };
    Ok((outcome.map_err(host_failure)?, true))
}

fn not_a_command(args: &Args, program: &Program) -> Failure {
    let failure = Failure::yours(format!("`{}` is not a command: it does not export `wasi:cli/run`", args.what));
    let functions = value::functions(&program.component);
    if functions.is_empty() {
        return failure.help("it exports no function either");
    }
    let names: Vec<String> = functions.iter().map(|function| format!("`{function}`")).collect();
    failure.help(format!("call one of its functions with `--function NAME`: {}", names.join(", ")))
}

fn host_failure(error: HostError) -> Failure {
    match error {
        HostError::Bug(message) => Failure::new(FailureKind::Bug, message),
        HostError::NoMemory(_) => Failure::new(FailureKind::Machine, error.to_string())
            .help("end other programs, or raise the limit of address space, `ulimit -v`"),
        error => Failure::yours(error.to_string()),
    }
}
