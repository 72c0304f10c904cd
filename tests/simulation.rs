//! The engine on good days and bad ones: stories told as text, and random days judged by an oracle.

mod scenarios;
mod simulate;
