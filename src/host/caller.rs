//! Who calls: ids, privileges and the user namespace we are in.
//!
//! Reads /proc/self, proc_pid_status(5) and user_namespaces(7), and for the
//! name /etc/passwd or `getent`.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, ensure};

use super::advice::Advice;
use super::advice::table::{ids as ids_table, run};
use super::ids::{self, Mapping, Range};
use super::passwd::{Passwd, User};
use super::{procfs, program, textfile};

/// Sets user ids, and writes any uid_map below one's own user namespace.
pub const CAP_SETUID: u8 = 7;
/// The same for groups.
pub const CAP_SETGID: u8 = 6;
/// Mounts and the like; makes user namespaces where others may not.
pub const CAP_SYS_ADMIN: u8 = 21;
/// Since Linux 5.12: may map the parent's id 0.
pub const CAP_SETFCAP: u8 = 31;

/// The map of the machine's first user namespace.
const ALL: Mapping = Mapping { inside: 0, outside: 0, size: u32::MAX };

/// A set of capabilities, one bit each as in /proc/PID/status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All there are or will be.
    pub const ALL: Self = Self(u64::MAX);

    /// Whether all of `wanted` are in the set.
    pub fn have(self, wanted: &[u8]) -> bool {
        wanted.iter().all(|cap| self.0 & (1 << cap) != 0)
    }
}

/// Whether setgroups(2) works in a user namespace: /proc/PID/setgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setgroups {
    /// It does, for who has CAP_SETGID there.
    Allow,
    /// Never, nor in a namespace below. What an unprivileged gid_map needs:
    /// dropping a group could open a file that the group is kept from
    /// (CVE-2014-8989).
    Deny,
}

impl fmt::Display for Setgroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "setgroups allowed",
            Self::Deny => "setgroups denied",
        })
    }
}

/// Whether exec(2) can give privileges: PR_SET_NO_NEW_PRIVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPrivileges {
    /// Set-user-id bits and file capabilities count.
    Possible,
    /// They don't, for this process and all that come of it.
    Never,
}

/// Whether a seccomp filter is on this process already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// None.
    None,
    /// One: an outer container's, or a service manager's.
    Installed,
}

/// The calling process as the kernel sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Real uid.
    pub uid: u32,
    /// Effective uid.
    pub euid: u32,
    /// Real gid.
    pub gid: u32,
    /// Effective gid.
    pub egid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Whether a helper can have more privilege than we do.
    pub new_privileges: NewPrivileges,
    /// Whether system calls are filtered.
    pub filter: Filter,
    /// Capabilities that count now, in the current user namespace.
    pub effective: Capabilities,
    /// Capabilities that an exec could give at most.
    pub bounding: Capabilities,
    /// The map of the user namespace we are in.
    pub uid_map: Vec<Mapping>,
    /// Its map of groups.
    pub gid_map: Vec<Mapping>,
    /// Whether setgroups(2) works there, and so whether it can below.
    pub setgroups: Setgroups,
}

impl Caller {
    /// What the user namespace above ours calls our uid: whom the services of
    /// the machine know, where an engine has made a namespace for itself.
    pub fn uid_outside(&self) -> u32 {
        ids::outside(&self.uid_map, self.uid).unwrap_or(self.uid)
    }

    /// Reads /proc/self.
    pub(super) fn probe() -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = Path::new("/proc/self").join(name);
            let missing = |error| {
                let refused = run::PROC_MISSING.advice(&[]).refuse();
                refused.context(error).with_context(|| format!("read {}", path.display()))
            };
            procfs::read(&path).or_else(missing)
        };
        let map = |name: &str| -> anyhow::Result<_> {
            ids::parse_map(&read(name)?).with_context(|| format!("make sense of /proc/self/{name}"))
        };
        let status = read("status")?;
        let (uid_map, gid_map, setgroups) = if is_in_first_namespace() {
            (vec![ALL], vec![ALL], Setgroups::Allow)
        } else {
            let setgroups = match read("setgroups")?.trim_ascii() {
                b"deny" => Setgroups::Deny,
                _ => Setgroups::Allow,
            };
            (map("uid_map")?, map("gid_map")?, setgroups)
        };
        Self::from_status(&status, uid_map, gid_map, setgroups)
            .context("make sense of /proc/self/status")
    }

    fn from_status(
        status: &[u8],
        uid_map: Vec<Mapping>,
        gid_map: Vec<Mapping>,
        setgroups: Setgroups,
    ) -> anyhow::Result<Self> {
        let status = std::str::from_utf8(status)?;
        let fields: Vec<(&str, &str)> =
            status.lines().filter_map(|line| line.split_once(':')).collect();
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| value.trim()).with_context(|| format!("find {wanted}"))
        };
        let numbers = |name: &str| -> anyhow::Result<Vec<u32>> {
            field(name)?
                .split_ascii_whitespace()
                .map(|word| word.parse().with_context(|| format!("read {name}")))
                .collect()
        };
        let set = |name: &str| -> anyhow::Result<Capabilities> {
            let bits = u64::from_str_radix(field(name)?, 16);
            Ok(Capabilities(bits.with_context(|| format!("read {name}"))?))
        };
        let (uids, gids) = (numbers("Uid")?, numbers("Gid")?);
        ensure!(uids.len() >= 2 && gids.len() >= 2, "Uid and Gid have too few numbers");
        Ok(Self {
            uid: uids[0],
            euid: uids[1],
            gid: gids[0],
            egid: gids[1],
            groups: numbers("Groups")?,
            new_privileges: match field("NoNewPrivs")? {
                "0" => NewPrivileges::Possible,
                _ => NewPrivileges::Never,
            },
            // A kernel without seccomp has no such line.
            filter: match field("Seccomp") {
                Err(_) | Ok("0") => Filter::None,
                Ok(_) => Filter::Installed,
            },
            effective: set("CapEff")?,
            bounding: set("CapBnd")?,
            uid_map,
            gid_map,
            setgroups,
        })
    }

    /// Whether the user namespace we are in is the machine's first one, or
    /// maps as if it were.
    pub fn in_initial_namespace(&self) -> bool {
        self.uid_map == [ALL] && self.gid_map == [ALL]
    }

    /// Whether any map of our own ids may be written without a helper:
    /// `new_idmap_permitted` in the kernel asks for these two.
    pub fn may_write_maps(&self) -> bool {
        self.effective.have(&[CAP_SETUID, CAP_SETGID])
    }

    /// The uids that exist here.
    pub fn uids(&self) -> Vec<Range> {
        self.uid_map.iter().map(|mapping| mapping.inner()).collect()
    }

    /// The gids that exist here.
    pub fn gids(&self) -> Vec<Range> {
        self.gid_map.iter().map(|mapping| mapping.inner()).collect()
    }
}

/// Whether we are in the machine's first user namespace, of which is known how
/// it maps: three files less to read. The kernel has a number for it alone
/// (`USER_NS_INIT_INO` of linux/nsfs.h).
fn is_in_first_namespace() -> bool {
    const FIRST: u64 = 0xEFFF_FFFD;
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() == FIRST)
}

/// Who told us about a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// /etc/passwd.
    Passwd,
    /// `getent`, so LDAP, SSSD, systemd-homed or the like.
    Getent,
}

/// The caller's entry in the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The entry.
    pub user: User,
    /// Where it was found.
    pub source: Source,
}

impl Account {
    /// Looks `uid` up.
    ///
    /// # Errors
    /// The sentence that says why it has no name.
    pub(super) fn probe(uid: u32) -> Result<Self, Advice> {
        Self::local(uid)
            .or_else(|| Self::asked(uid))
            .ok_or_else(|| ids_table::ACCOUNT_NAMELESS.advice(&[("uid", &uid)]))
    }

    fn local(uid: u32) -> Option<Self> {
        let file = textfile::open(Path::new("/etc/passwd")).ok()??;
        let text = textfile::read(file, textfile::HOST_FILE).ok()?;
        let user = Passwd::of_host(text).by_id(uid)?;
        Some(Self { user, source: Source::Passwd })
    }

    fn asked(uid: u32) -> Option<Self> {
        let getent = program::system("getent")?;
        let text = program::ask(&getent, &["passwd", &uid.to_string()]).ok()??;
        let user = Passwd::of_host(text).by_id(uid)?;
        Some(Self { user, source: Source::Getent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t101\t100\t100\n\
        Groups:\t27 100 \nCapEff:\t00000000800000c0\nCapBnd:\t000001ffffffffff\n\
        NoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn status_is_read() {
        let caller =
            Caller::from_status(STATUS.as_bytes(), vec![], vec![], Setgroups::Deny).unwrap();
        assert_eq!((caller.uid, caller.euid, caller.gid, caller.egid), (1000, 1001, 100, 101));
        assert_eq!(caller.groups, [27, 100]);
        assert_eq!(caller.new_privileges, NewPrivileges::Never);
        assert_eq!(caller.filter, Filter::Installed);
        assert!(caller.effective.have(&[CAP_SETUID, CAP_SETGID, CAP_SETFCAP]));
        assert!(!caller.effective.have(&[CAP_SYS_ADMIN]));
        assert!(!caller.in_initial_namespace());
    }

    #[test]
    fn status_that_is_none_is_an_error() {
        for missing in ["Uid", "Gid", "Groups", "CapEff", "CapBnd", "NoNewPrivs"] {
            let status = STATUS.replace(&format!("{missing}:"), "Other:");
            let caller = Caller::from_status(status.as_bytes(), vec![], vec![], Setgroups::Deny);
            assert!(caller.is_err(), "{missing}");
        }
    }

    #[test]
    fn this_process_has_a_caller() {
        let caller = Caller::probe().unwrap();
        assert_eq!(caller.uid, nix::unistd::getuid().as_raw());
        assert!(!caller.uid_map.is_empty());
    }
}
