//! Real compilers: `tests/toolchains/*.md` are the stories of a Rust workspace that is built again and again.
//!
//! A compiler that is not here is no reason to leave them out: the first build says how to install it, and fails.

use super::support::story::check_all;

#[test]
fn the_stories_are_true() {
    check_all("tests/toolchains");
}
