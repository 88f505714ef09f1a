//! The Merkle frontier of a table of contents. Input: `u64` size │ nodes │ leaves, 32 bytes each.

use warp_core::digest::Digest;
use warp_core::merkle::Frontier;

/// No archive has so many chunks; a commit that says more fails where its pages are counted.
const MAX_SIZE: u64 = 1 << 48;

pub fn run(data: &[u8]) {
    let Some((size, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let size = u64::from_le_bytes(*size);
    let nodes: Vec<Digest> = rest.as_chunks::<32>().0.to_vec();
    let wanted = size.count_ones() as usize;
    assert_eq!(Frontier::from_nodes(size, nodes.clone()).is_ok(), nodes.len() == wanted);
    let (Some((given, leaves)), true) = (nodes.split_at_checked(wanted), size <= MAX_SIZE) else {
        return;
    };
    let mut frontier = Frontier::from_nodes(size, given.to_vec()).expect("as many nodes as 1-bits");
    for leaf in leaves {
        frontier.append(leaf);
    }
    assert_eq!(frontier.size(), size + leaves.len() as u64);
    assert_eq!(frontier.nodes().len() as u32, frontier.size().count_ones());
    let again = Frontier::from_nodes(frontier.size(), frontier.nodes().to_vec()).expect("its own nodes");
    assert_eq!(again.root(), frontier.root());
}
