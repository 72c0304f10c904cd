//! The component `hello`: implements the world of `wit/hello.wit`.

// Made from `wit/` by `wit-bindgen`; to be made anew when that changes.
mod bindings;

struct Hello;

impl bindings::Guest for Hello {
    fn greet(number: i32) -> i32 {
        number.wrapping_add(1)
    }
}

bindings::export!(Hello with_types_in bindings);
