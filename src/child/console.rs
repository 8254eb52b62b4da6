//! The payload's terminal and standard streams.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;

use super::report::{Part, Report};
use super::{Failure, Outcome};
use crate::sys::{Errno, call, fd, mount, path, tty};

/// Opens a pty of the container's own devpts for a user inside, and sends its
/// other end through `channel`.
///
/// The devpts and the /dev are mounts of our own that nothing of the image is
/// in, so the names `ptmx` and `console` can be nobody's trap (CVE-2025-52565).
pub fn open(
    dev: BorrowedFd<'_>,
    pts: BorrowedFd<'_>,
    owner: u32,
    size: Option<(u16, u16)>,
    channel: BorrowedFd<'_>,
) -> Result<OwnedFd, Failure> {
    let master = path::open_component(pts, c"ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
    let terminal = prepare(master.as_fd(), owner, size)?;
    show_as_console(dev, pts, master.as_fd())?;
    hand_over(master.as_fd(), channel)?;
    Ok(terminal)
}

/// Opens a pty of a container that runs, from inside, for one of its users.
///
/// What lies at /dev/pts may be the container's doing by now: so it has to be
/// the multiplexer of a devpts. The terminal is then taken from that by
/// descriptor, whatever has a name there.
pub fn open_inside(owner: u32, channel: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let root = path::open_typed(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
    let master = path::open_in_root(root.as_fd(), c"/dev/pts/ptmx", flags)
        .map_err(|errno| Part::Resolve.failed(errno))?;
    let is_multiplexer = path::status(master.as_fd())?.is_character_device(5, 2);
    if !is_multiplexer || !path::on_devpts(master.as_fd())? {
        return Err(Part::Kind.failed(Errno::ENODEV));
    }
    let terminal = prepare(master.as_fd(), owner, None)?;
    hand_over(master.as_fd(), channel)?;
    Ok(terminal)
}

/// The terminal behind a master, `owner`'s, with that size, else that of the
/// caller's.
fn prepare(
    master: BorrowedFd<'_>,
    owner: u32,
    size: Option<(u16, u16)>,
) -> Result<OwnedFd, Failure> {
    let terminal = tty::open_peer(master)?;
    // SAFETY: numbers only; a gid of -1 leaves the group, tty, as it is.
    unsafe { call!(libc::SYS_fchown, terminal.as_raw_fd(), owner, u32::MAX)? };
    // Of the caller's terminal, if one of its streams is one, else what all
    // terminals once had: the payload may ask as soon as it runs.
    if let Some((rows, columns)) = size {
        tty::set_size(master, rows, columns)?;
    } else if !(0..=2).any(|number| tty::copy_size(fd::standard(number), master).is_ok()) {
        tty::set_size(master, 24, 80)?;
    }
    Ok(terminal)
}

fn hand_over(master: BorrowedFd<'_>, channel: BorrowedFd<'_>) -> Outcome {
    Ok(fd::send_with_descriptor(channel, &Report::Terminal.to_bytes(), master)?)
}

/// Takes the terminal as that of this session, which this process leads, and
/// as standard streams.
pub fn take(terminal: BorrowedFd<'_>) -> Outcome {
    tty::make_controlling(terminal)?;
    for number in 0..=2 {
        fd::install(terminal, number)?;
    }
    Ok(())
}

/// Binds the terminal at `/dev/console`, where programs look that think they
/// are the machine's init.
fn show_as_console(
    dev: BorrowedFd<'_>,
    pts: BorrowedFd<'_>,
    master: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let mut name = [0_u8; 12];
    let number = decimal(tty::pty_number(master)?, &mut name);
    let tree = mount::open_tree(pts, number, mount::Reach::Mount)?;
    drop(path::create_file(dev, c"console", 0o600)?);
    let target = path::open_component(dev, c"console", libc::O_PATH)?;
    Ok(mount::move_mount(tree.as_fd(), target.as_fd())?)
}

/// A number as a string, without a formatter, which might take the heap.
fn decimal(mut number: u32, buffer: &mut [u8; 12]) -> &std::ffi::CStr {
    let mut at = buffer.len() - 1;
    buffer[at] = 0;
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::ffi::CStr::from_bytes_until_nul(&buffer[at..]).unwrap_or(c"0")
}

/// Takes the host's null device as these standard streams.
pub fn null(streams: std::ops::RangeInclusive<i32>) -> Outcome {
    let null = path::open_typed(c"/dev/null", libc::O_RDWR)
        .map_err(|errno| Part::Resolve.failed(errno))?;
    if !path::status(null.as_fd())?.is_character_device(1, 3) {
        return Err(Part::Kind.failed(Errno::ENODEV));
    }
    Ok(streams.into_iter().try_for_each(|number| fd::install(null.as_fd(), number))?)
}
