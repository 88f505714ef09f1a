//! `Endpoint`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use warp_net::{Bell, Carrier, Congestion, Dialing, Identity, Listening, Tuning};
use zeroize::Zeroizing;

use crate::buffer::Bytes;
use crate::error::{raise_net, raise_socket, seconds, usage};
use crate::link::Link;

/// So long a wait goes on before it looks for signals.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// Where connections begin.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Endpoint {
    inner: warp_net::Endpoint,
    bell: Arc<Bell>,
}

#[pymethods]
impl Endpoint {
    #[new]
    #[pyo3(signature = (seed, *, address="0.0.0.0:0", listen=false, window=None, socket_buffer=None, mtu_most=None,
        mtu_first=None, congestion="cubic", first_flight=None, acknowledge_each=None, idle=None, threads=1))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        seed: Bytes,
        address: &str,
        listen: bool,
        window: Option<usize>,
        socket_buffer: Option<usize>,
        mtu_most: Option<u16>,
        mtu_first: Option<u16>,
        congestion: &str,
        first_flight: Option<u64>,
        acknowledge_each: Option<u32>,
        idle: Option<f64>,
        threads: usize,
    ) -> PyResult<Self> {
        let seed = Zeroizing::new(*seed.as_array("seed")?);
        let identity = Identity::from_seed(&seed).map_err(raise_net)?;
        let address: SocketAddr = address
            .parse()
            .map_err(|_| usage(format!("address: {address:?} is no IP address with a port")))?;
        let usual = Tuning::default();
        let tuning = Tuning {
            window: window.unwrap_or(usual.window),
            socket_buffer: socket_buffer.unwrap_or(usual.socket_buffer),
            mtu_most: mtu_most.unwrap_or(usual.mtu_most),
            mtu_first: mtu_first.unwrap_or(usual.mtu_first),
            congestion: self::congestion(congestion)?,
            first_flight: first_flight.unwrap_or(usual.first_flight),
            acknowledge_each: acknowledge_each.unwrap_or(usual.acknowledge_each),
            idle: idle.map(seconds).transpose()?.unwrap_or(usual.idle),
            threads,
        };
        let listening = if listen { Listening::Yes } else { Listening::No };
        let bell = Bell::new().map_err(raise_socket)?;
        let inner = py
            .detach(|| warp_net::Endpoint::new(identity, tuning, address, listening))
            .map_err(raise_socket)?;
        inner.set_bell(Arc::clone(&bell));
        Ok(Self { inner, bell })
    }

    #[getter]
    fn address(&self) -> (String, u16) {
        let address = self.inner.address();
        (address.ip().to_string(), address.port())
    }

    #[getter]
    fn buffers(&self) -> (usize, usize) {
        self.inner.buffers()
    }

    fn fileno(&self) -> i32 {
        self.bell.as_fd().as_raw_fd()
    }

    fn accept(&self) -> PyResult<Option<Link>> {
        self.inner.accept(Duration::ZERO).map_err(raise_net)?.map(Link::new).transpose()
    }

    #[pyo3(signature = (host, port, *, carrier, expected, timeout))]
    fn dial(
        &self,
        py: Python<'_>,
        host: &str,
        port: u16,
        carrier: &str,
        expected: Option<Bytes>,
        timeout: f64,
    ) -> PyResult<Link> {
        let host: IpAddr = host.parse().map_err(|_| usage(format!("host: {host:?} is no IP address")))?;
        let expected = expected.map(|key| key.as_array("expected key").copied()).transpose()?;
        let carrier = self::carrier(carrier)?;
        let dialing = self.inner.begin(SocketAddr::new(host, port), expected, carrier, seconds(timeout)?);
        Link::new(finish(py, dialing)?.map_err(raise_net)?)
    }

    fn worked(&self) -> f64 {
        self.inner.worked().as_secs_f64()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.inner.close());
    }
}

/// Waits for the end of a dial; given up if a signal asks for it.
fn finish(py: Python<'_>, mut dialing: Dialing) -> PyResult<warp_net::Result<Arc<warp_net::Link>>> {
    loop {
        if let Some(link) = py.detach(|| dialing.wait(PATIENCE)) {
            return Ok(link);
        }
        py.check_signals()?;
    }
}

fn carrier(name: &str) -> PyResult<Carrier> {
    match name {
        "quic" => Ok(Carrier::Quic),
        "tcp" => Ok(Carrier::Tcp),
        other => Err(usage(format!("carrier: {other:?}"))),
    }
}

fn congestion(name: &str) -> PyResult<Congestion> {
    match name {
        "cubic" => Ok(Congestion::Cubic),
        "bbr" => Ok(Congestion::Bbr),
        other => Err(usage(format!("congestion: {other:?}"))),
    }
}
