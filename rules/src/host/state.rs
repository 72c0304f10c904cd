//! What one run owns: WASI's context and resources, virtual time, seeded random numbers, the meter. Made from
//! [`Grants`], [`Limits`] and [`Streams`], and gone with the run.

use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::HostError;
use super::clock::VirtualClock;
use super::files::Files;
use super::grants::{Access, Grants, Limits, Network, Output, Stdin, Streams};
use super::limits::Meter;
use super::network;
use super::random::SeededRandom;

/// The data of a store.
pub(super) struct State {
    wasi: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) clock: VirtualClock,
    pub(super) random: SeededRandom,
    pub(super) files: Files,
    pub(super) meter: Meter,
    pub(super) network: Network,
    /// When the run's real time is over, where it has a timeout.
    pub(super) deadline: Option<Instant>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The ends of a run's output streams that stay with us.
pub(super) struct Captured {
    stdout: Option<MemoryOutputPipe>,
    stderr: Option<MemoryOutputPipe>,
    limit_bytes: usize,
}

impl Captured {
    /// What was written to each stream, and whether that was more than allowed.
    pub(super) fn take(self) -> (Vec<u8>, Vec<u8>, bool) {
        let read = |pipe: Option<MemoryOutputPipe>| pipe.map_or_else(Vec::new, |pipe| pipe.contents().to_vec());
        let (mut stdout, mut stderr) = (read(self.stdout), read(self.stderr));
        let overflowed = stdout.len().max(stderr.len()) > self.limit_bytes;
        stdout.truncate(self.limit_bytes);
        stderr.truncate(self.limit_bytes);
        (stdout, stderr, overflowed)
    }
}

impl State {
    /// Opens what is granted.
    pub(super) fn new(
        grants: &Grants,
        limits: &Limits,
        streams: &Streams,
        argv: &[String],
    ) -> Result<(Self, Captured), HostError> {
        let mut builder = WasiCtxBuilder::new();
        builder.allow_blocking_current_thread(true).args(argv).envs(&grants.env);
        for dir in &grants.dirs {
            let access = match dir.access {
                Access::ReadOnly => FsPerms::ReadOnly,
                Access::ReadWrite => FsPerms::ReadWrite,
            };
            builder
                .preopened_dir(&dir.host, &dir.guest, access)
                .map_err(|e| HostError::OpenDir { dir: dir.host.clone(), message: format!("{e:#}") })?;
        }
        network::configure(&mut builder, &grants.network);
        let captured = configure_streams(&mut builder, streams, limits.output_bytes);

        let outside_is_live = grants.network != Network::Closed || streams.stdin == Stdin::Inherit;
        let frozen_time = (!grants.allow_clock).then_some(Datetime { seconds: grants.epoch_seconds, nanoseconds: 0 });
        let state = Self {
            wasi: builder.build(),
            table: ResourceTable::new(),
            clock: VirtualClock::new(Duration::from_secs(grants.epoch_seconds), outside_is_live, grants.strict),
            random: SeededRandom::new(grants.strict),
            files: Files::new(frozen_time),
            meter: Meter::new(limits.memory_bytes),
            network: grants.network.clone(),
            deadline: limits.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        };
        Ok((state, captured))
    }
}

fn configure_streams(builder: &mut WasiCtxBuilder, streams: &Streams, limit_bytes: usize) -> Captured {
    match &streams.stdin {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => {
            builder.stdin(MemoryInputPipe::new(bytes.clone()));
        }
        Stdin::Inherit => {
            builder.inherit_stdin();
        }
    }
    // A pipe that is full reports itself closed, which a guest may ignore. The byte beyond the limit tells "full"
    // from "more than full".
    let capacity = limit_bytes.saturating_add(1);
    let mut captured = Captured { stdout: None, stderr: None, limit_bytes };
    match streams.stdout {
        Output::Capture => {
            let pipe = MemoryOutputPipe::new(capacity);
            builder.stdout(pipe.clone());
            captured.stdout = Some(pipe);
        }
        Output::Inherit => {
            builder.inherit_stdout();
        }
    }
    match streams.stderr {
        Output::Capture => {
            let pipe = MemoryOutputPipe::new(capacity);
            builder.stderr(pipe.clone());
            captured.stderr = Some(pipe);
        }
        Output::Inherit => {
            builder.inherit_stderr();
        }
    }
    captured
}
