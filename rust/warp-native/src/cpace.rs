//! `Cpace` and `cpace_respond`: the two sides of draft-irtf-cfrg-cpace-21, CPACE-RISTR255-SHA512, initiator and responder.

use std::sync::{Mutex, PoisonError};

use getrandom::SysRng;
use pakery_cpace::{CpaceInitiator, CpaceMode, CpaceResponder, InitiatorState};
use pakery_crypto::CpaceRistretto255;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rand_core::UnwrapErr;

use crate::buffer::Bytes;
use crate::error::{raise_share, usage};

/// Neither side says more than its share: what both must agree on is in the channel identifier.
const NOTHING_MORE: &[u8] = b"";
const MODE: CpaceMode = CpaceMode::InitiatorResponder;

/// The initiator, from its share to its key. What it holds is wiped when it is used or dropped.
#[pyclass(frozen, module = "warp_portal._native")]
pub struct Cpace {
    share: Vec<u8>,
    state: Mutex<Option<InitiatorState<CpaceRistretto255>>>,
}

#[pymethods]
impl Cpace {
    #[new]
    fn new(password: Bytes, channel_identifier: Bytes, session_identifier: Bytes) -> PyResult<Self> {
        let (share, state) = CpaceInitiator::start(
            password.as_slice(),
            channel_identifier.as_slice(),
            session_identifier.as_slice(),
            NOTHING_MORE,
            &mut UnwrapErr(SysRng),
        )
        .map_err(raise_share)?;
        Ok(Self { share, state: Mutex::new(Some(state)) })
    }

    #[getter]
    fn share<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.share)
    }

    fn finish<'py>(&self, py: Python<'py>, their_share: Bytes) -> PyResult<Bound<'py, PyBytes>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let state = state.ok_or_else(|| usage("CPace: its share was used, begin anew"))?;
        let output = state.finish(their_share.as_slice(), NOTHING_MORE, MODE).map_err(raise_share)?;
        Ok(PyBytes::new(py, output.isk.as_bytes()))
    }
}

/// The responder: its share, and its key.
#[pyfunction]
pub fn cpace_respond<'py>(
    py: Python<'py>,
    password: Bytes,
    channel_identifier: Bytes,
    session_identifier: Bytes,
    their_share: Bytes,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let (share, output) = CpaceResponder::<CpaceRistretto255>::respond(
        their_share.as_slice(),
        password.as_slice(),
        channel_identifier.as_slice(),
        session_identifier.as_slice(),
        NOTHING_MORE,
        NOTHING_MORE,
        MODE,
        &mut UnwrapErr(SysRng),
    )
    .map_err(raise_share)?;
    Ok((PyBytes::new(py, &share), PyBytes::new(py, output.isk.as_bytes())))
}
