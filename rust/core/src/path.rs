//! Paths below an open directory: resolved by the kernel, or by a walk that does the same.
//!
//! `openat2(2)` (Linux 5.6) keeps a resolution inside a root whatever is renamed meanwhile. Where it is missing,
//! the path is walked one component at a time with `O_NOFOLLOW`, symlinks are read and followed by hand, and
//! `..` goes back along the descriptors that were passed, so it cannot leave the root either.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

use crate::fallback;

/// The kernel's own limit, path_resolution(7).
const MAX_SYMLINKS: u32 = 40;
/// `openat2` gives up with EAGAIN when a rename raced with a `..`.
const ATTEMPTS: u32 = 128;

/// Opens `path` with `root` as its `/`: absolute links and `..` stay inside, magic links are refused.
///
/// # Errors
/// As open(2); `ELOOP` for a magic link or too many symlinks.
pub fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags, mode, how) {
        Err(Errno::NOSYS) => walk(root, path, flags, mode, Symlinks::InRoot),
        other => other,
    }
}

/// Opens `path` below `directory`; a way out of it is an error, and so is a symlink when `no_symlinks`.
///
/// # Errors
/// As open(2); `EXDEV` for a path that leaves the directory, `ELOOP` for a symlink.
pub fn open_beneath(
    directory: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
    no_symlinks: bool,
) -> Result<OwnedFd> {
    let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if no_symlinks {
        how |= ResolveFlags::NO_SYMLINKS;
    }
    match openat2(directory, path, flags, mode, how) {
        Err(Errno::NOSYS) => {
            walk(directory, path, flags, mode, if no_symlinks { Symlinks::None } else { Symlinks::Beneath })
        }
        other => other,
    }
}

/// Makes the directories of `path` that are missing and gives an `O_PATH` descriptor of the last.
///
/// # Errors
/// As mkdir(2); `ENOTDIR` when something else is in the way.
pub fn mkdir_in_root(root: BorrowedFd<'_>, path: &[u8], mode: Mode) -> Result<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let mut prefix = Vec::with_capacity(path.len());
    match open_in_root(root, path, directory, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let mut at = open_in_root(root, b".", directory, Mode::empty())?;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        prefix.push(b'/');
        prefix.extend_from_slice(part);
        at = match open_in_root(root, &prefix, directory, Mode::empty()) {
            Err(Errno::NOENT) => {
                match fs::mkdirat(&at, OsStr::from_bytes(part), mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(err) => return Err(err),
                }
                let flags = directory | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                fs::openat(&at, OsStr::from_bytes(part), flags, Mode::empty())?
            }
            other => other?,
        };
    }
    Ok(at)
}

fn openat2(at: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode, how: ResolveFlags) -> Result<OwnedFd> {
    if fallback::is_forced(fallback::OPENAT2) {
        return Err(Errno::NOSYS);
    }
    // Unlike open(2) it refuses a mode that has no use.
    let creates = flags.intersects(OFlags::CREATE) || flags.contains(OFlags::TMPFILE);
    let mode = if creates { mode } else { Mode::empty() };
    for _ in 0..ATTEMPTS {
        match fs::openat2(at, OsStr::from_bytes(path), flags | OFlags::CLOEXEC, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PERM) if is_filtered(at) => return Err(Errno::NOSYS),
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Whether a seccomp filter around us refuses the call itself: nothing else forbids a handle of `.`.
fn is_filtered(at: BorrowedFd<'_>) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let answer = fs::openat2(at, ".", flags, Mode::empty(), ResolveFlags::BENEATH);
    matches!(answer, Err(Errno::PERM))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Symlinks {
    InRoot,
    Beneath,
    None,
}

/// Directories from the root to where the walk is; `..` takes the last away.
struct Trail<'fd> {
    root: BorrowedFd<'fd>,
    passed: Vec<OwnedFd>,
}

impl Trail<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.passed.last().map_or(self.root, AsFd::as_fd)
    }
}

fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode, links: Symlinks) -> Result<OwnedFd> {
    if path.starts_with(b"/") && links != Symlinks::InRoot {
        return Err(Errno::XDEV);
    }
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    let mut trail = Trail { root, passed: Vec::new() };
    let mut left: VecDeque<OsString> = components(path);
    let mut must_be_directory = names_directory(path);
    // O_CREAT|O_EXCL takes a symlink for an existing file.
    let keeps_link = flags.contains(OFlags::NOFOLLOW) || flags.contains(OFlags::CREATE | OFlags::EXCL);
    let mut followed = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            if trail.passed.pop().is_none() && links != Symlinks::InRoot {
                return Err(Errno::XDEV);
            }
            continue;
        }
        let last = left.is_empty() && !must_be_directory;
        let probe = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match fs::openat(trail.here(), &part, probe, Mode::empty()) {
            Err(Errno::NOENT) if last && flags.contains(OFlags::CREATE) => {
                let create = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                return fs::openat(trail.here(), &part, create, mode);
            }
            other => other?,
        };
        let kind = FileType::from_raw_mode(fs::fstat(&found)?.st_mode);
        if kind == FileType::Symlink && !(last && keeps_link) {
            followed += 1;
            if links == Symlinks::None || followed > MAX_SYMLINKS || is_magic(trail.here(), &found)? {
                return Err(Errno::LOOP);
            }
            let target = fs::readlinkat(&found, "", Vec::new())?.into_bytes();
            must_be_directory |= left.is_empty() && names_directory(&target);
            if target.starts_with(b"/") {
                if links != Symlinks::InRoot {
                    return Err(Errno::XDEV);
                }
                trail.passed.clear();
            }
            for piece in components(&target).into_iter().rev() {
                left.push_front(piece);
            }
        } else if last && flags.contains(OFlags::PATH) {
            // The one that was looked at: opened again by name, it could be a symlink by now.
            if flags.contains(OFlags::DIRECTORY) && kind != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            return Ok(found);
        } else if last {
            return fs::openat(trail.here(), &part, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode);
        } else if kind == FileType::Directory {
            trail.passed.push(found);
        } else {
            return Err(Errno::NOTDIR);
        }
    }
    fs::openat(trail.here(), ".", flags | OFlags::CLOEXEC, mode)
}

fn components(path: &[u8]) -> VecDeque<OsString> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsStr::from_bytes(part).to_owned())
        .collect()
}

/// Whether the end of a path asks for a directory.
fn names_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.") || path == b"."
}

/// Whether the text of a symlink may not be where it leads. Those of procfs are such, except in its top
/// directory (inode 1), where they are ordinary: `self`, `mounts`, `net`.
fn is_magic(parent: BorrowedFd<'_>, link: &OwnedFd) -> Result<bool> {
    Ok(fs::fstatfs(link)?.f_type == fs::PROC_SUPER_MAGIC && fs::fstat(parent)?.st_ino != 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs as std_fs;
    use std::os::unix::fs::{symlink, MetadataExt};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let top = std::env::temp_dir().join(format!("kata-path-{name}-{}", std::process::id()));
            std_fs::create_dir_all(top.join("root/a/b")).unwrap();
            std_fs::write(top.join("outside"), "secret").unwrap();
            std_fs::write(top.join("root/a/file"), "inside").unwrap();
            symlink("/a/file", top.join("root/absolute")).unwrap();
            symlink("../../../../outside", top.join("root/a/escape")).unwrap();
            symlink("/a/../a/b", top.join("root/dir")).unwrap();
            symlink("loop", top.join("root/loop")).unwrap();
            symlink("/new/deep", top.join("root/dangling")).unwrap();
            Self(top)
        }

        fn root(&self) -> OwnedFd {
            fs::open(self.0.join("root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .unwrap()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std_fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn both(root: &OwnedFd, path: &str) -> [Result<u64>; 2] {
        let inode = |fd: Result<OwnedFd>| fd.map(|fd| std_fs::File::from(fd).metadata().unwrap().ino());
        let flags = OFlags::PATH;
        [
            inode(open_in_root(root.as_fd(), path.as_bytes(), flags, Mode::empty())),
            inode(walk(root.as_fd(), path.as_bytes(), flags, Mode::empty(), Symlinks::InRoot)),
        ]
    }

    #[test]
    fn the_walk_finds_what_the_kernel_finds() {
        let tree = Tree::new("same");
        let root = tree.root();
        let parts = ["a", "b", "..", ".", "file", "absolute", "escape", "dir", "loop", "dangling", "none"];
        for one in parts {
            for two in parts {
                for three in parts {
                    for path in [format!("{one}/{two}/{three}"), format!("/{one}/{two}"), format!("{one}/")] {
                        let [kernel, walked] = both(&root, &path);
                        assert_eq!(kernel, walked, "{path}");
                    }
                }
            }
        }
    }

    fn opened(root: &OwnedFd, path: &str, flags: OFlags) -> [Result<u64>; 2] {
        let inode = |fd: Result<OwnedFd>| fd.map(|fd| std_fs::File::from(fd).metadata().unwrap().ino());
        let (path, mode) = (path.as_bytes(), Mode::from(0o600));
        [
            inode(open_in_root(root.as_fd(), path, flags, mode)),
            inode(walk(root.as_fd(), path, flags, mode, Symlinks::InRoot)),
        ]
    }

    #[test]
    fn flags_mean_the_same_to_the_walk() {
        let tree = Tree::new("flags");
        let root = tree.root();
        symlink("a/file/", tree.0.join("root/slash")).unwrap();
        symlink("a/.", tree.0.join("root/dot")).unwrap();
        symlink("a/made", tree.0.join("root/maker")).unwrap();
        let read = OFlags::RDONLY;
        let create = OFlags::WRONLY | OFlags::CREATE;
        for path in [
            "a",
            "a/.",
            "a/file",
            "a/file/.",
            "a/file/..",
            "absolute",
            "slash",
            "dot",
            "loop",
            "maker",
            "/",
            "..",
            "",
        ] {
            for flags in [
                read,
                read | OFlags::DIRECTORY,
                read | OFlags::NOFOLLOW,
                OFlags::PATH | OFlags::NOFOLLOW,
                OFlags::PATH | OFlags::DIRECTORY,
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY,
                create | OFlags::EXCL,
            ] {
                let [kernel, walked] = opened(&root, path, flags);
                assert_eq!(kernel, walked, "{path} {flags:?}");
            }
        }
        let made = walk(root.as_fd(), b"maker", create, Mode::from(0o600), Symlinks::InRoot);
        assert!(made.is_ok());
        assert!(tree.0.join("root/a/made").is_file());
    }

    #[test]
    fn magic_links_are_refused_and_ordinary_ones_of_procfs_followed() {
        let proc =
            fs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        for path in ["self/exe", "self/root/etc", "self/cwd", "self/fd/0", "self/ns/mnt", "thread-self/exe"] {
            assert_eq!(both(&proc, path), [Err(Errno::LOOP); 2], "{path}");
        }
        for path in ["self/status", "mounts", "net/dev"] {
            let [kernel, walked] = both(&proc, path);
            assert!(kernel.is_ok() && walked.is_ok(), "{path}: {kernel:?} {walked:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let tree = Tree::new("inside");
        let root = tree.root();
        for result in both(&root, "a/escape") {
            assert_eq!(result, Err(Errno::NOENT));
        }
        let beneath = |links| walk(root.as_fd(), b"absolute", OFlags::PATH, Mode::empty(), links).map(drop);
        assert_eq!(beneath(Symlinks::Beneath), Err(Errno::XDEV));
        assert_eq!(beneath(Symlinks::None), Err(Errno::LOOP));
        let kernel = open_beneath(root.as_fd(), b"absolute", OFlags::PATH, Mode::empty(), true).map(drop);
        assert_eq!(kernel, Err(Errno::LOOP));
    }

    #[test]
    fn missing_directories_are_made_behind_links() {
        let tree = Tree::new("mkdir");
        mkdir_in_root(tree.root().as_fd(), b"/dir/x/y", Mode::from(0o750)).unwrap();
        assert!(tree.0.join("root/a/b/x/y").is_dir());
    }

    #[test]
    fn a_racing_swap_never_leads_out() {
        let tree = Tree::new("race");
        let root = tree.root();
        let (swap, link) = (tree.0.join("root/a/b"), tree.0.join("root/link"));
        symlink("../..", &link).unwrap();
        let done = AtomicBool::new(false);
        let outside = std_fs::metadata(tree.0.join("outside")).unwrap().ino();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let flags = fs::RenameFlags::EXCHANGE;
                    fs::renameat_with(fs::CWD, &swap, fs::CWD, &link, flags).unwrap();
                }
            });
            for _ in 0..10_000 {
                for found in
                    both(&root, "a/b/../../outside").into_iter().chain(both(&root, "link/../outside"))
                {
                    assert_ne!(found, Ok(outside));
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
