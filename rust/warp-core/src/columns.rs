//! Columns of a file-table page.

/// One column of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// A number.
    Int(u64),
    /// Packed bytes.
    Bytes(Vec<u8>),
    /// Sets of extended attributes.
    Sets(Vec<Vec<(Vec<u8>, Vec<u8>)>>),
}

/// A borrowed column, to be parsed.
#[derive(Clone, Debug)]
pub enum ColumnRef<'a> {
    /// A number.
    Int(u64),
    /// Packed bytes.
    Bytes(&'a [u8]),
    /// Sets of extended attributes: (name, value) pairs.
    Sets(Vec<Vec<(&'a [u8], &'a [u8])>>),
}

/// The columns of a page in their order, to be parsed.
pub type ColumnSource<'a> = [(&'a str, ColumnRef<'a>)];
