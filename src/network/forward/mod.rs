//! Published ports: what comes to a port of the host goes to one of the
//! container.
//!
//! The host's side is bound by the launcher ([`Listeners::bind`]), before there
//! is a container. What comes there is served by a process of its own
//! ([`Published::start`]): it has gone into the container's network, where it connects
//! with the services, and still has the host's sockets. So nothing that goes
//! through it delays the launcher, and a socket is never handed from process to
//! process.
#![forbid(unsafe_code)]

mod address;
mod handed;
mod holder;
mod inside;
mod listen;
mod order;
mod pipe;
mod process;
mod published;
mod route;
mod serve;
mod slab;
mod tcp;
mod udp;

use std::os::fd::BorrowedFd;

use inside::Dialer;
pub use inside::{Inside, Unpublished};
pub use listen::Listeners;
pub use process::Closing;
pub use published::Published;

/// Forwards from `listeners`, which are in a container, to this machine's
/// loopback, until the launcher at the other end of `launcher` is gone.
///
/// # Errors
/// What epoll(7) says.
pub fn serve_host(launcher: BorrowedFd<'_>, listeners: Listeners) -> crate::sys::Result<()> {
    serve::serve(launcher, listeners, Dialer::to_loopback())
}
