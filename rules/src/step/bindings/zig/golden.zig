//! The world `small` in Zig. Made from its WIT, anew by every build: changes to this file are lost.
//!
//! Lists and strings that a function is given live until it has returned and its caller has read the result; so
//! does what `allocator` gives. Copy what is to stay.
//!
//! What the component exports are `pub` functions of its root file: those of an interface `math` are in a
//! namespace `math` of that file or, without one, in the file itself; a resource is a struct with the name
//! of its type. They may return errors besides, which are traps.

const abi = @import("bindings/abi.zig");
const bindings = @This();
const implementation = @import("root").implementation;

pub const Result = abi.Result;
pub const Borrowed = abi.Borrowed;
pub const allocator = abi.allocator;
pub const reset = abi.reset;

pub const demo = struct {
    pub const small = struct {
        pub const log = struct {
            pub const Level = enum(u8) {
                low,
                high,
            };

            pub fn write(level: Level, text: []const u8) void {
                return abi.import("demo:small/log@1.2.0", "write", void, .{ level, text });
            }
        };

        pub const store = struct {
            pub const Entry = struct {
                key: []const u8,
                value: ?[]const u8 = null,
            };

            pub const Level = bindings.demo.small.log.Level;

            pub const Problem = union(enum) {
                missing,
                locked: Level,
                other: []const u8,
            };

            pub const Rights = packed struct(u8) {
                read: bool = false,
                write: bool = false,
                @"error": bool = false,
                _: u5 = 0,
            };

            pub const Table = struct {
                handle: abi.Handle,

                pub fn borrow(self: @This()) Borrowed(@This()) {
                    return .{ .resource = self };
                }

                pub fn drop(self: @This()) void {
                    abi.drop("demo:small/store@1.2.0", "table", self.handle);
                }

                pub fn init(name: []const u8) Table {
                    return abi.import("demo:small/store@1.2.0", "[constructor]table", Table, .{name});
                }

                pub fn get(self: @This(), key: []const u8) Result(Entry, Problem) {
                    return abi.import("demo:small/store@1.2.0", "[method]table.get", Result(Entry, Problem), .{ self, key });
                }

                pub fn merge(a: Table, b: Borrowed(Table)) Table {
                    return abi.import("demo:small/store@1.2.0", "[static]table.merge", Table, .{ a, b });
                }
            };

            pub fn tables() []const struct { []const u8, Rights } {
                return abi.import("demo:small/store@1.2.0", "tables", []const struct { []const u8, Rights }, .{});
            }
        };
    };
};

pub const exports = struct {
    pub const demo = struct {
        pub const small = struct {
            pub const store = struct {
                pub const Entry = struct {
                    key: []const u8,
                    value: ?[]const u8 = null,
                };

                pub const Level = bindings.demo.small.log.Level;

                pub const Problem = union(enum) {
                    missing,
                    locked: Level,
                    other: []const u8,
                };

                pub const Rights = packed struct(u8) {
                    read: bool = false,
                    write: bool = false,
                    @"error": bool = false,
                    _: u5 = 0,
                };

                pub const Table = abi.Own("demo:small/store@1.2.0", "table", abi.implementedType(implementation, "store", "Table", "demo:small/store@1.2.0"));
            };
        };
    };
};

comptime {
    abi.exportFunction(
        "demo:small/store@1.2.0#[constructor]table",
        bindings.exports.demo.small.store.Table.Value,
        "init",
        fn (name: []const u8) bindings.exports.demo.small.store.Table,
        "pub fn init(name: []const u8) bindings.exports.demo.small.store.Table",
    );
    abi.exportFunction(
        "demo:small/store@1.2.0#[method]table.get",
        bindings.exports.demo.small.store.Table.Value,
        "get",
        fn (self: *bindings.exports.demo.small.store.Table.Value, key: []const u8) Result(bindings.exports.demo.small.store.Entry, bindings.exports.demo.small.store.Problem),
        "pub fn get(self: *bindings.exports.demo.small.store.Table.Value, key: []const u8) Result(bindings.exports.demo.small.store.Entry, bindings.exports.demo.small.store.Problem)",
    );
    abi.exportFunction(
        "demo:small/store@1.2.0#[static]table.merge",
        bindings.exports.demo.small.store.Table.Value,
        "merge",
        fn (a: bindings.exports.demo.small.store.Table, b: *bindings.exports.demo.small.store.Table.Value) bindings.exports.demo.small.store.Table,
        "pub fn merge(a: bindings.exports.demo.small.store.Table, b: *bindings.exports.demo.small.store.Table.Value) bindings.exports.demo.small.store.Table",
    );
    abi.exportFunction(
        "demo:small/store@1.2.0#tables",
        abi.namespace(implementation, "store"),
        "tables",
        fn () []const struct { []const u8, bindings.exports.demo.small.store.Rights },
        "pub fn tables() []const struct { []const u8, bindings.exports.demo.small.store.Rights }",
    );
    abi.exportDestructor("demo:small/store@1.2.0#[dtor]table", bindings.exports.demo.small.store.Table.Value);
    abi.exportFunction(
        "greet",
        implementation,
        "greet",
        fn (to: struct { []const u8, u32 }) []const u8,
        "pub fn greet(to: struct { []const u8, u32 }) []const u8",
    );
}
