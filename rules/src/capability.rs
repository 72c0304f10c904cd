//! What a guest may be granted: [`Capability`], a closed list, and [`DirGrant`], one directory.

use std::fmt;
use std::str::FromStr;

use run_engine::path::RelPath;

use crate::diagnostic::{Refused, suggest};

/// One thing outside itself that a component may use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Real time instead of the virtual clock.
    Clock,
    /// Real randomness instead of the seeded kind.
    Random,
    /// Environment variables.
    Env,
    /// Standard input.
    Stdin,
    /// Outgoing HTTP requests, to one host or to any.
    HttpClient {
        /// The only host allowed; `None` allows all.
        host: Option<String>,
    },
    /// Incoming HTTP requests.
    HttpServer,
    /// Outgoing connections to one host.
    NetConnect {
        /// The host's name or address.
        host: String,
        /// The only port allowed; `None` allows all.
        port: Option<u16>,
    },
    /// Incoming connections on one port.
    NetListen {
        /// The port.
        port: u16,
    },
    /// Reading a directory of the project, or below it.
    FsRead {
        /// The directory; `None` is the project's.
        path: Option<RelPath>,
    },
    /// Reading and writing a directory of the project, or below it.
    FsWrite {
        /// The directory; `None` is the project's.
        path: Option<RelPath>,
    },
    /// Configuration values.
    Config,
    /// A key-value store.
    KeyValue,
    /// A log.
    Logging,
}

/// Every capability's name, in the order of the documentation.
pub const NAMES: &[&str] = &[
    "clock",
    "random",
    "env",
    "stdin",
    "http-client",
    "http-server",
    "net-connect",
    "net-listen",
    "fs-read",
    "fs-write",
    "config",
    "keyvalue",
    "logging",
];

impl Capability {
    /// The name, without what follows the colon.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Env => "env",
            Self::Stdin => "stdin",
            Self::HttpClient { .. } => "http-client",
            Self::HttpServer => "http-server",
            Self::NetConnect { .. } => "net-connect",
            Self::NetListen { .. } => "net-listen",
            Self::FsRead { .. } => "fs-read",
            Self::FsWrite { .. } => "fs-write",
            Self::Config => "config",
            Self::KeyValue => "keyvalue",
            Self::Logging => "logging",
        }
    }

    /// Whether whoever has this capability has the other one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::HttpClient { host: None }, Self::HttpClient { .. }) => true,
            (Self::NetConnect { host: a, port: None }, Self::NetConnect { host: b, .. }) => a == b,
            (Self::FsRead { path: a }, Self::FsRead { path: b })
            | (Self::FsWrite { path: a }, Self::FsRead { path: b } | Self::FsWrite { path: b }) => {
                is_within(b.as_ref(), a.as_ref())
            }
            _ => self == other,
        }
    }
}

/// Whether a directory is another or lies below it; `None` is the project's.
fn is_within(inner: Option<&RelPath>, outer: Option<&RelPath>) -> bool {
    outer.is_none_or(|outer| inner.is_some_and(|inner| inner.starts_with(outer)))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::HttpClient { host: Some(host) } | Self::NetConnect { host, port: None } => write!(f, ":{host}"),
            Self::NetConnect { host, port: Some(port) } => write!(f, ":{host}:{port}"),
            Self::NetListen { port } => write!(f, ":{port}"),
            Self::FsRead { path } | Self::FsWrite { path } => match path {
                Some(path) => write!(f, ":{path}"),
                None => f.write_str(":."),
            },
            _ => Ok(()),
        }
    }
}

impl FromStr for Capability {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let (name, argument) = text.split_once(':').map_or((text, None), |(name, argument)| (name, Some(argument)));
        let refuse = |why: &str, help: &str| {
            Err(Refused { what: "capability", text: text.to_owned(), why: why.to_owned(), help: help.to_owned() })
        };
        match (name, argument) {
            ("clock", None) => Ok(Self::Clock),
            ("random", None) => Ok(Self::Random),
            ("env", None) => Ok(Self::Env),
            ("stdin", None) => Ok(Self::Stdin),
            ("http-server", None) => Ok(Self::HttpServer),
            ("config", None) => Ok(Self::Config),
            ("keyvalue", None) => Ok(Self::KeyValue),
            ("logging", None) => Ok(Self::Logging),
            ("http-client", None) => Ok(Self::HttpClient { host: None }),
            ("http-client", Some(host)) if is_host(host) => Ok(Self::HttpClient { host: Some(host.to_owned()) }),
            ("http-client", Some(_)) => refuse("does not name a host", "write it as in `http-client:api.example.org`"),
            ("net-connect", argument) => match argument.and_then(host_and_port) {
                Some((host, port)) => Ok(Self::NetConnect { host, port }),
                None => refuse("does not name a host", "write it as in `net-connect:db.example.org:5432`"),
            },
            ("net-listen", argument) => match argument.and_then(parse_port) {
                Some(port) => Ok(Self::NetListen { port }),
                None => refuse("does not name a port", "write it as in `net-listen:8080`"),
            },
            ("fs-read" | "fs-write", argument) => match argument.map(RelPath::normalize) {
                Some(Ok(path)) if name == "fs-read" => Ok(Self::FsRead { path }),
                Some(Ok(path)) => Ok(Self::FsWrite { path }),
                _ => refuse("does not name a directory of the project", &format!("write it as in `{name}:data`")),
            },
            (known, Some(_)) if NAMES.contains(&known) => {
                refuse("takes nothing after the colon", &format!("write `{known}`"))
            }
            _ => {
                let help = suggest(name, NAMES.iter().copied()).map_or_else(
                    || format!("the capabilities are `{}`", NAMES.join("`, `")),
                    |near| format!("did you mean `{near}`?"),
                );
                refuse("does not exist", &help)
            }
        }
    }
}

/// A directory shown to a guest under a path of its own: `HOST::GUEST`, with `:ro` to forbid writing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirGrant {
    /// The directory in the project; `None` is the project's own.
    pub host: Option<RelPath>,
    /// Where the guest finds it.
    pub guest: String,
    /// What the guest may do there.
    pub access: Access,
}

impl DirGrant {
    /// The capability that it takes.
    #[must_use]
    pub fn capability(&self) -> Capability {
        let path = self.host.clone();
        match self.access {
            Access::Read => Capability::FsRead { path },
            Access::ReadWrite => Capability::FsWrite { path },
        }
    }
}

/// What a guest may do in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
}

impl FromStr for DirGrant {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let refuse = |why: String| {
            let help = "write it as in `testdata::/data` or `testdata::/data:ro`".to_owned();
            Err(Refused { what: "directory", text: text.to_owned(), why, help })
        };
        let Some((host, guest)) = text.split_once("::") else {
            return refuse("does not say where the guest finds it".to_owned());
        };
        let (guest, access) =
            guest.strip_suffix(":ro").map_or((guest, Access::ReadWrite), |guest| (guest, Access::Read));
        if guest.is_empty() || guest.contains([':', '\0']) {
            return refuse("does not say where the guest finds it".to_owned());
        }
        match RelPath::normalize(host) {
            Ok(host) => Ok(Self { host, guest: guest.to_owned(), access }),
            Err(bad) => refuse(format!(
                "can't be granted: `{}` {}",
                bad.text.escape_debug(),
                bad.why.replace("the directory it is relative to", "the project")
            )),
        }
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*' | ':' | '[' | ']'))
}

/// Port 0 means "any" to an operating system, so it names none.
fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

/// Splits `HOST[:PORT]`, where an IPv6 address stands in brackets.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let end_of_host = text.rfind(']').map_or(0, |i| i + 1);
    let (host, port) = match text[end_of_host..].find(':') {
        Some(i) => (&text[..end_of_host + i], Some(parse_port(&text[end_of_host + i + 1..])?)),
        None => (text, None),
    };
    is_host(host).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Capability, String> {
        text.parse().map_err(|e: Refused| format!("{e}; {}", e.help))
    }

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in NAMES.iter().copied().filter(|n| !n.starts_with("net") && !n.starts_with("fs")).chain([
            "http-client:api.example.org",
            "net-connect:db:5432",
            "net-connect:[::1]:80",
            "net-listen:8080",
            "fs-read:data/in",
            "fs-write:.",
        ]) {
            assert_eq!(parse(text).map(|c| c.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        let check = |text, expected: &str| assert_eq!(parse(text), Err(expected.to_owned()));
        check("clok", "capability `clok` does not exist; did you mean `clock`?");
        check("clock:now", "capability `clock:now` takes nothing after the colon; write `clock`");
        check(
            "fs-read:../x",
            "capability `fs-read:../x` does not name a directory of the project; write it as in `fs-read:data`",
        );
        check("net-listen:0", "capability `net-listen:0` does not name a port; write it as in `net-listen:8080`");
    }

    #[test]
    fn a_wider_capability_covers_a_narrower_one() {
        let covers = |a, b| parse(a).unwrap().covers(&parse(b).unwrap());
        assert!(covers("http-client", "http-client:a.org"));
        assert!(!covers("http-client:a.org", "http-client"));
        assert!(covers("fs-write:data", "fs-read:data/in"));
        assert!(!covers("fs-read:data", "fs-write:data"));
        assert!(covers("fs-read:.", "fs-read:data"));
        assert!(!covers("fs-read:data", "fs-read:."));
        assert!(covers("net-connect:db", "net-connect:db:1"));
    }

    #[test]
    fn directories_are_granted_under_the_guests_name() {
        let grant = |text: &str| text.parse::<DirGrant>().map_err(|e| e.to_string());
        let data = RelPath::new("data").ok();
        assert_eq!(grant("./data::/in:ro"), Ok(DirGrant { host: data, guest: "/in".into(), access: Access::Read }));
        assert_eq!(grant("data"), Err("directory `data` does not say where the guest finds it".into()));
        assert_eq!(grant("../x::/in"), Err("directory `../x::/in` can't be granted: `../x` leaves the project".into()));
    }
}
