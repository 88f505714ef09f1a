//! The windows between the planner and the workers.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::lock;
use super::report::Report;
use super::window::{Job, Window};

/// Windows that may wait for workers: the next is planned while one is worked on.
const WAITING: usize = 1;
/// How soon a waiting thread notices that everything stopped.
const PATIENCE: Duration = Duration::from_millis(50);

/// Windows in order. Workers take jobs of the first that has any; what closes a window waits for all before it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    open: Mutex<Open>,
    changed: Condvar,
    unsettled: Mutex<Unsettled>,
}

#[derive(Debug, Default)]
struct Open {
    /// Windows with jobs nobody has taken, the first one possibly none.
    windows: VecDeque<Arc<Window>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Unsettled {
    windows: VecDeque<Arc<Window>>,
    /// A thread is closing windows now.
    busy: bool,
}

impl Queue {
    /// Hand a window to the workers, when no more than one waits.
    pub fn push(&self, window: Window, report: &Report) -> Arc<Window> {
        let window = Arc::new(window);
        lock(&self.unsettled).windows.push_back(Arc::clone(&window));
        let mut open = lock(&self.open);
        while open.windows.len() > WAITING && !report.stopped() {
            let waited = self.changed.wait_timeout(open, PATIENCE);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        open.windows.push_back(Arc::clone(&window));
        self.changed.notify_all();
        window
    }

    /// No more windows follow.
    pub fn close(&self) {
        lock(&self.open).closed = true;
        self.changed.notify_all();
    }

    /// The next job; `current` is the window of the one before. `None` if there are no more.
    pub fn take(&self, current: &mut Option<Arc<Window>>, report: &Report) -> Option<Job> {
        loop {
            let window = match current {
                Some(window) => Arc::clone(window),
                None => self.first(report)?,
            };
            if let Some(job) = window.take() {
                *current = Some(window);
                return Some(job);
            }
            self.discard(&window);
            *current = None;
        }
    }

    fn first(&self, report: &Report) -> Option<Arc<Window>> {
        let mut open = lock(&self.open);
        loop {
            match open.windows.front() {
                Some(window) => return Some(Arc::clone(window)),
                None if open.closed || report.stopped() => return None,
                None => {
                    let waited = self.changed.wait_timeout(open, PATIENCE);
                    open = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// All jobs of `window` are taken.
    fn discard(&self, window: &Arc<Window>) {
        let mut open = lock(&self.open);
        if open.windows.front().is_some_and(|front| Arc::ptr_eq(front, window)) {
            open.windows.pop_front();
            self.changed.notify_all();
        }
    }

    /// A job of `window` is done. If that settles it, `close` this window and those after it that are settled as well,
    /// in order, unless another thread is at it, which then goes on.
    pub fn settle(&self, window: &Window, mut close: impl FnMut(&Window)) {
        if !window.settle() {
            return;
        }
        let mut unsettled = lock(&self.unsettled);
        if unsettled.busy {
            return;
        }
        unsettled.busy = true;
        while unsettled.windows.front().is_some_and(|window| window.is_settled()) {
            let next = unsettled.windows.pop_front();
            drop(unsettled);
            next.iter().for_each(|window| close(window));
            unsettled = lock(&self.unsettled);
        }
        unsettled.busy = false;
    }
}
