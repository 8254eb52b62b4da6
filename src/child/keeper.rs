//! The process that waits for what was started in a container that runs.
//!
//! It is the parent of the process that goes in, and never in the container
//! itself. Without it the caller's would be: one that is stopped does not reap,
//! and one that is gone leaves that to the machine's init, which may not
//! either; but until all of its processes are reaped the kernel lets no pid
//! namespace end (zap_pid_ns_processes), and the container could not be
//! stopped. It also gives the caller's terminal back if the launcher is killed,
//! and reads the other end of the payload's terminal for one that has left.
//!
//! Where somebody else is to be the program's parent, who takes in orphans (an
//! engine's monitor, PR_SET_CHILD_SUBREAPER), it ends as soon as the program
//! runs, and leaves that to be reaped, also if it is over by then.
//!
//! It runs in the launcher's memory, on a stack of its own, so it takes no heap
//! and calls no C library; with the launcher gone it has that to itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

use super::Child;
use super::start::{Orders, Start};
use crate::state::happening::LastWords;
use crate::sys::fd::Patience;
use crate::sys::process::{self, Ended, Made, exit_now};
use crate::sys::stack::Stack;
use crate::sys::tty::Lent;
use crate::sys::{Errno, Result, fd, path};

/// The keeper, from the launcher's side. Dropped before
/// [`runs`](Self::runs) was said, it ends what it has made; dropped after it
/// has told how that ended, it is reaped.
pub struct Keeper {
    link: Option<OwnedFd>,
    /// What it runs on and reads: never freed, for it may stay longer than the
    /// launcher.
    _memory: std::mem::ManuallyDrop<(Stack, Box<Kept>)>,
    process: Made,
}

/// How long a keeper stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Until all that it has made is over and reaped.
    ToTheEnd,
    /// Until it is told that what was started runs.
    UntilItRuns,
}

struct Kept {
    /// How long it stays.
    stay: Stay,
    /// What the process that goes in starts with.
    start: Start,
    /// The directory of the control group that it is to be born in.
    group: Option<RawFd>,
    /// The keeper's end of the link.
    link: OwnedFd,
    /// The caller's terminal, which the launcher puts into raw mode.
    terminal: Option<Lent>,
    /// What it writes down at the end of what was started.
    last_words: Option<LastWords>,
}

/// What the keeper says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The process that goes in is made: its id, and why it was not born in
    /// its control group, if it was not.
    Made(Pid, Option<Errno>),
    /// It could not be made.
    NotMade(Errno),
    /// It was killed by this signal: what it has made itself, if it did, nobody
    /// may know of.
    Lost(i32),
    /// What was started has ended so.
    Ended(Ended),
}

/// What the launcher says: one byte.
#[repr(u8)]
enum Told {
    /// What was started runs, and is to go on whatever becomes of us.
    Runs = 1,
    /// We leave; the descriptor that comes with this is to be read to its end.
    Leaves = 2,
    /// What was started has ended before it ran.
    Failed = 3,
}

impl Word {
    const LENGTH: usize = 12;

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let words = match self {
            Self::Made(pid, refused) => [1, pid.as_raw(), refused.map_or(0, |errno| errno as i32)],
            Self::NotMade(errno) => [2, errno as i32, 0],
            Self::Lost(signal) => [5, signal, 0],
            Self::Ended(Ended::Exited(code)) => [3, code, 0],
            Self::Ended(Ended::Killed(signal)) => [4, signal, 0],
        };
        let mut bytes = [0; Self::LENGTH];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (kind, number, other) = (word(0)?, word(4)?, word(8)?);
        Some(match kind {
            1 => Self::Made(Pid::from_raw(number), (other != 0).then(|| Errno::from_raw(other))),
            2 => Self::NotMade(Errno::from_raw(number)),
            3 => Self::Ended(Ended::Exited(number)),
            4 => Self::Ended(Ended::Killed(number)),
            5 => Self::Lost(number),
            _ => return None,
        })
    }
}

impl Keeper {
    /// Starts it, and it a process that performs `orders` and reports through a
    /// channel of which both ends are given. Should we be killed, `terminal`
    /// has its present modes again. What has run and ended it writes down by
    /// `last_words`, before it tells us.
    ///
    /// # Errors
    /// What clone3(2) and socketpair(2) say.
    pub fn start(
        stay: Stay,
        (parents_end, channel): (BorrowedFd<'_>, OwnedFd),
        orders: Orders,
        group: Option<BorrowedFd<'_>>,
        terminal: Option<BorrowedFd<'_>>,
        last_words: Option<LastWords>,
    ) -> Result<Self> {
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let (link, theirs) = socketpair(family, SockType::SeqPacket, None, flags)?;
        let number = channel.as_raw_fd();
        let start = Start::of(Child::new(parents_end, channel), OnceLock::from(orders));
        let group = group.map(|group| group.as_raw_fd());
        let terminal = terminal.map(Lent::new).transpose()?;
        let kept = Box::new(Kept { stay, start, group, link: theirs, terminal, last_words });
        let memory = std::mem::ManuallyDrop::new((Stack::new()?, kept));
        let argument = (&raw const *memory.1).cast();
        // SAFETY: neither is ever freed. `keep` makes system calls only.
        let made = unsafe { process::clone_sharing(0, &memory.0, keep, argument) };
        // SAFETY: the keeper has its own table of descriptors by now; in this
        // one the `OwnedFd`s of these numbers are never used nor dropped.
        unsafe {
            fd::close(number);
            fd::close(memory.1.link.as_raw_fd());
            memory.1.last_words.iter().for_each(|words| fd::close(words.directory.as_raw_fd()));
        }
        Ok(Self { link: Some(link), _memory: memory, process: made? })
    }

    /// The next that it says; `None` once it is gone.
    ///
    /// # Errors
    /// What recvmsg(2) says, and `EPROTO` for what is no word.
    pub fn hear(&self) -> Result<Option<Word>> {
        let mut bytes = [0; Word::LENGTH];
        match fd::receive(self.as_fd(), &mut bytes) {
            // It ended before it read what it was told.
            Err(Errno::ECONNRESET) => self.hear(),
            Ok((0, _)) => Ok(None),
            Ok((length, _)) => Word::from_bytes(&bytes[..length]).map(Some).ok_or(Errno::EPROTO),
            Err(errno) => Err(errno),
        }
    }

    /// Tells it that what was started runs: from now on it goes on by itself.
    pub fn runs(&self) {
        // One that is gone has been killed.
        let _ = fd::write_all(self.as_fd(), &[Told::Runs as u8]);
    }

    /// Tells it that what was started has ended before it ran: how, if it is
    /// the one to know.
    pub fn failed(&self) -> Option<Ended> {
        let _ = fd::write_all(self.as_fd(), &[Told::Failed as u8]);
        loop {
            match self.hear() {
                Ok(Some(Word::Ended(how))) => return Some(how),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Leaves what runs to it, and the other end of its terminal.
    pub fn leave(self, terminal: Option<BorrowedFd<'_>>) {
        let word = [Told::Leaves as u8];
        let _ = match terminal {
            Some(terminal) => fd::send_with_descriptor(self.as_fd(), &word, terminal),
            None => fd::write_all(self.as_fd(), &word),
        };
        std::mem::forget(self);
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // Taken away by the drop alone.
        self.link.as_ref().map_or(self.process.pidfd.as_fd(), AsFd::as_fd)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.link = None;
        // It ends with its children, which are told to, but not when they are
        // stuck in the kernel. Then it is for whoever reaps orphans.
        for _ in 0..PATIENCE {
            if fd::wait_readable([self.process.pidfd.as_fd()], Patience::Moment) != Ok([false]) {
                let _ = process::wait(self.process.pidfd.as_fd());
                return;
            }
        }
    }
}

/// How long, in nanoseconds, a launcher may take to ask the kernel.
const ASKING: u64 = 2_000_000_000;

/// How many moments a keeper is waited for that has nothing left to do.
const PATIENCE: u32 = 100;

extern "C" fn keep(kept: *const ()) -> ! {
    // SAFETY: `Keeper::start` passes a `Kept` that is never freed and that
    // nobody changes.
    let kept = unsafe { &*kept.cast::<Kept>() };
    // What is typed at the launcher's terminal is not for us; and the end of a
    // child is heard from a descriptor.
    let _ = process::new_session();
    let ended = process::block_all_signals().and_then(|()| process::children_ended());
    let told = |word: Word| fd::write_all(kept.link.as_fd(), &word.to_bytes());
    let made = ended.and_then(|ended| Ok((ended, make(kept)?)));
    let (ended, (made, refused)) = match made {
        Ok(made) => made,
        Err(errno) => {
            let _ = told(Word::NotMade(errno));
            exit_now(1)
        }
    };
    let lent = kept.terminal.as_ref().map_or(ended.as_raw_fd(), Lent::number);
    let link = kept.link.as_raw_fd();
    let log = kept.last_words.as_ref().map_or(link, |words| words.directory.as_raw_fd());
    let mut stay = [link, ended.as_raw_fd(), made.pidfd.as_raw_fd(), lent, log];
    // SAFETY: the table of descriptors is the keeper's own (no CLONE_FILES); it
    // uses those in `stay` only, and drops no other.
    unsafe { fd::close_all_but(&mut stay) };
    let _ = told(Word::Made(made.pid, refused));
    let mut watch = Watch {
        kept,
        made,
        ended,
        is_in: false,
        runs: false,
        over: None,
        listens: true,
        rest: None,
    };
    if let Some(how) = watch.until_the_end() {
        if let Some(words) = &kept.last_words
            && watch.has_run()
        {
            let _ = write_down(words, how);
        }
        let _ = told(Word::Ended(how));
    }
    watch.see_off();
    exit_now(0)
}

/// Makes the process that goes in, in its control group if that may be.
fn make(kept: &Kept) -> Result<(Made, Option<Errno>)> {
    // SAFETY: the child goes into `begin`, which takes no heap and ends in an
    // exec or an exit.
    let born =
        kept.group.map(|group| unsafe { process::clone_into_group(BorrowedFd::borrow_raw(group)) });
    let (made, refused) = match born {
        Some(Ok(made)) => (made, None),
        // SAFETY: as above.
        other => (unsafe { process::clone_copying(0, None)? }, other.and_then(Result::err)),
    };
    match made {
        Some(made) => Ok((made, refused)),
        // SAFETY: this is the child, and nobody else begins with it.
        None => unsafe { kept.start.begin() },
    }
}

/// What the keeper does once all is made.
struct Watch<'a> {
    kept: &'a Kept,
    made: Made,
    /// Can be read when a child has ended.
    ended: OwnedFd,
    /// Whether the process that goes in has made the one that stays there, and
    /// was reaped.
    is_in: bool,
    /// Whether it was said that what was started runs.
    runs: bool,
    /// When somebody had ended of whom the launcher has not said that he runs.
    over: Option<u64>,
    /// Whether the launcher may still say something.
    listens: bool,
    /// The other end of the payload's terminal, of a launcher that has left.
    rest: Option<OwnedFd>,
}

impl Watch<'_> {
    /// Waits until there is no child left: how the one ended that was started.
    fn until_the_end(&mut self) -> Option<Ended> {
        let mut how = None;
        while self.reap(&mut how) && self.stays() {
            let ended = self.ended.as_fd();
            let link = if self.listens { self.kept.link.as_fd() } else { ended };
            let rest = self.rest.as_ref().map_or(ended, AsFd::as_fd);
            let patience = self.over.map_or(Patience::Endless, |_| Patience::Nanos(ASKING / 10));
            let Ok([child, word, output]) = fd::wait_readable([ended, link, rest], patience) else {
                continue;
            };
            if child {
                // What is pending would be told again.
                let _ = fd::read(ended, &mut [0; 128]);
            }
            if word && self.listens {
                self.listen();
            }
            if output && self.rest.is_some() {
                self.discard();
            }
        }
        how
    }

    /// Whether what has ended was the program. The launcher says so, or goes
    /// without a word; it may be slower than a short program.
    fn has_run(&mut self) -> bool {
        while self.listens && !self.runs {
            self.listen();
        }
        self.runs
    }

    /// Waits until the launcher has let go of its terminal. One that is killed
    /// may be slower to end than a program that hangs up with it.
    fn see_off(&mut self) {
        while self.listens && self.kept.terminal.is_some() {
            self.listen();
        }
    }

    /// Whether there is more for it to do than to have children.
    fn stays(&self) -> bool {
        match self.kept.stay {
            Stay::ToTheEnd => true,
            // Who went in and made it is nobody else's.
            Stay::UntilItRuns => !self.is_in || self.listens && !self.runs,
        }
    }

    /// Reaps who has ended; false once there is no child left.
    fn reap(&mut self, how: &mut Option<Ended>) -> bool {
        if self.kept.stay == Stay::UntilItRuns {
            // What was started is for another, however early it ends.
            let reaped = process::reap(self.made.pid);
            if let Ok(Some((_, Ended::Killed(signal)))) = reaped {
                self.lose(signal);
            }
            self.is_in |= !matches!(reaped, Ok(None));
            return true;
        }
        loop {
            let ended = match process::any_ended() {
                Ok(Some(pid)) => pid,
                Err(Errno::ECHILD) => return false,
                Ok(None) | Err(_) => return true,
            };
            // The launcher asks the kernel whether it has executed a program, as
            // long as it has its number. One that is stopped does not ask, and is
            // not to keep a container from its end.
            if ended != self.made.pid && self.listens && !self.runs {
                let now = process::monotonic_nanos();
                if now - *self.over.get_or_insert(now) < ASKING {
                    return true;
                }
            }
            self.over = None;
            match process::reap(ended) {
                Ok(Some((pid, ended))) if pid != self.made.pid => *how = Some(ended),
                Ok(Some((_, Ended::Killed(signal)))) => self.lose(signal),
                _ => {}
            }
        }
    }

    /// Says that who was to go in was killed: the launcher would wait for what
    /// it can't say any more, and what it made for the launcher.
    fn lose(&self, signal: i32) {
        let _ = fd::write_all(self.kept.link.as_fd(), &Word::Lost(signal).to_bytes());
    }

    fn listen(&mut self) {
        let mut word = [0];
        match fd::receive(self.kept.link.as_fd(), &mut word) {
            Ok((1, _)) if word[0] == Told::Runs as u8 => self.runs = true,
            Ok((1, rest)) => {
                self.listens = false;
                self.rest = rest;
            }
            // It ended before it read what it was told; what it has said before
            // comes next.
            Err(Errno::EINTR | Errno::ECONNRESET) => {}
            // The launcher is gone, and did not say that it would be.
            _ => {
                self.listens = false;
                if !self.runs {
                    let _ = process::send_signal(self.made.pidfd.as_fd(), nix::libc::SIGKILL);
                }
                if let Some(terminal) = &self.kept.terminal {
                    terminal.give_back();
                }
            }
        }
    }

    /// Nobody reads what is said, and nobody is to wait for that.
    fn discard(&mut self) {
        let rest = self.rest.as_ref().map(|rest| fd::read(rest.as_fd(), &mut [0; 4096]));
        match rest {
            Some(Ok(1..)) | Some(Err(Errno::EINTR | Errno::EAGAIN)) => {}
            // All of the terminal's other ends are closed, or it is gone.
            _ => self.rest = None,
        }
    }
}

/// Appends the line of an end, whole.
fn write_down(words: &LastWords, how: Ended) -> Result<()> {
    let code = match how {
        Ended::Exited(code) => code as u8,
        Ended::Killed(signal) => (128 + signal) as u8,
    };
    let [before, between, behind] = &words.parts;
    let (mut code_digits, mut time_digits) = ([0; 20], [0; 20]);
    let code = decimal(code.into(), &mut code_digits);
    let at = decimal(process::real_nanos(), &mut time_digits);
    let (mut line, mut length) = ([0; 256], 0);
    for part in [before, code, between, at, behind] {
        let end = length + part.len();
        line.get_mut(length..end).ok_or(Errno::E2BIG)?.copy_from_slice(part);
        length = end;
    }
    let file = path::append_to(words.directory.as_fd(), words.file)?;
    fd::write(file.as_fd(), &line[..length]).map(drop)
}

/// A number as text, at the end of `digits`.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[first..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::happening::{Seen, Told, What};

    #[test]
    fn what_is_written_down_reads_back() {
        let name = format!("sublet-keeper.{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        let open = || OwnedFd::from(std::fs::File::open(&path).unwrap());
        let command = ["sh".to_owned(), "é".repeat(1024)];
        let told = Told::begin(open(), "ab".repeat(32), &command);
        write_down(&told.last_words().unwrap(), Ended::Killed(2)).unwrap();
        told.left();
        let all = Seen::default().further(open().as_fd());
        std::fs::remove_dir_all(&path).unwrap();
        let What::ExecStart { command, .. } = &all[0].what else { panic!("{all:?}") };
        assert!(command.starts_with("sh é") && command.len() <= 1024);
        assert_eq!(all[1].what, What::ExecDie { exec: "ab".repeat(32), code: Some(130) });
        assert!(all[0].at <= all[1].at && all[1].at <= all[2].at);
        let mut digits = [0; 20];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
    }

    #[test]
    fn every_word_reads_back() {
        for word in [
            Word::Made(Pid::from_raw(4_194_304), None),
            Word::Made(Pid::from_raw(1), Some(Errno::EACCES)),
            Word::NotMade(Errno::EAGAIN),
            Word::Lost(9),
            Word::Ended(Ended::Exited(255)),
            Word::Ended(Ended::Killed(9)),
        ] {
            assert_eq!(Word::from_bytes(&word.to_bytes()), Some(word));
        }
        assert_eq!(Word::from_bytes(&[]), None);
        assert_eq!(Word::from_bytes(&[0; Word::LENGTH]), None);
    }
}
