//! A panic in one thread of the pipeline must not leave the others waiting.

use super::shared::Shared;
use crate::Error;

/// Fails the pipeline if its thread unwinds, so that nobody waits for it for ever.
pub(super) struct PanicGuard<'a> {
    shared: &'a Shared,
    thread: Option<String>,
}

impl<'a> PanicGuard<'a> {
    pub fn new(shared: &'a Shared, thread: String) -> Self {
        Self { shared, thread: Some(thread) }
    }

    pub fn disarm(mut self) {
        self.thread = None;
    }
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let source = std::io::Error::other("the thread panicked; this is a bug");
            self.shared.fail(Error::io(thread, source));
        }
    }
}
