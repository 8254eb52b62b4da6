//! Which file systems a container has, and where sublet keeps what it knows.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::trial::{Outcome, Stop, filesystem, inside, tried};
use super::{Bench, Finding};
use crate::host::advice::table::files as table;
use crate::host::advice::{Advice, Topic};
use crate::state::Directory;
use crate::sys::mount::{self, Reach};
use crate::sys::{Errno, fd, path, process, xattr};

/// All of it.
pub fn probe(bench: &Bench<'_>) -> Vec<Finding> {
    let mut findings = vec![proc(bench), sys(bench)];
    findings.extend(fresh(bench));
    findings.push(overlay(bench));
    findings.extend(state(bench));
    findings
}

fn covered(bench: &Bench<'_>, whole: &str) -> Option<String> {
    bench.host.mounts().ok().and_then(|mounts| mounts.covers(whole)).map(str::to_owned)
}

fn proc(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("proc-new", Topic::Files, "a /proc of its own");
    let made = inside(bench, libc::CLONE_NEWPID, || {
        filesystem(c"proc", &[]).map(|_| "a new procfs was made".to_owned())
    });
    let instead = "the outer /proc is shown, with the outer processes in it";
    told(finding, made, instead, |_| {
        covered(bench, "/proc").map(|path| table::PROC_COVERED.advice(&[("path", &path)]))
    })
}

fn sys(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("sys-new", Topic::Files, "a /sys of its own");
    let made = inside(bench, 0, || {
        tried("make a network namespace", process::unshare(libc::CLONE_NEWNET))?;
        // As containers have it: one that could be written shows more.
        let made = mount::new_filesystem(c"sysfs", std::iter::empty(), libc::MOUNT_ATTR_RDONLY);
        tried("make a new sysfs", made).map(|_| "a new sysfs was made".to_owned())
    });
    told(finding, made, "the outer /sys is shown, read-only", |_| {
        covered(bench, "/sys").map(|path| table::SYS_COVERED.advice(&[("path", &path)]))
    })
}

/// What every container has new.
fn fresh(bench: &Bench<'_>) -> Vec<Finding> {
    [
        ("tmpfs", "tmpfs", c"tmpfs", 0),
        ("mqueue", "mqueue", c"mqueue", libc::CLONE_NEWIPC),
        ("devpts", "devpts", c"devpts", 0),
    ]
    .into_iter()
    .map(|(id, what, kind, namespaces)| {
        let finding = Finding::new(id, Topic::Files, what).essential();
        let made = inside(bench, namespaces, || filesystem(kind, &[]).map(|_| "made".to_owned()));
        match made {
            Ok(Ok(told)) => finding.ok(told),
            Ok(Err(stop)) => {
                let finding = finding.missing(stop.told());
                match stop.errno() {
                    Errno::ENODEV => {
                        finding.because(table::FILESYSTEM_MISSING.advice(&[("kind", &what)]))
                    }
                    _ => finding,
                }
            }
            Err(why) => finding.info(why),
        }
    })
    .collect()
}

fn told(
    finding: Finding,
    made: Result<Outcome, String>,
    instead: &str,
    why: impl FnOnce(&Stop) -> Option<Advice>,
) -> Finding {
    match made {
        Ok(Ok(told)) => finding.ok(told),
        Ok(Err(stop)) => match why(&stop) {
            Some(advice) => finding.degraded(stop.told(), instead).because(advice),
            None => finding.degraded(stop.told(), instead),
        },
        Err(why) => finding.info(why),
    }
}

/// As `ROOT:O` does it: a directory below, the rest in memory.
fn overlay(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("overlay", Topic::Files, "an overlay over /usr");
    let made = inside(bench, 0, || {
        let memory = filesystem(c"tmpfs", &[(c"mode", Some(c"0755"))])?;
        let lower = tried("open /usr", open_usr())?;
        let place = tried("open /proc", path::open_typed(c"/proc", libc::O_PATH))?;
        tried("attach it", mount::move_mount(memory.as_fd(), place.as_fd()))?;
        layers(memory.as_fd())?;
        tried("attach /usr", mount::move_mount_to(lower.as_fd(), memory.as_fd(), c"lower"))?;
        stack(memory.as_fd())?;
        let attributes = xattr::set(Path::new("upper"), c"user.sublet", b"1");
        Ok(if attributes.is_ok() { "made, and written to" } else { "no attributes" }.to_owned())
    });
    match made {
        Ok(Ok(told)) if told == "no attributes" => finding
            .degraded(String::new(), "ROOT:O works, but for directories that replace others")
            .because(table::OVERLAY_TMPFS.advice(&[])),
        Ok(Err(stop)) if stop.errno() == Errno::ENODEV => finding
            .degraded(stop.told(), "no throw-away roots: ROOT:O and -v SRC:DST:O are refused")
            .because(table::FILESYSTEM_MISSING.advice(&[("kind", &"overlay")])),
        made => told(finding, made, WITHOUT_LAYERS, |stop| {
            // mount(2) and its kind mean a limit, not a disk.
            let full = stop.errno() == Errno::ENOSPC && stop.tried.starts_with(ATTACH);
            let row = if full { &table::MOUNTS_FULL } else { &table::OVERLAY_REFUSED };
            Some(row.advice(&[]))
        }),
    }
}

/// What is done in their place.
const WITHOUT_LAYERS: &str =
    "no throw-away /usr: ROOT:O and -v SRC:DST:O are refused for it, and may be for others";

/// How a trial calls what takes room in the table of mounts.
const ATTACH: &str = "attach";

/// Not the root: what has mounts on it is no layer.
fn open_usr() -> crate::sys::Result<std::os::fd::OwnedFd> {
    let root = path::open_typed(c"/usr", libc::O_PATH | libc::O_DIRECTORY)?;
    mount::open_tree(root.as_fd(), c"", Reach::Tree)
}

fn layers(at: std::os::fd::BorrowedFd<'_>) -> Result<(), Stop> {
    for name in [c"lower", c"upper", c"work"] {
        tried("make a layer", path::make_directory(at, name, 0o755))?;
    }
    Ok(())
}

/// Puts the layers below `at` on each other, and writes through the stack.
fn stack(at: std::os::fd::BorrowedFd<'_>) -> Result<(), Stop> {
    tried("go there", fd::change_directory(at))?;
    let options = [
        (c"lowerdir", Some(c"lower")),
        (c"upperdir", Some(c"upper")),
        (c"workdir", Some(c"work")),
        (c"userxattr", None),
    ];
    let merged = filesystem(c"overlay", &options)?;
    let file = tried("write through it", path::create_file(merged.as_fd(), c".sublet", 0o600))?;
    tried("write through it", fd::write_all(file.as_fd(), b"x"))
}

/// The directory of records: made, written and locked; and an overlay with its
/// layers there.
fn state(bench: &Bench<'_>) -> Vec<Finding> {
    let finding = Finding::new("state", Topic::Files, "the directory of records");
    let instead = "containers run, but without --name, --label and limits";
    let directory = match Directory::find("sublet") {
        Ok(directory) => directory,
        Err(error) => {
            return vec![finding.degraded(String::new(), instead).because_of(&error)];
        }
    };
    let place = &directory.path().display();
    let first = match keep(&directory) {
        Ok(told) => match remote(&directory) {
            Some(kind) => {
                let advice = table::STATE_REMOTE.advice(&[("path", place), ("kind", &kind)]);
                finding.degraded(String::new(), "they are kept there all the same").because(advice)
            }
            None => finding.ok(format!("{place}: {told}")),
        },
        Err(stop) => {
            let row = match stop.errno() {
                Errno::ENOSPC | Errno::EDQUOT => Some(&table::STATE_FULL),
                Errno::EROFS | Errno::EACCES => Some(&table::STATE_READONLY),
                _ => None,
            };
            let finding = finding.degraded(format!("{place}: {}", stop.told()), instead);
            row.into_iter()
                .fold(finding, |finding, row| finding.because(row.advice(&[("path", place)])))
        }
    };
    vec![first, overlay_there(bench, &directory)]
}

/// What a record of a container with a long command takes.
const RECORD: usize = 64 << 10;

/// Writes and locks a file that has no name, and so leaves nothing.
fn keep(directory: &Directory) -> Result<String, Stop> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let file = match openat(directory, ".", flags, mode) {
        // NFS and its kind have no files without a name.
        Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::ENOENT) => return Ok(mounted(directory)),
        opened => File::from(tried("make a file", opened)?),
    };
    let of = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    tried("write to it", (&file).write_all(&vec![0; RECORD]).map_err(of))?;
    tried("sync it", file.sync_data().map_err(of))?;
    tried("lock it", fd::try_lock(file.as_fd()))?;
    Ok(format!("written, synced and locked{}", mounted(directory)))
}

/// How it is mounted, where that is unusual.
fn mounted(directory: &Directory) -> String {
    let Ok(status) = fstatvfs(directory) else { return String::new() };
    let flags = status.flags();
    let words = [(FsFlags::ST_NOEXEC, "noexec"), (FsFlags::ST_NOSUID, "nosuid")];
    let set: Vec<_> =
        words.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect();
    match set.as_slice() {
        [] => String::new(),
        set => format!("; {}, which does no harm", set.join(" ")),
    }
}

/// File systems of which the locks may not reach other machines; statfs(2).
const REMOTE: [(FsType, &str); 6] = [
    (FsType(0x6969), "NFS"),
    (FsType(0xff53_4d42), "CIFS"),
    (FsType(0xfe53_4d42), "SMB"),
    (FsType(0x0bd0_0bd0), "Lustre"),
    (FsType(0x4750_4653), "GPFS"),
    (FsType(0x6573_5546), "FUSE"),
];

fn remote(directory: &Directory) -> Option<&'static str> {
    let kind = fstatfs(directory).ok()?.filesystem_type();
    REMOTE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// Nothing is kept so yet; images will be.
fn overlay_there(bench: &Bench<'_>, directory: &Directory) -> Finding {
    let finding =
        Finding::new("overlay-on-disk", Topic::Files, "an overlay on disk (not used yet)");
    // A name that the next command would remove, if we can't.
    let scratch = directory.path().join(format!(".dead-doctor-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&scratch) {
        return finding.info(format!("not tried: {error}"));
    }
    let made = inside(bench, 0, || {
        let at = tried("open it", {
            use std::os::unix::ffi::OsStrExt;
            let name = std::ffi::CString::new(scratch.as_os_str().as_bytes());
            name.map_err(|_| Errno::EINVAL).and_then(|name| path::open_typed(&name, libc::O_PATH))
        })?;
        layers(at.as_fd())?;
        stack(at.as_fd()).map(|()| "made with userxattr, and written to".to_owned())
    });
    clear(&scratch);
    match made {
        Ok(Ok(told)) => finding.info(told),
        Ok(Err(stop)) => finding.info(stop.told()),
        Err(why) => finding.info(why),
    }
}

/// overlayfs leaves a directory in its work directory that may not be opened.
fn clear(scratch: &Path) {
    let below = |name: &str| -> PathBuf { scratch.join(name) };
    let _ = fs::remove_file(below("upper/.sublet"));
    for name in ["work/work", "work/index", "work", "upper", "lower", ""] {
        let _ = fs::remove_dir(below(name));
    }
}
