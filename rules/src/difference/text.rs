//! Two texts → the lines that differ.

use super::cause::{self, Cause};
use super::{Differences, Place, quoted};

/// Bytes as text, where they are meant as one.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Line by line, where there are as many; else the first that differs.
pub(super) fn compare(place: &Place, a: &str, b: &str, found: &mut Differences) {
    let first: Vec<&str> = a.split_inclusive('\n').collect();
    let second: Vec<&str> = b.split_inclusive('\n').collect();
    let differ = |at: &usize| first.get(*at) != second.get(*at);
    let places: Vec<usize> = (0..first.len().max(second.len())).filter(differ).collect();
    let order = is_reordered(&first, &second).then_some(Cause::Order);
    let is_aligned = first.len() == second.len() && order.is_none();
    let n_told = if is_aligned { places.len() } else { 1 };
    for at in places.into_iter().take(n_told) {
        let shown = |lines: &[&str]| {
            lines.get(at).map_or("its end".to_owned(), |line| quoted_near(line, at_in(&first, &second, at)))
        };
        let cause = order.or_else(|| cause::of_texts(first.get(at)?, second.get(at)?));
        found.add(place, format!("differs in line {}: {} and {}", at + 1, shown(&first), shown(&second)), cause);
    }
}

/// Where in a line the two differ.
fn at_in(first: &[&str], second: &[&str], line: usize) -> usize {
    let (Some(a), Some(b)) = (first.get(line), second.get(line)) else { return 0 };
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// A line, from a little before the difference.
fn quoted_near(line: &str, at: usize) -> String {
    const BEFORE: usize = 40;
    let skipped = if at > 2 * BEFORE { at - BEFORE } else { 0 };
    let rest: String = line.chars().skip(skipped).collect();
    // The end of a line is shown where it is what differs.
    let ends_alike = rest.strip_suffix('\n').filter(|rest| at < skipped + rest.chars().count());
    let shown = quoted(ends_alike.unwrap_or(&rest));
    if skipped > 0 { format!("…{shown}") } else { shown }
}

/// Whether the same lines stand in another order. The comma that ends all but the last entry of a list is no part of one.
fn is_reordered(first: &[&str], second: &[&str]) -> bool {
    let bare = |lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| line.trim_end().trim_end_matches(',').to_owned()).collect()
    };
    let (mut first, mut second) = (bare(first), bare(second));
    if first == second {
        return false;
    }
    first.sort_unstable();
    second.sort_unstable();
    first == second
}
