//! Sealing of payloads: committing, deterministic authenticated encryption (docs/format.md §5).
//!
//! Key, nonce and commitment come from a keyed XOF over the digest `dp` of the very bytes that are encrypted, so
//! no nonce is used for two payloads, whatever a compressor, a crash or a clone of the machine does.
//!
//! `hdr 4 ‖ commit 32 ‖ ciphertext ‖ tag 16`, with `hdr ‖ commit` as the additional data.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::digest::{self, Digest};
use crate::keys::{ObjectKind, ScopeKeys, Suite};
use crate::{Error, Result};

const HEADER_LEN: usize = 4;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;
const PREFIX_LEN: usize = HEADER_LEN + COMMITMENT_LEN;
const OVERHEAD: usize = PREFIX_LEN + TAG_LEN;
const KEY_LEN: usize = 32;

/// Bytes to leave free before a payload: 36 for header and commitment, 0 in a plain scope.
pub fn prefix_len(suite: Suite) -> usize {
    match suite {
        Suite::Plain => 0,
        _ => PREFIX_LEN,
    }
}

/// Seals in place. `buffer` is [`prefix_len`] bytes ‖ payload and becomes the stored bytes, 16 longer.
///
/// Returns `dp`, the keyed digest of the payload, which [`open_in_place`] needs; in a plain scope too, where the
/// buffer stays as it is.
///
/// # Errors
/// [`Error::Parameter`] if the buffer is shorter than its prefix.
pub fn seal_in_place(keys: &ScopeKeys, kind: ObjectKind, buffer: &mut Vec<u8>) -> Result<Digest> {
    let (prefix, payload) = buffer
        .split_at_mut_checked(prefix_len(keys.suite()))
        .ok_or_else(|| Error::Parameter("buffer: no room for the seal's prefix".into()))?;
    let dp = digest::keyed(&keys.object(kind).payload_digest, payload);
    let Some(material) = Material::derive(keys, kind, &dp) else {
        return Ok(dp);
    };
    prefix.copy_from_slice(&material.prefix);
    let tag = material
        .key
        .seal_in_place_separate_tag(material.nonce, Aad::from(&material.prefix), payload)
        .map_err(|_| Error::Parameter("payload: too long to encrypt".into()))?;
    buffer.extend_from_slice(tag.as_ref());
    Ok(dp)
}

/// Opens `stored` in place and returns the payload inside it. `dp` is ignored in a plain scope.
///
/// # Errors
/// [`Error::Format`] if `stored` is too short for a seal, [`Error::Integrity`] if header, commitment or tag do not
/// match; then the content of `stored` is unspecified.
pub fn open_in_place<'a>(
    keys: &ScopeKeys,
    kind: ObjectKind,
    dp: &Digest,
    stored: &'a mut [u8],
) -> Result<&'a [u8]> {
    let Some(material) = Material::derive(keys, kind, dp) else {
        return Ok(stored);
    };
    if stored.len() < OVERHEAD {
        return Err(Error::format("sealed object: too short"));
    }
    let (prefix, body) = stored.split_at_mut(PREFIX_LEN);
    verify_slices_are_equal(prefix, &material.prefix)
        .map_err(|_| Error::integrity("sealed object: header or commitment differs"))?;
    let payload = material
        .key
        .open_in_place(material.nonce, Aad::from(&material.prefix), body)
        .map_err(|_| Error::integrity("sealed object: authentication failed"))?;
    Ok(payload)
}

/// What is derived from one payload's `dp`.
struct Material {
    key: LessSafeKey,
    nonce: Nonce,
    prefix: [u8; PREFIX_LEN],
}

impl Material {
    /// `None` in a plain scope.
    fn derive(keys: &ScopeKeys, kind: ObjectKind, dp: &Digest) -> Option<Self> {
        let algorithm = match keys.suite() {
            Suite::Plain => return None,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
            Suite::Aes256Gcm => &AES_256_GCM,
        };
        let header = [keys.suite() as u8, 0, 0, 0];
        let mut okm = Zeroizing::new([0; KEY_LEN + NONCE_LEN + COMMITMENT_LEN]);
        digest::keyed_xof(&keys.object(kind).object, &[&header, dp], okm.as_mut());
        let (key, rest) = okm.split_at(KEY_LEN);
        let (nonce, commitment) = rest.split_at(NONCE_LEN);
        let mut prefix = [0; PREFIX_LEN];
        prefix[..HEADER_LEN].copy_from_slice(&header);
        prefix[HEADER_LEN..].copy_from_slice(commitment);
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?),
            nonce: Nonce::try_assume_unique_for_key(nonce).ok()?,
            prefix,
        })
    }
}
