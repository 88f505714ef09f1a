//! Bytes that stay where they were read, and are copied only where that would keep much more than them in memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::pool::Lent;

/// A place in a buffer.
type Piece = (Arc<Lent>, Range<usize>);

/// A buffer that parts of a rope hold on to.
struct Owner(Arc<Lent>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes in order. At least half of each buffer that it keeps is in it, but for the last one.
#[derive(Default)]
pub(super) struct Rope {
    done: Vec<Bytes>,
    /// Copies behind those, which go on.
    copied: Vec<u8>,
    /// Pieces of one buffer behind those, on which it is not decided.
    open: Vec<Piece>,
}

impl Rope {
    /// Appends a part of a buffer.
    pub fn push(&mut self, buffer: &Arc<Lent>, range: Range<usize>) {
        if let Some((last, before)) = self.open.last_mut().filter(|(last, _)| Arc::ptr_eq(last, buffer)) {
            if before.end == range.start {
                before.end = range.end;
            } else {
                let piece = (Arc::clone(last), range);
                self.open.push(piece);
            }
            return;
        }
        self.settle();
        self.open.push((Arc::clone(buffer), range));
    }

    /// All of it, in as few pieces as it lies in.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.settle();
        self.keep_copied();
        std::mem::take(&mut self.done)
    }

    fn settle(&mut self) {
        let Some((buffer, _)) = self.open.first() else { return };
        let used: usize = self.open.iter().map(|(_, range)| range.len()).sum();
        if 2 * used >= buffer.bytes.capacity() {
            let whole = Bytes::from_owner(Owner(Arc::clone(buffer)));
            self.keep_copied();
            self.done.extend(self.open.drain(..).map(|(_, range)| whole.slice(range)));
        } else {
            for (buffer, range) in self.open.drain(..) {
                self.copied.extend_from_slice(buffer.get(range).unwrap_or_default());
            }
        }
    }

    fn keep_copied(&mut self) {
        if !self.copied.is_empty() {
            self.done.push(std::mem::take(&mut self.copied).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pool::Pool;
    use super::*;

    const BUFFER: usize = 100;

    proptest! {
        #[test]
        fn it_holds_what_was_pushed_and_little_more(
            parts in prop::collection::vec((0..3usize, 0..BUFFER, 0..BUFFER, any::<bool>()), 0..60),
        ) {
            let pool = Arc::new(Pool::new(4));
            let mut made = Vec::new();
            let mut fresh = |seed: usize| {
                let bytes = (0..BUFFER).map(|at| (seed * 31 + at) as u8).collect::<Vec<_>>();
                let buffer = Arc::new(pool.own(bytes));
                made.push(Arc::downgrade(&buffer));
                buffer
            };
            let mut buffers = [fresh(0), fresh(1), fresh(2)];
            let (mut rope, mut expected) = (Rope::default(), Vec::new());
            for (number, (which, one, other, is_new)) in parts.into_iter().enumerate() {
                if is_new {
                    buffers[which] = fresh(number);
                }
                let range = one.min(other)..one.max(other);
                expected.extend_from_slice(&buffers[which][range.clone()]);
                rope.push(&buffers[which], range);
            }
            let pieces = rope.take();
            prop_assert_eq!(pieces.concat(), expected);
            drop(buffers);
            let kept = made.iter().filter(|buffer| buffer.strong_count() > 0).count() * BUFFER;
            prop_assert!(kept <= 2 * pieces.iter().map(Bytes::len).sum::<usize>());
            prop_assert!(rope.take().is_empty());
        }
    }
}
