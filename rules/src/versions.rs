//! What `run --version` says of the world that components run in.

/// The runtime's version.
pub const WASMTIME: &str = "48.0.8";

/// The newest version of the WASI interfaces that the runtime provides.
pub const WASI: &str = "0.2.12";

#[cfg(test)]
mod tests {
    #[test]
    fn they_are_what_is_linked() {
        let lock = include_str!("../../Cargo.lock");
        let linked = lock.split("[[package]]").any(|package| {
            package.contains("\nname = \"wasmtime\"\n")
                && package.contains(&format!("\nversion = \"{}\"\n", super::WASMTIME))
        });
        assert!(linked, "Cargo.lock has another wasmtime; look up its WASI too, in `wasmtime-wasi/src/p2/wit`");
    }
}
