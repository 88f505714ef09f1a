//! A page on its way: which of its fragments are to come, and where each belongs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::SharedFile;
use super::super::lock;
use super::held::{Account, Held};
use crate::catalogue::{MOST_FRAGMENTS, Spans, StoredPage};

/// A set of a page's fragments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits([u64; MOST_FRAGMENTS / 64]);

impl Bits {
    pub fn has(&self, index: u32) -> bool {
        self.0.get(index as usize / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub fn set(&mut self, index: u32) {
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// Takes one out; whether it was in.
    pub fn take(&mut self, index: u32) -> bool {
        let had = self.has(index);
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word &= !(1 << (index % 64));
        }
        had
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; MOST_FRAGMENTS / 64]
    }

    pub fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & !other.0[at]))
    }

    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
    }

    pub fn of_spans(spans: &[(u16, u16)]) -> Self {
        let mut bits = Self::default();
        for (first, count) in spans {
            (*first..first.saturating_add(*count)).for_each(|index| bits.set(index.into()));
        }
        bits
    }

    /// The set as spans, in order.
    pub fn spans(&self) -> Spans {
        let mut spans = Spans::new();
        for index in 0..MOST_FRAGMENTS as u32 {
            if !self.has(index) {
                continue;
            }
            match spans.last_mut() {
                Some((first, count)) if u32::from(*first) + u32::from(*count) == index => *count += 1,
                _ => spans.push((index as u16, 1)),
            }
        }
        spans
    }
}

/// A run of a page's new fragments that belongs into a file.
#[derive(Debug)]
pub(super) struct Need {
    /// The first of them, counted in the page.
    pub first: u32,
    pub count: u32,
    /// Where in the file's data, holes left out.
    pub position: u64,
    pub file: Arc<SharedFile>,
    /// Bytes of the file's data, if it lies in this page as a whole.
    pub whole: Option<u64>,
}

/// A fragment that belongs into one file more.
#[derive(Debug)]
pub(super) struct Late {
    pub fragment: u32,
    pub position: u64,
    pub file: Arc<SharedFile>,
    /// The page of that file.
    pub owner: Arc<ActivePage>,
}

/// What changes while fragments come. A late one may be asked for again of a page that is done with.
#[derive(Debug, Default)]
pub(super) struct State {
    /// May come.
    pub expected: Bits,
    /// Came, and is being written.
    pub arriving: Bits,
    /// Is written wherever it belongs.
    pub written: Bits,
    /// The journal has it.
    pub noted: Bits,
    /// Was here already, in the file of before.
    pub local: Bits,
    /// Came damaged once, and was asked for again.
    pub damaged: Bits,
    pub late: Vec<Late>,
}

impl State {
    /// Those among the late that need this fragment.
    pub fn take_late(&mut self, first: u32, count: u32) -> Vec<Late> {
        if self.late.is_empty() {
            return Vec::new();
        }
        let is_here = |late: &mut Late| (first..first + count).contains(&late.fragment);
        self.late.extract_if(.., is_here).collect()
    }
}

/// A page that is not done with.
#[derive(Debug)]
pub(super) struct ActivePage {
    /// Without the entries, unless it is active again.
    pub stored: Arc<StoredPage>,
    /// In order of their first fragments; they do not overlap.
    pub needs: Vec<Need>,
    _held: Held,
    state: Mutex<State>,
    /// Files of before that are still looked through for it, and one while it is planned.
    looking: AtomicU64,
    /// Bytes that files of this page still wait for, and one while it is planned.
    open: AtomicU64,
}

impl ActivePage {
    /// `open`: bytes that its files wait for. Its memory is counted, without that of its entries.
    pub fn new(stored: Arc<StoredPage>, needs: Vec<Need>, open: u64, account: &Account) -> Arc<Self> {
        let state = Mutex::default();
        let (looking, open) = (AtomicU64::new(1), AtomicU64::new(open + 1));
        let fragments =
            size_of_val(stored.listing.fragments.as_slice()) + size_of_val(stored.offsets.as_slice());
        let places = size_of_val(stored.places.as_slice()) + size_of_val(needs.as_slice());
        let _held = account.hold(size_of::<Self>() + fragments + places);
        Arc::new(Self { stored, needs, _held, state, looking, open })
    }

    /// One file more is looked through.
    pub fn look(&self) {
        self.looking.fetch_add(1, Ordering::AcqRel);
    }

    /// One is done.
    pub fn looked(&self) {
        self.looking.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether it is known what is wanted of it.
    pub fn is_known(&self) -> bool {
        self.looking.load(Ordering::Acquire) == 0
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// So many bytes are dealt with; true if these were the last.
    pub fn settle(&self, bytes: u64) -> bool {
        self.open.fetch_sub(bytes, Ordering::AcqRel) == bytes
    }

    /// Whether its files are complete.
    pub fn is_settled(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// What of it the journal lacks; `None` while anything else of it is awaited.
    pub fn rest(&self) -> Option<Bits> {
        let state = self.state();
        let waits = !state.expected.is_empty() || !state.arriving.is_empty() || !state.late.is_empty();
        (!waits && self.is_settled()).then(|| state.written.without(&state.noted))
    }

    /// Bytes of `count` fragments from `first` on.
    pub fn bytes(&self, first: u32, count: u32) -> u64 {
        let at = |index: u32| self.stored.offsets.get(index as usize).copied().unwrap_or_default();
        at(first + count) - at(first)
    }

    /// Needs that touch fragments `first..end`.
    pub fn needs_of(&self, first: u32, end: u32) -> impl Iterator<Item = &Need> {
        let start = self.needs.partition_point(|need| need.first + need.count <= first);
        self.needs.get(start..).unwrap_or_default().iter().take_while(move |need| need.first < end)
    }
}
