//! Losses that are told of before their page is here: what is said overtakes data (docs/transfer-protocol.md §6).

use std::collections::BTreeMap;

use crate::catalogue::Spans;
use crate::{Error, Result};

/// Runs that are kept; what a sender has lost in its window is less.
const MOST_RUNS: usize = 1 << 18;

/// By number of the page.
#[derive(Debug, Default)]
pub(super) struct EarlyLosses {
    pages: BTreeMap<u32, Spans>,
    runs: usize,
}

impl EarlyLosses {
    /// Keeps them until the page comes.
    ///
    /// # Errors
    /// [`Error::Format`] if these are more than can be.
    pub fn keep(&mut self, number: u32, spans: &Spans) -> Result<()> {
        self.runs += spans.len();
        if self.runs > MOST_RUNS {
            return Err(Error::format("losses: more than the pages have that are on their way"));
        }
        self.pages.entry(number).or_default().extend(spans);
        Ok(())
    }

    /// Those of a page.
    pub fn take(&mut self, number: u32) -> Spans {
        let spans = self.pages.remove(&number).unwrap_or_default();
        self.runs -= spans.len();
        spans
    }
}
