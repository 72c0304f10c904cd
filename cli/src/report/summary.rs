//! `Summary` → the last line of a build.

use std::time::Duration;

use run_engine::event::Summary;

use super::amount::plural;

/// The last line; its shape is fixed, because scripts read it.
pub(crate) fn last_line(summary: &Summary) -> String {
    let Summary { built, reused_local, reused_remote, failed, skipped, cancelled, compared: _, took } = *summary;
    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    parts.push(format!("{built} built"));
    let reused = reused_local + reused_remote;
    parts.push(format!("{reused} reused ({reused_local} local, {reused_remote} remote)"));
    let interrupted = if cancelled { "interrupted: " } else { "" };
    format!("{interrupted}{} in {}\n", parts.join(", "), duration(took))
}

/// The last line of a build that found everything in place.
pub(crate) fn nothing_to_do(targets: u32, took: Duration) -> String {
    format!("nothing to do ({} up to date) in {}\n", plural(u64::from(targets), "target"), duration(took))
}

/// The last line of a build that was only thought through.
pub(crate) fn dry_run(would_run: u32, reused: u32, took: Duration) -> String {
    format!("{would_run} to build, {reused} to reuse in {} (nothing was run)\n", duration(took))
}

/// `38 ms`, `6.1 s`, `2 m 05 s`.
pub(crate) fn duration(took: Duration) -> String {
    let ms = took.as_millis();
    match ms {
        0..1000 => format!("{ms} ms"),
        // Cut, not rounded, so that nothing becomes `60.0 s`.
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} m {:02} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_the_one_that_is_promised() {
        let took = Duration::from_millis(6100);
        let summary = Summary { built: 3, reused_local: 38, reused_remote: 3, took, ..Summary::default() };
        assert_eq!(last_line(&summary), "3 built, 41 reused (38 local, 3 remote) in 6.1 s\n");
        assert_eq!(nothing_to_do(44, Duration::from_millis(38)), "nothing to do (44 targets up to date) in 38 ms\n");
        assert_eq!(nothing_to_do(1, Duration::ZERO), "nothing to do (1 target up to date) in 0 ms\n");
    }

    #[test]
    fn what_went_wrong_comes_first() {
        let summary = Summary { built: 3, failed: 1, skipped: 2, took: Duration::from_secs(1), ..Summary::default() };
        assert_eq!(last_line(&summary), "1 failed, 2 skipped, 3 built, 0 reused (0 local, 0 remote) in 1.0 s\n");
        let summary = Summary { cancelled: true, skipped: 2, ..Summary::default() };
        assert_eq!(last_line(&summary), "interrupted: 2 skipped, 0 built, 0 reused (0 local, 0 remote) in 0 ms\n");
    }

    #[test]
    fn durations_are_as_exact_as_they_are_long() {
        let shown = |ms| duration(Duration::from_millis(ms));
        assert_eq!([shown(999), shown(59_999), shown(125_000)], ["999 ms", "59.9 s", "2 m 05 s"]);
    }
}
