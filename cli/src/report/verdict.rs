//! What came of running actions once more elsewhere, in words.

use run_engine::verdict::{Compared, Difference, Hint, Verdict};

use super::amount::plural;
use super::line;
use crate::put::put;

/// What there is to say of an action: nothing where it left the same.
pub(super) fn paragraph(label: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Same | Verdict::Fetches | Verdict::Known => String::new(),
        Verdict::Unable { why } => format!("not compared: {label}, {why}\n"),
        Verdict::Fails { failure, cause } => {
            format!(
                "varies: {label}, which fails elsewhere; {cause}\n{}",
                indented(&line::failed(label, "elsewhere", failure))
            )
        }
        Verdict::Differs { differences, cause } => {
            let mut text = format!("varies: {label}; {cause}\n");
            let mut before = None;
            for difference in &differences.told {
                // What was said just above need not be said again.
                let hint = difference.hint.as_ref().filter(|hint| before != Some(*hint));
                before = difference.hint.as_ref();
                text += &indented(&told(difference, hint));
            }
            match differences.n_more {
                0 => text,
                n => text + &format!("  and {n} more\n"),
            }
        }
    }
}

fn told(Difference { place, what, .. }: &Difference, hint: Option<&Hint>) -> String {
    let mut text = match place.as_str() {
        "" => format!("{what}\n"),
        place => format!("{place}: {what}\n"),
    };
    if let Some(Hint { looks_like, remedy }) = hint {
        put!(text, "  {looks_like}: {remedy}\n");
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The last line of a build that was compared.
pub(super) fn last_line(compared: &Compared) -> String {
    let Compared { same, varying, fetches, known, unable } = *compared;
    let actions = |n| plural(u64::from(n), "action");
    let is = |n: u32| if n == 1 { "is" } else { "are" };
    let were = |n: u32| if n == 1 { "was" } else { "were" };
    let mut text = format!("{} {} reproducible", actions(same), is(same));
    if varying > 0 {
        put!(text, ", {varying} {} not", is(varying));
    }
    if unable > 0 {
        put!(text, ", {unable} could not be compared");
    }
    if fetches > 0 {
        put!(text, "; {fetches} fetched what lockfiles verify, and {} not run again", were(fetches));
    }
    if known > 0 {
        put!(text, "; {known} {} known to vary, and {} not run again", is(known), were(known));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_there_is() {
        let line = |same, varying, fetches, unable| last_line(&Compared { same, varying, fetches, known: 0, unable });
        assert_eq!(line(12, 1, 0, 0), "12 actions are reproducible, 1 is not\n");
        assert_eq!(line(1, 0, 0, 0), "1 action is reproducible\n");
        assert_eq!(
            last_line(&Compared { same: 2, known: 1, ..Compared::default() }),
            "2 actions are reproducible; 1 is known to vary, and was not run again\n"
        );
        assert_eq!(
            line(3, 2, 1, 1),
            "3 actions are reproducible, 2 are not, 1 could not be compared; 1 fetched what lockfiles verify, and was not run again\n"
        );
    }
}
