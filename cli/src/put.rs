//! `put!`: appends formatted text to a string, without a string in between.

/// Appends to a `String`: `put!(text, "{n} of {all}\n")`.
macro_rules! put {
    ($text:expr, $($format:tt)+) => {{
        use std::fmt::Write as _;
        $text.write_fmt(format_args!($($format)+)).expect("a string takes all that it is given");
    }};
}

pub(crate) use put;
