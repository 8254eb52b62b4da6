//! Starting a program, waiting for it with a limit, and what came of it.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::Value;

use super::spawn::{self, Before};
use super::{Scratch, Terminal, launcher, patience};

/// What a launcher's command line begins with where a test is not about networks.
pub const RUN: [&str; 3] = ["run", "--network", "none"];

/// A program to be started, and how.
#[derive(Debug)]
pub struct Program {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<OsString>,
    before: Vec<Before>,
    handed: Vec<OwnedFd>,
    input: Option<Vec<u8>>,
    limit: f64,
}

impl Program {
    /// A program with an environment that holds a PATH and nothing else.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            words: vec![program.as_ref().to_owned()],
            environment: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
            directory: None,
            before: Vec::new(),
            handed: Vec::new(),
            input: None,
            limit: 20.0,
        }
    }

    /// The launcher, with its state in the test's own directories.
    pub fn sublet(scratch: &Scratch) -> Self {
        Self::new(launcher()).at_home(scratch)
    }

    /// `sublet run`, without a network: a way out takes what not every machine
    /// has, and longer than all else. A test of networks says which one after
    /// this, or is [`run_usual`](Self::run_usual).
    pub fn run_in(scratch: &Scratch) -> Self {
        Self::sublet(scratch).args(RUN)
    }

    /// `sublet run`, and nothing else.
    pub fn run_usual(scratch: &Scratch) -> Self {
        Self::sublet(scratch).arg("run")
    }

    /// HOME, TMPDIR and the XDG directories lie in `scratch`.
    pub fn at_home(mut self, scratch: &Scratch) -> Self {
        for (name, path) in scratch.environment() {
            self = self.env(name, path);
        }
        self
    }

    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, words: I) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn no_env(mut self) -> Self {
        self.environment.clear();
        self
    }

    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directory = Some(path.as_ref().into());
        self
    }

    /// `fd` of the test is open as `at` in the program.
    pub fn inherit(mut self, fd: impl AsFd, at: RawFd) -> Self {
        // From a copy with a high number, so that no `at` is another one's
        // source, or its own.
        let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(500)).expect("copy a descriptor");
        let copy = spawn::own(copy);
        let program_has = Before::Inherit { fd: copy.as_raw_fd(), at };
        self.handed.push(copy);
        self.before(program_has)
    }

    /// A change that the program starts with.
    pub fn before(mut self, change: Before) -> Self {
        self.before.push(change);
        self
    }

    /// What standard input holds; it is the null device without.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The time it may take, in seconds of a machine that is not slow.
    pub fn within(mut self, seconds: f64) -> Self {
        self.limit = seconds;
        self
    }

    /// The same program as the last words of another one's command line.
    pub fn under(self, outer: &[&str]) -> Self {
        let words = outer.iter().map(OsString::from).chain(self.words).collect();
        Self { words, ..self }
    }

    /// A shell script, in which `"$@"` is this program.
    pub fn inside(self, script: &str) -> Self {
        self.under(&["sh", "-ec", script, "sh"])
    }

    /// A shell script as above, with root's powers over a mount, a process and
    /// a user namespace of its own.
    pub fn inside_namespaces(self, script: &str) -> Self {
        let outer = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"];
        self.under(&[&outer[..], &["sh", "-ec", script, "sh"]].concat())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear().envs(self.environment.iter().cloned());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        spawn::prepare(&mut command, self.before.clone());
        command
    }

    /// The command line, for messages.
    fn line(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// Starts it; its output is read as it comes.
    pub fn spawn(self) -> Running {
        let line = self.line();
        let mut command = self.command();
        let input = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            spawn::start(&mut command).unwrap_or_else(|error| panic!("start {line}: {error}"));
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), self.input) {
            // The program may end without reading it all.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let output = Stream::new(child.stdout.take().expect("a pipe"));
        let errors = Stream::new(child.stderr.take().expect("a pipe"));
        let started = Instant::now();
        Running { line, child, output, errors, started, limit: patience(self.limit) }
    }

    /// Runs it to its end.
    pub fn run(self) -> Done {
        self.spawn().wait()
    }

    /// Runs it and returns what it printed; it has to succeed.
    pub fn ok(self) -> String {
        self.run().ok()
    }

    /// Runs it and reads what it printed as JSON.
    pub fn json(self) -> Value {
        self.run().json()
    }

    /// Runs it, to be refused by the launcher; see [`Done::refused`].
    pub fn refused(self, words: &[&str]) {
        self.run().refused(words);
    }

    /// Starts it in the foreground of a terminal of its own.
    pub fn on_terminal(mut self) -> Terminal {
        self.before.insert(0, Before::OwnTerminal);
        let line = self.line();
        Terminal::start(line, self.command(), patience(self.limit))
    }
}

/// Bytes of one stream, as they arrive.
struct Stream {
    arriving: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    /// How many of the bytes have been handed out as lines.
    told: usize,
}

impl Stream {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let (sender, arriving) = channel();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { arriving, bytes: Vec::new(), told: 0 }
    }

    /// Takes in what arrives until `deadline`; false at the stream's end.
    fn more(&mut self, deadline: Instant) -> Result<bool, RecvTimeoutError> {
        match self.arriving.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => {
                self.bytes.extend(bytes);
                Ok(true)
            }
            Err(RecvTimeoutError::Disconnected) => Ok(false),
            Err(timeout) => Err(timeout),
        }
    }

    /// The next line that has not been handed out, or why there is none.
    fn line(&mut self, deadline: Instant) -> Result<String, &'static str> {
        loop {
            let rest = &self.bytes[self.told..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.told += end + 1;
                return Ok(line);
            }
            match self.more(deadline) {
                Ok(true) => {}
                Ok(false) => return Err("no more lines"),
                Err(_) => return Err("no line in time"),
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A program that has been started.
pub struct Running {
    line: String,
    child: Child,
    output: Stream,
    errors: Stream,
    started: Instant,
    limit: Duration,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by number.
    pub fn signal(&self, signal: i32) {
        spawn::kill(self.pid(), signal).unwrap_or_else(|error| {
            panic!("send signal {signal} to {}: {error}", self.line);
        });
    }

    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        let deadline = Instant::now() + self.limit;
        self.output.line(deadline).unwrap_or_else(|why| panic!("{why} from {}", self.told_so_far()))
    }

    /// The next line of its standard error.
    pub fn note(&mut self) -> String {
        let deadline = Instant::now() + self.limit;
        self.errors.line(deadline).unwrap_or_else(|why| panic!("{why} from {}", self.told_so_far()))
    }

    fn told_so_far(&mut self) -> String {
        while self.errors.more(Instant::now()) == Ok(true) {}
        format!("{}\nstdout: {}\nstderr: {}", self.line, self.output.text(), self.errors.text())
    }

    /// Waits for its end, and for its output's: a process that it left behind
    /// would hold that open.
    pub fn wait(mut self) -> Done {
        let deadline = self.started + self.limit;
        loop {
            match (self.output.more(deadline), self.errors.more(deadline)) {
                (Ok(false), Ok(false)) => break,
                (Ok(_), Ok(_)) => {}
                _ => panic!("not done in time: {}", self.told_so_far()),
            }
        }
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait for a child") {
                break status;
            }
            assert!(Instant::now() < deadline, "its output ended, but not {}", self.line);
            std::thread::sleep(Duration::from_millis(1));
        };
        Done {
            line: std::mem::take(&mut self.line),
            status,
            bytes: std::mem::take(&mut self.output.bytes),
            stderr: self.errors.text(),
            took: self.started.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of a program.
#[derive(Debug)]
pub struct Done {
    pub line: String,
    pub status: ExitStatus,
    pub bytes: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

impl Done {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The exit code; a signal that killed it is a failure of the test.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| {
            panic!("killed by signal {:?}: {}", self.status.signal(), self.told())
        })
    }

    fn told(&self) -> String {
        format!("{}\nstdout: {}\nstderr: {}", self.line, self.stdout(), self.stderr)
    }

    /// Insists on an exit code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "exit code of {}", self.told());
        self
    }

    /// Insists on success; what it printed, without the last end of line.
    #[track_caller]
    pub fn ok(&self) -> String {
        self.exits(0).stdout().trim_end().to_owned()
    }

    /// Insists on success and on JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.exits(0);
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error} in the output of {}", self.told()))
    }

    /// Insists that the launcher refused: its own exit code, nothing on the
    /// standard output, and an error that people can use and that has all of
    /// `words`.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) -> &Self {
        self.exits(125).explained(words);
        assert!(self.bytes.is_empty(), "printed beside an error: {}", self.told());
        self
    }

    /// Insists on an error in the project's own form: `error: ` and what was
    /// tried, on one line, never only an errno; control characters escaped.
    #[track_caller]
    pub fn explained(&self, words: &[&str]) -> &Self {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("error: "));
        let Some(line) = line else { panic!("no error is told by {}", self.told()) };
        let cause = line.split(" (os error ").next().unwrap_or(line);
        assert!(
            line == cause || cause.contains(": "),
            "an errno, but not what was tried: {}",
            self.told()
        );
        assert!(!self.stderr.contains("panicked"), "{}", self.told());
        assert!(
            self.stderr.chars().all(|c| c == '\n' || !c.is_control()),
            "control characters: {:?} of {}",
            self.stderr,
            self.line
        );
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {}", self.told());
        }
        self
    }

    /// Insists that it took no longer than so many seconds.
    #[track_caller]
    pub fn took_at_most(&self, seconds: f64) -> &Self {
        assert!(self.took <= patience(seconds), "{:?} for {}", self.took, self.told());
        self
    }
}
