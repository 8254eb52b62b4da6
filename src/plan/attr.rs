//! Mount attributes: the words that people use and the bits of
//! mount_setattr(2), both ways.

use crate::sys::mount::Reach;

/// `MOUNT_ATTR_*` of linux/mount.h.
pub const RDONLY: u64 = 0x1;
/// Set-user-id bits have no effect.
pub const NOSUID: u64 = 0x2;
/// Device nodes can't be opened.
pub const NODEV: u64 = 0x4;
/// Nothing can be executed.
pub const NOEXEC: u64 = 0x8;
/// Access times are not kept.
pub const NOATIME: u64 = 0x10;
/// Access times are kept on every access.
pub const STRICTATIME: u64 = 0x20;
/// Access times of directories are not kept.
pub const NODIRATIME: u64 = 0x80;
/// Symbolic links are not followed.
pub const NOSYMFOLLOW: u64 = 0x20_0000;

/// All that says how access times are kept: one of several, of which none is
/// relatime.
const ATIME: u64 = 0x70;

/// What has to be cleared for `set` to be set: the kernel takes a way of keeping
/// access times only in the place of another (mount_setattr(2)).
pub fn cleared(set: u64) -> u64 {
    if set & ATIME == 0 { 0 } else { ATIME }
}

const TABLE: &[(u64, &str, &str)] = &[
    (RDONLY, "ro", "rw"),
    (NOSUID, "nosuid", "suid"),
    (NODEV, "nodev", "dev"),
    (NOEXEC, "noexec", "exec"),
    (NOATIME, "noatime", "atime"),
    (STRICTATIME, "strictatime", "nostrictatime"),
    (NODIRATIME, "nodiratime", "diratime"),
    (NOSYMFOLLOW, "nosymfollow", "symfollow"),
];

/// What one mount option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Sets attributes, of the mount or of all below it too.
    Set(u64, Reach),
    /// Takes an attribute back that was set before.
    Unset(u64),
    /// Sets propagation, `MS_*`.
    Propagation(u64),
    /// Says what is so anyway.
    Nothing,
    /// None of these: the file system's own option.
    Data,
}

/// The meaning of one mount option, as mount(8) spells it; one with an `r`
/// before it (`rro`, `rnosuid`) reaches below a recursive bind.
pub fn meaning(option: &str) -> Meaning {
    let below = option.strip_prefix('r');
    for (bit, on, off) in TABLE {
        if option == *on {
            return Meaning::Set(*bit, Reach::Mount);
        }
        if below == Some(on) {
            return Meaning::Set(*bit, Reach::Tree);
        }
        if option == *off || below == Some(off) {
            return Meaning::Unset(*bit);
        }
    }
    match option {
        "private" | "rprivate" => Meaning::Propagation(libc::MS_PRIVATE),
        "slave" | "rslave" => Meaning::Propagation(libc::MS_SLAVE),
        "shared" | "rshared" => Meaning::Propagation(libc::MS_SHARED),
        "unbindable" | "runbindable" => Meaning::Propagation(libc::MS_UNBINDABLE),
        "bind" | "rbind" | "defaults" | "z" | "Z" => Meaning::Nothing,
        // What the kernel does anyway, unless it is told otherwise.
        "relatime" | "rrelatime" | "norelatime" | "rnorelatime" | "async" | "loud" | "silent"
        | "nomand" | "noiversion" | "nolazytime" => Meaning::Nothing,
        _ => Meaning::Data,
    }
}

/// The words for a set of attributes.
pub fn words(set: u64) -> Vec<String> {
    TABLE.iter().filter(|(bit, ..)| set & bit != 0).map(|(_, on, _)| (*on).to_owned()).collect()
}

/// The word for a propagation.
pub fn propagation_word(kind: u64) -> &'static str {
    match kind {
        libc::MS_SLAVE => "slave",
        libc::MS_SHARED => "shared",
        libc::MS_UNBINDABLE => "unbindable",
        _ => "private",
    }
}

/// A resource limit in words.
pub fn limit_word(value: u64) -> String {
    if value == libc::RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() }
}
