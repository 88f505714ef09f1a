//! The catalogue of a tree that is sent while it is read: pages that list entries and the fragments that are new in each.
//!
//! [`Listing`] is what a page says; [`PageStore`] keeps the pages of a session on disk, for both sides; [`Journal`] tells
//! which fragments were durable when a side was killed, and [`Cuts`] how files were cut before the source was.

mod cuts;
mod journal;
mod layout;
mod listing;
mod noted;
mod record;
mod store;

pub use cuts::{CutFile, CutPart, CutRecords, Cuts, is_settled};
pub use journal::{Journal, Restored, Spans};
pub use layout::{Again, Layout, Place};
pub use listing::{Listing, MOST_BYTES, MOST_FRAGMENTS};
pub use noted::Noted;
pub use store::{PageStore, StoredPage};
