//! `Link` and `pipe`.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use warp_net::{Bell, Carrier, Tuning};

use crate::buffer::Bytes;
use crate::endpoint::PATIENCE;
use crate::error::{raise_net, raise_socket, seconds};

/// One connection.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Link {
    inner: Arc<warp_net::Link>,
    bell: Arc<Bell>,
}

impl Link {
    /// A connection that was opened.
    pub fn new(inner: Arc<warp_net::Link>) -> PyResult<Self> {
        let bell = Bell::new().map_err(raise_socket)?;
        inner.set_bell(Arc::clone(&bell));
        Ok(Self { inner, bell })
    }

    /// The connection itself, for what moves data through it.
    pub fn link(&self) -> &Arc<warp_net::Link> {
        &self.inner
    }
}

#[pymethods]
impl Link {
    #[getter]
    fn carrier(&self) -> &'static str {
        match self.inner.ends().carrier {
            Carrier::Quic => "quic",
            Carrier::Tcp => "tcp",
            Carrier::Pipe => "pipe",
        }
    }

    #[getter]
    fn dialed(&self) -> bool {
        self.inner.ends().dialed
    }

    #[getter]
    fn peer<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.ends().peer)
    }

    #[getter]
    fn exporter<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.ends().exporter)
    }

    #[getter]
    fn address(&self) -> &str {
        &self.inner.ends().address
    }

    #[getter]
    fn ended(&self) -> bool {
        self.inner.has_ended()
    }

    fn fileno(&self) -> i32 {
        self.bell.as_fd().as_raw_fd()
    }

    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let messages = self.inner.take_messages().map_err(raise_net)?;
        Ok(messages.iter().map(|message| PyBytes::new(py, message)).collect())
    }

    #[pyo3(signature = (payload, timeout=0.0))]
    fn send(&self, py: Python<'_>, payload: Bytes, timeout: f64) -> PyResult<bool> {
        let payload = bytes::Bytes::copy_from_slice(payload.as_slice());
        let (began, timeout) = (Instant::now(), seconds(timeout)?);
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            let send = || self.inner.send_message(payload.clone(), left.min(PATIENCE));
            if py.detach(send).map_err(raise_net)? {
                return Ok(true);
            }
            if left == Duration::ZERO {
                return Ok(false);
            }
            py.check_signals()?;
        }
    }

    fn authorize(&self) {
        self.inner.authorize();
    }

    fn receive_over(&self, branch: &Self) -> PyResult<()> {
        self.inner.receive_over(&branch.inner).map_err(raise_net)
    }

    fn send_over(&self, branch: &Self) -> PyResult<()> {
        self.inner.send_over(&branch.inner).map_err(raise_net)
    }

    #[getter]
    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn finish(&self) {
        self.inner.finish();
    }

    fn abort(&self, code: u32, text: &str) {
        self.inner.abort(code, text);
    }

    fn traffic(&self) -> (u64, u64) {
        let traffic = self.inner.traffic();
        (traffic.sent, traffic.received)
    }

    fn path(&self) -> (f64, u16, u64, u64) {
        let path = self.inner.path();
        (path.rtt.as_secs_f64(), path.mtu, path.window, path.lost)
    }
}

/// Two links that are each other's end.
#[pyfunction]
#[pyo3(signature = (keys, exporter, *, window=None))]
pub fn pipe(keys: (Bytes, Bytes), exporter: Bytes, window: Option<usize>) -> PyResult<(Link, Link)> {
    let keys = [*keys.0.as_array("key")?, *keys.1.as_array("key")?];
    let window = window.unwrap_or(Tuning::default().window);
    let [dialer, listener] =
        warp_net::pipe(keys, *exporter.as_array("exporter")?, window).map_err(raise_socket)?;
    Ok((Link::new(dialer)?, Link::new(listener)?))
}
