//! The Merkle tree over an archive's chunks: RFC 6962 shape, BLAKE3, an odd node promoted (docs/format.md §9).

use crate::digest::Digest;
use crate::{Error, Result};

/// The root of a tree without leaves.
const EMPTY: Digest = [0; 32];

/// `BLAKE3(0x00 ‖ cid ‖ u32 stored length)`.
pub fn leaf_hash(cid: &Digest, stored: u32) -> Digest {
    let mut input = [0; 37];
    input[1..33].copy_from_slice(cid);
    input[33..].copy_from_slice(&stored.to_le_bytes());
    crate::digest::hash(&input)
}

/// `BLAKE3(0x01 ‖ left ‖ right)`.
fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(left);
    input[33..].copy_from_slice(right);
    crate::digest::hash(&input)
}

/// The root over `leaves`; 32 zero bytes for none.
pub fn root_of(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.append(leaf);
    }
    frontier.root()
}

/// The right edge of a tree: the roots of its perfect subtrees, left to right. O(log n) in size.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    nodes: Vec<Digest>,
    hashed: u64,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of a tree of `size` leaves from its nodes, left to right.
    ///
    /// # Errors
    /// [`Error::Format`] unless there are as many nodes as 1-bits in `size`.
    pub fn from_nodes(size: u64, nodes: Vec<Digest>) -> Result<Self> {
        if nodes.len() != size.count_ones() as usize {
            return Err(Error::format("frontier: number of nodes"));
        }
        Ok(Self { size, nodes, hashed: 0 })
    }

    /// Appends a leaf hash.
    pub fn append(&mut self, leaf: &Digest) {
        let mut node = *leaf;
        // Each trailing 1-bit of the size is a perfect subtree as large as the one that just became complete.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
                self.hashed += 1;
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, left to right.
    pub fn nodes(&self) -> &[Digest] {
        &self.nodes
    }

    /// The root of the tree; 32 zero bytes for none. Hashes one node less than there are in the frontier.
    pub fn root(&self) -> Digest {
        let mut nodes = self.nodes.iter().rev();
        let last = nodes.next().copied().unwrap_or(EMPTY);
        nodes.fold(last, |right, left| node_hash(left, &right))
    }

    /// Interior nodes hashed by the appends to this object.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962 §2.1, word for word.
    fn oracle(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => EMPTY,
            [leaf] => *leaf,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node_hash(&oracle(&leaves[..k]), &oracle(&leaves[k..]))
            }
        }
    }

    fn leaves(count: u32) -> Vec<Digest> {
        (0..count).map(|i| leaf_hash(&crate::digest::hash(&i.to_le_bytes()), i)).collect()
    }

    proptest! {
        #[test]
        fn roots_are_those_of_rfc_6962(count in 0..300u32) {
            let leaves = leaves(count);
            prop_assert_eq!(root_of(&leaves), oracle(&leaves));
        }

        #[test]
        fn a_frontier_goes_on_from_its_nodes(count in 0..300usize, split in 0..300usize) {
            let leaves = leaves(count as u32);
            let split = split.min(count);
            let mut first = Frontier::new();
            leaves[..split].iter().for_each(|leaf| first.append(leaf));
            let mut second = Frontier::from_nodes(first.size(), first.nodes().to_vec()).unwrap();
            leaves[split..].iter().for_each(|leaf| second.append(leaf));
            prop_assert_eq!(second.root(), oracle(&leaves));
            prop_assert_eq!(second.size(), count as u64);
            prop_assert!(second.hashed() <= (count - split) as u64 + 9);
        }
    }

    #[test]
    fn a_frontier_with_the_wrong_number_of_nodes_is_refused() {
        assert!(Frontier::from_nodes(3, vec![[0; 32]]).is_err());
        assert!(Frontier::from_nodes(0, vec![]).is_ok());
    }

    #[test]
    fn leaf_and_node_hashes_are_domain_separated() {
        let mut leaf = vec![0];
        leaf.extend([5; 32]);
        leaf.extend(7u32.to_le_bytes());
        assert_eq!(leaf_hash(&[5; 32], 7), crate::digest::hash(&leaf));
        let mut node = vec![1];
        node.extend([5; 32]);
        node.extend([6; 32]);
        assert_eq!(node_hash(&[5; 32], &[6; 32]), crate::digest::hash(&node));
    }
}
