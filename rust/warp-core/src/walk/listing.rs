//! The sorted names of one directory.

use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir};

/// Bytes of directory entries that one call to the kernel may give.
const BUFFER: usize = 64 * 1024;

/// Scratch memory for [`Listing::read`], kept from one directory to the next.
#[derive(Debug)]
pub(super) struct ListingBuffer(Vec<u8>);

impl Default for ListingBuffer {
    fn default() -> Self {
        Self(Vec::with_capacity(BUFFER))
    }
}

/// One name: where its bytes are, and its first eight as a number, which settle most comparisons.
#[derive(Clone, Copy, Debug)]
struct Name {
    head: u64,
    start: u32,
    length: u16,
    kind: FileType,
}

/// The names of one directory, bytewise ascending, in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Listing {
    bytes: Vec<u8>,
    names: Vec<Name>,
    next: usize,
}

impl Listing {
    /// Read all names of an opened directory, in place of those held before. On an error those read so far are kept.
    pub fn read(&mut self, directory: impl AsFd, buffer: &mut ListingBuffer) -> rustix::io::Result<()> {
        self.bytes.clear();
        self.names.clear();
        self.next = 0;
        let read = self.fill(directory, buffer);
        let bytes = &self.bytes;
        self.names
            .sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| a.bytes(bytes).cmp(b.bytes(bytes))));
        read
    }

    fn fill(&mut self, directory: impl AsFd, buffer: &mut ListingBuffer) -> rustix::io::Result<()> {
        let mut entries = RawDir::new(directory, buffer.0.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) else {
                return Err(rustix::io::Errno::OVERFLOW);
            };
            self.bytes.extend_from_slice(name);
            self.names.push(Name { head: head(name), start, length, kind: entry.file_type() });
        }
        Ok(())
    }

    /// The next name with the type that the directory tells, if it tells one.
    pub fn next(&mut self) -> Option<(&[u8], FileType)> {
        let name = self.names.get(self.next)?;
        self.next += 1;
        Some((name.bytes(&self.bytes), name.kind))
    }

    /// Forget all names but this one.
    pub fn keep_only(&mut self, wanted: &[u8]) {
        let bytes = &self.bytes;
        self.names.retain(|name| name.bytes(bytes) == wanted);
    }

    /// Whether this name is there.
    pub fn contains(&self, wanted: &[u8]) -> bool {
        self.names.binary_search_by(|name| name.bytes(&self.bytes).cmp(wanted)).is_ok()
    }

    /// Forget the names that are left.
    pub fn clear(&mut self) {
        self.names.clear();
    }
}

impl Name {
    fn bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start as usize..self.start as usize + usize::from(self.length)).unwrap_or_default()
    }
}

/// The first eight bytes of a name as a big-endian number, so that numbers sort as the bytes do.
fn head(name: &[u8]) -> u64 {
    let mut head = [0; 8];
    for (to, from) in head.iter_mut().zip(name) {
        *to = *from;
    }
    u64::from_be_bytes(head)
}
