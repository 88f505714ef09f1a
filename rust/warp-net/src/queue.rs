//! A queue bounded in bytes, between threads that block and tasks that wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::{Error, Result};

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    most: usize,
    /// Why nothing more comes: None while it is open.
    ended: Option<Option<Error>>,
}

impl<T> State<T> {
    /// One item always fits, however large.
    fn has_room(&self, size: usize) -> bool {
        self.items.is_empty() || self.bytes + size <= self.most
    }
}

/// First in, first out. What is in it can still be taken when it was closed, unless it failed.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    readable: Notify,
    writable: Notify,
}

/// What a look into a queue came to.
enum Taken<T> {
    Item(T),
    End,
    Nothing,
}

impl<T> Queue<T> {
    /// A queue of at most so many bytes.
    pub fn new(most: usize) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, most, ended: None };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            readable: Notify::new(),
            writable: Notify::new(),
        }
    }

    /// Bytes in it.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Changes the bound.
    pub fn set_most(&self, most: usize) {
        self.lock().most = most;
        self.tell_writers();
    }

    /// Adds an item, if there is room within `timeout`; otherwise gives it back.
    pub fn push(&self, item: T, size: usize, timeout: Duration) -> Result<Option<T>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            check(&state)?;
            if state.has_room(size) {
                self.add(state, item, size);
                return Ok(None);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some(item));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Adds an item, when there is room.
    pub async fn push_async(&self, item: T, size: usize) -> Result<()> {
        loop {
            {
                let state = self.lock();
                check(&state)?;
                if state.has_room(size) {
                    self.add(state, item, size);
                    return Ok(());
                }
            }
            self.writable.notified().await;
        }
    }

    /// The next item; None when the time is over, an error when the queue failed or is at its end.
    pub fn pop(&self, timeout: Duration) -> Result<Option<T>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            state = match self.take(state)? {
                (_, Taken::Item(item)) => return Ok(Some(item)),
                (_, Taken::End) => return Err(Error::Cancelled),
                (state, Taken::Nothing) => state,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next item; None at the end.
    pub async fn pop_async(&self) -> Result<Option<T>> {
        loop {
            match self.take(self.lock())?.1 {
                Taken::Item(item) => return Ok(Some(item)),
                Taken::End => return Ok(None),
                Taken::Nothing => {}
            }
            self.readable.notified().await;
        }
    }

    /// Nothing more is added; what waits can still be taken.
    pub fn close(&self) {
        self.end(None);
    }

    /// Ends at once, for this reason. The first end counts.
    pub fn fail(&self, error: Error) {
        self.end(Some(error));
    }

    fn end(&self, reason: Option<Error>) {
        let mut state = self.lock();
        let failed = reason.is_some();
        if !matches!(state.ended, Some(Some(_))) && (failed || state.ended.is_none()) {
            state.ended = Some(reason);
        }
        if failed {
            state.items.clear();
            state.bytes = 0;
        }
        drop(state);
        self.changed.notify_all();
        self.readable.notify_waiters();
        self.readable.notify_one();
        self.tell_writers();
    }

    fn add(&self, mut state: MutexGuard<'_, State<T>>, item: T, size: usize) {
        state.bytes += size;
        state.items.push_back((item, size));
        drop(state);
        self.changed.notify_all();
        self.readable.notify_one();
    }

    fn take<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> Result<(MutexGuard<'a, State<T>>, Taken<T>)> {
        if let Some(Some(error)) = &state.ended {
            return Err(error.clone());
        }
        let Some((item, size)) = state.items.pop_front() else {
            let taken = if state.ended.is_some() { Taken::End } else { Taken::Nothing };
            return Ok((state, taken));
        };
        state.bytes -= size;
        if !state.items.is_empty() {
            // Of several tasks that wait, the next is woken by the one that was.
            self.readable.notify_one();
        }
        self.changed.notify_all();
        self.tell_writers();
        Ok((state, Taken::Item(item)))
    }

    fn tell_writers(&self) {
        self.changed.notify_all();
        self.writable.notify_waiters();
        self.writable.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check<T>(state: &State<T>) -> Result<()> {
    match &state.ended {
        None => Ok(()),
        Some(None) => Err(Error::Cancelled),
        Some(Some(error)) => Err(error.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn items_come_in_order_and_the_bound_holds() {
        let queue = Queue::new(10);
        assert_eq!(queue.push('a', 6, NOW).unwrap(), None);
        assert_eq!(queue.push('b', 5, NOW).unwrap(), Some('b'));
        assert_eq!(queue.push('c', 4, NOW).unwrap(), None);
        assert_eq!(queue.pop(NOW).unwrap(), Some('a'));
        assert_eq!(queue.pop(NOW).unwrap(), Some('c'));
        assert_eq!(queue.pop(NOW).unwrap(), None);
    }

    #[test]
    fn one_item_fits_however_large_it_is() {
        let queue = Queue::new(1);
        assert_eq!(queue.push((), 1000, NOW).unwrap(), None);
        assert_eq!(queue.push((), 1, NOW).unwrap(), Some(()));
    }

    #[test]
    fn what_waits_is_taken_after_a_close_and_not_after_a_failure() {
        let queue = Queue::new(10);
        queue.push(1, 1, NOW).unwrap();
        queue.close();
        assert!(queue.push(2, 1, NOW).is_err());
        assert_eq!(queue.pop(NOW).unwrap(), Some(1));
        assert!(matches!(queue.pop(LONG), Err(Error::Cancelled)));
        queue.fail(Error::protocol("x"));
        assert!(matches!(queue.pop(LONG), Err(Error::Protocol(_))));
        queue.fail(Error::Cancelled);
        assert!(matches!(queue.pop(LONG), Err(Error::Protocol(_))));
    }

    #[test]
    fn tasks_and_threads_pass_everything_on() {
        const COUNT: usize = 20_000;
        let (forth, back) = (Arc::new(Queue::new(100)), Arc::new(Queue::new(70)));
        let relays: Vec<_> = (0..3).map(|_| (Arc::clone(&forth), Arc::clone(&back))).collect();
        let tasks = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let tasks: Vec<_> = relays
                .into_iter()
                .map(|(forth, back)| {
                    runtime.spawn(async move {
                        while let Some(item) = forth.pop_async().await.unwrap() {
                            back.push_async(item, item % 7).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
        });
        let feeder = Arc::clone(&forth);
        let feeding = std::thread::spawn(move || {
            for item in 0..COUNT {
                assert_eq!(feeder.push(item, item % 11, LONG).unwrap(), None);
            }
            feeder.close();
        });
        let mut seen: Vec<_> = (0..COUNT).map(|_| back.pop(LONG).unwrap().unwrap()).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..COUNT));
        feeding.join().unwrap();
        tasks.join().unwrap();
    }
}
