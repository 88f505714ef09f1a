//! Modes, times, owners, attributes, and what else a file is besides its content.

use rustix::fs::{XattrFlags, getxattr, lgetxattr, setxattr};
use rustix::process::geteuid;

use super::*;

const DEFAULT_ACL: &str = "system.posix_acl_default";
const ACCESS_ACL: &str = "system.posix_acl_access";

/// An ACL in the form the system takes: user::rwx, user:12345:rwx, group::r-x, mask::rwx, other::---.
fn acl() -> Vec<u8> {
    let entries =
        [(1_u16, 7_u16, u32::MAX), (2, 7, 12345), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

fn xattrs(pairs: &[(&str, &[u8])]) -> crate::entry::Xattrs {
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
    pairs.collect()
}

fn attribute(target: &Target, path: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = getxattr(target.path(path), name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn mtime(target: &Target, path: &[u8]) -> (i64, i64) {
    let stat = target.stat(path);
    (stat.mtime(), stat.mtime_nsec())
}

fn mode(target: &Target, path: &[u8]) -> u32 {
    target.stat(path).mode() & 0o7777
}

#[test]
fn modes_and_times_are_those_of_the_entries() {
    let mut builder = builder();
    let entries = [
        directory(b""),
        Entry { mode: 0o555, ..directory(b"d") },
        Entry { mode: 0o1777, ..directory(b"d/e") },
        Entry { mode: 0o400, ..file(&mut builder, b"d/e/small", &[b"x"]) },
        Entry { mode: 0o777, ..file(&mut builder, b"d/large", &[&[1; 60000], &[2; 60000]]) },
        Entry { mode: 0o000, ..file(&mut builder, b"d/nothing", &[]) },
        Entry { mode: 0o640, ..entry(b"d/pipe", Kind::Fifo) },
        link(b"d/link", Kind::Symlink, b"nowhere"),
    ];
    let target = Target::new();
    target.extract(&builder.build(), &entries).clean();
    for entry in &entries {
        assert_eq!(mtime(&target, &entry.path), MTIME, "{:?}", entry.path);
        if entry.kind != Kind::Symlink {
            assert_eq!(mode(&target, &entry.path), entry.mode, "{:?}", entry.path);
        }
    }
}

#[test]
fn times_before_the_epoch_are_restored() {
    let (built, mut file) = one_file(b"old");
    file.mtime.seconds = -5;
    let mut target = Target::overwriting(Overwrite::Changed);
    target.extract(&built, std::slice::from_ref(&file)).clean();
    assert_eq!(mtime(&target, b"a"), (-5, MTIME.1));
    target.options.threads = 1;
    assert_eq!(target.extract(&built, &[file]).skipped(Skip::Exists), 1);
}

#[test]
fn setuid_bits_are_left_out_unless_asked_for() {
    let mut builder = builder();
    let entries = [
        Entry { mode: 0o3755, ..directory(b"d") },
        Entry { mode: 0o4755, ..file(&mut builder, b"d/f", &[b"x"]) },
        Entry { mode: 0o6755, ..file(&mut builder, b"d/g", &[&[1; 60000], &[2; 60000]]) },
    ];
    let built = builder.build();
    let mut target = Target::new();
    let extracted = target.extract(&built, &entries).clean();
    assert_eq!(extracted.skipped(Skip::Setuid), 3);
    let modes = [&b"d"[..], b"d/f", b"d/g"].map(|path| mode(&target, path));
    assert_eq!(modes, [0o1755, 0o755, 0o755]);
    target = Target::new();
    target.options.setuid = true;
    target.extract(&built, &entries).clean();
    let modes = [&b"d"[..], b"d/f", b"d/g"].map(|path| mode(&target, path));
    assert_eq!(modes, [0o3755, 0o4755, 0o6755]);
}

#[test]
fn owners_are_restored_or_counted() {
    let mut builder = builder();
    let other = |entry: Entry| Entry { uid: 12345, gid: 23456, ..entry };
    let entries = [
        other(directory(b"d")),
        other(file(&mut builder, b"d/f", &[b"x"])),
        other(file(&mut builder, b"d/g", &[&[1; 60000], &[2; 60000]])),
        other(link(b"d/l", Kind::Symlink, b"f")),
        other(entry(b"d/p", Kind::Fifo)),
    ];
    let built = builder.build();
    let mut target = Target::new();
    assert_eq!(target.extract(&built, &entries).clean().skipped(Skip::Owner), 5);
    target = Target::new();
    target.options.owners = true;
    let extracted = target.extract(&built, &entries).clean();
    let root = geteuid().is_root();
    assert_eq!(extracted.skipped(Skip::Owner), if root { 0 } else { 5 });
    for entry in entries.iter().filter(|_| root) {
        let stat = target.stat(&entry.path);
        assert_eq!((stat.uid(), stat.gid()), (12345, 23456));
        assert!(entry.kind == Kind::Symlink || stat.mode() & 0o7777 == entry.mode);
    }
}

#[test]
fn attributes_are_restored_or_counted() {
    let mut builder = builder();
    let with = |entry: Entry, name| Entry { xattrs: xattrs(&[(name, b"value")]), ..entry };
    let entries = [
        with(directory(b"d"), "user.one"),
        with(file(&mut builder, b"d/f", &[b"x"]), "user.two"),
        with(file(&mut builder, b"d/g", &[b"x"]), "unknown.namespace"),
        with(link(b"d/l", Kind::Symlink, b"f"), "user.links.have.none"),
    ];
    let target = Target::new();
    let extracted = target.extract(&builder.build(), &entries).clean();
    assert_eq!(extracted.skipped(Skip::Xattr), 2);
    assert_eq!(attribute(&target, b"d", "user.one").unwrap(), b"value");
    assert_eq!(attribute(&target, b"d/f", "user.two").unwrap(), b"value");
    assert_eq!(mtime(&target, b"d/f"), MTIME);
    let mut value = [0; 8];
    assert!(lgetxattr(target.path(b"d/l"), "user.links.have.none", &mut value).is_err());
}

#[test]
fn attributes_that_give_privileges_are_left_out_unless_asked_for() {
    let mut builder = builder();
    // Of one file: cap_setuid. Kept in revision 2, as root gives it.
    let capability = [1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let pairs: [(&str, &[u8]); 3] =
        [("security.capability", &capability), ("trusted.name", b"value"), ("user.name", b"value")];
    let entries = [Entry { xattrs: xattrs(&pairs), ..file(&mut builder, b"f", &[b"x"]) }];
    let built = builder.build();
    let mut target = Target::new();
    let extracted = target.extract(&built, &entries).clean();
    assert_eq!((extracted.skipped(Skip::Setuid), extracted.skipped(Skip::Xattr)), (2, 0));
    let found = pairs.map(|(name, _)| attribute(&target, b"f", name).is_some());
    assert_eq!(found, [false, false, true]);
    target = Target::new();
    target.options.setuid = true;
    let extracted = target.extract(&built, &entries).clean();
    assert_eq!(extracted.skipped(Skip::Setuid), 0);
    if extracted.skipped(Skip::Xattr) == 0 {
        assert_eq!(attribute(&target, b"f", "security.capability").unwrap(), capability);
    }
}

#[test]
fn acls_are_those_of_the_entries_and_never_inherited() {
    let mut builder = builder();
    let entries = [
        Entry { xattrs: xattrs(&[(DEFAULT_ACL, &acl())]), ..directory(b"d") },
        file(&mut builder, b"d/plain", &[b"x"]),
        Entry {
            mode: 0o670,
            xattrs: xattrs(&[(ACCESS_ACL, &acl())]),
            ..file(&mut builder, b"d/own", &[b"x"])
        },
        directory(b"d/e"),
        directory(b"old"),
        file(&mut builder, b"top", &[&[1; 60000], &[2; 60000]]),
        entry(b"pipe", Kind::Fifo),
    ];
    let target = Target::overwriting(Overwrite::Always);
    if setxattr(target.path(b""), DEFAULT_ACL, &acl(), XattrFlags::empty()).is_err() {
        eprintln!("skipped: the temporary directory has no ACLs");
        return;
    }
    // This one gets an ACL from the target, and is not ours.
    fs::create_dir(target.path(b"old")).unwrap();
    assert!(attribute(&target, b"old", DEFAULT_ACL).is_some());
    let built = builder.build();
    // The second time the directories exist and have their ACLs already.
    for _ in 0..2 {
        target.extract(&built, &entries).clean();
        for path in [&b"d/plain"[..], b"d/e", b"d", b"top", b"pipe"] {
            assert_eq!(attribute(&target, path, ACCESS_ACL), None, "{path:?}");
        }
        for path in [&b"d/e"[..], b"old"] {
            assert_eq!(attribute(&target, path, DEFAULT_ACL), None, "{path:?}");
        }
        assert_eq!(attribute(&target, b"d", DEFAULT_ACL), Some(acl()));
        assert!(attribute(&target, b"d/own", ACCESS_ACL).is_some());
        assert_eq!(mode(&target, b"d/own"), 0o670);
        assert_eq!((mode(&target, b"d/plain"), mode(&target, b"top")), (0o604, 0o604));
    }
}

#[test]
fn groups_are_not_inherited_where_owners_are_restored() {
    if !geteuid().is_root() {
        eprintln!("skipped: needs to be root");
        return;
    }
    let mut builder = builder();
    let entries = [directory(b"d"), file(&mut builder, b"d/f", &[b"x"]), file(&mut builder, b"f", &[b"x"])];
    let mut target = Target::new();
    target.options.owners = true;
    rustix::fs::chown(target.path(b""), None, Some(rustix::fs::Gid::from_raw(777))).unwrap();
    fs::set_permissions(target.path(b""), fs::Permissions::from_mode(0o2755)).unwrap();
    target.extract(&builder.build(), &entries).clean();
    for entry in &entries {
        assert_eq!(target.stat(&entry.path).gid(), entry.gid);
        assert_eq!(mode(&target, &entry.path), entry.mode);
    }
}

#[test]
fn sockets_and_devices_are_left_out_and_counted() {
    let mut device = entry(b"null", Kind::CharDevice);
    device.rdev = 1 << 32 | 3;
    let entries = [device, entry(b"socket", Kind::Socket)];
    let mut target = Target::new();
    let built = builder().build();
    let extracted = target.extract(&built, &entries).clean();
    assert_eq!((extracted.skipped(Skip::Device), extracted.skipped(Skip::Socket)), (1, 1));
    assert_eq!(extracted.totals.skipped, 2);
    assert!(!target.path(b"null").exists() && !target.path(b"socket").exists());
    target.options.devices = true;
    let extracted = target.extract(&built, &entries);
    if extracted.problems.is_empty() {
        assert_eq!(target.stat(b"null").rdev(), rustix::fs::makedev(1, 3));
    } else {
        assert_eq!(extracted.problem(), (&b"null"[..], rustix::io::Errno::PERM.raw_os_error()));
    }
}
