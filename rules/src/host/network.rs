//! `wasi:sockets` behind a list of hosts. What may be reached is decided twice: a name is resolved only when it is on
//! the list, and an address is used only when it belongs to a host on the list.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::Network as NetworkHandle;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSockets, WasiSocketsView};

use super::grants::{HostPort, Network};
use super::link::WASI_VERSION;
use super::state::State;

/// Opens in `builder` what is granted.
pub(super) fn configure(builder: &mut WasiCtxBuilder, network: &Network) {
    let open = *network != Network::Closed;
    builder.allow_tcp(open).allow_udp(open).allow_ip_name_lookup(open);
    match network {
        Network::Closed => {}
        Network::Open => {
            builder.inherit_network();
        }
        Network::Hosts(hosts) => {
            let hosts = hosts.clone();
            builder.socket_addr_check(move |address, purpose| {
                let allowed = hosts_allow(&hosts, address, purpose);
                Box::pin(async move { allowed })
            });
        }
    }
}

fn hosts_allow(hosts: &[HostPort], address: SocketAddr, purpose: SocketAddrUse) -> bool {
    match purpose {
        // A client binds to any free port of its own before it connects; a server would name one.
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.port() == 0,
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => hosts
            .iter()
            .any(|host| host.port.is_none_or(|port| port == address.port()) && is_at(&host.host, address.ip())),
    }
}

/// Whether `host` is, or resolves to, `address`.
fn is_at(host: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    match host.parse::<IpAddr>() {
        Ok(literal) => literal.to_canonical() == address,
        Err(_) => (host, 0).to_socket_addrs().is_ok_and(|mut found| found.any(|a| a.ip().to_canonical() == address)),
    }
}

/// Defines `wasi:sockets/ip-name-lookup`, refusing names that are not granted.
pub(super) fn link_name_lookup(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    ip_name_lookup::add_to_linker::<State, WasiSockets>(linker, State::sockets)?;
    linker.allow_shadowing(true);
    linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_VERSION}"))?.func_wrap(
        "resolve-addresses",
        |mut cx: StoreContextMut<'_, State>, (network, name): (Resource<NetworkHandle>, String)| {
            resolve(cx.data_mut(), network, name)
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

type Resolved = Result<Resource<ResolveAddressStream>, ErrorCode>;

fn resolve(state: &mut State, network: Resource<NetworkHandle>, name: String) -> wasmtime::Result<(Resolved,)> {
    let granted = match &state.network {
        Network::Closed => false,
        Network::Open => true,
        Network::Hosts(hosts) => hosts.iter().any(|host| host.host.eq_ignore_ascii_case(&name)),
    };
    if !granted {
        return Ok((Err(ErrorCode::AccessDenied),));
    }
    match ip_name_lookup::Host::resolve_addresses(&mut state.sockets(), network, name) {
        Ok(stream) => Ok((Ok(stream),)),
        Err(error) => Ok((Err(network::Host::convert_error_code(&mut state.sockets(), error)?),)),
    }
}
