//! Work that all threads share: numbered jobs, taken by whoever is free, with results in the jobs' order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::look::Worker;
use crate::{Error, Result};

/// Jobs of one wave.
struct Jobs<T> {
    next: AtomicUsize,
    results: Mutex<Vec<Option<T>>>,
}

/// Runs `work` for the numbers below `count` on all workers; the results in order, or the first error.
pub(super) fn on_all<T: Send>(
    workers: &mut [Worker],
    count: usize,
    work: impl Fn(&mut Worker, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let jobs = Jobs { next: AtomicUsize::new(0), results: Mutex::new((0..count).map(|_| None).collect()) };
    let run = |worker: &mut Worker| -> Result<()> {
        loop {
            let number = jobs.next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let result = work(worker, number)?;
            if let Some(place) = jobs.results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
                *place = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = workers.iter_mut().map(|worker| scope.spawn(|| run(worker))).collect();
        let ends: Vec<_> =
            handles.into_iter().map(|handle| handle.join().unwrap_or(Err(Error::Cancelled))).collect();
        ends.into_iter().collect::<Result<()>>()
    })?;
    Ok(jobs.results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
}
