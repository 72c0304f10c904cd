//! What tests of this crate share: text that is compared whole, and rewritten on request.

use std::path::Path;

/// Compares `text` with the file. `UPDATE_EXPECT=1` writes it instead, to be read as a diff.
///
/// # Panics
/// When they differ, at the first line that does.
#[track_caller]
pub(crate) fn expect_file(path: &Path, text: &str) {
    if is_update() {
        std::fs::write(path, text).expect("the expectation can be written");
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    for (number, (was, is)) in expected.lines().zip(text.lines()).enumerate() {
        assert_eq!(was, is, "{}:{}; accept with UPDATE_EXPECT=1", path.display(), number + 1);
    }
    assert_eq!(expected.lines().count(), text.lines().count(), "{}; accept with UPDATE_EXPECT=1", path.display());
}

/// Whether expectations are to be rewritten.
#[expect(clippy::disallowed_methods, reason = "tests are told by a variable, as everywhere in this ecosystem")]
pub(crate) fn is_update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}
