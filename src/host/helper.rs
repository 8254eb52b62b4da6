//! newuidmap(1) and newgidmap(1): are they here, and can they work?
//!
//! They write the maps that we may not, with a privilege that exec(2) gives
//! them, and so they fail wherever exec can't: that is found out before one
//! is started, because their own words (`write to uid_map failed: Operation
//! not permitted`) name no cause.

use std::fmt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::advice::table::ids;
use super::advice::{Advice, Entry, Hole};
use super::caller::{CAP_SETGID, CAP_SETUID, Caller, NewPrivileges};
use super::program;
use crate::sys::xattr;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Writes uid_map.
    Newuidmap,
    /// Writes gid_map.
    Newgidmap,
}

impl Helper {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Newuidmap => "newuidmap",
            Self::Newgidmap => "newgidmap",
        }
    }

    fn capability(self) -> (u8, &'static str) {
        match self {
            Self::Newuidmap => (CAP_SETUID, "cap_setuid"),
            Self::Newgidmap => (CAP_SETGID, "cap_setgid"),
        }
    }
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a file may be executed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execute {
    /// It may.
    Allowed,
    /// Its mode, or a mount with noexec, forbids it.
    Forbidden,
}

/// Whether a mount lets set-user-id bits and file capabilities count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suid {
    /// It does.
    Honoured,
    /// It is mounted nosuid.
    Ignored,
}

/// One file of the helper's name, looked at but not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// Whether that is a symbolic link to it.
    pub by_link: bool,
    /// Its owner. A file of an unmapped owner shows as 65534 here, and its
    /// set-user-id bit does not count.
    pub owner: u32,
    /// Its mode bits.
    pub mode: u32,
    /// Whether we may execute it.
    pub execute: Execute,
    /// Which capabilities its xattr gives and raises at once, as bits.
    pub capabilities: u64,
    /// What its mount does.
    pub suid: Suid,
}

/// S_ISUID.
const SET_USER_ID: u32 = 0o4000;

impl Candidate {
    /// All files of that name, the system's own places first.
    pub(super) fn probe(helper: Helper) -> impl Iterator<Item = Self> {
        program::candidates(helper.name()).filter_map(|path| Self::look(&path))
    }

    fn look(path: &Path) -> Option<Self> {
        let facts = path.metadata().ok()?;
        let flags = statvfs(path).map_or(FsFlags::empty(), |mount| mount.flags());
        let xattr = xattr::get(path, c"security.capability", 64).ok().flatten();
        Some(Self {
            path: path.to_owned(),
            by_link: path.is_symlink(),
            owner: facts.uid(),
            mode: facts.permissions().mode() & 0o7777,
            execute: match access(path, AccessFlags::X_OK) {
                Ok(()) => Execute::Allowed,
                Err(_) => Execute::Forbidden,
            },
            capabilities: xattr.map_or(0, |value| effective(&value)),
            suid: match flags.contains(FsFlags::ST_NOSUID) {
                true => Suid::Ignored,
                false => Suid::Honoured,
            },
        })
    }

    /// Whether root may be advised to give this file a privilege: it is in a
    /// place of the system, under its own name. One from `PATH`, or what a link
    /// leads to, may be any program, which then were root's for everybody.
    fn may_be_mended(&self) -> bool {
        program::is_in_system(&self.path) && !self.by_link
    }

    /// Why this file can't write a map for `caller`, if it can't.
    fn check(&self, helper: Helper, caller: &Caller) -> Result<(), Advice> {
        let path = &self.path.display();
        let (capability, name) = helper.capability();
        let mode = &format_args!("{:04o}", self.mode);
        let refuse = |row: &'static Entry| {
            let holes: [Hole; 4] =
                [("path", path), ("capability", &name), ("mode", mode), ("uid", &self.owner)];
            Err(row.advice(&holes))
        };
        if self.owner != 0 {
            return refuse(&ids::HELPER_OWNER);
        }
        if self.execute == Execute::Forbidden {
            return refuse(&ids::HELPER_MODE);
        }
        if self.mode & SET_USER_ID == 0 && self.capabilities & (1 << capability) == 0 {
            return refuse(&ids::HELPER_PRIVILEGE);
        }
        if self.suid == Suid::Ignored {
            return refuse(&ids::HELPER_NOSUID);
        }
        if !caller.bounding.have(&[capability]) {
            return refuse(&ids::HELPER_BOUNDED);
        }
        Ok(())
    }
}

/// What keeps every helper from working, wherever it is.
pub fn barred(caller: &Caller) -> Option<Advice> {
    let never = caller.new_privileges == NewPrivileges::Never;
    never.then(|| ids::NO_NEW_PRIVILEGES.advice(&[]))
}

/// The first of `candidates` that can work.
///
/// # Errors
/// Why none can: of the first one of the system, the others being fallbacks.
/// Where the system has none it is missing, whatever else has its name.
pub(super) fn usable(
    helper: Helper,
    candidates: impl IntoIterator<Item = Candidate>,
    caller: &Caller,
) -> Result<PathBuf, Advice> {
    if let Some(barred) = barred(caller) {
        return Err(barred);
    }
    let mut refusal = None;
    for candidate in candidates {
        match candidate.check(helper, caller) {
            Ok(()) => return Ok(candidate.path),
            Err(why) if candidate.may_be_mended() => _ = refusal.get_or_insert(why),
            Err(_) => {}
        }
    }
    Err(refusal.unwrap_or_else(|| ids::HELPER_MISSING.advice(&[("helper", &helper)])))
}

/// The capabilities that a `security.capability` value permits, where it
/// also raises them: VFS_CAP_FLAGS_EFFECTIVE. linux/capability.h,
/// capabilities(7).
///
/// The kernel shows a value that counts in our user namespace as version 2,
/// and one that belongs to another as version 3 with the id of its root.
fn effective(value: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = value.get(at * 4..at * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let (Some(magic), Some(low)) = (word(0), word(1)) else { return 0 };
    let ours = match magic >> 24 {
        1 | 2 => true,
        3 => word(5) == Some(0),
        _ => false,
    };
    let raised = magic & 1 != 0;
    if ours && raised { low.into() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::made_up;
    use super::*;

    fn newuidmap() -> Candidate {
        made_up::helper("/usr/bin/newuidmap")
    }

    fn why(candidate: Candidate, caller: &Caller) -> String {
        usable(Helper::Newuidmap, [candidate], caller).unwrap_err().cause
    }

    #[test]
    fn a_helper_without_privilege_is_found_before_it_is_tried() {
        let caller = made_up::user();
        let candidate = |change: fn(&mut Candidate)| {
            let mut candidate = newuidmap();
            change(&mut candidate);
            candidate
        };
        let path = "/usr/bin/newuidmap";
        assert_eq!(
            why(candidate(|c| c.owner = 65534), &caller),
            format!("{path} belongs to uid 65534, not to root")
        );
        assert_eq!(
            why(candidate(|c| c.mode = 0o755), &caller),
            format!("{path} has neither the set-user-id bit nor cap_setuid")
        );
        assert_eq!(
            why(candidate(|c| c.suid = Suid::Ignored), &caller),
            format!("{path} is on a mount with nosuid, which takes its privilege away")
        );
        assert_eq!(
            why(candidate(|c| c.execute = Execute::Forbidden), &caller),
            format!("{path} may not be executed by you (mode 4755)")
        );
        let mut bounded = caller.clone();
        bounded.bounding.0 &= !(1 << CAP_SETUID);
        assert!(why(newuidmap(), &bounded).contains("bounding set"));
        let mut stuck = caller;
        stuck.new_privileges = NewPrivileges::Never;
        assert!(why(newuidmap(), &stuck).starts_with("no_new_privs is set"));
    }

    #[test]
    fn file_capabilities_do_as_well() {
        let mut candidate = newuidmap();
        candidate.mode = 0o755;
        candidate.capabilities = 1 << CAP_SETUID;
        assert!(usable(Helper::Newuidmap, [candidate.clone()], &made_up::user()).is_ok());
        assert!(usable(Helper::Newgidmap, [candidate], &made_up::user()).is_err());
    }

    #[test]
    fn a_later_candidate_may_work() {
        let mut plain = newuidmap();
        plain.mode = 0o755;
        let wrapped = made_up::helper("/run/wrappers/bin/newuidmap");
        let found = usable(Helper::Newuidmap, [plain, wrapped.clone()], &made_up::user());
        assert_eq!(found, Ok(wrapped.path));
        let none = usable(Helper::Newuidmap, [], &made_up::user()).unwrap_err();
        assert_eq!(none.cause, "newuidmap is not installed");
    }

    #[test]
    fn root_is_not_told_to_give_a_privilege_to_any_program() {
        let caller = made_up::user();
        let changes: [fn(&mut Candidate); 5] = [
            |c| c.owner = 1000,
            |c| c.execute = Execute::Forbidden,
            |c| c.mode = 0o755,
            |c| c.suid = Suid::Ignored,
            |_| {},
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut from_path = made_up::helper("/home/anna/bin/newuidmap");
            let mut nested = made_up::helper("/usr/bin/x/newuidmap");
            let mut link = Candidate { by_link: true, ..newuidmap() };
            [&mut from_path, &mut nested, &mut link].into_iter().for_each(change);
            let candidates = [from_path, nested, link];
            let found = usable(Helper::Newuidmap, candidates.clone(), &caller);
            if at == changes.len() - 1 {
                assert_eq!(found, Ok(candidates[0].path.clone()), "one that works is taken");
                continue;
            }
            let remedy = &found.unwrap_err().remedies[0];
            assert_eq!(remedy.id, ids::HELPER_MISSING.id);
            for path in candidates.each_ref().map(|candidate| candidate.path.to_str().unwrap()) {
                assert!(!remedy.hint().contains(path), "{remedy:?}");
                assert!(!remedy.script.contains(path), "{remedy:?}");
            }
            let mut ours = made_up::helper("/usr/sbin/newuidmap");
            change(&mut ours);
            let all = candidates.into_iter().chain([ours]);
            let refusal = usable(Helper::Newuidmap, all, &caller).unwrap_err();
            assert!(refusal.cause.starts_with("/usr/sbin/newuidmap "), "{}", refusal.cause);
        }
    }

    #[test]
    fn a_link_is_seen() {
        let look = |path: &str| Candidate::look(Path::new(path)).unwrap();
        assert!(look("/proc/self/exe").by_link);
        assert!(!look("/proc/self/status").by_link);
    }

    #[test]
    fn what_another_user_wrote_is_installed_anew() {
        let candidate = Candidate { owner: 1000, ..newuidmap() };
        let refusal = usable(Helper::Newuidmap, [candidate], &made_up::user()).unwrap_err();
        let script = &refusal.remedies[0].script;
        assert!(script.contains("--reinstall") && !script.contains("/usr/bin"), "{script}");
    }

    #[test]
    fn capability_values_are_read() {
        let value = |magic: u32, root: Option<u32>| {
            let words = [magic, 1 << CAP_SETUID, 0, 0, 0];
            let words = words.into_iter().chain(root);
            words.flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
        };
        assert_eq!(effective(&value(0x0200_0001, None)), 1 << CAP_SETUID);
        assert_eq!(effective(&value(0x0200_0000, None)), 0);
        assert_eq!(effective(&value(0x0300_0001, Some(0))), 1 << CAP_SETUID);
        assert_eq!(effective(&value(0x0300_0001, Some(100_000))), 0);
        assert_eq!(effective(&value(0x0900_0001, None)), 0);
        assert_eq!(effective(b"\x01\0\0\x02"), 0);
        assert_eq!(effective(b""), 0);
    }
}
