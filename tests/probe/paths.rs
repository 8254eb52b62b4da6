//! The tree as the payload sees it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev};
use nix::sys::statvfs::FsFlags;
use serde_json::{Map, Value, json};

use crate::descriptors::kind;
use crate::{Report, io_outcome, outcome};

/// `cwd [PATH]...`: where the process is, and whether each relative PATH can
/// be read from there.
pub fn cwd(args: &[String]) -> Report {
    let here = fs::metadata(".").ok();
    let reached: Map<String, Value> =
        args.iter().map(|path| (path.clone(), Value::from(io_outcome(fs::read(path))))).collect();
    json!({
        "getcwd": nix::unistd::getcwd().map_or_else(|errno| format!("{errno:?}"), |path| path.display().to_string()),
        "link": fs::read_link("/proc/self/cwd").map(|path| path.display().to_string()).ok(),
        "dev": here.as_ref().map(MetadataExt::dev),
        "ino": here.as_ref().map(MetadataExt::ino),
        "reached": reached,
    })
    .into()
}

/// `mounts`: /proc/self/mountinfo by its fields (proc_pid_mountinfo(5)).
pub fn mounts(_: &[String]) -> Report {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    let mounts: Vec<Value> = text
        .lines()
        .map(|line| {
            let (mount, filesystem) = line.split_once(" - ").expect("a separator");
            let mount: Vec<&str> = mount.split(' ').collect();
            let filesystem: Vec<&str> = filesystem.split(' ').collect();
            json!({
                "root": mount[3],
                "point": mount[4],
                "options": mount[5].split(',').collect::<Vec<_>>(),
                "propagation": mount[6..],
                "type": filesystem[0],
                "source": filesystem[1],
                "super": filesystem[2].split(',').collect::<Vec<_>>(),
            })
        })
        .collect();
    json!(mounts).into()
}

/// `open MODE PATH...`: opens each PATH to `read`, `write` or `create`, and
/// says what came of it.
pub fn open(args: &[String]) -> Report {
    let (mode, paths) = args.split_first().expect("a mode");
    let tried: Map<String, Value> = paths
        .iter()
        .map(|path| {
            let mut options = fs::OpenOptions::new();
            options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            match mode.as_str() {
                "read" => options.read(true),
                "write" => options.write(true),
                "create" => options.write(true).create(true),
                other => panic!("{other:?} is not a mode"),
            };
            (path.clone(), Value::from(io_outcome(options.open(path))))
        })
        .collect();
    Value::from(tried).into()
}

/// `masks PATH...`: of each PATH what it is, what can be read of it, and
/// whether it could be written. A path that is not there is left out.
pub fn masks(args: &[String]) -> Report {
    let seen: Map<String, Value> = args
        .iter()
        .filter_map(|path| {
            let facts = fs::symlink_metadata(path).ok()?;
            let flags = nix::sys::statvfs::statvfs(path.as_str()).map(|fs| fs.flags());
            Some((
                path.clone(),
                json!({
                    "kind": kind(facts.file_type()),
                    "null": facts.rdev() == makedev(1, 3),
                    "entries": fs::read_dir(path).map(Iterator::count).ok(),
                    "bytes": first_bytes(Path::new(path)),
                    "read_only": flags.is_ok_and(|flags| flags.contains(FsFlags::ST_RDONLY)),
                    "write": io_outcome(fs::OpenOptions::new().write(true).open(path)),
                }),
            ))
        })
        .collect();
    Value::from(seen).into()
}

/// How many bytes the first read gives; `None` where it gives an error.
fn first_bytes(path: &Path) -> Option<usize> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.read(&mut [0; 512]).ok()
}

/// `readable PATH...`: the files below each PATH that can be opened and give
/// at least a byte. Links are not followed, and of the processes only `self`
/// is looked at by name, not by number.
pub fn readable(args: &[String]) -> Report {
    let mut found = Vec::new();
    let mut ahead: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
    while let Some(path) = ahead.pop() {
        let Ok(facts) = fs::symlink_metadata(&path) else { continue };
        if facts.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            ahead.extend(entries.map(|entry| entry.path()).filter(|path| !is_process(path)));
        } else if facts.is_file() && first_bytes(&path).is_some_and(|bytes| bytes > 0) {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    json!(found).into()
}

fn is_process(path: &Path) -> bool {
    path.parent() == Some(Path::new("/proc"))
        && path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

/// `mknod DIRECTORY`: makes one node of each kind there.
pub fn mknod(args: &[String]) -> Report {
    let directory = PathBuf::from(args.first().expect("a directory"));
    let nodes = [
        ("character", SFlag::S_IFCHR, makedev(1, 3)),
        ("block", SFlag::S_IFBLK, makedev(7, 0)),
        // A whiteout, which the kernel lets everybody make since 5.8.
        ("whiteout", SFlag::S_IFCHR, makedev(0, 0)),
        ("fifo", SFlag::S_IFIFO, 0),
    ];
    let made: Map<String, Value> = nodes
        .iter()
        .map(|(name, kind, device)| {
            let path = directory.join(format!("node-{name}"));
            let result =
                nix::sys::stat::mknod(&path, *kind, Mode::from_bits_truncate(0o600), *device);
            ((*name).to_owned(), Value::from(outcome(result)))
        })
        .collect();
    Value::from(made).into()
}
