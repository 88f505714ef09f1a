//! Every key of one scope, derived once from its archive key (docs/format.md §4).

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::digest::{self, Digest, FragmentId};
use crate::{Error, Result};

/// How objects of an archive are sealed; the values are those of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Suite {
    /// Not encrypted.
    Plain = 0,
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305 = 1,
    /// AES-256-GCM.
    Aes256Gcm = 2,
}

impl TryFrom<u8> for Suite {
    type Error = Error;

    fn try_from(value: u8) -> Result<Self> {
        match value {
            0 => Ok(Self::Plain),
            1 => Ok(Self::ChaCha20Poly1305),
            2 => Ok(Self::Aes256Gcm),
            _ => Err(Error::format(format!("suite {value}"))),
        }
    }
}

/// The type of a sealed object: it selects the keys, so that one type never opens as another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ObjectKind {
    /// Data: consecutive fragments.
    Chunk = 1,
    /// Metadata: index and file-table pages.
    Page = 2,
    /// The sealed part of a table of contents.
    Toc = 3,
}

impl ObjectKind {
    /// All kinds, in the order of their values.
    const ALL: [Self; 3] = [Self::Chunk, Self::Page, Self::Toc];

    /// Raw bytes above which it is stored uncompressed (docs/format.md §5), so that a small file cannot become large in memory.
    pub fn max_compressed(self) -> usize {
        match self {
            Self::Chunk => usize::MAX,
            Self::Page => 4 << 20,
            Self::Toc => 16 << 20,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Page => "page",
            Self::Toc => "toc",
        }
    }
}

impl TryFrom<u8> for ObjectKind {
    type Error = Error;

    fn try_from(value: u8) -> Result<Self> {
        match value {
            1 => Ok(Self::Chunk),
            2 => Ok(Self::Page),
            3 => Ok(Self::Toc),
            _ => Err(Error::format(format!("object kind {value}"))),
        }
    }
}

/// The two keys of one object kind.
#[derive(Zeroize)]
pub(crate) struct ObjectKeys {
    /// Keys the digest `dp` of the payload.
    pub(crate) payload_digest: [u8; 32],
    /// Keys the XOF that yields key, nonce and commitment.
    pub(crate) object: [u8; 32],
}

impl ObjectKeys {
    fn derive(kind: ObjectKind, secret: &[u8; 32]) -> Self {
        let name = kind.name();
        Self {
            payload_digest: digest::derive(&format!("{name} payload digest"), secret),
            object: digest::derive(&format!("{name} key"), secret),
        }
    }
}

/// The keys of one read scope. Wiped on drop, never shown.
#[derive(ZeroizeOnDrop)]
pub struct ScopeKeys {
    #[zeroize(skip)]
    suite: Suite,
    objects: [ObjectKeys; 3],
    fragment_id: [u8; 32],
    cutter: [u8; 32],
    header_mac: [u8; 32],
    slot_mac: [u8; 32],
    commit_mac: [u8; 32],
    commitment: Digest,
}

impl ScopeKeys {
    /// Derives all keys. `archive_key` is `None` exactly if `suite` is [`Suite::Plain`]; then S is zero.
    ///
    /// # Errors
    /// [`Error::Parameter`] if key and suite do not go together.
    pub fn new(archive_key: Option<&[u8; 32]>, suite: Suite) -> Result<Self> {
        let mut secret = match (archive_key, suite) {
            (None, Suite::Plain) => [0; 32],
            (Some(key), Suite::ChaCha20Poly1305 | Suite::Aes256Gcm) => digest::derive("archive scope", key),
            _ => {
                return Err(Error::Parameter("suite: a key and an encrypting suite go together".into()));
            }
        };
        let keys = Self {
            suite,
            objects: ObjectKind::ALL.map(|kind| ObjectKeys::derive(kind, &secret)),
            fragment_id: digest::derive("fragment id", &secret),
            cutter: digest::derive("cutter", &secret),
            header_mac: digest::derive("header mac", &secret),
            slot_mac: digest::derive("slot mac", &secret),
            commit_mac: digest::derive("commit mac", &secret),
            commitment: digest::derive("key commitment", &secret),
        };
        secret.zeroize();
        Ok(keys)
    }

    /// The suite objects of this scope are sealed with.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The id of a fragment that lies in one buffer.
    pub fn fragment_id(&self, data: &[u8]) -> FragmentId {
        truncated(&digest::keyed(&self.fragment_id, data))
    }

    /// A hasher keyed for fragment ids, for fragments that lie in several buffers; the id is the first 24 bytes.
    pub fn fragment_hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.fragment_id)
    }

    /// The key of the cutter's table.
    pub fn cutter_key(&self) -> &[u8; 32] {
        &self.cutter
    }

    /// The key commitment of the header: public, and zero if the archive is plain.
    pub fn commitment(&self) -> Digest {
        match self.suite {
            Suite::Plain => [0; 32],
            _ => self.commitment,
        }
    }

    /// The header's MAC over `d`.
    pub fn header_mac(&self, d: &[u8]) -> Digest {
        digest::keyed(&self.header_mac, d)
    }

    /// A slot copy's MAC over `d`.
    pub fn slot_mac(&self, d: &[u8]) -> Digest {
        digest::keyed(&self.slot_mac, d)
    }

    /// A commit's MAC over `d`: 16 bytes, zero if the archive is plain.
    pub fn commit_mac(&self, d: &[u8]) -> [u8; 16] {
        match self.suite {
            Suite::Plain => [0; 16],
            _ => truncated(&digest::keyed(&self.commit_mac, d)),
        }
    }

    pub(crate) fn object(&self, kind: ObjectKind) -> &ObjectKeys {
        let [chunk, page, toc] = &self.objects;
        match kind {
            ObjectKind::Chunk => chunk,
            ObjectKind::Page => page,
            ObjectKind::Toc => toc,
        }
    }
}

impl fmt::Debug for ScopeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeKeys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// The first `N` ≤ 32 bytes of a digest.
fn truncated<const N: usize>(digest: &Digest) -> [u8; N] {
    const { assert!(N <= 32) };
    std::array::from_fn(|i| digest[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_an_encrypting_suite_go_together() {
        assert!(ScopeKeys::new(None, Suite::Plain).is_ok());
        assert!(ScopeKeys::new(Some(&[1; 32]), Suite::Aes256Gcm).is_ok());
        assert!(ScopeKeys::new(Some(&[1; 32]), Suite::Plain).is_err());
        assert!(ScopeKeys::new(None, Suite::ChaCha20Poly1305).is_err());
    }

    #[test]
    fn keys_follow_the_format() {
        let keys = ScopeKeys::new(Some(&[1; 32]), Suite::ChaCha20Poly1305).unwrap();
        let secret = digest::derive("archive scope", &[1; 32]);
        assert_eq!(keys.commitment(), digest::derive("key commitment", &secret));
        assert_eq!(keys.cutter_key(), &digest::derive("cutter", &secret));
        let id = digest::keyed(&digest::derive("fragment id", &secret), b"x");
        assert_eq!(keys.fragment_id(b"x"), id[..24]);
        assert_eq!(keys.fragment_hasher().update(b"x").finalize().as_bytes(), &id);
        assert_eq!(keys.commit_mac(b"x"), digest::keyed(&digest::derive("commit mac", &secret), b"x")[..16]);
        assert_eq!(keys.header_mac(b"x"), digest::keyed(&digest::derive("header mac", &secret), b"x"));
        assert_eq!(keys.slot_mac(b"x"), digest::keyed(&digest::derive("slot mac", &secret), b"x"));
    }

    #[test]
    fn a_plain_scope_shows_no_commitment_and_its_secret_is_zero() {
        let keys = ScopeKeys::new(None, Suite::Plain).unwrap();
        assert_eq!(keys.commitment(), [0; 32]);
        assert_eq!(keys.commit_mac(b"x"), [0; 16]);
        assert_eq!(keys.cutter_key(), &digest::derive("cutter", &[0; 32]));
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = ScopeKeys::new(Some(&[1; 32]), Suite::Aes256Gcm).unwrap();
        assert_eq!(format!("{keys:?}"), "ScopeKeys { suite: Aes256Gcm, .. }");
    }
}
