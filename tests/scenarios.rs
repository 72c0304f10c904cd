//! Incremental stories as text: each file of `tests/scenarios` is one test, and `engine/src/testing/scenario.rs` says
//! what may stand in it. `UPDATE_EXPECT=1` writes what happens into the files, to be reviewed as a diff.

use std::path::Path;

use run_engine::testing::scenario;

#[test]
fn every_story_goes_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut files: Vec<_> =
        folder.read_dir().expect("the stories are there").map(|e| e.expect("a story").path()).collect();
    files.sort_unstable();
    assert!(!files.is_empty(), "no story in {}", folder.display());
    let update = super::support::is_updating();
    for file in files {
        scenario::check(&file, update);
    }
}
