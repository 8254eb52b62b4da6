//! The launcher's own program file, which a container must not overwrite.
//!
//! A payload can get at it through /proc/self/exe while it is being executed
//! (CVE-2019-5736), and without root it belongs to the very user that
//! container root is. The kernel refuses to open a file for writing that a
//! process executes (ETXTBSY), and a launcher and its watcher execute it until
//! the last process of the container is gone. Some kernels (6.11, 6.12 before
//! it was taken back) don't refuse; there a sealed copy in memory is executed
//! instead. Which it is, is tried, not guessed.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::Explain;
use crate::state::Identity;

const SELF: &str = "/proc/self/exe";

/// Makes sure that nothing can write to the program while it runs: returns in
/// the same process, or starts over in a sealed copy of the program.
///
/// # Errors
/// Where the copy can't be made.
pub fn protect() -> anyhow::Result<()> {
    if is_memory() {
        return call_by_name();
    }
    match OpenOptions::new().write(true).open(SELF) {
        Ok(_) => {}
        // Its mode forbids it, which the owner can change: container root may
        // be the owner, and the kernel did not come to say whether it is busy.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && is_ours()? => {}
        Err(_) => return Ok(()),
    }
    take_copy()
}

/// The same for a container that `launcher` has started, and that may go on
/// when we have ended: then the file is executed no longer by us, but by the
/// launcher, if that is of the same file.
///
/// # Errors
/// As [`protect`].
pub fn protect_beside(launcher: &Identity) -> anyhow::Result<()> {
    protect()?;
    let could_be_written = is_ours()? && !is_memory();
    if could_be_written && !is_program_of(launcher) { take_copy() } else { Ok(()) }
}

fn take_copy() -> anyhow::Result<()> {
    start_over()
        .with_context(|| "take a sealed copy of the program")
        .hint("the program file can be written while it runs; install it where only root writes")
}

/// Makes sure that nothing can write to the program once we are gone: returns
/// where it can't anyway, or starts over in a sealed copy.
///
/// A container that lives on without us has nobody who keeps the file busy. Its
/// root may be the caller, or any user of the caller's own namespace.
///
/// # Errors
/// Where the copy can't be made.
pub fn protect_for_good() -> anyhow::Result<()> {
    /// Who is not in the map of our user namespace: nobody in a container below
    /// is that (sysctl kernel.overflowuid, as the kernel has it from the start).
    const NOBODY: u32 = 65534;
    let program = File::open(SELF).with_context(|| format!("open {SELF}"))?;
    if is_sealed(&program) {
        return call_by_name();
    }
    let owner = program.metadata().with_context(|| format!("look at {SELF}"))?.uid();
    let euid = nix::unistd::geteuid().as_raw();
    let may_write = nix::unistd::access(SELF, nix::unistd::AccessFlags::W_OK).is_ok();
    if !may_write && owner != euid && (euid != 0 || owner == NOBODY) {
        return Ok(());
    }
    start_over()
        .context("take a sealed copy of the program")
        .hint("where only root of the machine may write to the program no copy is taken")
}

/// Whether it is such a copy already.
fn is_memory() -> bool {
    File::open(SELF).is_ok_and(|program| is_sealed(&program))
}

/// Whether that process executes the very same file.
fn is_program_of(launcher: &Identity) -> bool {
    let inode = |path: &str| std::fs::metadata(path).map(|facts| (facts.dev(), facts.ino()));
    let same = match (inode(SELF), inode(&format!("/proc/{}/exe", launcher.pid))) {
        (Ok(own), Ok(other)) => own == other,
        _ => false,
    };
    // Looked at by its number: it has to be that one's still.
    same && matches!(launcher.open(), Ok(Some(_)))
}

/// Seals it once the kernel has let go of the pages that were just written: on a
/// busy machine it answers EBUSY until then.
fn seal(copy: &File, seals: SealFlag) -> nix::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let until = Instant::now() + PATIENCE;
    loop {
        match fcntl(copy, FcntlArg::F_ADD_SEALS(seals)) {
            Err(Errno::EBUSY) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            sealed => return sealed.map(drop),
        }
    }
}

fn is_ours() -> anyhow::Result<bool> {
    let program = std::fs::metadata(SELF).with_context(|| format!("look at {SELF}"))?;
    Ok(program.uid() == nix::unistd::geteuid().as_raw())
}

fn is_sealed(file: &File) -> bool {
    fcntl(file, FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_WRITE))
}

/// In the copy: the kernel has called the process by the number of the copy's
/// descriptor, and who lists processes looks for the program (execveat(2)).
fn call_by_name() -> anyhow::Result<()> {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or(OsStr::new("sublet"));
    let name = CString::new(name.as_bytes()).context("the program's name has a NUL byte")?;
    nix::sys::prctl::set_name(&name).context("name the process")
}

fn start_over() -> anyhow::Result<()> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Linux before 6.3 does not know MFD_EXEC, and needs no telling.
    let copy = memfd_create(c"sublet", flags | MFdFlags::from_bits_retain(libc::MFD_EXEC))
        .or_else(|_| memfd_create(c"sublet", flags))
        .context("make a file in memory")?;
    let mut copy = File::from(copy);
    let mut program = File::open(SELF).with_context(|| format!("open {SELF}"))?;
    std::io::copy(&mut program, &mut copy).context("copy the program")?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    seal(&copy, seals).context("seal the copy")?;
    // execveat takes no descriptor that is open for writing, nor a busy one.
    let readable = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy)))
        .context("open the copy")?;
    drop(copy);
    let words = |words: Vec<OsString>| -> anyhow::Result<Vec<CString>> {
        words.into_iter().map(|word| Ok(CString::new(word.into_vec())?)).collect()
    };
    let argv = words(std::env::args_os().collect())?;
    let environment = |(mut key, value): (OsString, OsString)| {
        key.push("=");
        key.push(value);
        key
    };
    let envp = words(std::env::vars_os().map(environment).collect())?;
    let never = nix::unistd::execveat(
        readable.as_fd(),
        c"",
        &argv,
        &envp,
        nix::fcntl::AtFlags::AT_EMPTY_PATH,
    );
    never.map(|_| ()).context("execute the copy")
}
