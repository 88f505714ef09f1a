//! Whether the link is what all waits for, and how slow it is then.

use std::time::{Duration, Instant};

/// Bytes that wait for a link below which it is not what everything waits for.
const IDLE_BYTES: usize = 2 << 20;
/// How long it looks before it judges.
const LOOK: Duration = Duration::from_millis(200);

/// Watches frames leave.
#[derive(Debug)]
pub(super) struct Gauge {
    /// Bytes a second below which a link is slow.
    below: u64,
    since: Instant,
    bytes: u64,
    was_idle: bool,
    is_slow: bool,
}

impl Gauge {
    pub fn new(below: u64, now: Instant) -> Self {
        Self { below, since: now, bytes: 0, was_idle: true, is_slow: false }
    }

    /// So many bytes are about to leave, and `backlog` wait before them; whether the link was slow lately.
    pub fn note(&mut self, bytes: usize, backlog: usize, now: Instant) -> bool {
        self.was_idle |= backlog < IDLE_BYTES;
        self.bytes += bytes as u64;
        let passed = now.saturating_duration_since(self.since);
        if passed >= LOOK {
            let rate = self.bytes as f64 / passed.as_secs_f64();
            self.is_slow = !self.was_idle && rate < self.below as f64;
            (self.since, self.bytes, self.was_idle) = (now, 0, false);
        }
        self.is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 8 << 20;

    /// What a link that takes so many MiB a second, and has so much waiting, is judged to be after a second.
    fn judged(rate: u32, backlog: usize) -> bool {
        let start = Instant::now();
        let mut gauge = Gauge::new(100 << 20, start);
        let mut is_slow = false;
        for number in 0..rate {
            is_slow = gauge.note(1 << 20, backlog, start + Duration::from_secs(1) * number / rate);
        }
        is_slow
    }

    #[test]
    fn a_link_is_slow_if_everything_waits_for_it_and_little_goes() {
        assert!(judged(50, FULL));
        assert!(!judged(200, FULL));
        assert!(!judged(50, 1 << 20));
    }
}
