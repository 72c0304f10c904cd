//! `hello [NAME]`: a command component. `run v2 exec hello -- Ada` runs it.

fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| "world".to_owned());
    println!("Hello, {name}!");
}
