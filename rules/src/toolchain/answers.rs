//! Answers that other programs gave about themselves, remembered for as long as the files they depend on do not move.
//!
//! Asking a compiler where it is costs tens of milliseconds, a few stats cost microseconds.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use run_engine::digest::{Blob, Digest, DigestFunction};
use run_engine::files::stamp::Stamp;
use run_engine::witness::{At, Verdict, Witness};

/// The answers of one store.
#[derive(Debug)]
pub struct Answers {
    directory: PathBuf,
    looked: SystemTime,
}

impl Answers {
    /// Those kept in `directory`. `looked` is a moment before anything is asked.
    #[must_use]
    pub fn open(directory: &Path, looked: SystemTime) -> Self {
        Self { directory: directory.join("answers"), looked }
    }

    /// The remembered answer, if nothing it depends on has moved; else a new one by `ask`, which is remembered.
    /// `depends` may name files that do not exist: that they still do not is part of the answer.
    ///
    /// # Errors
    /// Whatever `ask` fails with. A failure is not remembered.
    pub fn get<E>(
        &self,
        question: &str,
        depends: &[PathBuf],
        ask: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, E> {
        let digest: Digest<Blob> = DigestFunction::Blake3.digest(question.as_bytes());
        let file = self.directory.join(digest.hex());
        if let Some(witness) = Witness::load(&file)
            && witness.identity() == digest.hash()
            && witness.check(Path::new("/")) == Verdict::Same
            && let Ok(answer) = String::from_utf8(witness.payload().to_vec())
        {
            return Ok(answer);
        }
        // The stamps are from before the question, so a change in between is seen the next time.
        let mut stamps = Vec::new();
        for path in depends {
            stamps.push((path, Stamp::of(path).ok()));
        }
        let answer = ask()?;
        let mut witness = Witness::new(*digest.hash(), answer.clone().into_bytes());
        let written = stamps.into_iter().try_for_each(|(path, stamp)| match stamp {
            Some(stamp) => witness.saw(At::Absolute(path), stamp, self.looked),
            None => witness.saw_nothing(At::Absolute(path)),
        });
        // What can't be remembered is asked again.
        if written.is_ok() && fs::create_dir_all(&self.directory).is_ok() {
            let _ = witness.save(&file);
        }
        Ok(answer)
    }
}

/// A list of pairs as one text, for an answer.
#[must_use]
pub fn encode(pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let mut text = Vec::new();
    for (name, value) in pairs {
        // Writing to memory can't fail.
        let _ = writeln!(text, "{name}\t{value}");
    }
    String::from_utf8(text).unwrap_or_default()
}

/// Reads what [`encode`] wrote.
pub fn decode(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('\t'))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the files of a test are as old as the test")]
    fn an_answer_holds_until_a_file_moves() {
        let dir = tempfile::tempdir().unwrap();
        let (file, absent) = (dir.path().join("file"), dir.path().join("absent"));
        fs::write(&file, "1").unwrap();
        // A stamp is only trusted when it is older than the look.
        let later = SystemTime::now() + std::time::Duration::from_secs(1);
        let answers = Answers::open(dir.path(), later);
        let ask = |answer: &str| {
            answers
                .get("q", &[file.clone(), absent.clone()], || Ok::<_, Infallible>(answer.to_owned()))
                .unwrap_or_else(|never| match never {})
        };
        assert_eq!(ask("one"), "one");
        assert_eq!(ask("two"), "one");
        fs::write(&file, "22").unwrap();
        assert_eq!(ask("three"), "three");
        fs::write(&absent, "").unwrap();
        assert_eq!(ask("four"), "four");
    }

    #[test]
    fn pairs_survive() {
        let text = encode([("a".to_owned(), "b c".to_owned())]);
        assert_eq!(decode(&text).collect::<Vec<_>>(), [("a", "b c")]);
    }
}
