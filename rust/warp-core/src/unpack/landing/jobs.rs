//! Work on what is here already. What others wait for comes before what is only checked: of a tree that is half there, that may be
//! terabytes. Half of the threads check at most, so that the others, and what comes, find a processor.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::local::LocalJob;
use super::lock;

/// Checks wait so long for all else that begins with the landing.
const HOLD: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Queues {
    urgent: VecDeque<LocalJob>,
    checks: VecDeque<LocalJob>,
    /// Checks that are under way.
    checking: usize,
    /// Until then none begins.
    held: Option<Instant>,
    over: bool,
}

impl Queues {
    /// How long checks are to wait yet.
    fn hold(&self) -> Option<Duration> {
        let left = self.held?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// Jobs that wait for a thread.
pub(super) struct Jobs {
    most_checks: usize,
    /// Whether checks wait for nothing any more.
    released: AtomicBool,
    queues: Mutex<Queues>,
    changed: Condvar,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl Jobs {
    /// None yet, for so many threads.
    pub fn new(threads: usize) -> Self {
        let most_checks = (threads / 2).max(1);
        let released = AtomicBool::new(false);
        Self { most_checks, released, queues: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds one.
    pub fn push(&self, job: LocalJob) {
        let mut queues = lock(&self.queues);
        match job {
            LocalJob::Check { .. } => {
                if !self.released.load(Ordering::Acquire) {
                    queues.held.get_or_insert_with(|| Instant::now() + HOLD);
                }
                queues.checks.push_back(job);
            }
            LocalJob::Copy { .. } | LocalJob::Look { .. } => queues.urgent.push_back(job),
        }
        drop(queues);
        self.changed.notify_one();
    }

    /// The next one; waits for it. `None` once all is over.
    pub fn next(&self) -> Option<LocalJob> {
        let mut queues = lock(&self.queues);
        while !queues.over {
            if let Some(job) = queues.urgent.pop_front() {
                return Some(job);
            }
            let hold = queues.hold();
            if hold.is_none()
                && queues.checking < self.most_checks
                && let Some(job) = queues.checks.pop_front()
            {
                queues.checking += 1;
                return Some(job);
            }
            queues = match hold {
                Some(left) => {
                    self.changed.wait_timeout(queues, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(queues).unwrap_or_else(PoisonError::into_inner),
            };
        }
        None
    }

    /// What was to come before the checks is there.
    pub fn release(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            lock(&self.queues).held = None;
            self.changed.notify_all();
        }
    }

    /// A check is done.
    pub fn checked(&self) {
        lock(&self.queues).checking -= 1;
        self.changed.notify_one();
    }

    /// Ends it for all threads.
    pub fn end(&self) {
        lock(&self.queues).over = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::held::Account;
    use super::super::page::ActivePage;
    use super::*;
    use crate::catalogue::{Listing, StoredPage};

    fn page() -> Arc<ActivePage> {
        let listing = Listing::default();
        let stored =
            StoredPage { number: 0, base: 0, position: 0, listing, places: Vec::new(), offsets: vec![0] };
        ActivePage::new(Arc::new(stored), Vec::new(), 0, &Account::default())
    }

    #[test]
    fn the_first_checks_wait_until_they_are_let_go_or_for_a_second() {
        for is_released in [true, false] {
            let (jobs, began) = (Jobs::new(2), Instant::now());
            jobs.push(LocalJob::Check { page: page(), need: 0, first: 0, count: 0 });
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| matches!(jobs.next(), Some(LocalJob::Check { .. })));
                if is_released {
                    jobs.release();
                }
                assert!(waiting.join().unwrap());
            });
            assert!(is_released || began.elapsed() >= HOLD);
        }
    }

    #[test]
    fn checks_come_last_and_the_end_is_for_all() {
        let page = page();
        let jobs = Jobs::new(3);
        jobs.release();
        for need in 0..2 {
            jobs.push(LocalJob::Check { page: Arc::clone(&page), need, first: 0, count: 0 });
            jobs.push(LocalJob::Look { page: Arc::clone(&page), needs: need..need });
        }
        let next = || match jobs.next() {
            Some(LocalJob::Look { needs, .. }) => ("look", needs.start),
            Some(LocalJob::Check { need, .. }) => ("check", need),
            _ => ("another", 0),
        };
        assert_eq!([next(), next(), next()], [("look", 0), ("look", 1), ("check", 0)]);
        // One of three threads checks: the next check waits, and what is urgent does not.
        jobs.push(LocalJob::Look { page: Arc::clone(&page), needs: 2..2 });
        assert_eq!(next(), ("look", 2));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(next);
            jobs.checked();
            assert_eq!(waiting.join().unwrap(), ("check", 1));
        });
        std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| jobs.next().is_none()));
            jobs.end();
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
