//! BLAKE3 in the four shapes the format uses: plain, keyed, derive-key and keyed XOF (docs/format.md).

/// A BLAKE3 digest.
pub type Digest = [u8; 32];
/// The first 24 bytes of a fragment's keyed digest (docs/format.md §6).
pub type FragmentId = [u8; 24];

/// Plain BLAKE3 of `data`.
pub fn hash(data: &[u8]) -> Digest {
    *blake3::hash(data).as_bytes()
}

/// Keyed BLAKE3 of `data`.
pub fn keyed(key: &[u8; 32], data: &[u8]) -> Digest {
    *blake3::keyed_hash(key, data).as_bytes()
}

/// `derive_key` mode with the context `"warp-portal 2026-11 <purpose> v1"`.
pub fn derive(purpose: &str, ikm: &[u8]) -> [u8; 32] {
    blake3::derive_key(&format!("warp-portal 2026-11 {purpose} v1"), ikm)
}

/// Keyed BLAKE3 of the joined `parts`, read to the length of `out`.
pub fn keyed_xof(key: &[u8; 32], parts: &[&[u8]], out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize_xof().fill(out);
}

/// Plain BLAKE3 of bytes that come one after the other.
#[derive(Clone, Debug, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Takes more bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of all bytes so far.
    pub fn digest(&self) -> Digest {
        *self.0.finalize().as_bytes()
    }
}

/// What a BLAKE3 hash is keyed with.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// Nothing.
    Plain,
    /// A key.
    Keyed(&'a [u8; 32]),
    /// A context string; the data is key material.
    DeriveKey(&'a str),
}

/// BLAKE3 of `data` in any mode, to be read to any length.
pub fn extended(mode: Mode<'_>, data: &[u8]) -> blake3::OutputReader {
    let mut hasher = match mode {
        Mode::Plain => blake3::Hasher::new(),
        Mode::Keyed(key) => blake3::Hasher::new_keyed(key),
        Mode::DeriveKey(context) => blake3::Hasher::new_derive_key(context),
    };
    hasher.update(data).finalize_xof()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derive_uses_the_documented_context() {
        let expected = blake3::derive_key("warp-portal 2026-11 fragment id v1", &[7; 32]);
        assert_eq!(derive("fragment id", &[7; 32]), expected);
    }

    #[test]
    fn xof_starts_with_the_keyed_digest_of_the_joined_parts() {
        let mut out = [0; 76];
        keyed_xof(&[3; 32], &[b"ab", b"", b"c"], &mut out);
        assert_eq!(out[..32], keyed(&[3; 32], b"abc"));
    }
}
