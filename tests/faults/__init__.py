"""A file system that fails where a test says, and remembers what was written and synced."""
