//! [`UpToDate`]: what a finished request has to say, kept for as long as nothing that it looked at moves.

use std::path::PathBuf;

use run_engine::build::Outcome;
use run_engine::digest::DigestFunction;
use run_engine::store::Blobs as _;

use super::{Goal, Selection, Session};
use crate::builtin::native;
use crate::host::OptLevel;
use crate::manifest;

/// The answer when nothing that a finished request looked at has moved since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpToDate {
    /// How many targets the request covers.
    pub n_targets: u32,
    /// Its tests, all of which had passed.
    pub tests: Vec<String>,
    /// For [`Goal::Native`]: the component.
    pub runnable: Option<Runnable>,
}

/// A built component as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// The digests of the files of its native code, by name.
    pub native: native::Digests,
    /// How the native code was optimised.
    pub level: OptLevel,
    /// Where the store is that has it.
    pub store: PathBuf,
    /// The digest function of that workspace.
    pub function: DigestFunction,
    /// Seconds since 1970 at which virtual time starts.
    pub epoch_seconds: u64,
    /// The most it may be granted, as in the manifest.
    pub capabilities: Vec<String>,
    /// The guest's variables.
    pub env: Vec<(String, String)>,
}

impl UpToDate {
    /// As lines of `name=value`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut lines = vec![format!("targets={}", self.n_targets)];
        lines.extend(self.tests.iter().map(|name| format!("test={name}")));
        if let Some(Runnable { native, level, store, function, epoch_seconds, capabilities, env }) = &self.runnable {
            lines.extend(native.iter().map(|(name, digest)| format!("native={name}={digest}")));
            lines.push(format!("level={}", native::level_name(*level)));
            lines.push(format!("store={}", store.display()));
            lines.push(format!("function={function}"));
            lines.push(format!("epoch={epoch_seconds}"));
            lines.extend(capabilities.iter().map(|capability| format!("capability={capability}")));
            lines.extend(env.iter().map(|(name, value)| format!("env={name}={}", value.escape_default())));
        }
        lines.join("\n").into_bytes()
    }

    /// Reads what [`UpToDate::encode`] wrote; anything that does not fit is no answer.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let lines: Vec<(&str, &str)> =
            std::str::from_utf8(bytes).ok()?.lines().map(|line| line.split_once('=')).collect::<Option<_>>()?;
        let all = |name: &'static str| lines.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value);
        let one = |name| all(name).next();
        let native: native::Digests = all("native")
            .map(|pair| pair.split_once('=').and_then(|(name, digest)| Some((name.to_owned(), digest.parse().ok()?))))
            .collect::<Option<_>>()?;
        let runnable = match native.is_empty() {
            true => None,
            false => Some(Runnable {
                native,
                level: [OptLevel::Speed, OptLevel::None]
                    .into_iter()
                    .find(|l| Some(native::level_name(*l)) == one("level"))?,
                store: one("store")?.into(),
                function: [DigestFunction::Blake3, DigestFunction::Sha256]
                    .into_iter()
                    .find(|f| Some(f.name()) == one("function"))?,
                epoch_seconds: one("epoch")?.parse().ok()?,
                capabilities: all("capability").map(str::to_owned).collect(),
                // A value that had to be escaped is read from the manifest, the slow way.
                env: all("env")
                    .map(|pair| pair.split_once('=').filter(|(_, value)| !value.contains('\\')))
                    .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
                    .collect::<Option<_>>()?,
            }),
        };
        Some(Self {
            n_targets: one("targets")?.parse().ok()?,
            tests: all("test").map(str::to_owned).collect(),
            runnable,
        })
    }
}

impl Session {
    /// What there is to say of a request whose outcome is a success.
    pub(super) fn answer(&self, selection: &Selection, outcome: &Outcome) -> UpToDate {
        UpToDate {
            n_targets: u32::try_from(selection.targets.len()).unwrap_or(u32::MAX),
            tests: selection.tests.iter().map(|test| test.name.clone()).collect(),
            runnable: match self.options.ask.goal {
                Goal::Native => self.runnable(selection, outcome),
                _ => None,
            },
        }
    }

    /// The one component of a selection for [`Goal::Native`], as it is run; `None` where it is none, or was not built.
    #[must_use]
    pub fn runnable(&self, selection: &Selection, outcome: &Outcome) -> Option<Runnable> {
        let target = &self.lowered.targets[*selection.targets.first()?];
        let (action, _) = target.native.as_ref()?;
        let native = native::digests(outcome.known[action.index()].as_ref()?)?;
        let component = self.component_behind(&target.name);
        Some(Runnable {
            native,
            level: self.level(),
            store: self.store.root().to_owned(),
            function: self.store.function(),
            epoch_seconds: self.epoch_seconds(),
            capabilities: component
                .map(|c| c.capabilities.iter().map(|c| c.value.to_string()).collect())
                .unwrap_or_default(),
            env: component
                .map(|c| c.env.iter().map(|(name, value)| (name.to_string(), value.clone())).collect())
                .unwrap_or_default(),
        })
    }

    /// The component whose grants a target has: itself, or a composition's root.
    fn component_behind(&self, name: &str) -> Option<&manifest::Component> {
        if let Some(component) = self.manifest.find_component(name) {
            return Some(component);
        }
        match &self.manifest.find_compose(name)?.recipe {
            manifest::Recipe::Root(root) => self.component_behind(root.as_str()),
            manifest::Recipe::Script(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What there is to say of `run v2 exec`, with everything that can be said.
    const EXEC: &str = "\
targets=2
test=hello#greet
native=component.cwasm=af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262/0
native=module-x2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213.cwasm=2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213/3
level=none
store=/var/cache/run
function=blake3
epoch=86400
capability=clock
capability=dir:data:ro
env=GREETING=hello=world";

    #[test]
    fn an_answer_survives() {
        let answer = UpToDate::decode(EXEC.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(answer.encode()).unwrap(), EXEC);
        let runnable = answer.runnable.unwrap();
        assert_eq!(runnable.env, [("GREETING".to_owned(), "hello=world".to_owned())]);
        assert_eq!((runnable.level, runnable.epoch_seconds), (OptLevel::None, 86_400));
    }

    #[test]
    fn what_does_not_fit_is_no_answer() {
        let changed = |from: &str, to: &str| UpToDate::decode(EXEC.replace(from, to).as_bytes());
        assert_eq!(changed("level=none", "level=most"), None);
        assert_eq!(changed("function=blake3", "function=md5"), None);
        assert_eq!(changed("epoch=86400\n", ""), None);
        assert_eq!(changed("targets=2\n", ""), None);
        assert_eq!(changed("hello=world", r"hello\nworld"), None, "an escaped value is read from the manifest");
        assert_eq!(changed("store=/var/cache/run", "store=/var/\ncache"), None);
    }
}
