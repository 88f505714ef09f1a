//! Further connections of a link: they carry some of its data, each by a thread of its own, and nothing else.
//!
//! ```text
//! first   messages, data in order ──┐
//!           └─ data_out ─┬──────────┤          each takes the next frame that it may carry
//! branch                 └─ data ───┴─▶ data_in of the first link on the other side
//! ```
//! Only what was asked for goes over a branch, so nothing of it overtakes what it belongs to. Whoever loses a branch that has
//! carried data has lost the link.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::frame::{Frame, Kind};
use crate::link::Link;
use crate::{Error, PROTOCOL_CODE, Result};

/// Branches that one link can have.
pub const BRANCHES_MAX: usize = 7;
/// What is said on a branch before it is one: HELLO, and PROVE or CONFIRM.
const MESSAGES_MAX: u64 = 2;

/// What a link knows of its branches.
#[derive(Default)]
pub(crate) struct Branches {
    links: Vec<Arc<Link>>,
    /// Those from which something may still come.
    open: usize,
    /// There are no more.
    closed: bool,
    /// From the other side nothing more comes on the link itself.
    has_ended: bool,
    has_failed: bool,
}

/// What becomes of a link that is a branch.
#[derive(Default)]
pub(crate) struct Branching {
    /// Data of the first link goes out over it.
    sends: AtomicBool,
    /// Data went one way or the other, or may have.
    is_used: AtomicBool,
    /// The first link has heard of its end.
    has_left: AtomicBool,
    /// Of a first link: its data stays together.
    keeps_order: AtomicBool,
}

impl Link {
    /// What comes over `branch` is data of this link from now on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for one of other machines, or one too many; [`Error::Cancelled`] when the link is over.
    pub fn receive_over(self: &Arc<Self>, branch: &Arc<Link>) -> Result<()> {
        let of = |link: &Link| (link.ends().carrier, link.ends().dialed, link.ends().peer);
        if of(self) != of(branch) || self.is_branch() {
            return Err(Error::Parameter("branch: it joins other machines".into()));
        }
        let mut branches = self.lock_branches();
        if branches.closed {
            return Err(Error::Cancelled);
        }
        if branches.links.len() >= BRANCHES_MAX || branch.first.set(Arc::downgrade(self)).is_err() {
            return Err(Error::Parameter("branch: one too many, or twice".into()));
        }
        branches.links.push(Arc::clone(branch));
        branches.open += 1;
        drop(branches);
        branch.authorize();
        Ok(())
    }

    /// Data of this link may go out over `branch` too: the other side knows that it is one.
    pub fn send_over(&self, branch: &Link) -> Result<()> {
        if !branch.first().is_some_and(|first| std::ptr::eq(&*first, self)) {
            return Err(Error::Parameter("branch: not one of this link".into()));
        }
        branch.branching.is_used.store(true, Ordering::Release);
        branch.branching.sends.store(true, Ordering::Release);
        // Its own queue has nothing, and whoever waits there goes on with ours.
        branch.data_out.close();
        // It may have ended while it was none.
        if branch.branching.has_left.load(Ordering::Acquire) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// All data goes over the link itself, for what is sent unasked must not overtake what it belongs to.
    pub fn keep_order(&self) {
        self.branching.keeps_order.store(true, Ordering::Release);
    }

    /// How many connections carry its data.
    pub fn connections(&self) -> usize {
        1 + self.branches().iter().filter(|branch| branch.branching.sends.load(Ordering::Acquire)).count()
    }

    // --- what carriers do ---

    /// The next frame of data that goes over this connection; None when there are no more.
    pub(crate) async fn next_data(&self) -> Result<Option<Frame>> {
        if let Some(frame) = self.data_out.pop_async().await? {
            return Ok(Some(frame));
        }
        if !self.branching.sends.load(Ordering::Acquire) {
            return Ok(None);
        }
        let first = self.first().ok_or(Error::Cancelled)?;
        first.data_out.pop_suited(|frame| first.is_free(frame)).await
    }

    fn is_free(&self, frame: &Frame) -> bool {
        may_branch(frame.header.kind) && !self.branching.keeps_order.load(Ordering::Relaxed)
    }

    /// Hands data to those above the first link; waits while they have enough.
    pub(crate) async fn deliver_to_first(&self, frame: Frame, size: usize) -> Result<()> {
        if !may_branch(frame.header.kind) {
            return Err(Error::protocol("a frame on a further connection that must stay on the first"));
        }
        self.branching.is_used.store(true, Ordering::Release);
        let first = self.first().ok_or(Error::Cancelled)?;
        first.data_in.push_async(frame, size).await
    }

    /// A branch says nothing.
    pub(crate) fn check_message(&self, number: u64) -> Result<()> {
        if self.is_branch() && number >= MESSAGES_MAX {
            return Err(Error::protocol("a message on a further connection"));
        }
        Ok(())
    }

    pub(crate) fn is_branch(&self) -> bool {
        self.first.get().is_some()
    }

    /// The link that this is a branch of, while there is one.
    pub(crate) fn first(&self) -> Option<Arc<Link>> {
        self.first.get()?.upgrade()
    }

    pub(crate) fn branches(&self) -> Vec<Arc<Link>> {
        self.lock_branches().links.clone()
    }

    /// Takes no more branches; those that there are.
    pub(crate) fn close_branches(&self) -> Vec<Arc<Link>> {
        let mut branches = self.lock_branches();
        branches.closed = true;
        branches.links.clone()
    }

    /// Nothing more comes on this connection: data is at its end when that is so for all.
    pub(crate) fn tell_end(&self) {
        if self.is_branch() {
            if let Some(first) = self.leave() {
                first.lock_branches().open -= 1;
                first.forget(self);
                first.close_if_all_ended();
            }
            return;
        }
        let mut branches = self.lock_branches();
        branches.closed = true;
        branches.has_ended = true;
        drop(branches);
        self.close_if_all_ended();
    }

    fn close_if_all_ended(&self) {
        let branches = self.lock_branches();
        if branches.has_ended && branches.open == 0 {
            self.data_in.close();
        }
    }

    /// The link to be told of the end of this branch; once.
    fn leave(&self) -> Option<Arc<Link>> {
        if self.branching.has_left.swap(true, Ordering::AcqRel) { None } else { self.first() }
    }

    /// One that never carried anything leaves no trace.
    fn forget(&self, branch: &Link) {
        if !branch.branching.is_used.load(Ordering::Acquire) {
            self.lock_branches().links.retain(|each| !std::ptr::eq(&**each, branch));
        }
    }

    /// This connection failed: with a link fail its branches, with a branch that was used its link.
    pub(crate) fn tell_failure(&self, error: &Error) {
        if self.is_branch() {
            if let Some(first) = self.leave() {
                first.lock_branches().open -= 1;
                first.forget(self);
                first.lose_branch(self, error);
            }
            return;
        }
        let mut branches = self.lock_branches();
        branches.closed = true;
        if std::mem::replace(&mut branches.has_failed, true) {
            return;
        }
        let links = branches.links.clone();
        drop(branches);
        let reason = self.abort_reason();
        for branch in links {
            branch.stop_for(reason.clone(), error);
        }
    }

    fn lose_branch(&self, branch: &Link, error: &Error) {
        if !branch.branching.is_used.load(Ordering::Acquire) {
            self.close_if_all_ended();
        } else if self.messages_out.is_closed() {
            // This side has said all: what the other one says last may still come.
            self.data_in.fail(error.clone());
        } else {
            self.stop_for(None, error);
        }
    }

    /// Ends this connection because of another one.
    fn stop_for(&self, reason: Option<(u32, String)>, error: &Error) {
        // A network that fails is nobody's fault: the other side comes again.
        let code = if matches!(error, Error::Protocol(_)) { PROTOCOL_CODE } else { 0 };
        let text = if code == 0 { String::new() } else { error.to_string() };
        self.abort
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason.unwrap_or((code, text)));
        self.fail(error);
        self.aborted.notify_one();
    }

    fn lock_branches(&self) -> MutexGuard<'_, Branches> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was asked for: what it belongs to has arrived.
fn may_branch(kind: Kind) -> bool {
    matches!(kind, Kind::Chunk | Kind::Fragments)
}
