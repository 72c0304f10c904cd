//! Names of WIT as Zig writes them: types `LikeThis`, functions `likeThis`, everything else `like_this`.

use std::collections::BTreeSet;

use super::super::names::snake;

/// What may not stand as a name by itself: keywords, and the names of Zig's own types and values.
const TAKEN: &str = "addrspace align allowzero and anyerror anyframe anyopaque anytype asm bool break callconv catch comptime \
    const continue defer else enum errdefer error export extern false fn for if inline isize linksection noalias \
    noinline noreturn nosuspend null opaque or orelse packed pub resume return struct suspend switch test \
    threadlocal true try type undefined union unreachable usize var void volatile while";

/// A field, a case, a parameter or a namespace.
pub(super) fn value(name: &str) -> String {
    quoted(&snake(name))
}

/// A function.
pub(super) fn function(name: &str) -> String {
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    quoted(&words.fold(first, |text, word| text + &capital(word)))
}

/// A type.
pub(super) fn ty(name: &str) -> String {
    name.split('-').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut word = word.to_ascii_lowercase();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    word
}

fn quoted(name: &str) -> String {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_sized = name.strip_prefix(['i', 'u', 'f']).is_some_and(is_number);
    if is_sized || name.starts_with("c_") || TAKEN.split(' ').any(|taken| taken == name) {
        format!("@\"{name}\"")
    } else {
        name.to_owned()
    }
}

/// The name without its quotes, as Zig's reflection knows it.
pub(super) fn bare(name: &str) -> &str {
    name.strip_prefix("@\"").and_then(|name| name.strip_suffix('"')).unwrap_or(name)
}

/// The name with as many `_` after it as it takes to be none of those that are `used`.
pub(super) fn unused(name: &str, used: &BTreeSet<String>) -> String {
    let mut name = name.to_owned();
    while used.contains(&name) {
        name = quoted(&format!("{}_", bare(&name)));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_name_is_written_in_its_way() {
        assert_eq!(value("incoming-handler"), "incoming_handler");
        assert_eq!(function("get-HTTP-status"), "getHttpStatus");
        assert_eq!(ty("incoming-request"), "IncomingRequest");
    }

    #[test]
    fn what_zig_took_is_quoted() {
        assert_eq!(value("error"), "@\"error\"");
        assert_eq!(value("u32"), "@\"u32\"");
        assert_eq!(value("f16x"), "f16x");
        assert_eq!(function("type"), "@\"type\"");
        assert_eq!(unused("error", &BTreeSet::from(["error".to_owned()])), "error_");
    }
}
