//! A web page, as a `wasi:http` component.

const std = @import("std");
const bindings = @import("bindings.zig");
const http = bindings.wasi.http.types;

pub fn handle(request: http.IncomingRequest, out: http.ResponseOutparam) !void {
    defer request.drop();
    const path = request.pathWithQuery() orelse "/";
    if (std.mem.eql(u8, path, "/")) return respond(out, 200, "Hello, world!\n");
    return respond(out, 404, try std.fmt.allocPrint(bindings.allocator, "nothing at {s}\n", .{path}));
}

/// Sends a whole response. What goes wrong from here on is the connection's trouble: there is no one left to tell.
fn respond(out: http.ResponseOutparam, status: u16, text: []const u8) !void {
    const headers: http.Fields = .init();
    if (headers.append("content-type", "text/plain") == .err) return error.BadHeader;
    const response: http.OutgoingResponse = .init(headers);
    if (response.setStatusCode(status) == .err) return error.BadStatus;
    const body = response.body().ok;
    http.ResponseOutparam.set(out, .{ .ok = response });

    const stream = body.write().ok;
    var rest = text;
    while (rest.len > 0) {
        const n = @min(rest.len, 4096);
        switch (stream.blockingWriteAndFlush(rest[0..n])) {
            .ok => rest = rest[n..],
            .err => return stream.drop(),
        }
    }
    stream.drop();
    _ = http.OutgoingBody.finish(body, null);
}
