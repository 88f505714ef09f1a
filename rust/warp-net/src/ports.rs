//! The sockets of an endpoint: UDP, and TCP on the same port; for several threads one UDP socket each.
//!
//! Of several UDP sockets on a port the kernel gives all datagrams of one sender to one (SO_REUSEPORT), which it finds by a hash.
//! Nobody else gets the port: the first socket takes it for itself, and shares it then.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::{Error, Result};

/// What an endpoint is bound to.
pub(crate) struct Ports {
    pub address: SocketAddr,
    /// At least one.
    pub udp: Vec<UdpSocket>,
    /// To listen.
    pub tcp: Option<TcpListener>,
    /// Bytes that the kernel gave each direction of a UDP socket.
    pub buffers: (usize, usize),
}

impl Ports {
    /// To dial from, or, with a number of threads, to listen at.
    pub fn bind(address: SocketAddr, threads: Option<usize>, buffer: usize) -> Result<Self> {
        let named = |error: std::io::Error| Error::io(format!("listen on {address}"), &error);
        let (first, tcp) = pair(address, threads.is_some())?;
        let address = first.local_addr().map_err(named)?;
        let mut udp = vec![first];
        if let Some(more @ 2..) = threads {
            sockopt::set_socket_reuseport(&udp[0], true).map_err(|error| named(error.into()))?;
            for _ in 1..more {
                udp.push(beside(address).map_err(|error| named(error.into()))?);
            }
        }
        let mut buffers = (0, 0);
        for socket in &udp {
            buffers = enlarge(socket, buffer)?;
        }
        Ok(Self { address, udp, tcp, buffers })
    }
}

/// UDP, and to listen TCP on the same port.
fn pair(address: SocketAddr, listening: bool) -> Result<(UdpSocket, Option<TcpListener>)> {
    let named = |error: std::io::Error| Error::io(format!("listen on {address}"), &error);
    // Another program may have the TCP port that UDP was given, so a few are tried.
    for _ in 0..16 {
        let udp = UdpSocket::bind(address).map_err(named)?;
        if !listening {
            return Ok((udp, None));
        }
        match TcpListener::bind(udp.local_addr().map_err(named)?) {
            Ok(tcp) => {
                tcp.set_nonblocking(true).map_err(named)?;
                return Ok((udp, Some(tcp)));
            }
            Err(error) if address.port() != 0 || error.kind() != std::io::ErrorKind::AddrInUse => {
                return Err(named(error));
            }
            Err(_) => {}
        }
    }
    Err(Error::network(format!("listen on {address}"), "no port is free for both UDP and TCP"))
}

/// One more socket on a port that is shared.
fn beside(address: SocketAddr) -> rustix::io::Result<UdpSocket> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

/// Asks for larger socket buffers; what the kernel gave.
fn enlarge(socket: &UdpSocket, wanted: usize) -> Result<(usize, usize)> {
    let named = |error: rustix::io::Errno| Error::io("socket buffers", &error.into());
    sockopt::set_socket_recv_buffer_size(socket, wanted).map_err(named)?;
    sockopt::set_socket_send_buffer_size(socket, wanted).map_err(named)?;
    // Linux counts its bookkeeping too and so reports twice what it grants.
    let receive = sockopt::socket_recv_buffer_size(socket).map_err(named)? / 2;
    let send = sockopt::socket_send_buffer_size(socket).map_err(named)? / 2;
    Ok((receive, send))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn several_sockets_share_a_port_that_nobody_else_gets() {
        let ports = Ports::bind(LOCAL, Some(4), 1 << 20).unwrap();
        assert_eq!(ports.udp.len(), 4);
        assert!(ports.udp.iter().all(|socket| socket.local_addr().unwrap() == ports.address));
        for threads in [None, Some(1), Some(4)] {
            assert!(Ports::bind(ports.address, threads, 1 << 20).is_err(), "{threads:?}");
        }
    }
}
