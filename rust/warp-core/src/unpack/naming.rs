//! Names for what is whole: at once in an extraction, when it is durable in a landing.

use rustix::fs::Stat;
use rustix::io::Errno;

use super::beneath::{Directory, split};
use super::existing::{is_directory, occupied};
use super::made::Identity;
use super::report::{Attempt, Failure, Outcome, Skip};
use super::restore::{Made, Restorer};
use super::session::{Waiting, note};
use super::strangers::Reason;
use super::{Overwrite, Site};

impl Restorer {
    /// Give their names to files that waited for them.
    pub fn name(&mut self, files: &[Waiting]) {
        for file in files {
            if self.site.report.stopped() {
                break;
            }
            let result = self.name_one(file);
            if !matches!(result, Ok(Outcome::Restored)) {
                self.site.report.strangers.add(&file.path, Reason::Other);
                self.tally.0.bytes_discarded += file.written;
                if let Ok(directory) = self.directories.get(split(&file.path).0) {
                    let _ = directory.discard(&file.temporary, file.made);
                }
            }
            self.count((&file.path, file.kind), result);
        }
    }

    fn name_one(&mut self, file: &Waiting) -> Result<Outcome, Failure> {
        let directory = self.directories.get(split(&file.path).0).attempt("open directory")?;
        publish(&self.site, directory, (&file.temporary, file.made), (&file.path, split(&file.path).1))
    }
}

/// Give what is whole its name, or have it wait for that.
pub(super) fn finish(
    site: &Site,
    directory: &Directory,
    stat: &Stat,
    made: &Made<'_>,
) -> Result<Outcome, Failure> {
    let &Made { entry, temporary, name, written, .. } = made;
    let identity = Identity::of(stat);
    let Some(session) = &site.session else {
        return publish(site, directory, (temporary, identity), (&entry.path, name));
    };
    session.wait(Waiting {
        path: entry.path.clone(),
        temporary: temporary.to_vec(),
        kind: entry.kind,
        made: identity,
        note: note(&entry.path, stat),
        written,
    });
    Ok(Outcome::Waiting)
}

/// Give what is complete its name by the rules, if it is still what lies at the temporary one.
pub(super) fn publish(
    site: &Site,
    directory: &Directory,
    (temporary, made): (&[u8], Identity),
    (path, name): (&[u8], &[u8]),
) -> Result<Outcome, Failure> {
    let there = directory.look(temporary).attempt("look at the temporary file")?;
    if there.is_none_or(|stat| Identity::of(&stat) != made) {
        return Err(Failure::system("another took away its temporary file", Errno::STALE));
    }
    let keep = site.overwrite == Overwrite::Never && !lies_ours(site, directory, path)?;
    match directory.publish(temporary, name, keep) {
        Err(Errno::EXIST) if keep => match directory.look(name) {
            Ok(Some(stat)) if is_directory(&stat) => Err(occupied()),
            _ => Ok(Outcome::Skipped(Skip::Exists)),
        },
        result => {
            result.attempt("rename")?;
            site.made.add(made);
            Ok(Outcome::Restored)
        }
    }
}

/// Whether an earlier try put there what lies at a stored path.
fn lies_ours(site: &Site, directory: &Directory, path: &[u8]) -> Result<bool, Failure> {
    if !site.session.as_ref().is_some_and(|session| session.goes_on()) {
        return Ok(false);
    }
    let there = directory.look(split(path).1).attempt("look at what exists")?;
    Ok(there.is_some_and(|stat| site.is_ours(path, &stat)))
}
