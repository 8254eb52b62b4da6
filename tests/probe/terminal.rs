//! The terminal, if there is one.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::unistd::{getpgrp, getsid, isatty, tcgetpgrp};
use serde_json::{Map, Value, json};

use crate::{Report, io_outcome, outcome, raw};

/// What 0, 1 and 2 are called here.
fn standard() -> [(&'static str, std::io::Result<OwnedFd>); 3] {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
    use std::os::fd::AsFd;
    [
        ("0", copy(std::io::stdin().as_fd())),
        ("1", copy(std::io::stdout().as_fd())),
        ("2", copy(std::io::stderr().as_fd())),
    ]
}

/// `tiocsti`: pushes a keystroke into every terminal within reach, also with
/// a request whose upper half the kernel does not look at.
pub fn push_input(_: &[String]) -> Report {
    let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").map(OwnedFd::from);
    let mut tried = Map::new();
    for (name, fd) in standard().into_iter().chain([("/dev/tty", tty)]) {
        let fd = match fd {
            Ok(fd) => fd,
            Err(error) => {
                tried.insert(name.to_owned(), Value::from(io_outcome::<()>(Err(error))));
                continue;
            }
        };
        for high in [0, 1 << 32, u64::MAX << 32] {
            for (word, request, mut byte) in
                [("TIOCSTI", libc::TIOCSTI, b'!'), ("TIOCLINUX", libc::TIOCLINUX, 3)]
            {
                let result = raw::ioctl_byte(fd.as_raw_fd(), request | high, &mut byte);
                tried.insert(format!("{name} {word}+{high:x}"), Value::from(outcome(result)));
            }
        }
    }
    Value::from(tried).into()
}

/// `tty`: what the standard descriptors are, and the session.
pub fn facts(_: &[String]) -> Report {
    let mut facts = Map::new();
    for (name, fd) in standard() {
        let Ok(fd) = fd else { continue };
        let path = fs::read_link(format!("/proc/self/fd/{name}")).ok();
        let path = path.map(|path| path.display().to_string());
        let terminal = isatty(&fd).unwrap_or(false);
        let number = fs::metadata(format!("/proc/self/fd/{name}")).map(|facts| facts.dev()).ok();
        facts.insert(
            name.to_owned(),
            json!({ "path": path, "terminal": terminal, "dev": number, "size": size(&fd) }),
        );
    }
    let tty = OpenOptions::new().read(true).open("/dev/tty");
    facts.insert(
        "foreground".to_owned(),
        json!(tty.as_ref().ok().and_then(|tty| tcgetpgrp(tty).ok()) == Some(getpgrp())),
    );
    facts.insert("controlling".to_owned(), json!(io_outcome(tty)));
    facts.insert("session".to_owned(), json!(getsid(None).expect("getsid").as_raw()));
    Value::from(facts).into()
}

/// Rows and columns.
fn size(fd: &OwnedFd) -> Option<[u16; 2]> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request writes one winsize, which `size` is.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size) };
    (result == 0).then_some([size.ws_row, size.ws_col])
}

/// DEVPTS_SUPER_MAGIC of linux/magic.h.
const DEVPTS: i64 = 0x1cd1;

/// `pty`: the container's own devpts, and whether a new terminal and the
/// standard input belong to it.
pub fn pty(_: &[String]) -> Report {
    let own = fs::metadata("/dev/pts").map(|facts| facts.dev()).ok();
    let magic = nix::sys::statfs::statfs("/dev/pts").map(|fs| fs.filesystem_type().0).ok();
    let mut entries: Vec<String> = fs::read_dir("/dev/pts")
        .map(|all| all.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    entries.sort();
    json!({
        "dev": own,
        "devpts": magic == Some(DEVPTS),
        "entries": entries,
        "stdin": fs::metadata("/proc/self/fd/0").map(|facts| facts.dev()).ok(),
        "new": io_outcome(new_terminal()),
        "new dev": new_terminal().ok(),
    })
    .into()
}

/// Opens a new pair; the device that its terminal end lies on.
fn new_terminal() -> std::io::Result<u64> {
    let flags = libc::O_NOCTTY;
    let control =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx")?;
    let control = control.as_raw_fd();
    let unlock: libc::c_int = 0;
    // SAFETY: the first request reads one int, the second takes a number and
    // returns a new descriptor or -1 (TIOCSPTLCK(2const), TIOCGPTPEER(2const)).
    #[allow(unsafe_code)]
    let end = unsafe {
        libc::ioctl(control, libc::TIOCSPTLCK, &unlock);
        libc::ioctl(control, libc::TIOCGPTPEER, libc::O_RDWR | flags)
    };
    if end < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // The descriptor lives as long as the probe.
    fs::metadata(format!("/proc/self/fd/{end}")).map(|facts| facts.dev())
}
