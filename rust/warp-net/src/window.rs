//! How much the other side may have under way to us on a QUIC connection.
//!
//! As little as the path needs: what arrives while this side is busy waits in the socket, and what does not fit there is lost, to be
//! sent again. So the window begins with what the socket holds, and grows to twice what the path carries in a round trip.

use std::time::{Duration, Instant};

/// Part of the socket's buffer that is used: datagrams take more room there than they have bytes.
const USED: (usize, usize) = (3, 4);
const LEAST: usize = 1 << 20;

/// Finds the window from what was received in which time.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    now: u64,
    most: u64,
    /// The shortest round trip that was seen: longer ones include our own delay.
    rtt: Option<Duration>,
    last: Option<(Instant, u64)>,
    told: bool,
}

impl ReceiveWindow {
    /// `buffer`: bytes that the socket can hold. The window is never more than `most`.
    pub fn new(buffer: usize, most: usize) -> Self {
        let least = (buffer / USED.1 * USED.0).max(LEAST).min(most);
        Self { now: least as u64, most: most as u64, rtt: None, last: None, told: false }
    }

    /// The window, if it is larger than the one before; `received` counts all bytes so far.
    pub fn look(&mut self, rtt: Duration, received: u64, now: Instant) -> Option<u64> {
        let rtt = self.rtt.map_or(rtt, |shortest| shortest.min(rtt));
        self.rtt = Some(rtt);
        let (since, before) = self.last.replace((now, received)).unwrap_or((now, received));
        let elapsed = now.duration_since(since).as_secs_f64();
        let wanted = if elapsed > 0.0 {
            2.0 * received.saturating_sub(before) as f64 / elapsed * rtt.as_secs_f64()
        } else {
            0.0
        };
        let wanted = (wanted as u64).min(self.most);
        let is_larger = wanted > self.now;
        self.now = self.now.max(wanted);
        (is_larger || !std::mem::replace(&mut self.told, true)).then_some(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn it_begins_with_the_socket_and_follows_the_path() {
        let mut window = ReceiveWindow::new(4 << 20, 64 << 20);
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let rtt = Duration::from_millis(100);
        assert_eq!(window.look(rtt, 0, at(0)), Some(3 * MIB));
        assert_eq!(window.look(rtt, MIB, at(1)), None);
        // 10 MiB in 100 ms, which is the round trip.
        assert_eq!(window.look(rtt, 11 * MIB, at(2)), Some(20 * MIB));
        assert_eq!(window.look(rtt, 12 * MIB, at(3)), None);
        assert_eq!(window.look(rtt, 500 * MIB, at(4)), Some(64 * MIB));
        assert_eq!(window.look(rtt, 900 * MIB, at(5)), None);
    }

    #[test]
    fn our_own_delay_does_not_count_as_the_path() {
        let mut window = ReceiveWindow::new(4 << 20, 64 << 20);
        let start = Instant::now();
        assert!(window.look(Duration::from_micros(100), 0, start).is_some());
        let later = start + Duration::from_millis(50);
        assert_eq!(window.look(Duration::from_millis(20), 100 * MIB, later), None);
    }
}
