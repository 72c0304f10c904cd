//! `run v2 exec`: runs a component, deterministic unless told otherwise.

use std::path::{Path, PathBuf};

use run_engine::store::StoreError;
use run_engine::store::disk::DiskStore;
use run_rules::builtin::{Table, native};
use run_rules::capability::Capability;
use run_rules::diagnostic::Diagnostic;
use run_rules::host::{
    Access, Component, Dir, Ending, Grants, HostError, HostPort, LimitHit, Limits, LoadError, Network, OptLevel,
    Outcome, Output, Program, Stdin, Streams, Trap,
};
use run_rules::loose::{self, NativeError};
use run_rules::manifest::{self, Origin, Profile};
use run_rules::quantity::{Size, Timeout};
use run_rules::session::{Ask, Goal, Runnable, Session, read_manifest, up_to_date};
use run_rules::step::kind::{self, Kind};
use run_rules::value;
use serde_json::json;

use crate::context::{Context, open_failed, select, verdict};
use crate::env::Env;
use crate::fail::{Failure, Kind as FailureKind};
use crate::put::put;
use crate::report::console::Console;
use crate::report::{Bytes, Wishes};

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

/// What the guest may see and use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the guest may see and use")]
struct Doors {
    /// Use this machine's clocks
    #[arg(long)]
    allow_clock: bool,
    /// Use this machine's random numbers
    #[arg(long)]
    allow_random: bool,
    /// Use the network, or only what is on HOST (`HOST[:PORT]`); may be repeated
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    allow_net: Vec<String>,
    /// See the directory HOST as GUEST, unless `:ro` is added with leave to write
    #[arg(long, value_name = "HOST::GUEST[:ro]", value_parser = dir)]
    dir: Vec<DirFlag>,
    /// Set a variable, or pass on one of yours
    #[arg(long, value_name = "K[=V]")]
    env: Vec<String>,
    /// Do at most N units of work, about one an instruction
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,
    /// Use at most SIZE of memory
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Run for at most D of real time, as in `2s`
    #[arg(long, value_name = "D", value_parser = timeout)]
    timeout: Option<std::time::Duration>,
    /// Make any use of a clock or of random numbers that is not allowed a trap
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DirFlag {
    host: PathBuf,
    guest: String,
    access: Access,
}

/// Runs.
pub(crate) fn run(args: &Args, context: &mut Context) -> Result<(), Failure> {
    let table = Table::new();
    let mut program = program(args, &table, context)?;
    program.limits = limits(&args.doors);
    // From here on there is nothing of ours to finish: the first Ctrl-C ends the process.
    context.cancel.cancel();
    let (outcome, is_call) = start(args, &mut program, context.console.is_json())?;
    tell(&outcome, is_call, &mut context.console)
}

/// What was named, ready to be run: a file as it is, or a target, brought up to date.
fn program(args: &Args, table: &Table, context: &mut Context) -> Result<Program, Failure> {
    let what = args.what.as_str();
    let file = context.env.directory.join(what);
    let is_wasm = Path::new(what).extension().is_some_and(|extension| extension == "wasm");
    if file.is_file() {
        let mut program = Program::new(of_file(&file, what, table, context)?);
        program.grants = grants(&args.doors, &context.env)?;
        return Ok(program);
    }
    let target = match is_wasm {
        true => target_of_text(&file, what, context)?,
        false => what.to_owned(),
    };
    let (runnable, code) = bring(&target, args.debug, context)?;
    let mut grants = grants(&args.doors, &context.env)?;
    allowed(&target, &args.doors, &runnable.capabilities, &context.project()?, &context.env.directory)?;
    // Flags come last, so they win.
    grants.env = runnable.env.iter().cloned().chain(grants.env).collect();
    let mut program = Program::new(load(&code, runnable.level, table)?);
    program.grants = grants;
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

/// The file of a built target's native code; `None` where the store has lost it.
fn native_code(runnable: &Runnable) -> Result<Option<PathBuf>, StoreError> {
    DiskStore::open(&runnable.store, runnable.function)?.lend(runnable.native, false)
}

fn load(code: &Path, level: OptLevel, table: &Table) -> Result<Component, Failure> {
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
fn bring(target: &str, debug: bool, context: &mut Context) -> Result<(Runnable, PathBuf), Failure> {
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

/// Checks the doors against the most that a target may ever be granted.
fn allowed(target: &str, doors: &Doors, capabilities: &[String], root: &Path, here: &Path) -> Result<(), Failure> {
    let granted: Vec<Capability> = capabilities.iter().filter_map(|text| text.parse().ok()).collect();
    let mut asked = Vec::new();
    asked.extend(doors.allow_clock.then_some(("--allow-clock".to_owned(), Some(Capability::Clock))));
    asked.extend(doors.allow_random.then_some(("--allow-random".to_owned(), Some(Capability::Random))));
    for host in &doors.allow_net {
        asked.push((format!("--allow-net={host}"), format!("net-connect:{host}").parse().ok()));
    }
    for dir in &doors.dir {
        let host = here.join(&dir.host);
        let inside = host.canonicalize().unwrap_or(host);
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let path =
            inside.strip_prefix(&root).ok().and_then(Path::to_str).map(|path| if path.is_empty() { "." } else { path });
        let name = match dir.access {
            Access::ReadOnly => "fs-read",
            Access::ReadWrite => "fs-write",
        };
        let wanted = path.and_then(|path| format!("{name}:{path}").parse().ok());
        asked.push((format!("--dir {}", dir.host.display()), wanted));
    }
    for (flag, wanted) in asked {
        // What no capability can say, such as a directory outside of the project, is beyond all of them.
        if wanted.as_ref().is_some_and(|wanted| granted.iter().any(|granted| granted.covers(wanted))) {
            continue;
        }
        let failure = Failure::yours(format!("`{flag}` is more than `{target}` may ever be granted"));
        return Err(match wanted {
            Some(wanted) => failure.help(format!("add `capabilities = [\"{wanted}\"]` to `{target}` in run.toml")),
            None => failure.help(format!("run the file itself: `run v2 exec target/wasm/{target}.wasm {flag}`")),
        });
    }
    Ok(())
}

/// Calls the function, or runs the command; true for a call.
fn start(args: &Args, program: &mut Program, json: bool) -> Result<(Outcome, bool), Failure> {
    let asked = |diagnostic: Diagnostic| Failure::diagnostics(vec![diagnostic], PathBuf::new());
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
            if !json {
                program.streams = Streams::inherited();
            } else {
                program.streams = Streams { stdin: Stdin::Inherit, stdout: Output::Capture, stderr: Output::Capture };
            }
            let mut argv = vec![args.what.clone()];
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
        error => Failure::yours(error.to_string()),
    }
}

fn grants(doors: &Doors, env: &Env) -> Result<Grants, Failure> {
    let epoch_seconds = env.source_date_epoch()?.unwrap_or(0);
    let dirs = doors.dir.iter().map(|flag| Dir {
        host: env.directory.join(&flag.host),
        guest: flag.guest.clone(),
        access: flag.access,
    });
    Ok(Grants {
        epoch_seconds,
        allow_clock: doors.allow_clock,
        allow_random: doors.allow_random,
        network: network(&doors.allow_net)?,
        dirs: dirs.collect(),
        env: doors.env.iter().map(|flag| variable(flag, env)).collect::<Result<_, _>>()?,
        strict: doors.strict,
    })
}

/// `K=V` as it is; `K` alone with the value it has here.
fn variable(flag: &str, env: &Env) -> Result<(String, String), Failure> {
    if let Some((name, value)) = flag.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    match env.find_text(flag) {
        Some(value) => Ok((flag.to_owned(), value.to_owned())),
        None => Err(Failure::yours(format!("`{flag}` is not set")).help(format!("give it a value: `--env {flag}=…`"))),
    }
}

fn network(hosts: &[String]) -> Result<Network, Failure> {
    if hosts.iter().any(String::is_empty) {
        return Ok(Network::Open);
    }
    match hosts {
        [] => Ok(Network::Closed),
        hosts => hosts.iter().map(|text| host_port(text)).collect::<Result<_, _>>().map(Network::Hosts),
    }
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`.
fn host_port(text: &str) -> Result<HostPort, Failure> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = port
        .map(str::parse)
        .transpose()
        .map_err(|_| Failure::yours(format!("`{text}` does not end in a port")).help("write `HOST` or `HOST:PORT`"))?;
    Ok(HostPort { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
}

fn limits(doors: &Doors) -> Limits {
    let defaults = Limits::default();
    Limits {
        memory_bytes: doors.memory.unwrap_or(defaults.memory_bytes),
        fuel: doors.fuel.unwrap_or(defaults.fuel),
        timeout: doors.timeout,
        output_bytes: defaults.output_bytes,
    }
}

fn dir(text: &str) -> Result<DirFlag, String> {
    let (host, rest) = text.split_once("::").ok_or("write `HOST::GUEST`, as in `data::/data`")?;
    let (guest, access) = match rest.strip_suffix(":ro") {
        Some(guest) => (guest, Access::ReadOnly),
        None => (rest, Access::ReadWrite),
    };
    match (host, guest) {
        ("", _) | (_, "") => Err("both sides of `::` need a directory, as in `data::/data`".to_owned()),
        (host, guest) => Ok(DirFlag { host: host.into(), guest: guest.to_owned(), access }),
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<Size>().map(|size| size.bytes).map_err(|refused| format!("{}; {}", refused.why, refused.help))
}

fn timeout(text: &str) -> Result<std::time::Duration, String> {
    text.parse::<Timeout>()
        .map(|timeout| timeout.duration)
        .map_err(|refused| format!("{}; {}", refused.why, refused.help))
}

/// Says how it ended: a call's value on one line of JSON, a command's status as our own.
fn tell(outcome: &Outcome, is_call: bool, console: &mut Console) -> Result<(), Failure> {
    let status = u8::try_from(outcome.ending.exit_status()).unwrap_or(1);
    let complaint = complaint(&outcome.ending);
    if console.is_json() || (is_call && complaint.is_none()) {
        console.data(&format!("{}\n", document(outcome, is_call)))?;
    }
    if let Some(complaint) = complaint {
        if !console.is_json() {
            console.complain(&quoted("stdout", &outcome.stdout));
            console.complain(&quoted("stderr", &outcome.stderr));
        }
        console.complain(&complaint);
    }
    match status {
        0 => Ok(()),
        status => Err(Failure::told(FailureKind::Guest(status))),
    }
}

/// The fixed shape: status and value first, then what the guest wrote, if it wrote something.
fn document(outcome: &Outcome, is_call: bool) -> serde_json::Value {
    let mut document = serde_json::Map::new();
    document.insert("exit_code".to_owned(), json!(outcome.ending.exit_status()));
    match &outcome.ending {
        Ending::Returned(value) => {
            document.insert("return_value".to_owned(), json!(value.as_ref().map(value::to_json)));
        }
        Ending::ReturnedErr(value) => {
            let payload = value.as_ref().map(value::to_json);
            document.insert("return_value".to_owned(), json!({ "err": payload }));
        }
        Ending::Exited(_) if is_call => {
            document.insert("return_value".to_owned(), serde_json::Value::Null);
        }
        Ending::Exited(_) => {}
        Ending::Trapped(trap) => {
            document.insert("trap".to_owned(), trap_document(trap));
        }
        Ending::LimitHit(LimitHit { limit, trap }) => {
            document.insert("limit".to_owned(), json!(limit.to_string()));
            document.insert("trap".to_owned(), trap_document(trap));
        }
        Ending::MissingImports(missing) => {
            let names: Vec<&str> = missing.iter().map(|import| import.name.as_str()).collect();
            document.insert("missing_imports".to_owned(), json!(names));
        }
    }
    for (name, bytes) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        if !bytes.is_empty() {
            document.insert(name.to_owned(), json!(Bytes(bytes)));
        }
    }
    serde_json::Value::Object(document)
}

fn trap_document(trap: &Trap) -> serde_json::Value {
    json!({
        "message": trap.message,
        "function": trap.function,
        "frames": frames(trap),
    })
}

/// What there is to complain about: a guest that did not come to an end of its own.
fn complaint(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Returned(_) | Ending::ReturnedErr(_) | Ending::Exited(_) => None,
        Ending::Trapped(trap) => Some(format!("error: `{}` trapped: {}\n{}", trap.function, trap.message, stack(trap))),
        Ending::LimitHit(LimitHit { limit, trap }) => {
            Some(format!("error: `{}` was stopped: {limit}\n{}help: {}\n", trap.function, stack(trap), limit.remedy()))
        }
        Ending::MissingImports(missing) => {
            let mut text = "error: nothing here provides what the component imports\n".to_owned();
            for import in missing {
                put!(text, "  {}\n", import.name);
                text.extend(import.wanted.iter().map(|wanted| format!("    {wanted}\n")));
            }
            Some(text + "help: name the components that export it in `depends`, or compose them\n")
        }
    }
}

fn stack(trap: &Trap) -> String {
    frames(trap).iter().map(|frame| format!("  at {frame}\n")).collect()
}

fn frames(trap: &Trap) -> Vec<String> {
    let known = trap.frames.iter().map(|frame| {
        let function = frame.function.clone().unwrap_or_else(|| format!("function {}", frame.index));
        let module = frame.module.as_ref().map_or_else(String::new, |module| format!("{module}: "));
        let place = match (&frame.source, frame.offset) {
            (Some(source), _) => format!(" ({}:{})", source.file, source.line),
            (None, Some(offset)) => format!(" (offset {offset:#x})"),
            (None, None) => String::new(),
        };
        format!("{module}{function}{place}")
    });
    known.collect()
}

/// What a guest wrote before it came to grief.
fn quoted(stream: &str, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    let lines: String = String::from_utf8_lossy(bytes).lines().map(|line| format!("  | {line}\n")).collect();
    format!("{stream} of the guest:\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ending: Ending) -> Outcome {
        Outcome { ending, stdout: Vec::new(), stderr: b"\xff".to_vec(), fuel_used: 0 }
    }

    #[test]
    fn a_value_is_one_line_in_a_fixed_order() {
        let returned = outcome(Ending::Returned(None));
        assert_eq!(
            document(&returned, true).to_string(),
            r#"{"exit_code":0,"return_value":null,"stderr":{"base64":"/w=="}}"#
        );
        let failed = outcome(Ending::ReturnedErr(None));
        assert!(document(&failed, true).to_string().starts_with(r#"{"exit_code":1,"return_value":{"err":null}"#));
    }

    #[test]
    fn a_trap_says_where() {
        let trap = Trap { message: "integer divide by zero".into(), function: "div".into(), frames: Vec::new() };
        assert_eq!(
            complaint(&Ending::Trapped(trap)).as_deref(),
            Some("error: `div` trapped: integer divide by zero\n")
        );
    }

    #[test]
    fn directories_have_two_sides() {
        let flag = |host: &str, guest: &str, access| DirFlag { host: host.into(), guest: guest.into(), access };
        assert_eq!(dir("a::/b"), Ok(flag("a", "/b", Access::ReadWrite)));
        assert_eq!(dir("a::/b:ro"), Ok(flag("a", "/b", Access::ReadOnly)));
        assert!(dir("a").is_err() && dir("::b").is_err() && dir("a::").is_err());
    }

    #[test]
    fn hosts_may_have_ports() {
        let parsed = |text| host_port(text).map(|h| (h.host, h.port)).ok();
        assert_eq!(parsed("example.org"), Some(("example.org".into(), None)));
        assert_eq!(parsed("example.org:443"), Some(("example.org".into(), Some(443))));
        assert_eq!(parsed("[::1]:80"), Some(("::1".into(), Some(80))));
        assert_eq!(parsed("::1"), Some(("::1".into(), None)));
        assert_eq!(parsed("example.org:x"), None);
    }
}
