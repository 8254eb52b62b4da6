//! What the payload holds open, and the launcher's own file as seen from here.

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket,
};
use nix::sys::stat::Mode;
use serde_json::json;

use crate::{Report, outcome};

/// `fds`: every open descriptor, without the one that reads the list.
pub fn fds(_: &[String]) -> Report {
    // Collected first, so that the listing's own descriptor is gone when the
    // numbers are looked at.
    let numbers: Vec<RawFd> = fs::read_dir("/proc/self/fd")
        .expect("list /proc/self/fd")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let open: Vec<_> = numbers
        .into_iter()
        .filter_map(|number| {
            let link = format!("/proc/self/fd/{number}");
            let target = fs::read_link(&link).ok()?;
            let facts = fs::metadata(&link).ok();
            Some(json!({
                "fd": number,
                "target": target.to_string_lossy(),
                "kind": facts.as_ref().map(|facts| kind(facts.file_type())),
                "dev": facts.as_ref().map(MetadataExt::dev),
                "ino": facts.as_ref().map(MetadataExt::ino),
                "flags": info_flags(number),
            }))
        })
        .collect();
    json!(open).into()
}

/// The `flags` line of fdinfo: octal, O_PATH and O_CLOEXEC included.
fn info_flags(number: RawFd) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    Some(info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned())
}

/// A word for a file's type.
pub fn kind(file: fs::FileType) -> &'static str {
    if file.is_dir() {
        "directory"
    } else if file.is_file() {
        "file"
    } else if file.is_symlink() {
        "symlink"
    } else if file.is_char_device() {
        "character device"
    } else if file.is_block_device() {
        "block device"
    } else if file.is_fifo() {
        "fifo"
    } else {
        "socket"
    }
}

/// `write-exe [ROUNDS]`: opens every `/proc/PID/exe` for writing, again and
/// again, and counts the outcomes by the name of the file behind.
pub fn write_exe(args: &[String]) -> Report {
    let rounds: u32 = args.first().map_or(1, |text| text.parse().expect("a number of rounds"));
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..rounds {
        for link in executables() {
            let Ok(file) = fs::read_link(&link) else { continue };
            let result = open(link.as_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
            *seen.entry(format!("{}: {}", file.display(), outcome(result))).or_default() += 1;
        }
    }
    json!(seen).into()
}

fn executables() -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("list /proc");
    processes
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name == "self" || name.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|name| format!("/proc/{name}/exe"))
        .collect()
}

/// `pass-exe SOCKET`: sends a descriptor of /proc/1/exe through a unix socket,
/// as a payload would to an accomplice who outlives the container.
pub fn pass_exe(args: &[String]) -> Report {
    let result = (|| {
        let file = open("/proc/1/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        let to = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        connect(to.as_raw_fd(), &UnixAddr::new(args[0].as_str())?)?;
        let passed = [file.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&passed)];
        let word = [IoSlice::new(b"exe")];
        sendmsg::<()>(to.as_raw_fd(), &word, &message, MsgFlags::empty(), None)?;
        fcntl(&file, FcntlArg::F_GETFD)
    })();
    json!({ "passed": outcome(result) }).into()
}
