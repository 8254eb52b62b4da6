//! A terminal with a program in its foreground, typed into by the test.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::spawn;

/// Both ends of a terminal, and the program in it.
pub struct Terminal {
    line: String,
    control: OwnedFd,
    terminal: OwnedFd,
    child: Child,
    shown: Vec<u8>,
    /// Up to where [`Terminal::expect`] has read.
    seen: usize,
    limit: Duration,
    fresh: Termios,
}

impl Terminal {
    pub(super) fn start(line: String, mut command: Command, limit: Duration) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master: control, slave: terminal } =
            openpty(&size, None).expect("open a terminal");
        // Not for the programs of other tests either, which run at the same time.
        for end in [&control, &terminal] {
            use nix::fcntl::{FcntlArg, FdFlag, fcntl};
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("set close-on-exec");
        }
        let end = || Stdio::from(terminal.try_clone().expect("copy a descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
        let fresh = tcgetattr(&terminal).expect("tcgetattr");
        let child =
            spawn::start(&mut command).unwrap_or_else(|error| panic!("start {line}: {error}"));
        Self { line, control, terminal, child, shown: Vec::new(), seen: 0, limit, fresh }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub fn send(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let count = nix::unistd::write(&self.control, rest).expect("type");
            rest = &rest[count..];
        }
    }

    /// Waits until `text` is shown, after what was waited for before; returns
    /// all that was shown until then.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + self.limit;
        loop {
            let rest = &self.shown[self.seen..];
            if let Some(at) = rest.windows(text.len()).position(|word| word == text.as_bytes()) {
                let until = String::from_utf8_lossy(&rest[..at]).into_owned();
                self.seen += at + text.len();
                return until;
            }
            let came = self.take_in(Duration::from_millis(20));
            let ended = !came && self.child.try_wait().expect("wait").is_some();
            if ended && self.take_in_the_rest() {
                continue;
            }
            assert!(
                !ended && Instant::now() < deadline,
                "{text:?} was not shown by {}, but {:?}",
                self.line,
                String::from_utf8_lossy(&self.shown)
            );
        }
    }

    /// All that has been shown.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Reads what is there; false where nothing came in time.
    fn take_in(&mut self, time: Duration) -> bool {
        let mut ready = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).expect("a short time");
        if poll(&mut ready, time).unwrap_or(0) == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let count = nix::unistd::read(&self.control, &mut buffer).unwrap_or(0);
        self.shown.extend(&buffer[..count]);
        count > 0
    }

    /// Reads all that ended programs have written; false where that was
    /// nothing. The kernel hands a terminal's output on some time after the
    /// write, but in order: so up to a mark that is written now.
    fn take_in_the_rest(&mut self) -> bool {
        const MARK: &[u8] = b"\0the end\0";
        let before = self.shown.len();
        nix::unistd::write(&self.terminal, MARK).expect("mark the end");
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some(at) = self.shown.windows(MARK.len()).rposition(|word| word == MARK) {
                self.shown.drain(at..at + MARK.len());
                return self.shown.len() > before;
            }
            assert!(Instant::now() < deadline, "the terminal of {} is stuck", self.line);
            self.take_in(Duration::from_millis(20));
        }
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        spawn::resize(self.control.as_raw_fd(), rows, columns);
    }

    /// The settings from before the program was started.
    pub fn fresh(&self) -> &Termios {
        &self.fresh
    }

    /// The line discipline's settings.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.terminal).expect("tcgetattr")
    }

    /// Hands every byte on as it is typed, so that it can be counted.
    pub fn make_raw(&self) {
        let mut settings = self.settings();
        cfmakeraw(&mut settings);
        tcsetattr(&self.terminal, SetArg::TCSANOW, &settings).expect("tcsetattr");
    }

    /// How many typed bytes nobody has read.
    pub fn unread(&self) -> usize {
        spawn::waiting(self.terminal.as_raw_fd())
    }

    /// Waits for the program's end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + self.limit;
        loop {
            let more = self.take_in(Duration::from_millis(5));
            if let (false, Some(status)) = (more, self.child.try_wait().expect("wait")) {
                self.take_in_the_rest();
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "not done within {:?}: {}, which shows {:?}",
                self.limit,
                self.line,
                self.shown()
            );
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
