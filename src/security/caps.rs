//! Capabilities: their names, sets of them, and what `--cap-add` and
//! `--cap-drop` make of a set.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// Names by number, without the prefix (capabilities(7), linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// One capability, by its number. Always below 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cap(u8);

impl Cap {
    /// The number that the kernel gives it.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Cap {
    type Err = Error;

    /// Reads `CAP_CHOWN`, `CHOWN` or `cap_chown`.
    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match (0..).zip(NAMES).find(|(_, name)| *name == bare) {
            Some((number, _)) => Ok(Self(number)),
            None => bail!("there is no capability {text:?}"),
        }
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => write!(f, "CAP_{name}"),
            // A kernel newer than the table has capabilities without a name.
            None => write!(f, "CAP_{}", self.0),
        }
    }
}

/// A set of capabilities, bit N being the capability with number N.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct CapSet(u64);

impl CapSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// What a container keeps where nothing else is asked for: CHOWN,
    /// DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
    /// NET_BIND_SERVICE, SYS_CHROOT, SETFCAP.
    pub const DEFAULT: Self = Self(0x8004_05fb);

    /// All that a kernel has whose `/proc/sys/kernel/cap_last_cap` reads
    /// `last_cap`.
    pub const fn up_to(last_cap: u8) -> Self {
        if last_cap >= 63 { Self(u64::MAX) } else { Self((1 << (last_cap + 1)) - 1) }
    }

    /// The set with these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Bit N for the capability with number N, as capset(2) and the lines of
    /// `/proc/PID/status` have them.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `cap` is in the set.
    pub const fn contains(self, cap: Cap) -> bool {
        self.0 & (1 << cap.0) != 0
    }

    /// What is in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Cap> {
        (0..64).map(Cap).filter(move |cap| self.contains(*cap))
    }

    /// The members of `changes` that are named one by one.
    pub fn named(changes: &[Change]) -> Self {
        let caps = changes.iter().filter_map(|change| match change {
            Change::All => None,
            Change::One(cap) => Some(*cap),
        });
        caps.collect()
    }

    /// The set after `--cap-add` and `--cap-drop`, as docker reads them: what
    /// is named wins over `ALL`, and of two names an addition wins over a
    /// drop, unless everything is added.
    ///
    /// `last_cap` is what `/proc/sys/kernel/cap_last_cap` reads. Errs where a
    /// capability is added by name that this kernel does not have; `ALL` means
    /// all that it has.
    pub fn changed(self, add: &[Change], drop: &[Change], last_cap: u8) -> Result<Self> {
        let known = Self::up_to(last_cap);
        let (added, dropped) = (Self::named(add), Self::named(drop));
        if let Some(cap) = added.without(known).iter().next() {
            bail!("{cap} is unknown to this kernel, whose last capability has number {last_cap}");
        }
        let changed = if add.contains(&Change::All) {
            known.without(dropped)
        } else if drop.contains(&Change::All) {
            added
        } else {
            self.without(dropped).or(added)
        };
        Ok(changed.and(known))
    }
}

impl FromIterator<Cap> for CapSet {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> Self {
        Self(caps.into_iter().fold(0, |bits, cap| bits | 1 << cap.0))
    }
}

impl TryFrom<Vec<String>> for CapSet {
    type Error = Error;

    fn try_from(names: Vec<String>) -> Result<Self> {
        names.iter().map(|name| name.parse::<Cap>()).collect()
    }
}

impl From<CapSet> for Vec<String> {
    fn from(set: CapSet) -> Self {
        set.iter().map(|cap| cap.to_string()).collect()
    }
}

impl fmt::Display for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::EMPTY {
            return f.write_str("none");
        }
        for (at, cap) in self.iter().enumerate() {
            write!(f, "{}{cap}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CapSet({self})")
    }
}

/// What one `--cap-add` or `--cap-drop` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The word `ALL`.
    All,
    /// One capability.
    One(Cap),
}

impl FromStr for Change {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "a capability cannot be empty");
        if text.eq_ignore_ascii_case("all") { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST_CAP: u8 = 40;

    fn set(names: &str) -> CapSet {
        names.split_whitespace().map(|name| name.parse::<Cap>().unwrap()).collect()
    }

    fn changes(words: &str) -> Vec<Change> {
        words.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    fn changed(add: &str, drop: &str) -> CapSet {
        CapSet::DEFAULT.changed(&changes(add), &changes(drop), LAST_CAP).unwrap()
    }

    #[test]
    fn the_default_is_the_eleven_that_are_documented() {
        assert_eq!(
            CapSet::DEFAULT.to_string(),
            "CAP_CHOWN,CAP_DAC_OVERRIDE,CAP_FOWNER,CAP_FSETID,CAP_KILL,CAP_SETGID,CAP_SETUID,\
             CAP_SETPCAP,CAP_NET_BIND_SERVICE,CAP_SYS_CHROOT,CAP_SETFCAP"
        );
        assert_eq!(CapSet::EMPTY.to_string(), "none");
    }

    #[test]
    fn numbers_are_the_kernels() {
        for (name, number) in [("chown", 0), ("SYS_ADMIN", 21), ("CAP_BPF", 39)] {
            assert_eq!(name.parse::<Cap>().unwrap().number(), number);
        }
        assert_eq!("checkpoint_restore".parse::<Cap>().unwrap().number(), LAST_CAP);
    }

    #[test]
    fn every_spelling_is_the_same_capability() {
        for text in ["CAP_NET_RAW", "NET_RAW", "net_raw", "cap_net_raw", "Cap_Net_Raw"] {
            assert_eq!(text.parse::<Cap>().unwrap().to_string(), "CAP_NET_RAW");
        }
    }

    #[test]
    fn what_is_no_capability_is_refused() {
        for text in ["", "CAP_", "CAP_CAP_CHOWN", "CHOWN ", "41", "CAP_NONE", "all,CHOWN"] {
            assert!(text.parse::<Change>().is_err(), "{text:?}");
        }
        assert!("ALL".parse::<Cap>().is_err());
    }

    #[test]
    fn changes_apply_as_docker_applies_them() {
        assert_eq!(changed("", ""), CapSet::DEFAULT);
        assert_eq!(changed("NET_RAW", "chown"), {
            CapSet::DEFAULT.without(set("CHOWN")).or(set("NET_RAW"))
        });
        assert_eq!(changed("", "ALL"), CapSet::EMPTY);
        assert_eq!(changed("NET_RAW KILL", "all"), set("KILL NET_RAW"));
        assert_eq!(changed("ALL", ""), CapSet::up_to(LAST_CAP));
        assert_eq!(changed("ALL", "SYS_ADMIN"), CapSet::up_to(LAST_CAP).without(set("SYS_ADMIN")));
        assert_eq!(changed("CHOWN", "CHOWN"), CapSet::DEFAULT);
        assert_eq!(changed("", "BPF"), CapSet::DEFAULT);
    }

    #[test]
    fn an_old_kernel_gives_all_it_has_and_refuses_what_it_lacks() {
        let base = CapSet::DEFAULT;
        assert_eq!(base.changed(&[Change::All], &[], 37).unwrap(), CapSet::up_to(37));
        let error = base.changed(&changes("BPF"), &[], 37).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CAP_BPF is unknown to this kernel, whose last capability has number 37"
        );
        assert_eq!(base.changed(&[], &[], 5).unwrap(), base.and(CapSet::up_to(5)));
    }

    #[test]
    fn a_new_kernel_may_have_capabilities_without_a_name() {
        let all = CapSet::EMPTY.changed(&[Change::All], &[], 42).unwrap();
        assert_eq!(all.iter().count(), 43);
        assert!(all.to_string().ends_with("CAP_CHECKPOINT_RESTORE,CAP_41,CAP_42"));
        assert_eq!(CapSet::up_to(63), CapSet::up_to(200));
    }
}
