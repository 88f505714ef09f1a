//! Work on what is here already. What others wait for comes before what is only checked: of a tree that is half there, that may be
//! terabytes. Half of the threads check at most, so that the others, and what comes, find a processor.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use super::local::LocalJob;
use super::lock;

#[derive(Default)]
struct Queues {
    urgent: VecDeque<LocalJob>,
    checks: VecDeque<LocalJob>,
    /// Checks that are under way.
    checking: usize,
    over: bool,
}

/// Jobs that wait for a thread.
pub(super) struct Jobs {
    most_checks: usize,
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
        Self { most_checks: (threads / 2).max(1), queues: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds one.
    pub fn push(&self, job: LocalJob) {
        let mut queues = lock(&self.queues);
        match job {
            LocalJob::Check { .. } => queues.checks.push_back(job),
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
            if queues.checking < self.most_checks
                && let Some(job) = queues.checks.pop_front()
            {
                queues.checking += 1;
                return Some(job);
            }
            queues = self.changed.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        None
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

    #[test]
    fn checks_come_last_and_the_end_is_for_all() {
        let listing = Listing::default();
        let stored =
            StoredPage { number: 0, base: 0, position: 0, listing, places: Vec::new(), offsets: vec![0] };
        let page = ActivePage::new(Arc::new(stored), Vec::new(), 0, &Account::default());
        let jobs = Jobs::new(3);
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
