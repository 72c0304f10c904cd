//! `hello [NAME]`: a command component. `run v2 exec hello -- Ada` runs it.
//!
//! It asks for its arguments and writes by its world, `wasi:cli/command`. Zig's `std.process.Init` and `std.Io` work too; they make
//! it three times as large, and a second slower to compile.

const bindings = @import("bindings.zig");
const cli = bindings.wasi.cli;

pub fn main() u8 {
    const args = cli.environment.getArguments();
    const name = if (args.len > 1) args[1] else "world";
    const out = cli.stdout.getStdout();
    defer out.drop();
    for ([_][]const u8{ "Hello, ", name, "!\n" }) |text| {
        if (!write(out, text)) return 1;
    }
    return 0;
}

/// Writes all of a text: a stream takes 4096 bytes at once.
fn write(out: cli.stdout.OutputStream, text: []const u8) bool {
    var rest = text;
    while (rest.len > 0) {
        const n = @min(rest.len, 4096);
        if (out.blockingWriteAndFlush(rest[0..n]) == .err) return false;
        rest = rest[n..];
    }
    return true;
}
