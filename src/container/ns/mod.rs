//! `sublet ns`: which containers share which namespaces, and what they are in.
//!
//! `look` reads /proc and the records, and nothing else; `picture` is what was
//! seen and what follows from it. The host is what the caller is in himself.

mod look;
mod picture;

pub use look::look;
#[cfg(test)]
pub(crate) use picture::tests;
pub use picture::{Inner, KINDS, Kind, Limits, Member, Numbers, Picture, Share};
