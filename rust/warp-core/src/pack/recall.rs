//! What an earlier try of a catalogue has read and cut is taken from its notes, if the file is still what it was.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::batch;
use super::large::LargeFile;
use super::sequence::{Bytes, Item, Message};
use super::shared::Shared;
use crate::Result;
use crate::catalogue::{CutFile, CutPart, is_settled};
use crate::entry::{Entry, FLAG_CHANGED_WHILE_READ, FLAG_SPARSE};
use crate::walk::WalkEntry;

/// Records that become one message: about a thousand fragments.
const JOINED: usize = 16;

/// What is known of a large file.
#[derive(Default)]
pub(super) struct Cut {
    /// What it is, if how it is cut is to be noted.
    pub file: Option<CutFile>,
    /// Its first parts, joined.
    pub parts: Vec<Vec<CutPart>>,
    /// Bytes of data that they have.
    pub length: u64,
}

/// What is known of a large file with so much data, which is open, and its entry up to date since `now`.
pub(super) fn large(shared: &Shared, item: &WalkEntry, data: u64, now: SystemTime) -> Cut {
    let Some(cuts) = &shared.cuts else { return Cut::default() };
    let file = cuts.file(item.device, &item.entry);
    let mut parts = cuts.parts(&file);
    let mut length: u64 = parts.iter().map(|part| part.length).sum();
    if length > data {
        (length, parts) = (0, Vec::new());
    }
    let parts = parts.chunks(JOINED).map(<[_]>::to_vec).collect();
    Cut { file: is_settled(&item.entry, now).then_some(file), parts, length }
}

/// A part of a large file, without its bytes.
///
/// # Errors
/// As of `Cuts::read`.
pub(super) fn part(shared: &Shared, file: &Arc<LargeFile>, number: u64, cut: &[CutPart]) -> Result<()> {
    let items = unread(shared, cut)?;
    let (sequence, cost) = file.place();
    let message = Message { items, cost, source: Some(Arc::clone(file)), ..Message::default() };
    shared.deliver((sequence, number), message);
    Ok(())
}

/// Whether all of a small file is known: then it is in `out`, without its bytes. One that may have holes is read, since only the open
/// file tells where they are.
pub(super) fn small(shared: &Shared, item: &mut WalkEntry, out: &mut Message) -> io::Result<bool> {
    let Some(cuts) = shared.cuts.as_ref().filter(|_| !batch::may_have_holes(item)) else { return Ok(false) };
    let parts = cuts.parts(&cuts.file(item.device, &item.entry));
    if parts.iter().map(|part| part.length).sum::<u64>() != item.entry.size {
        return Ok(false);
    }
    // What can't be taken from notes is read.
    let Ok(items) = unread(shared, &parts) else { return Ok(false) };
    if parts.iter().any(|part| part.attributes) {
        item.entry.xattrs = item.xattrs(&shared.xattrs, None)?;
    }
    out.items.extend(items);
    Ok(true)
}

fn unread(shared: &Shared, cut: &[CutPart]) -> Result<Vec<Item>> {
    let mut fragments = Vec::new();
    for part in cut {
        shared.cuts.iter().try_for_each(|cuts| cuts.read(part, &mut fragments))?;
    }
    let item = |(length, id)| Item::Fragment { id, length, bytes: Bytes::Unread(length) };
    Ok(fragments.into_iter().map(item).collect())
}

/// The note that a small file is cut as it was now, if it is worth something; it began to be read at `now`.
pub(super) fn note(shared: &Shared, (device, entry): (u64, &Entry), now: SystemTime) -> Option<Item> {
    let cuts = shared.cuts.as_ref()?;
    let is_whole = entry.flags & (FLAG_CHANGED_WHILE_READ | FLAG_SPARSE) == 0;
    let file = (is_whole && is_settled(entry, now)).then(|| cuts.file(device, entry))?;
    Some(Item::Cut { file, attributes: !entry.xattrs.is_empty() })
}
