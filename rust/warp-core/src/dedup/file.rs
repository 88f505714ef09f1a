//! Temporary files without a name: they go with the process, however it ends.

use std::fs::{File, OpenOptions, remove_file};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// A file of mode 0600 in `directory` that has no name any more.
pub(super) fn unlinked_file(directory: &Path) -> Result<File> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".warp-ids-{}-{number}", std::process::id()));
        let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => {
                remove_file(&path).map_err(|e| Error::io(format!("unlink {}", path.display()), e))?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(format!("create {}", path.display()), error)),
        }
    }
}
