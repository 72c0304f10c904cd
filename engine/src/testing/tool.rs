//! Toy tools as functions, and the sandbox and table of builtins that run them: no process, no disk, no waiting.
//!
//! The first word of a command names the tool, the others are its arguments. A tool reads every file of its input root
//! in order of path and leaves the same bytes at each declared output:
//!
//! | tool | leaves |
//! |---|---|
//! | `concat` | its inputs, one after the other |
//! | `upper` | the same in capitals |
//! | `strip-comments` | the lines that don't begin with `#` |
//! | `half` | every byte halved, so that some edits can't be seen downstream |
//! | `sum` | one number for all of its inputs, unless there is a `!` in them; `sum half` halves the bytes first |
//! | `varying` | its inputs and a number that is another one each time |
//! | `sleep` *ms* | its inputs, later by a clock that nobody waits for |
//! | `flaky` *name* | its inputs, unless [`Toys::fail_next`] says otherwise |
//! | `fail` | nothing |
//! | `forget-output` | nothing, and says that all is well |
//! | `spread`, as a builtin | a directory of two files, which hold their names |
//! | `clash`, as a builtin | a file, and one in it as if it were a directory |
//! | `stray`, as a builtin | a directory, and a file beside it |
//! | `panic` | the build, in a bad way |

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::digest::BlobDigest;
use crate::event::Status;
use crate::path::RelPath;
use crate::sandbox::builtin::{Builtins, Call, CallError, Returned};
use crate::sandbox::{Execution, Job, OutputError, Sandbox, SandboxError};
use crate::store::{Blobs, Output, OutputNode, StoreError, Strength};
use crate::tree::{Node, Tree};

/// The toy sandbox and the toy table of builtins, which are one: what ran in either is counted here.
#[derive(Debug)]
pub struct Toys {
    /// How much the sandbox says that it hides.
    pub strength: Strength,
    /// How long each run really takes, for tests of what happens meanwhile.
    pub pace: Duration,
    clock: VirtualClock,
    runs: AtomicU64,
    under_way: Mutex<HashSet<String>>,
    overlapped: AtomicBool,
    failures: Mutex<BTreeMap<String, u32>>,
}

impl Default for Toys {
    fn default() -> Self {
        Self {
            strength: Strength::Full,
            pace: Duration::ZERO,
            clock: VirtualClock::default(),
            runs: AtomicU64::new(0),
            under_way: Mutex::default(),
            overlapped: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }
}

impl Toys {
    /// How many tools ran so far, whatever they came to.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    /// Whether one command ran twice at once on one input root, which claims are there to prevent.
    #[must_use]
    pub fn has_overlapped(&self) -> bool {
        self.overlapped.load(Ordering::SeqCst)
    }

    /// Makes the next `times` runs of `flaky name` fail.
    pub fn fail_next(&self, name: &str, times: u32) {
        lock(&self.failures).insert(name.to_owned(), times);
    }

    /// The clock that `sleep` moves.
    #[must_use]
    pub const fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    fn run_tool(&self, words: &[String], inputs: &Tree, blobs: &dyn Blobs) -> Result<Outcome, Trouble> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let identity = format!("{words:?} {}", inputs.digest(blobs.function()));
        if !lock(&self.under_way).insert(identity.clone()) {
            self.overlapped.store(true, Ordering::SeqCst);
        }
        let _under_way = UnderWay { toys: self, identity };
        if !self.pace.is_zero() {
            std::thread::sleep(self.pace);
        }
        let bytes = read_all(inputs, blobs)?;
        let mut words = words.iter().map(String::as_str);
        let (tool, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(match tool {
            "concat" => Outcome::Left(bytes),
            "upper" => Outcome::Left(bytes.to_ascii_uppercase()),
            "strip-comments" => Outcome::Left(strip_comments(&bytes)),
            "half" => Outcome::Left(bytes.iter().map(|b| b / 2).collect()),
            "sum" if bytes.contains(&b'!') => Outcome::Failed("it does not like `!`"),
            "sum" => Outcome::Left(sum(&bytes, argument == "half")),
            "varying" => Outcome::Left([bytes, run.to_string().into_bytes()].concat()),
            "sleep" => {
                self.clock.advance(Duration::from_millis(argument.parse().expect("`sleep` takes a number")));
                Outcome::Left(bytes)
            }
            "flaky" if self.is_to_fail(argument) => Outcome::Failed("a bad day"),
            "flaky" => Outcome::Left(bytes),
            "fail" => Outcome::Failed("it always fails"),
            "forget-output" => Outcome::LeftNothing,
            "spread" => Outcome::LeftFiles(["out/two/three", "out/one"]),
            "clash" => Outcome::LeftFiles(["out/one", "out/one/two"]),
            "stray" => Outcome::LeftFiles(["out/one", "other"]),
            "panic" => panic!("the tool panicked"),
            other => panic!("no toy is called `{other}`"),
        })
    }

    fn is_to_fail(&self, name: &str) -> bool {
        let mut failures = lock(&self.failures);
        let Some(left) = failures.get_mut(name).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }
}

/// What a tool came to.
enum Outcome {
    Left(Vec<u8>),
    /// These files, which hold their own names.
    LeftFiles([&'static str; 2]),
    LeftNothing,
    Failed(&'static str),
}

/// Why a tool could not be run.
enum Trouble {
    Lost(BlobDigest),
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

struct UnderWay<'a> {
    toys: &'a Toys,
    identity: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.toys.under_way).remove(&self.identity);
    }
}

fn read_all(inputs: &Tree, blobs: &dyn Blobs) -> Result<Vec<u8>, Trouble> {
    let mut all = Vec::new();
    for (_, node) in inputs.flatten() {
        if let Node::File { digest, .. } = node {
            all.extend(blobs.get(digest)?.ok_or(Trouble::Lost(digest))?);
        }
    }
    Ok(all)
}

fn strip_comments(bytes: &[u8]) -> Vec<u8> {
    bytes.split_inclusive(|b| *b == b'\n').filter(|line| !line.starts_with(b"#")).flatten().copied().collect()
}

fn sum(bytes: &[u8], halved: bool) -> Vec<u8> {
    let add = |sum: u64, b: &u8| sum.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(b >> u8::from(halved)) + 1);
    format!("{:x};", bytes.iter().fold(7, add)).into_bytes()
}

impl Sandbox for Toys {
    fn strength(&self) -> Strength {
        self.strength
    }

    fn run(&self, job: &Job<'_>, _: &Cancel) -> Result<Execution, SandboxError> {
        let words: Vec<String> = job.argv.iter().map(crate::action::Word::symbolic).collect();
        let ended = |status, stderr: &str, outputs| Execution {
            status: Status::Exited(status),
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
            outputs,
        };
        match self.run_tool(&words, job.staged, job.blobs) {
            Ok(Outcome::Left(bytes)) => {
                let digest = job.blobs.put(&bytes)?;
                let node = OutputNode::File { digest, executable: false };
                let output = |path: &RelPath| Output { path: path.clone(), node: node.clone() };
                Ok(ended(0, "", Ok(job.outputs.iter().map(output).collect())))
            }
            Ok(Outcome::LeftFiles(_)) => panic!("a builtin is no process"),
            Ok(Outcome::LeftNothing) => Ok(ended(0, "", Err(OutputError::Missing(job.outputs[0].clone())))),
            Ok(Outcome::Failed(why)) => Ok(ended(1, why, Ok(Vec::new()))),
            Err(Trouble::Lost(digest)) => Err(SandboxError::Lost(digest)),
            Err(Trouble::Store(e)) => Err(SandboxError::Store(e)),
        }
    }
}

impl Builtins for Toys {
    fn call(&self, call: &Call<'_>) -> Result<Returned, CallError> {
        let words: Vec<String> = std::iter::once(call.name.to_owned()).chain(call.args.iter().cloned()).collect();
        match self.run_tool(&words, call.inputs, call.blobs) {
            // Every toy action declares one output, and it is called so.
            Ok(Outcome::Left(bytes)) => Ok(returned(&[("out", &bytes)])),
            Ok(Outcome::LeftFiles(files)) => Ok(returned(&files.map(|file| (file, file.as_bytes())))),
            Ok(Outcome::LeftNothing) => Ok(Returned::default()),
            Ok(Outcome::Failed(why)) => Ok(Returned::failure(why)),
            Err(Trouble::Lost(digest)) => Err(CallError::Lost(digest)),
            Err(Trouble::Store(e)) => Err(CallError::Store(e)),
        }
    }
}

fn returned(files: &[(&str, &[u8])]) -> Returned {
    let file = |(name, bytes): &(&str, &[u8])| (RelPath::new(name).expect("a plain name"), bytes.to_vec());
    Returned::files(files.iter().map(file).collect())
}

/// A clock that stands still until a tool sleeps.
#[derive(Debug, Default)]
pub struct VirtualClock(AtomicU64);

impl VirtualClock {
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).expect("a short sleep"), Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// A tool may panic on purpose; what the mutexes guard is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
