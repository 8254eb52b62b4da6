//! Text that tests compare with files of the source tree, for people to
//! review where it changes.
#![forbid(unsafe_code)]

use std::path::Path;
use std::{env, fs};

/// Compares `now` with the file at `path`, below the source tree's top.
///
/// `BLESS=1 cargo test --lib golden` writes the files anew.
pub fn compare(path: &str, now: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("BLESS").is_some() {
        fs::write(&full, now).unwrap();
    }
    let golden = fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"));
    let meant = format!("{path}; if this is meant: BLESS=1 cargo test --lib golden");
    for (was, is) in golden.lines().zip(now.lines()) {
        assert_eq!(is, was, "{meant}");
    }
    assert_eq!(golden.lines().count(), now.lines().count(), "{meant}");
}
