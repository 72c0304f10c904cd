//! Values as the canonical ABI has them, told from Zig types alone: how they lie in memory, and how they are passed flat.
//!
//! | WIT                    | Zig                                                        |
//! |------------------------|------------------------------------------------------------|
//! | `bool`, numbers        | the same                                                   |
//! | `char`                 | `u21`                                                      |
//! | `string`, `list<T>`    | `[]const u8`, `[]const T`                                  |
//! | `option<T>`            | `?T`                                                       |
//! | `result<T, E>`         | `Result(T, E)`                                             |
//! | `tuple<A, B>`          | `struct { A, B }`                                          |
//! | `record`               | `struct`                                                   |
//! | `variant`              | `union(enum)`                                              |
//! | `enum`                 | `enum(u8)`, or wider                                       |
//! | `flags`                | `packed struct(u8)`, or wider                              |
//! | `resource`, `own<R>`   | a struct that holds a handle                               |
//! | `borrow<R>`            | `Borrowed(R)`; `*T` for a resource that `T` implements     |

const std = @import("std");
const Allocator = std.mem.Allocator;

/// `result<T, E>`. What is missing in WIT is `void` here.
pub fn Result(comptime Ok: type, comptime Err: type) type {
    return union(enum) { ok: Ok, err: Err };
}

/// The field `handle` of a resource.
pub const Handle = enum(i32) { _ };

/// `borrow<R>` of a resource that is imported: the lender keeps it. What an exported function is lent goes back when it
/// returns.
pub fn Borrowed(comptime Resource: type) type {
    return struct {
        resource: Resource,

        /// What is lent.
        pub const Lent = Resource;
    };
}

// Layout.

/// A type as the canonical ABI sees it.
const Shape = enum { nothing, scalar, char, list, option, variant, tags, flags, fields, handle, borrowed, rep };

fn shape(comptime T: type) Shape {
    // Every walk over types comes by here, and worlds may be large.
    @setEvalBranchQuota(1_000_000);
    return switch (@typeInfo(T)) {
        .void => .nothing,
        .int => if (T == u21) .char else .scalar,
        .bool, .float => .scalar,
        .optional => .option,
        .@"enum" => .tags,
        .@"union" => .variant,
        .pointer => |info| if (info.size == .slice) .list else .rep,
        .@"struct" => |info| if (info.layout == .@"packed")
            .flags
        else if (info.field_types.len == 1 and info.field_types[0] == Handle)
            .handle
        else if (@hasDecl(T, "Lent"))
            .borrowed
        else
            .fields,
        else => @compileError(@typeName(T) ++ " can't cross the boundary of a component"),
    };
}

fn alignForward(comptime offset: usize, comptime alignment: usize) usize {
    return (offset + alignment - 1) / alignment * alignment;
}

/// The integer that tells the cases of a union apart.
fn Discriminant(comptime n: usize) type {
    return if (n <= 1 << 8) u8 else if (n <= 1 << 16) u16 else u32;
}

/// An option as a union of two.
fn cases(comptime T: type) []const type {
    return switch (comptime shape(T)) {
        .option => &.{ void, @typeInfo(T).optional.child },
        .variant => @typeInfo(T).@"union".field_types,
        else => unreachable,
    };
}

fn parts(comptime T: type) []const type {
    return switch (comptime shape(T)) {
        .fields => @typeInfo(T).@"struct".field_types,
        else => unreachable,
    };
}

fn names(comptime T: type) []const [:0]const u8 {
    return @typeInfo(T).@"struct".field_names;
}

pub fn alignOf(comptime T: type) usize {
    return switch (comptime shape(T)) {
        .nothing => 1,
        .scalar, .tags, .flags => @sizeOf(T),
        .char, .list, .handle, .borrowed, .rep => 4,
        .fields => alignOfParts(parts(T)),
        .option, .variant => @max(@sizeOf(Discriminant(cases(T).len)), alignOfParts(cases(T))),
    };
}

fn alignOfParts(comptime types: []const type) usize {
    var alignment: usize = 1;
    for (types) |T| alignment = @max(alignment, alignOf(T));
    return alignment;
}

pub fn sizeOf(comptime T: type) usize {
    return switch (comptime shape(T)) {
        .nothing => 0,
        .scalar, .tags, .flags => @sizeOf(T),
        .char, .handle, .borrowed, .rep => 4,
        .list => 8,
        .fields => alignForward(offsetOf(parts(T), parts(T).len), alignOf(T)),
        .option, .variant => size: {
            var size: usize = 0;
            for (cases(T)) |Case| size = @max(size, sizeOf(Case));
            break :size alignForward(payloadOffset(T) + size, alignOf(T));
        },
    };
}

/// Where the part with this index starts; for their number, where the last one ends.
fn offsetOf(comptime types: []const type, comptime index: usize) usize {
    var offset: usize = 0;
    for (types[0..index]) |T| offset = alignForward(offset, alignOf(T)) + sizeOf(T);
    return if (index == types.len) offset else alignForward(offset, alignOf(types[index]));
}

fn payloadOffset(comptime T: type) usize {
    return alignForward(@sizeOf(Discriminant(cases(T).len)), alignOfParts(cases(T)));
}

/// Whether values lie in memory here as they do there, so that lists of them are passed as they are.
fn isDirect(comptime T: type) bool {
    return switch (comptime shape(T)) {
        .scalar, .tags, .flags => true,
        else => false,
    };
}

/// Whether there is something to free once a value was read.
pub fn holdsMemory(comptime T: type) bool {
    switch (comptime shape(T)) {
        .list => return true,
        .fields => for (parts(T)) |Part| if (holdsMemory(Part)) return true,
        .option, .variant => for (cases(T)) |Case| if (holdsMemory(Case)) return true,
        else => {},
    }
    return false;
}

// Flat values: the parameters and results of core functions.

pub fn Flat(comptime T: type) []const type {
    return switch (comptime shape(T)) {
        .nothing => &.{},
        .scalar => &.{switch (T) {
            f32, f64 => T,
            i64, u64 => i64,
            else => i32,
        }},
        .char, .tags, .flags, .handle, .borrowed, .rep => &.{i32},
        .list => &.{ i32, i32 },
        .fields => flatParts(parts(T)),
        .option, .variant => flat: {
            var joined: []const type = &.{};
            for (cases(T)) |Case| joined = join(joined, Flat(Case));
            break :flat &[_]type{i32} ++ joined;
        },
    };
}

fn flatParts(comptime types: []const type) []const type {
    var flat: []const type = &.{};
    for (types) |T| flat = flat ++ Flat(T);
    return flat;
}

/// The types that have room for either.
fn join(comptime a: []const type, comptime b: []const type) []const type {
    const long, const short = if (a.len >= b.len) .{ a, b } else .{ b, a };
    var joined: [long.len]type = undefined;
    for (&joined, long, 0..) |*both, T, i| {
        const Other = if (i < short.len) short[i] else T;
        const is_small = (T == i32 or T == f32) and (Other == i32 or Other == f32);
        both.* = if (T == Other) T else if (is_small) i32 else i64;
    }
    const done = joined;
    return &done;
}

/// The same bits, in a type that has room for them or held them.
pub fn cast(comptime To: type, value: anytype) To {
    const From = @TypeOf(value);
    if (From == To) return value;
    const bits: @Int(.unsigned, @bitSizeOf(From)) = @bitCast(value);
    const Bits = @Int(.unsigned, @bitSizeOf(To));
    return @bitCast(if (@bitSizeOf(To) < @bitSizeOf(From)) @as(Bits, @truncate(bits)) else @as(Bits, bits));
}

/// Puts a value into `flat`, from `at` on.
pub fn lower(comptime T: type, value: T, arena: Allocator, flat: anytype, comptime at: usize) void {
    switch (comptime shape(T)) {
        .nothing => {},
        .scalar => put(flat, at, switch (@typeInfo(T)) {
            .bool => @as(i32, @intFromBool(value)),
            .int => |int| if (int.bits < 32) @as(i32, value) else cast(@Int(.signed, int.bits), value),
            else => value,
        }),
        .char => put(flat, at, @as(i32, value)),
        .tags => put(flat, at, @as(i32, @intCast(@backingInt(value)))),
        .handle => put(flat, at, @backingInt(value.handle)),
        .borrowed => put(flat, at, @backingInt(value.resource.handle)),
        .rep => put(flat, at, @as(i32, @bitCast(@intFromPtr(value)))),
        .flags => put(flat, at, cast(i32, value)),
        .list => {
            const start, const len = lowerList(@typeInfo(T).pointer.child, value, arena);
            put(flat, at, @as(i32, @bitCast(start)));
            put(flat, at + 1, @as(i32, @bitCast(len)));
        },
        .fields => inline for (comptime parts(T), comptime names(T), 0..) |Part, name, i| {
            lower(Part, @field(value, name), arena, flat, at + comptime flatParts(parts(T)[0..i]).len);
        },
        .option => {
            inline for (1..comptime Flat(T).len) |i| put(flat, at + i, @as(i32, 0));
            put(flat, at, @as(i32, @intFromBool(value != null)));
            if (value) |some| lower(@TypeOf(some), some, arena, flat, at + 1);
        },
        .variant => {
            inline for (1..comptime Flat(T).len) |i| put(flat, at + i, @as(i32, 0));
            switch (value) {
                inline else => |payload, tag| {
                    put(flat, at, @as(i32, @intCast(@backingInt(tag))));
                    lower(@TypeOf(payload), payload, arena, flat, at + 1);
                },
            }
        },
    }
}

fn put(flat: anytype, comptime at: usize, value: anytype) void {
    flat[at] = cast(@TypeOf(flat[at]), value);
}

/// Takes a value out of `flat`, from `at` on.
pub fn lift(comptime T: type, arena: Allocator, flat: anytype, comptime at: usize) T {
    switch (comptime shape(T)) {
        .nothing => return {},
        .scalar => return switch (@typeInfo(T)) {
            .bool => flat[at] != 0,
            else => cast(T, flat[at]),
        },
        .char => return @intCast(cast(u32, flat[at])),
        .tags => return @fromBackingInt(@intCast(cast(u32, flat[at]))),
        .flags => return cast(T, flat[at]),
        .handle => return .{ .handle = @fromBackingInt(cast(i32, flat[at])) },
        .borrowed => return .{ .resource = .{ .handle = @fromBackingInt(cast(i32, flat[at])) } },
        .rep => return @ptrFromInt(cast(u32, flat[at])),
        .list => return liftList(@typeInfo(T).pointer.child, arena, cast(u32, flat[at]), cast(u32, flat[at + 1])),
        .fields => {
            var fields: T = undefined;
            inline for (comptime parts(T), comptime names(T), 0..) |Part, name, i| {
                @field(fields, name) = lift(Part, arena, flat, at + comptime flatParts(parts(T)[0..i]).len);
            }
            return fields;
        },
        .option => return if (flat[at] == 0) null else lift(@typeInfo(T).optional.child, arena, flat, at + 1),
        .variant => inline for (comptime cases(T), @typeInfo(T).@"union".field_names, 0..) |Case, name, i| {
            if (flat[at] == i) return @unionInit(T, name, lift(Case, arena, flat, at + 1));
        } else unreachable,
    }
}

// Values in memory.

fn pointer(comptime T: type, bytes: [*]u8) *T {
    return @ptrCast(@alignCast(bytes));
}

/// Writes a value to `to`.
pub fn store(comptime T: type, value: T, arena: Allocator, to: [*]u8) void {
    switch (comptime shape(T)) {
        .nothing => {},
        .scalar, .tags, .flags => pointer(T, to).* = value,
        .char => pointer(u32, to).* = value,
        .handle => pointer(Handle, to).* = value.handle,
        .borrowed => pointer(Handle, to).* = value.resource.handle,
        .rep => pointer(usize, to).* = @intFromPtr(value),
        .list => pointer([2]u32, to).* = lowerList(@typeInfo(T).pointer.child, value, arena),
        .fields => inline for (comptime parts(T), comptime names(T), 0..) |Part, name, i| {
            store(Part, @field(value, name), arena, to + comptime offsetOf(parts(T), i));
        },
        .option => {
            pointer(u8, to).* = @intFromBool(value != null);
            if (value) |some| store(@TypeOf(some), some, arena, to + comptime payloadOffset(T));
        },
        .variant => switch (value) {
            inline else => |payload, tag| {
                pointer(Discriminant(cases(T).len), to).* = @intCast(@backingInt(tag));
                store(@TypeOf(payload), payload, arena, to + comptime payloadOffset(T));
            },
        },
    }
}

/// Reads the value at `from`.
pub fn load(comptime T: type, arena: Allocator, from: [*]u8) T {
    switch (comptime shape(T)) {
        .nothing => return {},
        .scalar, .tags, .flags => return pointer(T, from).*,
        .char => return @intCast(pointer(u32, from).*),
        .handle => return .{ .handle = pointer(Handle, from).* },
        .borrowed => return .{ .resource = .{ .handle = pointer(Handle, from).* } },
        .rep => return @ptrFromInt(pointer(usize, from).*),
        .list => return liftList(@typeInfo(T).pointer.child, arena, pointer([2]u32, from)[0], pointer([2]u32, from)[1]),
        .fields => {
            var fields: T = undefined;
            inline for (comptime parts(T), comptime names(T), 0..) |Part, name, i| {
                @field(fields, name) = load(Part, arena, from + comptime offsetOf(parts(T), i));
            }
            return fields;
        },
        .option => return if (from[0] == 0) null else load(@typeInfo(T).optional.child, arena, from + comptime payloadOffset(T)),
        .variant => {
            const case = pointer(Discriminant(cases(T).len), from).*;
            inline for (comptime cases(T), @typeInfo(T).@"union".field_names, 0..) |Case, name, i| {
                if (case == i) return @unionInit(T, name, load(Case, arena, from + comptime payloadOffset(T)));
            }
            unreachable;
        },
    }
}

/// Where a list's elements lie as the other side reads them, and how many they are.
fn lowerList(comptime T: type, list: []const T, arena: Allocator) [2]u32 {
    // The start of an empty list is checked like any other, and Zig may put it anywhere.
    if (list.len == 0) return .{ comptime alignOf(T), 0 };
    if (comptime isDirect(T)) return .{ @intFromPtr(list.ptr), list.len };
    const bytes = area(T, list.len, arena);
    for (list, 0..) |element, i| store(T, element, arena, bytes + i * comptime sizeOf(T));
    return .{ @intFromPtr(bytes), list.len };
}

fn liftList(comptime T: type, arena: Allocator, start: u32, len: u32) []const T {
    // An empty list may be said to start anywhere.
    if (len == 0) return &.{};
    if (comptime isDirect(T)) return @as([*]const T, @ptrFromInt(start))[0..len];
    const bytes: [*]u8 = @ptrFromInt(start);
    const list = arena.alloc(T, len) catch @trap();
    for (list, 0..) |*element, i| element.* = load(T, arena, bytes + i * comptime sizeOf(T));
    return list;
}

/// Room for `n` values as the other side reads them.
pub fn area(comptime T: type, n: usize, arena: Allocator) [*]u8 {
    const bytes = arena.rawAlloc(n * comptime sizeOf(T), comptime .fromByteUnits(alignOf(T)), @returnAddress());
    return bytes orelse @trap();
}

/// Drops what a call was lent.
pub fn giveBack(comptime T: type, value: T) void {
    if (comptime !holdsBorrowed(T)) return;
    switch (comptime shape(T)) {
        .borrowed => value.resource.drop(),
        .list => for (value) |element| giveBack(@TypeOf(element), element),
        .fields => inline for (comptime parts(T), comptime names(T)) |Part, name| giveBack(Part, @field(value, name)),
        .option => if (value) |some| giveBack(@TypeOf(some), some),
        .variant => switch (value) {
            inline else => |payload| giveBack(@TypeOf(payload), payload),
        },
        else => {},
    }
}

fn holdsBorrowed(comptime T: type) bool {
    switch (comptime shape(T)) {
        .borrowed => return true,
        .list => return holdsBorrowed(@typeInfo(T).pointer.child),
        .fields => for (parts(T)) |Part| if (holdsBorrowed(Part)) return true,
        .option, .variant => for (cases(T)) |Case| if (holdsBorrowed(Case)) return true,
        else => {},
    }
    return false;
}
