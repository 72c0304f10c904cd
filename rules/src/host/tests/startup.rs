//! What a start costs, measured part by part: `cargo test -p run-rules --release startup -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::*;

/// The whole of what `exec` does with native code that is there: engine, load, link, instantiate, call. Measured at
/// 1 ms or less on a 2020s laptop; a regression of an order of magnitude, such as a compiler creeping in, fails.
const BUDGET: Duration = Duration::from_millis(50);

fn timed<T>(what: &str, times: u32, mut work: impl FnMut() -> T) -> T {
    let start = Instant::now();
    let first = work();
    let first_took = start.elapsed();
    let start = Instant::now();
    for _ in 0..times {
        work();
    }
    report(what, first_took, start.elapsed() / times);
    first
}

#[expect(clippy::print_stderr, reason = "the point of this test is to be read")]
fn report(what: &str, first: Duration, warm: Duration) {
    eprintln!("{what:<28} first {first:>10.1?}   warm {warm:>10.1?}");
}

fn parts(name: &str, bytes: &[u8], run: impl Fn(&Program)) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = timed(&format!("{name}: engine"), 20, || Runtime::new(OptLevel::Speed).unwrap());
    write_native(dir.path(), bytes);
    #[expect(unsafe_code, reason = "the files were precompiled a line above")]
    // SAFETY: the files are the unmodified output of `precompile`.
    let load = |runtime: &Runtime| unsafe { runtime.load_native(&|name| Some(dir.path().join(name))) }.unwrap();
    let component = timed(&format!("{name}: load"), 20, || load(&runtime));
    timed(&format!("{name}: link"), 20, || {
        super::super::link::link(&component, &Grants::default()).unwrap().ok().unwrap()
    });
    timed(&format!("{name}: run"), 20, || run(&Program::new(component.clone())));
    let start = Instant::now();
    let runtime = Runtime::new(OptLevel::Speed).unwrap();
    run(&Program::new(load(&runtime)));
    let whole = start.elapsed();
    report(&format!("{name}: the whole"), whole, whole);
    assert!(whole < BUDGET, "{whole:?}");
}

#[test]
#[ignore = "a measurement"]
fn startup() {
    parts("greet", &wat::parse_str(GREET).unwrap(), |program| {
        assert_eq!(returned(&call(program, "greet", &["42"])), "43");
    });
    let command = commands::binary();
    parts("hello", &command, |program| {
        let argv = ["program", "hello", "you"].map(str::to_owned);
        assert_eq!(program.run_command(&argv).unwrap().ending.exit_status(), 0);
    });
}
