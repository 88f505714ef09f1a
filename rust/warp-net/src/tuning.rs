//! What the carriers are tuned by. The defaults follow from measurements in docs/performance.md.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::{BbrConfig, CubicConfig};
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::sorting::SOCKETS_MAX;
use crate::{Error, Result};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Window that a side gives before the other has proved that it may.
pub const UNPROVEN_WINDOW: usize = MIB;
/// Within less a connection could be lost between two signs of life.
const IDLE_LEAST: Duration = Duration::from_secs(1);
/// Lanes that the other side may open, once it has.
pub const LANES_MAX: u32 = 8;

/// How a sender finds the rate of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// RFC 9438.
    Cubic,
    /// The first version of BBR, for long paths that lose packets at random.
    Bbr,
}

/// Parameters of an endpoint.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Bytes of data that one connection may have under way to this side.
    pub window: usize,
    /// Bytes asked of the kernel for each direction of a UDP socket.
    pub socket_buffer: usize,
    /// Largest UDP payload that path discovery tries: 1452 on the internet, 8952 for jumbo frames, 65,527 on loopback.
    pub mtu_most: u16,
    /// UDP payload to begin with, at least 1200.
    pub mtu_first: u16,
    /// Congestion control.
    pub congestion: Congestion,
    /// Bytes sent before the first acknowledgement.
    pub first_flight: u64,
    /// Packets that are acknowledged together.
    pub acknowledge_each: u32,
    /// After so long without an answer a connection is lost.
    pub idle: Duration,
    /// Threads that connections from outside are spread over, at most 8.
    pub threads: usize,
}

/// So often it is asked within the idle time whether the other side is there: one that was restarted says that it knows nothing.
const KEEP_ALIVES: u32 = 15;

impl Default for Tuning {
    fn default() -> Self {
        Self {
            window: 64 * MIB,
            socket_buffer: 4 * MIB,
            mtu_most: 8952,
            mtu_first: 1200,
            congestion: Congestion::Cubic,
            first_flight: 128 * KIB as u64,
            acknowledge_each: 10,
            idle: Duration::from_secs(30),
            threads: 1,
        }
    }
}

impl Tuning {
    /// The same for the stack. Windows are those before the proof; [`crate::Link::authorize`] opens them.
    pub(crate) fn transport(&self) -> Result<Arc<TransportConfig>> {
        let parameter = |what: &str| Error::Parameter(format!("{what} of a connection"));
        let window = VarInt::try_from(self.window as u64).map_err(|_| parameter("window"))?;
        let idle = IdleTimeout::try_from(self.idle).map_err(|_| parameter("idle time"))?;
        if !(1200..=65_527).contains(&self.mtu_first) || self.mtu_most < self.mtu_first {
            return Err(parameter("datagram size"));
        }
        if self.window < UNPROVEN_WINDOW || self.idle < IDLE_LEAST {
            return Err(parameter("window or idle time"));
        }
        if !(1..=SOCKETS_MAX).contains(&self.threads) {
            return Err(Error::Parameter("number of threads of an endpoint".into()));
        }
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(self.mtu_most);
        let mut acknowledging = AckFrequencyConfig::default();
        acknowledging.ack_eliciting_threshold(VarInt::from_u32(self.acknowledge_each));
        let mut config = TransportConfig::default();
        config
            .stream_receive_window(window)
            .receive_window(VarInt::from_u32(UNPROVEN_WINDOW as u32))
            .send_window(self.window as u64)
            .send_fairness(false)
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .initial_mtu(self.mtu_first)
            .mtu_discovery_config(Some(discovery))
            .ack_frequency_config(Some(acknowledging))
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(Some(self.idle / KEEP_ALIVES));
        match self.congestion {
            Congestion::Cubic => {
                let mut cubic = CubicConfig::default();
                cubic.initial_window(self.first_flight);
                config.congestion_controller_factory(Arc::new(cubic));
            }
            Congestion::Bbr => {
                let mut bbr = BbrConfig::default();
                bbr.initial_window(self.first_flight);
                config.congestion_controller_factory(Arc::new(bbr));
            }
        }
        Ok(Arc::new(config))
    }
}
