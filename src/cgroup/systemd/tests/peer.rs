//! The other side of a connection, as a test wants it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Pid;
use serde::Serialize;
use zbus::{DynamicType, ObjectPath};

use super::super::call::{CALL, Call, JOB_REMOVED, MANAGER};
use super::super::connection::Connection;
use super::super::wire::{self, Message, assemble, text_field};
use super::super::{Failure, Job, Kind, Line, Progress, StartScope};
use crate::host::bus::{self, Bus};
use crate::plan::cgroup::{Property, Value};

pub(super) const UNIT: &str = "sublet-test.scope";
pub(super) const JOB: &str = "/org/freedesktop/systemd1/job/77";
/// The unique name of the manager on a bus.
pub(super) const SYSTEMD: Option<&str> = Some(":1.0");
/// No test waits so long: it means that time is of no account.
pub(super) const LONG: Duration = Duration::from_secs(60);
/// What a test waits for in vain.
pub(super) const SHORT: Duration = Duration::from_millis(20);

/// The peer's end of a socket.
pub(super) struct Peer {
    pub(super) stream: UnixStream,
    heard: Vec<u8>,
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        Self { stream, heard: Vec::new() }
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Accepts who the client says it is.
    pub(super) fn welcome(&mut self) {
        self.say(b"OK 0123456789abcdef0123456789abcdef\r\n");
    }

    pub(super) fn hear_greeting(&mut self) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"BEGIN\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
        String::from_utf8(text).unwrap()
    }

    /// The messages that have been written so far.
    pub(super) fn hear_all(&mut self) -> Vec<Message> {
        self.stream.set_nonblocking(true).unwrap();
        let end = self.stream.read_to_end(&mut self.heard).map_err(|error| error.kind());
        // The client may have gone.
        assert!(matches!(end, Ok(_) | Err(ErrorKind::WouldBlock)), "{end:?}");
        self.stream.set_nonblocking(false).unwrap();
        let mut messages = Vec::new();
        while let Some(message) = Message::take(&mut self.heard).unwrap() {
            messages.push(message);
        }
        messages
    }

    /// Waits until the client has gone.
    pub(super) fn stay(&mut self) {
        while self.stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }
}

/// Our end of a socket, and the peer's.
pub(super) fn pair() -> (UnixStream, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours, Peer::new(theirs))
}

/// A client that has asked for a scope, with its manager.
pub(super) fn private(patience: Duration) -> (Job, Peer) {
    begin(bus::Kind::Private, patience)
}

pub(super) fn begin(kind: bus::Kind, patience: Duration) -> (Job, Peer) {
    let property = |name: &str, value| Property { name: name.to_owned(), value };
    let properties = [
        property("MemoryMax", Value::U64(64)),
        property("MemoryZSwapMax", Value::U64(0)),
        property("AllowedCPUs", Value::Bytes(vec![5])),
        property("IOReadBandwidthMax", Value::Rates(vec![("/dev/sda".to_owned(), 9)])),
    ];
    let scope = StartScope {
        unit: UNIT,
        slice: Some("some.slice"),
        description: "a test",
        pids: &[Pid::from_raw(7), Pid::from_raw(8)],
        delegate: true,
        properties: &properties,
    };
    asking(Call::start_scope(&scope).unwrap(), kind, patience)
}

pub(super) fn asking(call: Call, kind: bus::Kind, patience: Duration) -> (Job, Peer) {
    let (ours, peer) = pair();
    let connection = Connection::over(ours, patience);
    let line = Line { connection, kind, peer: "systemd at \"/run/x\"".to_owned() };
    (line.ask(call, UNIT).unwrap(), peer)
}

/// How it fails in the end, with `meanwhile` done before each look.
pub(super) fn fails(job: &mut Job, mut meanwhile: impl FnMut()) -> anyhow::Error {
    loop {
        meanwhile();
        match job.proceed() {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Done) => panic!("it says that it is done"),
            Err(error) => return error,
        }
    }
}

/// The kind of a failure.
pub(super) fn kind(error: &anyhow::Error) -> Kind {
    error.downcast_ref::<Failure>().unwrap_or_else(|| panic!("{error:?}")).kind.clone()
}

/// The answer to StartTransientUnit.
pub(super) fn started(job: &str, sender: Option<&str>) -> Vec<u8> {
    returns(&(ObjectPath::try_from(job).unwrap(),), sender)
}

pub(super) fn returns<B: Serialize + DynamicType>(body: &B, sender: Option<&str>) -> Vec<u8> {
    assemble(wire::Kind::Return, 9, answer_to(CALL, sender), body).unwrap()
}

pub(super) fn error(serial: u32, name: &str, words: &str) -> Vec<u8> {
    let mut fields = answer_to(serial, None);
    text_field(&mut fields, 4, b's', name);
    assemble(wire::Kind::Error, 9, fields, &(words,)).unwrap()
}

pub(super) fn answer_to(serial: u32, sender: Option<&str>) -> Vec<u8> {
    let mut fields = vec![5, 1, b'u', 0];
    fields.extend(serial.to_le_bytes());
    if let Some(sender) = sender {
        text_field(&mut fields, 7, b's', sender);
    }
    fields
}

/// The signal that a job is over.
pub(super) fn removed(job: &str, unit: &str, result: &str, sender: Option<&str>) -> Vec<u8> {
    let mut fields = Vec::new();
    text_field(&mut fields, 1, b'o', "/org/freedesktop/systemd1");
    text_field(&mut fields, 2, b's', MANAGER);
    text_field(&mut fields, 3, b's', JOB_REMOVED);
    if let Some(sender) = sender {
        text_field(&mut fields, 7, b's', sender);
    }
    let body = (7u32, ObjectPath::try_from(job).unwrap(), unit, result);
    assemble(wire::Kind::Signal, 9, fields, &body).unwrap()
}

/// A manager's private socket, where a thread does to each client what the
/// test says.
pub(super) struct Stub {
    pub(super) bus: Bus,
}

impl Stub {
    pub(super) fn new(test: &str, script: impl Fn(&mut Peer) + Send + 'static) -> Self {
        let path = path(test);
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                script(&mut Peer::new(stream.unwrap()));
            }
        });
        Self { bus: Bus { path, kind: bus::Kind::Private } }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        std::fs::remove_file(&self.bus.path).unwrap();
    }
}

/// A path where a socket can be.
pub(super) fn path(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sublet-systemd-{test}-{}", std::process::id()))
}
