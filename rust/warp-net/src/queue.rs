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
    /// For those that take only some items: who takes any is told of each beside them.
    some_readable: Notify,
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
            some_readable: Notify::new(),
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

    /// Whether nothing more is added.
    pub fn is_closed(&self) -> bool {
        self.lock().ended.is_some()
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

    /// The first item that is `suited`, past those that are not; None at the end.
    pub async fn pop_suited(&self, suited: impl Fn(&T) -> bool) -> Result<Option<T>> {
        loop {
            match self.take_suited(self.lock(), &suited)?.1 {
                Taken::Item(item) => return Ok(Some(item)),
                Taken::End => return Ok(None),
                Taken::Nothing => {}
            }
            self.some_readable.notified().await;
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
        for readable in [&self.readable, &self.some_readable] {
            readable.notify_waiters();
            readable.notify_one();
        }
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
        self.tell_readers();
    }

    fn take<'a>(&self, state: MutexGuard<'a, State<T>>) -> Result<(MutexGuard<'a, State<T>>, Taken<T>)> {
        self.take_suited(state, |_| true)
    }

    fn take_suited<'a>(
        &self,
        mut state: MutexGuard<'a, State<T>>,
        suited: impl Fn(&T) -> bool,
    ) -> Result<(MutexGuard<'a, State<T>>, Taken<T>)> {
        let place = state.items.iter().position(|(item, _)| suited(item));
        let Some((item, size)) = place.and_then(|place| state.items.remove(place)) else {
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
            self.tell_readers();
        }
        self.changed.notify_all();
        self.tell_writers();
        Ok((state, Taken::Item(item)))
    }

    fn tell_readers(&self) {
        self.readable.notify_one();
        self.some_readable.notify_one();
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
mod tests;
