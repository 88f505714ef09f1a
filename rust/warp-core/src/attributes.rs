//! Extended attributes.

/// Which devices answer to extended attribute calls; shared by all readers.
#[derive(Debug, Default)]
pub struct XattrSupport {}

impl XattrSupport {
    /// Nothing is known of any device.
    pub fn new() -> Self {
        Self::default()
    }
}
