//! [`Doors`]: the flags that say what a guest may see and use, and what they open.

use std::path::{Path, PathBuf};

use run_rules::capability::Capability;
use run_rules::host::{Access, Dir, Grants, HostPort, Limits, Network};
use run_rules::quantity::{Size, Timeout};

use crate::env::Env;
use crate::fail::Failure;

/// What the guest may see and use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the guest may see and use")]
pub(crate) struct Doors {
    /// Use this machine's clocks
    #[arg(long)]
    allow_clock: bool,
    /// Use this machine's random numbers
    #[arg(long)]
    allow_random: bool,
    /// Use the network, or only what is on HOST (`HOST[:PORT]`); may be repeated
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    allow_net: Vec<String>,
    /// See the directory HOST as GUEST, unless `:ro` is added with leave to write
    #[arg(long, value_name = "HOST::GUEST[:ro]", value_parser = dir)]
    dir: Vec<DirFlag>,
    /// Set a variable, or pass on one of yours
    #[arg(long, value_name = "K[=V]")]
    env: Vec<String>,
    /// Do at most N units of work, about one an instruction
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,
    /// Use at most SIZE of memory
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Run for at most D of real time, as in `2s`
    #[arg(long, value_name = "D", value_parser = timeout)]
    timeout: Option<std::time::Duration>,
    /// Make any use of a clock or of random numbers that is not allowed a trap
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DirFlag {
    host: PathBuf,
    guest: String,
    access: Access,
}

impl Doors {
    /// Checks them against the most that a target may ever be granted.
    pub(crate) fn check(&self, target: &str, capabilities: &[String], root: &Path, here: &Path) -> Result<(), Failure> {
        let granted: Vec<Capability> = capabilities.iter().filter_map(|text| text.parse().ok()).collect();
        let mut asked = Vec::new();
        asked.extend(self.allow_clock.then_some(("--allow-clock".to_owned(), Some(Capability::Clock))));
        asked.extend(self.allow_random.then_some(("--allow-random".to_owned(), Some(Capability::Random))));
        for host in &self.allow_net {
            asked.push((format!("--allow-net={host}"), format!("net-connect:{host}").parse().ok()));
        }
        for variable in &self.env {
            let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
            asked.push((format!("--env {name}"), Some(Capability::Env)));
        }
        for dir in &self.dir {
            let host = here.join(&dir.host);
            let inside = host.canonicalize().unwrap_or(host);
            let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
            let path = inside
                .strip_prefix(&root)
                .ok()
                .and_then(Path::to_str)
                .map(|path| if path.is_empty() { "." } else { path });
            let name = match dir.access {
                Access::ReadOnly => "fs-read",
                Access::ReadWrite => "fs-write",
            };
            let wanted = path.and_then(|path| format!("{name}:{path}").parse().ok());
            asked.push((format!("--dir {}", dir.host.display()), wanted));
        }
        for (flag, wanted) in asked {
            // What no capability can say, such as a directory outside of the project, is beyond all of them.
            if wanted.as_ref().is_some_and(|wanted| granted.iter().any(|granted| granted.covers(wanted))) {
                continue;
            }
            let failure = Failure::yours(format!("`{flag}` is more than `{target}` may ever be granted"));
            return Err(match wanted {
                Some(wanted) => failure.help(format!("add `capabilities = [\"{wanted}\"]` to `{target}` in run.toml")),
                None => failure.help(format!("run the file itself: `run v2 exec target/wasm/{target}.wasm {flag}`")),
            });
        }
        Ok(())
    }

    /// What the guest gets by them. The values of variables that are only named are taken from `env`.
    pub(crate) fn grants(&self, env: &Env) -> Result<Grants, Failure> {
        let epoch_seconds = env.source_date_epoch()?.unwrap_or(0);
        let dirs = self.dir.iter().map(|flag| Dir {
            host: env.directory.join(&flag.host),
            guest: flag.guest.clone(),
            access: flag.access,
        });
        Ok(Grants {
            epoch_seconds,
            allow_clock: self.allow_clock,
            allow_random: self.allow_random,
            network: network(&self.allow_net)?,
            dirs: dirs.collect(),
            env: self.env.iter().map(|flag| variable(flag, env)).collect::<Result<_, _>>()?,
            strict: self.strict,
        })
    }

    /// How much the guest may use up; what no flag says is as everywhere.
    pub(crate) fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            memory_bytes: self.memory.unwrap_or(defaults.memory_bytes),
            fuel: self.fuel.unwrap_or(defaults.fuel),
            timeout: self.timeout,
            output_bytes: defaults.output_bytes,
        }
    }
}

/// `K=V` as it is; `K` alone with the value it has here.
fn variable(flag: &str, env: &Env) -> Result<(String, String), Failure> {
    if let Some((name, value)) = flag.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    match env.find_text(flag) {
        Some(value) => Ok((flag.to_owned(), value.to_owned())),
        None => Err(Failure::yours(format!("`{flag}` is not set")).help(format!("give it a value: `--env {flag}=…`"))),
    }
}

fn network(hosts: &[String]) -> Result<Network, Failure> {
    if hosts.iter().any(String::is_empty) {
        return Ok(Network::Open);
    }
    match hosts {
        [] => Ok(Network::Closed),
        hosts => hosts.iter().map(|text| host_port(text)).collect::<Result<_, _>>().map(Network::Hosts),
    }
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`.
fn host_port(text: &str) -> Result<HostPort, Failure> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address has colons of its own.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = port
        .map(str::parse)
        .transpose()
        .map_err(|_| Failure::yours(format!("`{text}` does not end in a port")).help("write `HOST` or `HOST:PORT`"))?;
    Ok(HostPort { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
}

fn dir(text: &str) -> Result<DirFlag, String> {
    let (host, rest) = text.split_once("::").ok_or("write `HOST::GUEST`, as in `data::/data`")?;
    let (guest, access) = match rest.strip_suffix(":ro") {
        Some(guest) => (guest, Access::ReadOnly),
        None => (rest, Access::ReadWrite),
    };
    match (host, guest) {
        ("", _) | (_, "") => Err("both sides of `::` need a directory, as in `data::/data`".to_owned()),
        (host, guest) => Ok(DirFlag { host: host.into(), guest: guest.to_owned(), access }),
    }
}

fn size(text: &str) -> Result<u64, String> {
    text.parse::<Size>().map(|size| size.bytes).map_err(|refused| format!("{}; {}", refused.why, refused.help))
}

fn timeout(text: &str) -> Result<std::time::Duration, String> {
    text.parse::<Timeout>()
        .map(|timeout| timeout.duration)
        .map_err(|refused| format!("{}; {}", refused.why, refused.help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_two_sides() {
        let flag = |host: &str, guest: &str, access| DirFlag { host: host.into(), guest: guest.into(), access };
        assert_eq!(dir("a::/b"), Ok(flag("a", "/b", Access::ReadWrite)));
        assert_eq!(dir("a::/b:ro"), Ok(flag("a", "/b", Access::ReadOnly)));
        assert!(dir("a").is_err() && dir("::b").is_err() && dir("a::").is_err());
    }

    #[test]
    fn hosts_may_have_ports() {
        let parsed = |text| host_port(text).map(|h| (h.host, h.port)).ok();
        assert_eq!(parsed("example.org"), Some(("example.org".into(), None)));
        assert_eq!(parsed("example.org:443"), Some(("example.org".into(), Some(443))));
        assert_eq!(parsed("[::1]:80"), Some(("::1".into(), Some(80))));
        assert_eq!(parsed("::1"), Some(("::1".into(), None)));
        assert_eq!(parsed("example.org:x"), None);
    }
}
