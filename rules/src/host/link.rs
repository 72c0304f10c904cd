//! Which imports are provided, by what. Only what a component imports is defined: for a function without imports that
//! makes linking free, and for a Rust command it is still half of a warm start.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::sync::io::{error, poll, streams};
use wasmtime_wasi::p2::bindings::{cli, clocks, random, sockets, sync};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};

use super::component::Component;
use super::grants::Grants;
use super::outcome::MissingImport;
use super::state::State;
use super::{HostError, files, network};
use crate::value::signature;

/// The version under which wasmtime-wasi defines its interfaces. The linker answers any other 0.2 with it.
pub(super) const WASI_VERSION: &str = "0.2.12";

/// A linker that provides what `component` imports, or the list of what nobody provides.
pub(super) fn link(
    component: &Component,
    grants: &Grants,
) -> Result<Result<Linker<State>, Vec<MissingImport>>, HostError> {
    let (linker, unknown) = link_known(component, grants)?;
    let missing: Vec<_> = unknown.iter().filter_map(|(name, item)| wanted_of(component, name, item)).collect();
    if !missing.is_empty() {
        return Ok(Err(missing));
    }
    // Interfaces we have, but with functions or types we don't: a version of WASI that came after ours.
    match linker.substituted_component_type(component) {
        Ok(_) => Ok(Ok(linker)),
        Err(error) => Ok(Err(vec![unfit(&error)])),
    }
}

/// An import by its name.
pub(super) type Import = (String, ComponentItem);

/// A linker that provides those imports of `component` that are ours to provide, and the others.
pub(super) fn link_known(component: &Component, grants: &Grants) -> Result<(Linker<State>, Vec<Import>), HostError> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    component.define_modules(&mut linker).map_err(HostError::bug)?;
    let mut unknown = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        match wasi_interface(name) {
            Some(interface) if define(&mut linker, interface, grants).map_err(HostError::bug)? => {}
            None if component.is_module(name) => {}
            _ => unknown.push((name.to_owned(), import.ty)),
        }
    }
    Ok((linker, unknown))
}

/// `cli/stdin` of `wasi:cli/stdin@0.2.3`; nothing for other packages, and for versions of WASI that are not 0.2.
fn wasi_interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    patch.bytes().all(|b| b.is_ascii_digit()).then_some(interface)
}

/// Defines one interface. False when it is not one of ours.
fn define(l: &mut Linker<State>, interface: &str, grants: &Grants) -> wasmtime::Result<bool> {
    match interface {
        "clocks/monotonic-clock" if grants.allow_clock => {
            clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
        }
        "clocks/wall-clock" if grants.allow_clock => {
            clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)?;
        }
        "clocks/monotonic-clock" => clocks::monotonic_clock::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "clocks/wall-clock" => clocks::wall_clock::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,

        "random/random" if grants.allow_random => {
            random::random::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)?;
        }
        "random/insecure" if grants.allow_random => {
            random::insecure::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)?;
        }
        "random/insecure-seed" if grants.allow_random => {
            random::insecure_seed::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)?;
        }
        "random/random" => random::random::add_to_linker::<_, HasSelf<_>>(l, |s: &mut State| &mut s.random)?,
        "random/insecure" => random::insecure::add_to_linker::<_, HasSelf<_>>(l, |s: &mut State| &mut s.random)?,
        "random/insecure-seed" => {
            random::insecure_seed::add_to_linker::<_, HasSelf<_>>(l, |s: &mut State| &mut s.random)?;
        }

        "io/error" => error::add_to_linker::<_, HasTable>(l, |s: &mut State| &mut s.table)?,
        "io/poll" => poll::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "io/streams" => streams::add_to_linker::<_, HasTable>(l, |s: &mut State| &mut s.table)?,

        "filesystem/preopens" => files::link_preopens(l)?,
        "filesystem/types" => files::link_types(l)?,

        other => return define_cli(l, other).and_then(|done| Ok(done || define_sockets(l, other)?)),
    }
    Ok(true)
}

fn define_cli(l: &mut Linker<State>, interface: &str) -> wasmtime::Result<bool> {
    match interface {
        "cli/environment" => cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)?,
        "cli/exit" => cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)?,
        "cli/stdin" => cli::stdin::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "cli/stdout" => cli::stdout::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "cli/stderr" => cli::stderr::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "cli/terminal-input" => cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)?,
        "cli/terminal-output" => cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)?,
        "cli/terminal-stdin" => cli::terminal_stdin::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "cli/terminal-stdout" => cli::terminal_stdout::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        "cli/terminal-stderr" => cli::terminal_stderr::add_to_linker::<_, HasSelf<State>>(l, |s| s)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn define_sockets(l: &mut Linker<State>, interface: &str) -> wasmtime::Result<bool> {
    match interface {
        "sockets/instance-network" => sockets::instance_network::add_to_linker::<_, WasiSockets>(l, State::sockets)?,
        "sockets/network" => {
            let options = sockets::network::LinkOptions::default();
            sockets::network::add_to_linker::<_, WasiSockets>(l, &options, State::sockets)?;
        }
        "sockets/ip-name-lookup" => network::link_name_lookup(l)?,
        "sockets/tcp" => sync::sockets::tcp::add_to_linker::<_, WasiSockets>(l, State::sockets)?,
        "sockets/tcp-create-socket" => sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets)?,
        "sockets/udp" => sync::sockets::udp::add_to_linker::<_, WasiSockets>(l, State::sockets)?,
        "sockets/udp-create-socket" => {
            sync::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, State::sockets)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// wasmtime-wasi implements `wasi:io` for a bare resource table.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// The import as something missing; nothing where it holds only types, which need no provider.
fn wanted_of(component: &Component, name: &str, item: &ComponentItem) -> Option<MissingImport> {
    let engine = component.engine();
    let wanted = match item {
        ComponentItem::ComponentFunc(ty) => vec![signature(name, ty)],
        ComponentItem::ComponentInstance(instance) => {
            let items = instance.exports(engine).filter_map(|(name, item)| match item.ty {
                ComponentItem::ComponentFunc(ty) => Some(signature(name, &ty)),
                ComponentItem::Resource(_) => Some(format!("resource {name}")),
                _ => None,
            });
            let items: Vec<_> = items.collect();
            if items.is_empty() {
                return None;
            }
            items
        }
        ComponentItem::Type(_) => return None,
        ComponentItem::Module(_) | ComponentItem::CoreFunc(_) => vec!["a core module".to_owned()],
        ComponentItem::Component(_) => vec!["a component".to_owned()],
        ComponentItem::Resource(_) => vec!["a resource type".to_owned()],
    };
    Some(MissingImport { name: name.to_owned(), wanted })
}

/// What the linker says of an import that does not fit, taken apart: the import is between backticks.
fn unfit(error: &wasmtime::Error) -> MissingImport {
    let message = error.to_string();
    let name = message.split('`').nth(1).unwrap_or("?").to_owned();
    MissingImport { name, wanted: error.chain().skip(1).map(|cause| cause.to_string()).collect() }
}
