//! What a page of a catalogue says, and its bytes: one MessagePack map of the columns of a file-table page and four more.

use rmp::decode::{self, Bytes};
use rmp::encode;

use crate::columns::{Column, ColumnRef, KEYS};
use crate::digest::FragmentId;
use crate::table::EntryTable;
use crate::{Error, Result};

/// Keys behind those of the file table's columns, in this order.
const CONTINUES: &str = "co";
const RESUMES: &str = "re";
const LENGTHS: &str = "fl";
const IDS: &str = "fi";
/// No page has more new fragments.
pub const MOST_FRAGMENTS: usize = 2048;
/// No page has more entries, or sets of extended attributes.
const MOST_ENTRIES: usize = 4096;
/// Bytes of a page, raw.
pub const MOST_BYTES: usize = 8 << 20;

/// A page of a catalogue (docs/transfer-protocol.md §6). Recipes count the fragments of all pages, from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Entries in archive order: those that end in this page, and a large file that does not.
    pub table: EntryTable,
    /// The first entry is the last one of the page before, with more of its recipe. If it is not so although that one went on,
    /// that file was given up, or begins anew.
    pub resumes: bool,
    /// The last entry goes on.
    pub continues: bool,
    /// Length and id of each fragment that is new in this page.
    pub fragments: Vec<(u32, FragmentId)>,
}

impl Listing {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let columns = self.table.to_columns();
        let mut out = Vec::with_capacity(self.fragments.len() * 28 + 4096);
        // Writing to memory does not fail.
        let _ = encode::write_map_len(&mut out, (KEYS.len() + 4) as u32);
        for (key, column) in &columns {
            let _ = encode::write_str(&mut out, key);
            put_column(&mut out, column);
        }
        for (key, value) in [(CONTINUES, self.continues), (RESUMES, self.resumes)] {
            let _ = encode::write_str(&mut out, key);
            let _ = encode::write_bool(&mut out, value);
        }
        let lengths: Vec<u8> = self.fragments.iter().flat_map(|(length, _)| length.to_le_bytes()).collect();
        let ids: Vec<u8> = self.fragments.iter().flat_map(|(_, id)| *id).collect();
        for (key, column) in [(LENGTHS, lengths), (IDS, ids)] {
            let _ = encode::write_str(&mut out, key);
            let _ = encode::write_bin(&mut out, &column);
        }
        out
    }

    /// Reads a page whose fragments have at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::Format`] for anything that [`Listing::encode`] does not give.
    pub fn decode(raw: &[u8], most: u32) -> Result<Self> {
        if raw.len() > MOST_BYTES {
            return Err(malformed("longer than a page may be"));
        }
        let mut reader = Reader(Bytes::new(raw));
        if reader.map()? as usize != KEYS.len() + 4 {
            return Err(malformed("other keys"));
        }
        let mut columns = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            reader.key(key)?;
            columns.push((key, reader.column(key)?));
        }
        let continues = reader.flag(CONTINUES)?;
        let resumes = reader.flag(RESUMES)?;
        reader.key(LENGTHS)?;
        let lengths = reader.binary()?;
        reader.key(IDS)?;
        let ids = reader.binary()?;
        if !reader.0.remaining_slice().is_empty() {
            return Err(malformed("bytes behind its end"));
        }
        let table = EntryTable::from_columns(&columns)?;
        let listing = Self { table, resumes, continues, fragments: fragments(lengths, ids, most)? };
        let is_open = listing.resumes || listing.continues;
        if is_open && listing.table.entries.is_empty() {
            return Err(malformed("it goes on without an entry"));
        }
        Ok(listing)
    }
}

fn put_column(out: &mut Vec<u8>, column: &Column) {
    match column {
        Column::Int(number) => drop(encode::write_uint(out, *number)),
        Column::Bytes(bytes) => drop(encode::write_bin(out, bytes)),
        Column::Sets(sets) => {
            let _ = encode::write_array_len(out, sets.len() as u32);
            for set in sets {
                let _ = encode::write_array_len(out, set.len() as u32);
                for (name, value) in set {
                    let _ = encode::write_array_len(out, 2);
                    let _ = encode::write_bin(out, name);
                    let _ = encode::write_bin(out, value);
                }
            }
        }
    }
}

fn fragments(lengths: &[u8], ids: &[u8], most: u32) -> Result<Vec<(u32, FragmentId)>> {
    let (lengths, rest) = lengths.as_chunks::<4>();
    let (ids, more) = ids.as_chunks::<24>();
    if !rest.is_empty() || !more.is_empty() || lengths.len() != ids.len() || ids.len() > MOST_FRAGMENTS {
        return Err(malformed("lengths and ids of its fragments"));
    }
    let lengths = lengths.iter().map(|length| u32::from_le_bytes(*length));
    if lengths.clone().any(|length| !(1..=most).contains(&length)) {
        return Err(malformed("a fragment's length"));
    }
    Ok(lengths.zip(ids.iter().copied()).collect())
}

#[cold]
fn malformed(why: &str) -> Error {
    Error::format(format!("catalogue page: {why}"))
}

/// Reads MessagePack; every length is checked against what is left.
struct Reader<'a>(Bytes<'a>);

impl<'a> Reader<'a> {
    /// Reads a number or a length, which must be written as we would: in the shortest form.
    fn head<T: Copy, E, W>(
        &mut self,
        read: impl FnOnce(&mut Bytes<'a>) -> std::result::Result<T, E>,
        write: impl FnOnce(&mut Vec<u8>, T) -> W,
        missing: &str,
    ) -> Result<T> {
        let before = self.0.remaining_slice();
        let value = read(&mut self.0).map_err(|_| malformed(missing))?;
        let mut shortest = Vec::new();
        // What is written to memory does not fail.
        let _ = write(&mut shortest, value);
        let used = before.len() - self.0.remaining_slice().len();
        let is_shortest = before.get(..used) == Some(shortest.as_slice());
        if is_shortest { Ok(value) } else { Err(malformed("a number that is not in its shortest form")) }
    }

    fn map(&mut self) -> Result<u32> {
        self.head(decode::read_map_len, encode::write_map_len, "no map")
    }

    fn key(&mut self, key: &str) -> Result<()> {
        let length = self.head(decode::read_str_len, encode::write_str_len, "no key")?;
        if self.take(length)? == key.as_bytes() { Ok(()) } else { Err(malformed("another key")) }
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        self.key(key)?;
        decode::read_bool(&mut self.0).map_err(|_| malformed("no flag"))
    }

    fn binary(&mut self) -> Result<&'a [u8]> {
        let length = self.head(decode::read_bin_len, encode::write_bin_len, "no bytes")?;
        self.take(length)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .remaining_slice()
            .split_at_checked(length as usize)
            .ok_or_else(|| malformed("cut short"))?;
        self.0 = Bytes::new(rest);
        Ok(taken)
    }

    fn column(&mut self, key: &str) -> Result<ColumnRef<'a>> {
        Ok(match key {
            "n" => ColumnRef::Int(self.head(decode::read_int, encode::write_uint, "no number")?),
            "xd" => ColumnRef::Sets(self.array(MOST_ENTRIES, |reader| reader.array(MOST_BYTES, Self::pair))?),
            _ => ColumnRef::Bytes(self.binary()?),
        })
    }

    fn pair(&mut self) -> Result<(&'a [u8], &'a [u8])> {
        if self.array_length()? != 2 {
            return Err(malformed("an attribute that is no pair"));
        }
        Ok((self.binary()?, self.binary()?))
    }

    fn array_length(&mut self) -> Result<usize> {
        let length = self.head(decode::read_array_len, encode::write_array_len, "no array")? as usize;
        // Each item takes a byte at least.
        if length > self.0.remaining_slice().len() {
            return Err(malformed("cut short"));
        }
        Ok(length)
    }

    fn array<T>(&mut self, most: usize, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let length = self.array_length()?;
        if length > most {
            return Err(malformed("too many attributes"));
        }
        (0..length).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::{Entry, Kind, Timestamp};
    use crate::recipe::Recipe;

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Timestamp::default(),
            ctime: Timestamp::default(),
            inode: 1,
            link: Vec::new(),
            rdev: 0,
            flags: 0,
            xattrs: Vec::new().into(),
            extents: Vec::new(),
            runs: Recipe::default(),
        }
    }

    fn listing(fragments: Vec<(u32, FragmentId)>) -> Listing {
        let entries = vec![
            entry("a", Kind::Directory),
            Entry { xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())].into(), ..entry("a/b", Kind::Fifo) },
        ];
        Listing { table: EntryTable { entries }, resumes: false, continues: true, fragments }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(fragments in proptest::collection::vec((1u32..5000, any::<FragmentId>()), 0..20)) {
            let listing = listing(fragments);
            prop_assert_eq!(Listing::decode(&listing.encode(), 5000).unwrap(), listing);
        }

        #[test]
        fn any_bytes_are_read_or_refused(at in 0usize..400, byte: u8) {
            let mut raw = listing(vec![(7, [1; 24]), (9, [2; 24])]).encode();
            let at = at % raw.len();
            raw[at] = byte;
            if let Ok(listing) = Listing::decode(&raw, 5000) {
                prop_assert!(listing.fragments.len() == 2);
                prop_assert_eq!(listing.encode(), raw.clone());
            }
            raw.truncate(at);
            prop_assert!(Listing::decode(&raw, 5000).is_err());
        }
    }

    #[test]
    fn numbers_and_lengths_in_longer_forms_are_refused() {
        let raw = listing(vec![(7, [1; 24])]).encode();
        let count = raw.iter().position(|byte| *byte == b'n').unwrap() + 1;
        let bytes = count + 4;
        assert_eq!((raw[count], raw[bytes]), (2, 0xc4));
        let length = [0xc5, 0, raw[bytes + 1]];
        let longer = |at: usize, old: usize, new: &[u8]| [&raw[..at], new, &raw[at + old..]].concat();
        let forms = [
            longer(count, 1, &[0xcc, 2]),
            longer(count, 1, &[0xd1, 0, 2]),
            longer(bytes, 2, &length),
            longer(0, 3, &[0xdf, 0, 0, 0, 26]),
            longer(3, 1, &[0xd9, 1]),
        ];
        for form in forms {
            assert!(
                matches!(Listing::decode(&form, 5000), Err(Error::Format(why)) if why.contains("shortest"))
            );
        }
    }

    #[test]
    fn fragments_are_not_longer_than_the_cutter_makes_them() {
        let raw = listing(vec![(7, [1; 24])]).encode();
        assert!(Listing::decode(&raw, 7).is_ok());
        assert!(Listing::decode(&raw, 6).is_err());
    }
}
