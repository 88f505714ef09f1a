//! A file's content as runs of fragments, kept as the file table has them: a few bytes a run instead of sixteen.
//!
//! A table may hold millions of runs in a few stored bytes; so what they take in memory is bounded by the page's raw size.

use crate::columns::{unzigzag, zigzag};
use crate::entry::Run;

/// Runs in order, all but the last encoded as in column `rr` of docs/format.md §7, from ordinal 0 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    encoded: Vec<u8>,
    /// Ordinal behind the last encoded run.
    end: u64,
    last: Option<Run>,
    length: usize,
}

impl Recipe {
    /// An empty one with room for so many encoded bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { encoded: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Append a run.
    pub fn push(&mut self, run: Run) {
        if let Some(last) = self.last.replace(run) {
            put_run(&mut self.encoded, self.end, last);
            self.end = last.first.wrapping_add(last.count);
        }
        self.length += 1;
    }

    /// Append one fragment, to the last run if it follows it.
    pub fn refer(&mut self, ordinal: u64) {
        match &mut self.last {
            Some(run) if run.first + run.count == ordinal => run.count += 1,
            _ => self.push(Run { first: ordinal, count: 1 }),
        }
    }

    /// Number of runs.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forget all runs.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes on the heap.
    pub fn weight(&self) -> usize {
        self.encoded.capacity()
    }

    /// Give back what was reserved too much.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.encoded.shrink_to_fit();
    }

    /// The runs, decoded one by one.
    pub fn iter(&self) -> Runs<'_> {
        Runs { rest: &self.encoded, end: 0, last: self.last }
    }

    /// All runs encoded, from ordinal 0 on: all but the last, and the last. Together they may be large, so they are not joined.
    pub fn encoded(&self) -> (&[u8], Vec<u8>) {
        let mut last = Vec::new();
        self.last.into_iter().for_each(|run| put_run(&mut last, self.end, run));
        (&self.encoded, last)
    }
}

impl FromIterator<Run> for Recipe {
    fn from_iter<I: IntoIterator<Item = Run>>(runs: I) -> Self {
        let mut recipe = Self::default();
        runs.into_iter().for_each(|run| recipe.push(run));
        recipe
    }
}

impl From<Vec<Run>> for Recipe {
    fn from(runs: Vec<Run>) -> Self {
        runs.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Recipe {
    type Item = Run;
    type IntoIter = Runs<'a>;

    fn into_iter(self) -> Runs<'a> {
        self.iter()
    }
}

/// Runs of a [`Recipe`].
#[derive(Clone, Debug)]
pub struct Runs<'a> {
    rest: &'a [u8],
    end: u64,
    last: Option<Run>,
}

impl<'a> Runs<'a> {
    /// The runs of a whole encoded recipe, as [`Recipe::encoded`] gives it.
    pub fn of(encoded: &'a [u8]) -> Self {
        Self { rest: encoded, end: 0, last: None }
    }

    /// Encoded bytes that are left, and the ordinal behind the run before them.
    pub fn place(&self) -> (usize, u64) {
        (self.rest.len(), self.end)
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        if self.rest.is_empty() {
            return self.last.take();
        }
        let first = self.end.wrapping_add(unzigzag(take_varint(&mut self.rest)));
        let count = take_varint(&mut self.rest);
        self.end = first.wrapping_add(count);
        Some(Run { first, count })
    }
}

/// A run as column `rr` has it, behind one that ends at `end`.
fn put_run(out: &mut Vec<u8>, end: u64, run: Run) {
    put_varint(out, zigzag(run.first.wrapping_sub(end)));
    put_varint(out, run.count);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number that [`put_varint`] wrote.
fn take_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((byte, behind)) = rest.split_first() else {
            break;
        };
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
    #[test]
    fn runs_come_back(runs in proptest::collection::vec((any::<u64>(), 1..u64::MAX), 0..20)) {
        let runs: Vec<_> = runs.into_iter().map(|(first, count)| Run { first, count }).collect();
        let recipe = Recipe::from(runs.clone());
        prop_assert_eq!(recipe.len(), runs.len());
        prop_assert_eq!(&recipe.iter().collect::<Vec<_>>(), &runs);
        let (head, last) = recipe.encoded();
        prop_assert_eq!(Runs::of(&[head, &last].concat()).collect::<Vec<_>>(), runs);
    }
    }

    #[test]
    fn fragments_in_a_row_are_one_run() {
        let mut recipe = Recipe::default();
        [5, 6, 7, 2, 3].into_iter().for_each(|ordinal| recipe.refer(ordinal));
        assert_eq!(recipe, Recipe::from(vec![Run { first: 5, count: 3 }, Run { first: 2, count: 2 }]));
    }
}
