//! `hello [NAME]`: a command component. `run v2 exec hello -- Ada` runs it.

const std = @import("std");

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    const name = if (args.len > 1) args[1] else "world";
    var buffer: [256]u8 = undefined;
    var out = std.Io.File.stdout().writer(init.io, &buffer);
    try out.interface.print("Hello, {s}!\n", .{name});
    try out.interface.flush();
}
