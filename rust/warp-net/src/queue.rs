//! A queue bounded in bytes, between threads that block and tasks that wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::{Bell, Error, Result};

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    most: usize,
    /// Why nothing more comes: None while it is open.
    ended: Option<Option<Error>>,
    /// Readable exactly while there is something to take: an item, or the end.
    bell: Option<Arc<Bell>>,
}

impl<T> State<T> {
    /// One item always fits, however large.
    fn has_room(&self, size: usize) -> bool {
        self.items.is_empty() || self.bytes + size <= self.most
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// After something was taken: an end stays to be seen.
    fn clear_bell(&self) {
        if let Some(bell) = self.bell.as_deref().filter(|_| self.items.is_empty() && self.ended.is_none()) {
            bell.clear();
        }
    }
}

/// First in, first out. What is in it can still be taken when it was closed or broke off, but not when it failed.
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
        let state = State { items: VecDeque::new(), bytes: 0, most, ended: None, bell: None };
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

    /// Rings `bell` from now on.
    pub fn set_bell(&self, bell: Arc<Bell>) {
        let mut state = self.lock();
        state.bell = Some(bell);
        if !state.items.is_empty() || state.ended.is_some() {
            state.ring();
        }
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

    /// All that waits; an error when there is nothing and the queue failed or broke off, nothing at its end.
    pub fn drain(&self) -> Result<Vec<T>> {
        let mut state = self.lock();
        if let (true, Some(Some(error))) = (state.items.is_empty(), &state.ended) {
            return Err(error.clone());
        }
        let items = state.items.drain(..).map(|(item, _)| item).collect();
        state.bytes = 0;
        state.clear_bell();
        drop(state);
        self.tell_writers();
        Ok(items)
    }

    /// Whether it was closed, and all is taken.
    pub fn is_at_end(&self) -> bool {
        let state = self.lock();
        state.items.is_empty() && matches!(state.ended, Some(None))
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
        self.end(None, true);
    }

    /// Ends at once, for this reason. The first reason counts.
    pub fn fail(&self, error: Error) {
        self.end(Some(error), false);
    }

    /// Ends for this reason behind what waits. The first reason counts, and an end that was there before it.
    pub fn break_off(&self, error: Error) {
        self.end(Some(error), true);
    }

    fn end(&self, reason: Option<Error>, keep: bool) {
        let mut state = self.lock();
        if state.ended.is_none() || (!keep && !matches!(state.ended, Some(Some(_)))) {
            state.ended = Some(reason);
        }
        if !keep {
            state.items.clear();
            state.bytes = 0;
        }
        state.ring();
        drop(state);
        self.changed.notify_all();
        self.readable.notify_waiters();
        self.readable.notify_one();
        self.tell_writers();
    }

    fn add(&self, mut state: MutexGuard<'_, State<T>>, item: T, size: usize) {
        state.bytes += size;
        state.items.push_back((item, size));
        if state.items.len() == 1 {
            state.ring();
        }
        drop(state);
        self.changed.notify_all();
        self.readable.notify_one();
    }

    fn take<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> Result<(MutexGuard<'a, State<T>>, Taken<T>)> {
        let Some((item, size)) = state.items.pop_front() else {
            return match &state.ended {
                Some(Some(error)) => Err(error.clone()),
                Some(None) => Ok((state, Taken::End)),
                None => Ok((state, Taken::Nothing)),
            };
        };
        state.bytes -= size;
        state.clear_bell();
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
    fn what_waits_is_taken_before_the_reason_why_it_broke_off() {
        let queue = Queue::new(10);
        queue.push(1, 1, NOW).unwrap();
        queue.push(2, 1, NOW).unwrap();
        queue.break_off(Error::protocol("x"));
        assert!(queue.push(3, 1, NOW).is_err() && !queue.is_at_end());
        assert_eq!(queue.pop(NOW).unwrap(), Some(1));
        assert_eq!(queue.drain().unwrap(), [2]);
        assert!(matches!(queue.drain(), Err(Error::Protocol(_))));
        assert!(matches!(queue.pop(LONG), Err(Error::Protocol(_))));
        queue.fail(Error::Cancelled);
        assert!(matches!(queue.drain(), Err(Error::Protocol(_))));
    }

    #[test]
    fn a_queue_that_was_closed_does_not_break_off() {
        let queue = Queue::new(10);
        queue.push(1, 1, NOW).unwrap();
        queue.close();
        queue.break_off(Error::protocol("x"));
        assert!(!queue.is_at_end());
        assert_eq!(queue.drain().unwrap(), [1]);
        assert!(queue.is_at_end() && queue.drain().unwrap().is_empty());
    }

    #[test]
    fn the_bell_can_be_read_exactly_while_there_is_something_to_take() {
        let queue = Queue::new(10);
        queue.push(1, 1, NOW).unwrap();
        let bell = Bell::new().unwrap();
        assert!(!rung(&bell));
        queue.set_bell(Arc::clone(&bell));
        assert!(rung(&bell));
        queue.push(2, 1, NOW).unwrap();
        assert_eq!(queue.pop(NOW).unwrap(), Some(1));
        assert!(rung(&bell));
        assert_eq!(queue.pop(NOW).unwrap(), Some(2));
        assert!(!rung(&bell));
        assert_eq!(queue.pop(NOW).unwrap(), None);
        queue.push(3, 1, NOW).unwrap();
        assert!(rung(&bell));
        assert_eq!(queue.drain().unwrap(), [3]);
        assert!(!rung(&bell));
        for end in [|queue: &Queue<i32>| queue.close(), |queue: &Queue<i32>| queue.fail(Error::Cancelled)] {
            let queue = Queue::new(10);
            let bell = Bell::new().unwrap();
            queue.set_bell(Arc::clone(&bell));
            queue.push(4, 1, NOW).unwrap();
            end(&queue);
            let _ = queue.drain();
            assert!(rung(&bell));
        }
    }

    fn rung(bell: &Bell) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut descriptors = [PollFd::new(bell, PollFlags::IN)];
        poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
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
