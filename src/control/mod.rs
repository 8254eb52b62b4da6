//! The control socket of a container: `control` in its directory, by which
//! other commands reach the launcher that stays with it.
//!
//! A Unix socket that keeps packets apart (`SOCK_SEQPACKET`). Who connects
//! sends a [`Request`] as JSON; the launcher answers between two looks at the
//! payload, with an [`Answer`], as JSON too, and a descriptor where one is
//! promised. Nothing that a client does or leaves undone is waited for.
//!
//! To those who are attached packets follow that begin with a byte: `o` or `e`,
//! and what the payload has said on that stream, or `x` and its exit code, the
//! last one. To those who have asked for anything else nothing does, and the
//! end of the connection says that all is done that it has led to.
//!
//! Who has started a container and stays with it speaks the same language by a
//! connection that he has from the start. He hears more: `n` and what he is to
//! be told, and `s` where a signal of his has stopped the payload. He alone
//! passes on signals, and says that he leaves.
#![forbid(unsafe_code)]

mod client;
mod server;

use serde::{Deserialize, Serialize};

use crate::error::{causes, hint};
use crate::state::{PublishedPort, Sent};

pub use client::{Asked, ask};
pub use server::Listener;

/// Its name in the container's directory.
const NAME: &str = "control";

/// The longest request or answer. The kernel takes some more at once
/// (net.core.wmem_default).
pub const LONGEST: usize = 160 << 10;

/// The first byte of a packet.
pub const OUT: u8 = b'o';
/// The same, of what was said on standard error.
pub const ERR: u8 = b'e';
/// The same, of the last one.
pub const ENDED: u8 = b'x';
/// The same, of what is for the caller's ears.
pub const NOTE: u8 = b'n';
/// The same, where the payload is stopped.
pub const STOPPED: u8 = b's';

/// What is asked of a launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// To hear what the payload says, and to get, with the answer, the
    /// descriptor by which it is spoken to.
    Attach,
    /// To publish these, each as typed: as in `--publish`.
    Publish(Vec<String>),
    /// To publish these no longer, each as typed; a host's port that is not
    /// said is any.
    Withdraw(Vec<String>),
    /// To pass on a signal that has come for the payload.
    Signal(Sent),
    /// To let the payload run on when the caller is gone.
    Leave,
}

/// What a launcher says to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done; whether the payload has a terminal, whose other end the
    /// descriptor is then. Without one the payload takes no input.
    Attached {
        /// It has.
        terminal: bool,
    },
    /// It is done: those that are published more or less.
    Ports(Vec<PublishedPort>),
    /// It is not.
    Refused {
        /// Why not.
        why: String,
        /// What would help.
        hint: Option<String>,
    },
}

impl From<&anyhow::Error> for Answer {
    fn from(error: &anyhow::Error) -> Self {
        Self::Refused { why: causes(error), hint: hint(error).map(str::to_owned) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::sys::{Errno, fd};

    pub(crate) use super::client::connect;

    /// A directory with a path that is too long for a socket's address. Dropped,
    /// it is gone.
    pub(crate) struct Scratch(PathBuf, pub File);

    impl Scratch {
        pub fn new() -> Self {
            static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let at = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let name = format!("sublet-control.{}.{at}.{}", std::process::id(), "x".repeat(150));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            let directory = File::open(&path).unwrap();
            Self(path, directory)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn packets_go_to_and_fro_however_long_the_path_is() {
        let scratch = Scratch::new();
        let directory = scratch.1.as_fd();
        assert_eq!(connect(directory).unwrap_err(), Errno::ENOENT);
        drop(Listener::make(directory).unwrap());
        assert_eq!(connect(directory).unwrap_err(), Errno::ECONNREFUSED);
        let listener = Listener::make(directory).unwrap();
        assert!(listener.accept().is_none());
        let mode = std::fs::metadata(scratch.0.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = connect(directory).unwrap();
        let server = listener.accept().unwrap();
        let request = serde_json::to_vec(&Request::Attach).unwrap();
        fd::write_all(client.as_fd(), &request).unwrap();
        let mut packet = [0; 100];
        let (length, _) = fd::receive(server.as_fd(), &mut packet).unwrap();
        assert_eq!(packet[..length], request);
        assert_eq!(request, b"\"attach\"");
    }

    #[test]
    fn where_nobody_listens_there_is_no_answer() {
        let scratch = Scratch::new();
        assert!(ask(scratch.1.as_fd(), &Request::Attach).unwrap().is_none());
        drop(Listener::make(scratch.1.as_fd()).unwrap());
        assert!(ask(scratch.1.as_fd(), &Request::Attach).unwrap().is_none());
    }
}
