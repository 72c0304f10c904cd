//! The component `hello`: implements the world of `wit/hello.wit`. Types and imports are in `@import("bindings.zig")`, which
//! every build makes from `wit/`.

/// The number that follows.
pub fn greet(number: i32) i32 {
    return number +% 1;
}
