//! Inputs made of parts: `u32 length │ bytes`, one after the other. Any bytes are some list of parts.

/// Bytes of a part's length.
const HEAD: usize = 4;

/// The parts; the last one may be shorter than it says, and fewer than four bytes at the end are nothing.
pub fn split(data: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), data);
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let length = (u32::from_le_bytes(*head) as usize).min(after.len());
        let (part, after) = after.split_at(length);
        parts.push(part);
        rest = after;
    }
    parts
}

/// Exactly `N` parts: those missing are empty, those left over are dropped.
pub fn split_into<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let parts = split(data);
    std::array::from_fn(|at| parts.get(at).copied().unwrap_or_default())
}

/// The bytes of a list of parts.
pub fn join<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    let one = |part: &T| [&(part.as_ref().len() as u32).to_le_bytes()[..], part.as_ref()].concat();
    parts.iter().flat_map(one).collect()
}

/// The first bytes of a part as a little-endian number; bytes that are missing are zero.
pub fn number(part: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| part.get(at).copied().unwrap_or(0)))
}

/// The byte at a place, or zero.
pub fn byte(part: &[u8], at: usize) -> u8 {
    part.get(at).copied().unwrap_or(0)
}

/// Cut to `N` bytes, or filled up with zeros.
pub fn exactly<const N: usize>(part: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| byte(part, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_their_bytes() {
        let parts: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        assert_eq!(split(&join(&parts)), parts);
    }

    #[test]
    fn any_bytes_are_parts() {
        assert_eq!(split(b"\x05\0\0\0ab"), [b"ab"]);
        assert_eq!(split(b"\0\0\0\0\x01\0"), [b""]);
        assert!(split(b"abc").is_empty());
    }
}
