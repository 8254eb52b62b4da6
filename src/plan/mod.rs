//! What will be done, decided before anything is.
//!
//! The only reader of the [`Spec`](crate::spec::Spec); writes nothing.
#![forbid(unsafe_code)]

pub mod attr;
pub mod idmap;
pub mod step;
