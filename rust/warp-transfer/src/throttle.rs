//! A bound on the rate at which bytes are sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may be sent at once after a pause, as time at the rate.
const BURST: Duration = Duration::from_millis(50);

/// A token bucket: each sender waits until its bytes are due. The rate may change at any time.
#[derive(Debug)]
pub struct Throttle {
    /// Bytes a second; 0: no bound.
    rate: AtomicU64,
    /// When all that was granted so far is due to be over.
    due: Mutex<Instant>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { rate: AtomicU64::new(0), due: Mutex::new(Instant::now()) }
    }
}

impl Throttle {
    /// Sets the rate in bytes a second; 0: no bound. What was granted at another rate is forgotten.
    pub fn set(&self, rate: u64) {
        if self.rate.swap(rate, Ordering::Relaxed) != rate {
            *self.lock() = Instant::now();
        }
    }

    /// The rate in bytes a second; 0: no bound.
    pub fn rate(&self) -> u64 {
        self.rate.load(Ordering::Relaxed)
    }

    /// Books `bytes`; how long to wait before they may go.
    pub fn book(&self, bytes: usize, now: Instant) -> Duration {
        let rate = self.rate();
        if rate == 0 {
            return Duration::ZERO;
        }
        let mut due = self.lock();
        let start = (*due).max(now.checked_sub(BURST).unwrap_or(now));
        *due = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        start.saturating_duration_since(now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_any_time_and_a_pause_gives_little() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.book(1 << 40, start), Duration::ZERO);
        throttle.set(1_000_000);
        let mut now = Instant::now();
        let start = now;
        for _ in 0..1000 {
            // To say the same again changes nothing.
            throttle.set(1_000_000);
            now += throttle.book(10_000, now);
        }
        let taken = now.duration_since(start);
        assert!(taken > Duration::from_millis(9_900) && taken < Duration::from_millis(10_000), "{taken:?}");
        now += Duration::from_secs(3600);
        assert_eq!(throttle.book(50_000, now), Duration::ZERO);
        assert_eq!(throttle.book(10_000, now), Duration::ZERO);
        assert!(throttle.book(10_000, now) >= Duration::from_millis(10));
    }
}
