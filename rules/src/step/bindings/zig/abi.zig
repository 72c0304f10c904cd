//! How a component calls what it imports, and is called for what it exports: the canonical ABI. What values look like there
//! is in `values.zig`.

const std = @import("std");
const values = @import("values.zig");
const Allocator = std.mem.Allocator;
const Flat = values.Flat;

pub const Handle = values.Handle;
pub const Borrowed = values.Borrowed;
pub const Result = values.Result;

// Memory.

/// What a call is given, and what it returns. Freed when the caller has read the result.
var call_arena: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
/// What the arguments of an import are made of. Freed when the import returns.
var import_arena: std.heap.ArenaAllocator = .init(std.heap.wasm_allocator);
/// How many exported functions are running: a destructor may run inside of one.
var depth: u32 = 0;

/// Memory that lives until the caller has read what the exported function returned. Nothing need be freed.
pub const allocator: Allocator = call_arena.allocator();

/// Frees all that `allocator` gave and all that imports returned. Only a program with a `main` that runs for long needs it.
pub fn reset() void {
    _ = call_arena.reset(.retain_capacity);
}

fn realloc(old: ?[*]u8, old_size: usize, alignment: usize, size: usize) callconv(.c) [*]u8 {
    // Nothing is put there, and a null pointer it must not be.
    if (size == 0) return @ptrFromInt(alignment);
    const new = allocator.rawAlloc(size, .fromByteUnits(alignment), @returnAddress()) orelse @trap();
    if (old) |bytes| @memcpy(new[0..@min(old_size, size)], bytes[0..@min(old_size, size)]);
    return new;
}

comptime {
    @export(&realloc, .{ .name = "cabi_realloc" });
}

fn enter() void {
    depth += 1;
}

fn leave() void {
    depth -= 1;
    if (depth == 0) reset();
}

// Functions.

/// The most values that are passed flat; more of them are passed in memory.
const most_parameters = 16;
const most_results = 1;

fn CoreParameters(comptime Parameters: type) []const type {
    const flat = Flat(Parameters);
    return if (flat.len > most_parameters) &.{i32} else flat;
}

/// Calls an import. `arguments` is a tuple.
pub fn import(
    comptime module: []const u8,
    comptime name: []const u8,
    comptime Returned: type,
    arguments: anytype,
) Returned {
    const Parameters = @TypeOf(arguments);
    const returns_in_memory = comptime Flat(Returned).len > most_results;
    const types = comptime CoreParameters(Parameters) ++ if (returns_in_memory) &[_]type{i32} else &[_]type{};
    const Core = comptime if (returns_in_memory or Flat(Returned).len == 0) void else Flat(Returned)[0];
    const core = coreImport(module, name, types, Core);

    defer _ = import_arena.reset(.retain_capacity);
    const arena = import_arena.allocator();
    var flat: @Tuple(types) = undefined;
    if (comptime Flat(Parameters).len > most_parameters) {
        const bytes = values.area(Parameters, 1, arena);
        values.store(Parameters, arguments, arena, bytes);
        flat[0] = @bitCast(@intFromPtr(bytes));
    } else {
        values.lower(Parameters, arguments, arena, &flat, 0);
    }
    if (returns_in_memory) {
        var bytes: [values.sizeOf(Returned)]u8 align(values.alignOf(Returned)) = undefined;
        flat[types.len - 1] = @bitCast(@intFromPtr(&bytes));
        @call(.auto, core, flat);
        return values.load(Returned, allocator, &bytes);
    }
    const returned = @call(.auto, core, flat);
    return values.lift(Returned, allocator, .{returned}, 0);
}

fn CoreFunction(comptime types: []const type, comptime Core: type) type {
    return @Fn(types, &@splat(.{}), Core, .{ .@"callconv" = .c });
}

fn coreImport(
    comptime module: []const u8,
    comptime name: []const u8,
    comptime types: []const type,
    comptime Core: type,
) *const CoreFunction(types, Core) {
    return @extern(*const CoreFunction(types, Core), .{ .name = name, .library_name = module });
}

/// What implements an interface: the namespace of the root file that is called like it, else the root file.
pub fn namespace(comptime root: type, comptime interface: []const u8) type {
    const has = @hasDecl(root, interface) and @TypeOf(@field(root, interface)) == type;
    return if (has) @field(root, interface) else root;
}

/// What implements a resource: the struct that is called like it.
pub fn implementedType(
    comptime root: type,
    comptime interface: []const u8,
    comptime name: []const u8,
    comptime module: []const u8,
) type {
    const container = namespace(root, interface);
    if (@hasDecl(container, name)) return @field(container, name);
    @compileError("the world exports `" ++ module ++ "`, so " ++ @typeName(container) ++
        " needs the struct `" ++ name ++ "`, with the functions of that resource");
}

/// Exports the function `name` of `implementation`, which must have the type `Wanted`, or may return an error besides. An
/// error is a trap; what a caller is to know of is a `Result`.
pub fn exportFunction(
    comptime core_name: []const u8,
    comptime implementation: type,
    comptime name: []const u8,
    comptime Wanted: type,
    comptime signature: []const u8,
) void {
    const says = "the world exports `" ++ core_name ++ "`, so " ++ @typeName(implementation);
    if (!@hasDecl(implementation, name)) {
        @compileError(says ++ " needs the function\n    " ++ signature);
    }
    const function = @field(implementation, name);
    if (!isFunction(@TypeOf(function), Wanted)) {
        @compileError(says ++ " should have\n    " ++ signature ++ "\nand what it has is\n    " ++ name ++ ": " ++ @typeName(@TypeOf(function)));
    }
    const Exported = Export(function, Wanted);
    @export(&Exported.call, .{ .name = core_name });
    if (Exported.returns_in_memory and values.holdsMemory(Exported.Returned)) {
        @export(&Exported.post, .{ .name = "cabi_post_" ++ core_name });
    }
}

/// Whether a function has the wanted type, but that it may return an error too.
fn isFunction(comptime Found: type, comptime Wanted: type) bool {
    if (Found == Wanted) return true;
    if (@typeInfo(Found) != .@"fn") return false;
    const found, const wanted = .{ @typeInfo(Found).@"fn", @typeInfo(Wanted).@"fn" };
    if (found.is_generic or found.param_types.len != wanted.param_types.len) return false;
    for (found.param_types, wanted.param_types) |a, b| if (a != b) return false;
    return switch (@typeInfo(found.return_type.?)) {
        .error_union => |returned| returned.payload == wanted.return_type.?,
        else => found.return_type == wanted.return_type,
    };
}

fn Export(comptime function: anytype, comptime Wanted: type) type {
    return struct {
        const Returned = @typeInfo(Wanted).@"fn".return_type.?;
        const Parameters = std.meta.ArgsTuple(Wanted);
        const P = CoreParameters(Parameters);
        const returns_in_memory = Flat(Returned).len > most_results;
        const R = if (returns_in_memory) *anyopaque else if (Flat(Returned).len == 0) void else Flat(Returned)[0];
        var returned_area: [values.sizeOf(Returned)]u8 align(values.alignOf(Returned)) = undefined;

        fn run(flat: anytype) R {
            enter();
            const arguments = if (comptime Flat(Parameters).len > most_parameters)
                values.load(Parameters, allocator, @ptrFromInt(values.cast(u32, flat[0])))
            else
                values.lift(Parameters, allocator, flat, 0);
            const answer = @call(.auto, function, arguments);
            const value: Returned = if (@typeInfo(@TypeOf(answer)) == .error_union)
                answer catch |e| std.debug.panic("{s}", .{@errorName(e)})
            else
                answer;
            values.giveBack(Parameters, arguments);
            if (returns_in_memory) {
                values.store(Returned, value, allocator, &returned_area);
                if (comptime !values.holdsMemory(Returned)) leave();
                return &returned_area;
            }
            leave();
            if (R != void) {
                var result: @Tuple(&.{R}) = undefined;
                values.lower(Returned, value, allocator, &result, 0);
                return result[0];
            }
        }

        fn post(_: *anyopaque) callconv(.c) void {
            leave();
        }

        const call = switch (P.len) {
            0 => struct {
                fn call() callconv(.c) R {
                    return run(.{});
                }
            },
            1 => struct {
                fn call(a: P[0]) callconv(.c) R {
                    return run(.{a});
                }
            },
            2 => struct {
                fn call(a: P[0], b: P[1]) callconv(.c) R {
                    return run(.{ a, b });
                }
            },
            3 => struct {
                fn call(a: P[0], b: P[1], c: P[2]) callconv(.c) R {
                    return run(.{ a, b, c });
                }
            },
            4 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3]) callconv(.c) R {
                    return run(.{ a, b, c, d });
                }
            },
            5 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4]) callconv(.c) R {
                    return run(.{ a, b, c, d, e });
                }
            },
            6 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f });
                }
            },
            7 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g });
                }
            },
            8 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h });
                }
            },
            9 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i });
                }
            },
            10 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j });
                }
            },
            11 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9], k: P[10]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j, k });
                }
            },
            12 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9], k: P[10], l: P[11]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j, k, l });
                }
            },
            13 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9], k: P[10], l: P[11], m: P[12]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j, k, l, m });
                }
            },
            14 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9], k: P[10], l: P[11], m: P[12], n: P[13]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j, k, l, m, n });
                }
            },
            15 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9], k: P[10], l: P[11], m: P[12], n: P[13], o: P[14]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j, k, l, m, n, o });
                }
            },
            16 => struct {
                fn call(a: P[0], b: P[1], c: P[2], d: P[3], e: P[4], f: P[5], g: P[6], h: P[7], i: P[8], j: P[9], k: P[10], l: P[11], m: P[12], n: P[13], o: P[14], p: P[15]) callconv(.c) R {
                    return run(.{ a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p });
                }
            },
            else => unreachable,
        }.call;
    };
}

// Resources.

/// Gives a handle back.
pub fn drop(comptime module: []const u8, comptime resource: []const u8, handle: Handle) void {
    coreImport(module, "[resource-drop]" ++ resource, &.{i32}, void)(@backingInt(handle));
}

/// A handle to a resource that `Implementation` implements here: what WIT writes as `own<R>`.
pub fn Own(comptime module: []const u8, comptime resource: []const u8, comptime Implementation: type) type {
    return struct {
        handle: Handle,

        /// What stands behind a handle, which is what a function is lent.
        pub const Value = Implementation;

        /// Moves a value to where it stays until its last owner drops it, which calls its `deinit`, if it has one.
        pub fn new(value: Implementation) @This() {
            const moved = std.heap.wasm_allocator.create(Implementation) catch @trap();
            moved.* = value;
            const core = coreImport("[export]" ++ module, "[resource-new]" ++ resource, &.{i32}, i32);
            return .{ .handle = @fromBackingInt(core(@bitCast(@intFromPtr(moved)))) };
        }

        /// The value behind the handle.
        pub fn get(self: @This()) *Implementation {
            const core = coreImport("[export]" ++ module, "[resource-rep]" ++ resource, &.{i32}, i32);
            return @ptrFromInt(values.cast(u32, core(@backingInt(self.handle))));
        }

        /// Gives the handle back, and with it the value.
        pub fn drop(self: @This()) void {
            dropHandle("[export]" ++ module, resource, self.handle);
        }
    };
}

const dropHandle = drop;

/// Exports what is done when the last owner of a value is gone.
pub fn exportDestructor(comptime core_name: []const u8, comptime Implementation: type) void {
    const Destructor = struct {
        fn call(value: *Implementation) callconv(.c) void {
            enter();
            if (@hasDecl(Implementation, "deinit")) value.deinit();
            std.heap.wasm_allocator.destroy(value);
            leave();
        }
    };
    @export(&Destructor.call, .{ .name = core_name });
}
