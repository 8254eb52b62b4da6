//! The kernel's interface where `nix` has no wrapper for it.
//!
//! With `child` the only module that holds `unsafe`.
