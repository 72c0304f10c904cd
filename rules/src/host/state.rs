//! What one run owns: WASI's context and resources, virtual time, seeded random numbers, the meter. Made from
//! [`Grants`], [`Limits`] and [`Streams`], and gone with the run.

use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::HostError;
use super::clock::VirtualClock;
use super::files::Files;
use super::grants::{Access, Grants, Limits, Network, Streams};
use super::limits::{HANDLES_MAX, Meter, Patience};
use super::network;
use super::random::SeededRandom;
use super::stdio::Stdio;

/// The data of a store.
pub(super) struct State {
    wasi: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) clock: VirtualClock,
    pub(super) random: SeededRandom,
    pub(super) files: Files,
    pub(super) meter: Meter,
    pub(super) network: Network,
    pub(super) stdio: Stdio,
    /// How long the run may go on, as far as real time and the user are concerned.
    pub(super) patience: Patience,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl State {
    /// Opens what is granted.
    pub(super) fn new(
        grants: &Grants,
        limits: &Limits,
        streams: &Streams,
        argv: &[String],
        patience: Patience,
    ) -> Result<Self, HostError> {
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

        let outside_is_live = grants.network != Network::Closed;
        let stdio = Stdio::new(streams, limits.output_bytes, outside_is_live || grants.allow_clock, &patience);
        let frozen_time = (!grants.allow_clock).then_some(Datetime { seconds: grants.epoch_seconds, nanoseconds: 0 });
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Ok(Self {
            wasi: builder.build(),
            table,
            clock: VirtualClock::new(Duration::from_secs(grants.epoch_seconds), outside_is_live, grants.strict),
            random: SeededRandom::new(grants.strict),
            files: Files::new(frozen_time),
            meter: Meter::new(limits.memory_bytes),
            network: grants.network.clone(),
            stdio,
            patience,
        })
    }
}
