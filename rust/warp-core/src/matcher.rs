//! Patterns.
use crate::Result;

/// gitignore-style patterns.
#[derive(Clone, Debug, Default)]
pub struct Matcher {}

impl Matcher {
    /// Compile patterns.
    pub fn new(_patterns: &[String]) -> Result<Self> {
        todo!()
    }
    /// Whether the path matches.
    pub fn matches(&self, _path: &[u8], _is_dir: bool) -> bool {
        todo!()
    }
    /// No patterns.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
