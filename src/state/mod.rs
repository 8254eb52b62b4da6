//! What is known of containers across processes: a record of each on disk.
//!
//! No daemon and no database: a [`Store`] is a directory of the user's, with a
//! directory for each container, called by its id.
//!
//! ```text
//! $XDG_RUNTIME_DIR/sublet/
//!     ID/record.json      what other commands need to know
//!     ID/record.other     the record before that, or the next, half written
//!     ID/spec.json        what was asked for
//!     ID/lock             byte 0: its launcher lives; byte 1: the record changes
//!     ID/control          the socket of its launcher
//!     ID/events           who has entered or gone to it; events.before that one
//!                         when it was long, events.next for a moment between
//!     .names/NAME         a symbolic link, whose text is the id
//!     .dead-ID/           removed, but for its files; .dead-ID:7 had ended with 7
//!     .bad-ID/            put aside: nobody can read its record
//! ```
//!
//! **Alive is who holds the lock.** The kernel drops it with the launcher's
//! last descriptor, however that dies. A record says "running" in vain when
//! nobody holds the lock.
//!
//! **Every step leaves something that the next command understands**, for any
//! process can be killed between any two:
//!
//! | left behind | what it means | the next command |
//! | --- | --- | --- |
//! | `ID/` empty, or a lock that is free and no record | not yet reserved | removes it |
//! | a record that needs a launcher, the lock free | the launcher was killed | gives back what the container had; says so in the record or removes it |
//! | half a `record.other` | the change did not happen | ignores it |
//! | `.names/NAME` of a container that is not, or has another name | the name is free | removes it |
//! | `.dead-ID/` | removed | removes the files |
//!
//! Who makes a container again starts over when its directory was taken for
//! such a leftover before the lock was on it. Whoever renames a container's
//! directory holds byte 0 or, where nobody is alive, byte 1; so there is one.
#![forbid(unsafe_code)]

mod bundles;
mod directory;
mod discard;
mod entry;
mod fade;
mod files;
pub mod happening;
mod health;
mod lock;
pub mod moment;
mod names;
mod near;
mod process;
mod record;
mod remove;
mod rename;
mod repair;
mod reserved;
mod seal;
mod spec;
mod store;
mod story;
#[cfg(test)]
mod tests;
mod watch;

pub use bundles::{Bundle, Bundles, Claim, Found};
pub use directory::Directory;
pub use discard::DOORSTEP;
pub use health::{Checked, Health, Wellness};
pub use moment::Moment;
pub use near::nearest;
pub use process::{Identity, boot, never_executed};
pub use record::{
    Afterwards, Asked, ClientAddress, End, Exit, Life, Link, Network, Place, PublishedPort, Record,
    Tree, Upkeep, Usage,
};
pub use remove::{Over, Removal};
pub use reserved::Reserved;
pub use store::{Listing, Release, Store};
pub use story::{Failed, Request, Sender, Sent, Story};
pub use watch::{Change, Watch};
