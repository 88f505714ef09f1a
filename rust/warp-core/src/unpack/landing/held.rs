//! Memory that pages take, counted for as long as anything of them is held, whoever holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are held in all.
#[derive(Clone, Debug, Default)]
pub(in crate::unpack) struct Account(Arc<AtomicU64>);

impl Account {
    /// What is held now.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts so many bytes until what it gives is dropped.
    pub fn hold(&self, bytes: usize) -> Held {
        let bytes = bytes as u64;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Held { account: self.clone(), bytes }
    }
}

/// A share of an account.
#[derive(Debug)]
pub(in crate::unpack) struct Held {
    account: Account,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
