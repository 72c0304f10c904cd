//! `wasi:cli/run` commands, compiled from Rust: streams, arguments, files, clocks and exit status as std uses them.

use std::process::Command;
use std::time::{Duration, Instant};

use super::*;

/// One program with a mode for each test, so that the compiler runs once.
const SOURCE: &str = r#"
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {
        "hello" => println!("hello {} {:?}", args[2], std::env::var("WHO")),
        "exit" => std::process::exit(args[2].parse().unwrap()),
        "err" => return Err("no".to_owned()),
        "panic" => panic!("at the disco"),
        "cat" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).unwrap();
            print!("{text}");
        }
        "clock" => {
            let epoch = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let start = Instant::now();
            print!("{:?} ", epoch());
            std::thread::sleep(Duration::from_secs(3600));
            print!("{:?} {:?}", epoch(), start.elapsed());
        }
        "list" => {
            for entry in std::fs::read_dir(&args[2]).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.metadata().unwrap();
                let time = meta.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                println!("{} {} {}", entry.file_name().to_str().unwrap(), meta.len(), time.as_secs());
            }
        }
        "write" => match std::fs::write(&args[2], "new") {
            Ok(()) => println!("written"),
            Err(e) => println!("{:?}", e.kind()),
        },
        "read" => match std::fs::read_to_string(&args[2]) {
            Ok(text) => println!("{text}"),
            Err(e) => println!("{:?}", e.kind()),
        },
        "flood" => loop {
            if std::io::stdout().write_all(&[b'x'; 1000]).is_err() {
                break;
            }
        },
        "connect" => match std::net::TcpStream::connect(&args[2]) {
            Ok(_) => println!("connected"),
            Err(e) => println!("{:?}", e.kind()),
        },
        "hash" => {
            let map: std::collections::HashMap<u32, u32> = (0..20).map(|n| (n, n)).collect();
            println!("{:?}", map.keys().collect::<Vec<_>>());
        }
        other => panic!("{other}"),
    }
    Ok(())
}
"#;

fn program() -> Program {
    static COMPONENT: OnceLock<Component> = OnceLock::new();
    Program::new(COMPONENT.get_or_init(|| runtime().compile(&binary()).unwrap()).clone())
}

/// [`SOURCE`], compiled.
pub(super) fn binary() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (source, output) = (dir.path().join("main.rs"), dir.path().join("main.wasm"));
    std::fs::write(&source, SOURCE).unwrap();
    let status = Command::new("rustc")
        .args(["--target", "wasm32-wasip2", "--edition", "2024", "-O", "-o"])
        .args([&output, &source])
        .status()
        .expect("rustc is what runs this test");
    assert!(status.success(), "the target wasm32-wasip2 is part of the repository's toolchain");
    std::fs::read(output).unwrap()
}

#[track_caller]
fn run(program: &Program, args: &[&str]) -> Outcome {
    let argv: Vec<_> = ["program"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    program.run_command(&argv).unwrap_or_else(|e| panic!("{e}"))
}

/// What the guest printed, after a good end.
#[track_caller]
fn printed(program: &Program, args: &[&str]) -> String {
    let outcome = run(program, args);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert!(matches!(outcome.ending, Ending::Exited(0)), "{:?}\n{stderr}", outcome.ending);
    String::from_utf8(outcome.stdout).unwrap()
}

#[test]
fn arguments_environment_and_output_pass_through() {
    let mut program = program();
    assert!(program.is_command());
    program.grants.env = vec![("WHO".to_owned(), "me".to_owned())];
    assert_eq!(printed(&program, &["hello", "world"]), "hello world Ok(\"me\")\n");
}

#[test]
fn exit_statuses_pass_through() {
    // Rust's std still tells WASI only "ok" or "err".
    for (args, status) in [(["exit", "0"], 0), (["exit", "7"], 1), (["err", ""], 1)] {
        assert_eq!(run(&program(), &args).ending.exit_status(), status, "{args:?}");
    }
}

#[test]
fn an_exit_with_a_code_keeps_it() {
    let program = Program::new(component(
        r#"(component
            (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
            (core func $exit (canon lower (func $exit "exit-with-code")))
            (core module $m
              (import "" "exit" (func $exit (param i32)))
              (func (export "run") (result i32) (call $exit (i32.const 7)) unreachable))
            (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $command)))"#,
    ));
    assert!(matches!(run(&program, &[]).ending, Ending::Exited(7)));
}

#[test]
fn a_panic_is_a_trap_with_its_message_on_stderr() {
    let outcome = run(&program(), &["panic"]);
    assert!(trap(&outcome).frames.len() > 1);
    assert!(String::from_utf8_lossy(&outcome.stderr).contains("at the disco"));
}

#[test]
fn standard_input_is_empty_unless_given() {
    let mut program = program();
    assert_eq!(printed(&program, &["cat"]), "");
    program.streams.stdin = Stdin::Bytes(b"one\ntwo\n".to_vec());
    assert_eq!(printed(&program, &["cat"]), "one\ntwo\n");
}

#[test]
fn time_starts_at_the_epoch_given_and_jumps_over_sleep() {
    let mut program = program();
    program.grants.epoch_seconds = 1_700_000_000;
    let start = Instant::now();
    assert_eq!(printed(&program, &["clock"]), "1700000000s 1700003600s 3600s");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn hash_maps_iterate_the_same_way_twice() {
    assert_eq!(printed(&program(), &["hash"]), printed(&program(), &["hash"]));
}

#[test]
fn directories_are_listed_by_name_with_the_epochs_times() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["c", "a", "d", "b"] {
        std::fs::write(dir.path().join(name), name.repeat(3)).unwrap();
    }
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    let mut program = program();
    program.grants.epoch_seconds = 5;
    program.grants.dirs =
        vec![Dir { host: dir.path().to_owned(), guest: "/data".to_owned(), access: Access::ReadOnly }];
    assert_eq!(printed(&program, &["list", "/data"]), "a 3 5\nb 3 5\nc 3 5\nd 3 5\nsub 0 5\n");

    program.grants.allow_clock = true;
    assert!(!printed(&program, &["list", "/data"]).contains("a 3 5\n"), "a granted clock shows real file times");
}

#[test]
fn only_granted_directories_are_there_and_read_only_means_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x"), "text").unwrap();
    std::fs::write(dir.path().parent().unwrap().join("outside-of-the-grant"), "secret").unwrap();
    let mut program = program();
    assert_eq!(printed(&program, &["read", "/data/x"]), "NotFound\n");

    let grant = |access| vec![Dir { host: dir.path().to_owned(), guest: "/data".to_owned(), access }];
    program.grants.dirs = grant(Access::ReadOnly);
    assert_eq!(printed(&program, &["read", "/data/x"]), "text\n");
    assert_eq!(printed(&program, &["read", "/data/../outside-of-the-grant"]), "PermissionDenied\n");
    assert_eq!(printed(&program, &["write", "/data/y"]), "PermissionDenied\n");

    program.grants.dirs = grant(Access::ReadWrite);
    assert_eq!(printed(&program, &["write", "/data/y"]), "written\n");
    assert_eq!(std::fs::read_to_string(dir.path().join("y")).unwrap(), "new");
}

#[test]
fn a_directory_that_is_not_there_is_this_machines_fault() {
    let mut program = program();
    let host = std::path::PathBuf::from("/no/such/directory");
    program.grants.dirs = vec![Dir { host, guest: "/".to_owned(), access: Access::ReadOnly }];
    let error = program.run_command(&["program".to_owned()]).err().unwrap();
    assert!(error.to_string().contains("/no/such/directory"), "{error}");
}

#[test]
fn only_granted_hosts_are_reached() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let mut program = program();
    let connect = |program: &Program, to: &str| printed(program, &["connect", to]);
    assert_eq!(connect(&program, &address.to_string()), "PermissionDenied\n");

    let grant = |host: &str, port| Network::Hosts(vec![HostPort { host: host.to_owned(), port }]);
    program.grants.network = grant("127.0.0.1", Some(address.port()));
    assert_eq!(connect(&program, &address.to_string()), "connected\n");
    program.grants.network = grant("127.0.0.1", Some(1));
    assert_eq!(connect(&program, &address.to_string()), "PermissionDenied\n");
    program.grants.network = grant("127.0.0.2", None);
    assert_eq!(connect(&program, &address.to_string()), "PermissionDenied\n");
    program.grants.network = grant("localhost", None);
    assert_eq!(connect(&program, &format!("localhost:{}", address.port())), "connected\n");
    assert_ne!(connect(&program, "example.com:80"), "connected\n");
}

#[test]
fn output_is_capped_and_said_to_be() {
    let mut program = program();
    program.limits.output_bytes = 10_000;
    let outcome = run(&program, &["flood"]);
    assert_eq!(limit(&outcome), Limit::Output(10_000));
    assert_eq!(outcome.stdout.len(), 10_000);
}

#[test]
fn strict_names_the_import_a_hash_map_uses() {
    let mut program = program();
    program.grants.strict = true;
    let message = trap(&run(&program, &["hash"])).message.clone();
    assert!(message.starts_with("`wasi:random/") && message.ends_with("was called under `--strict`"), "{message}");
}

#[test]
fn a_library_is_not_a_command() {
    let library = Program::new(component(GREET));
    assert!(!library.is_command());
    assert!(matches!(library.run_command(&[]), Err(HostError::NotACommand)));
}

#[test]
fn a_guest_that_reads_withheld_input_finds_none_and_is_noticed() {
    let mut program = program();
    program.streams.stdin = Stdin::Withheld;
    assert!(!run(&program, &["hash"]).missed_input);
    let outcome = run(&program, &["cat"]);
    assert!(outcome.missed_input && outcome.stdout.is_empty(), "{outcome:?}");
    program.streams.stdin = Stdin::Empty;
    assert!(!run(&program, &["cat"]).missed_input);
}
