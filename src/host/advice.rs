//! What a machine lacks, and what would help.
//!
//! [`table`] has all causes that are known, each once: errors of a run, `sublet
//! doctor` and docs/troubleshooting.md say the same of it. Here is which of them
//! a refused user namespace means: the kernel answers with one errno for a
//! dozen causes. `ENOSPC` is a quota and no disk, `EPERM` may be a switch, a
//! chroot or an outer container. The likeliest comes first.

#[cfg(test)]
mod document;
pub mod entry;
pub mod table;

use std::path::Path;

use nix::errno::Errno;
use serde::Serialize;

use super::Host;
use super::caller::{CAP_SETFCAP, CAP_SYS_ADMIN, Caller, Filter};
use super::gates::{Children, Gates, Root, Writers};
use crate::error::Explain;
pub use entry::{Entry, Hole, Topic};
use table::{network, run};

/// Why something can't be had, and how it could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The cause: lower case, no full stop.
    pub cause: String,
    /// What helps: what root can set, or the way round.
    pub hint: String,
    /// The rows of the table that say so; none for what is no lack of the
    /// machine's.
    pub remedies: Vec<Remedy>,
}

/// A row of the table, as it reads on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// The row's name.
    pub id: &'static str,
    /// The cause.
    pub cause: String,
    /// What root can do, once.
    pub root: String,
    /// The same for a shell.
    pub script: String,
    /// What helps without root.
    pub around: String,
}

impl Remedy {
    /// Both ways, for a person.
    pub fn hint(&self) -> String {
        match (self.root.as_str(), self.around.as_str()) {
            ("", around) => around.to_owned(),
            (root, "") => format!("as root, once: {root}"),
            (root, around) => format!("as root, once: {root}\n{around}"),
        }
    }
}

impl Advice {
    /// What is no lack of the machine's.
    pub fn of_request(cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { cause: cause.into(), hint: hint.into(), remedies: Vec::new() }
    }

    /// The error that says the cause and carries the hint and the rows.
    pub fn refuse<T>(self) -> anyhow::Result<T> {
        Err(anyhow::Error::msg(self.cause).context(Rows(self.remedies))).hint(self.hint)
    }

    /// The same of what the kernel has answered, whose word comes last.
    pub fn refuse_for<T>(self, errno: Errno) -> anyhow::Result<T> {
        Err(anyhow::Error::new(errno).context(self.cause).context(Rows(self.remedies)))
            .hint(self.hint)
    }

    /// An error in others' words: what we make of them is the hint.
    pub fn beside<T>(self, error: anyhow::Error) -> anyhow::Result<T> {
        Err(error.context(Rows(self.remedies))).hint(format!("{}\n{}", self.cause, self.hint))
    }
}

/// A silent link of an error: the rows of the table that it was made of.
#[derive(Debug)]
struct Rows(Vec<Remedy>);

impl std::fmt::Display for Rows {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

/// The rows of the table that an error was made of; none where it says
/// something else.
pub fn remedies(error: &anyhow::Error) -> &[Remedy] {
    error.downcast_ref::<Rows>().map_or(&[], |rows| &rows.0)
}

/// Why clone3(2) or unshare(2) with namespaces was refused.
pub fn for_clone(errno: Errno, host: &Host) -> Advice {
    let unknown = || run::CLONE_REFUSED.advice(&[("errno", &errno.desc())]);
    tell(CLONE, errno, host).unwrap_or_else(unknown)
}

/// Why a write to /proc/PID/uid_map, gid_map or setgroups was refused.
pub fn for_map(errno: Errno, host: &Host) -> Advice {
    let unknown = || run::MAP_REFUSED.advice(&[("errno", &errno.desc())]);
    tell(MAP, errno, host).unwrap_or_else(unknown)
}

/// Why a step inside the new user namespace was refused that needs a
/// capability there, where the machine's switches are the cause.
///
/// Ubuntu 24.04 lets the namespace be made and takes its capabilities away:
/// the first mount fails, far from the cause.
pub fn for_step(errno: Errno, host: &Host) -> Option<Advice> {
    tell(STEP, errno, host)
}

/// Why /dev/net/tun can't be opened, without which nobody makes a tap.
pub fn for_tun(errno: Errno) -> Advice {
    match errno {
        Errno::ENOENT => network::TUN_MISSING.advice(&[]),
        Errno::EACCES | Errno::EPERM => network::TUN_DENIED.advice(&[]),
        Errno::ENODEV | Errno::ENXIO => network::TUN_NO_DRIVER.advice(&[]),
        errno => network::TUN_STRANGE.advice(&[("errno", &errno.desc())]),
    }
}

/// One cause: which errno it shows as, when it is the one, what to say.
struct Row {
    shows_as: &'static [Errno],
    applies: fn(&Caller, &Gates) -> bool,
    says: fn(&Caller, &Gates) -> Advice,
}

const DENIED: &[Errno] = &[Errno::EPERM, Errno::EACCES];

const CLONE: &[Row] = &[
    Row {
        shows_as: &[Errno::EINVAL, Errno::ENOMEM],
        applies: born_elsewhere,
        says: pid_namespace_unentered,
    },
    Row { shows_as: DENIED, applies: apparmor_restricts, says: apparmor_restriction },
    Row { shows_as: DENIED, applies: clone_is_off, says: clone_off },
    Row { shows_as: DENIED, applies: in_chroot, says: chroot },
    Row { shows_as: DENIED, applies: unmapped, says: not_mapped },
    Row { shows_as: DENIED, applies: filtered, says: filter },
    Row { shows_as: DENIED, applies: apparmor_confines, says: apparmor_confinement },
    Row { shows_as: DENIED, applies: always, says: denied },
    Row { shows_as: &[Errno::ENOSYS], applies: filtered, says: filter },
    Row { shows_as: &[Errno::ENOSPC, Errno::EUSERS], applies: quota_is_zero, says: quota_zero },
    Row { shows_as: &[Errno::ENOSPC, Errno::EUSERS], applies: always, says: quota },
    Row { shows_as: &[Errno::EINVAL, Errno::ENOSYS], applies: always, says: compiled_out },
    Row { shows_as: &[Errno::EAGAIN], applies: always, says: processes },
    Row { shows_as: &[Errno::ENOMEM], applies: always, says: memory },
];

const MAP: &[Row] = &[
    Row { shows_as: DENIED, applies: root_without_setfcap, says: setfcap },
    Row { shows_as: DENIED, applies: apparmor_restricts, says: apparmor_restriction },
    Row { shows_as: DENIED, applies: always, says: map_denied },
];

const STEP: &[Row] =
    &[Row { shows_as: DENIED, applies: apparmor_restricts, says: apparmor_restriction }];

fn tell(table: &[Row], errno: Errno, host: &Host) -> Option<Advice> {
    // Without /proc there is no caller to look at, and that error comes first.
    let caller = host.caller().ok()?;
    let gates = host.gates();
    let row =
        table.iter().find(|row| row.shows_as.contains(&errno) && (row.applies)(caller, gates))?;
    Some((row.says)(caller, gates))
}

fn always(_: &Caller, _: &Gates) -> bool {
    true
}

fn privileged(caller: &Caller) -> bool {
    caller.effective.have(&[CAP_SYS_ADMIN])
}

fn apparmor_restricts(caller: &Caller, gates: &Gates) -> bool {
    let label = gates.apparmor_label.as_deref().unwrap_or("unconfined");
    // A profile of our own, `sublet (unconfined)`, has the permission.
    let plain = label == "unconfined" || label.contains("unprivileged_userns");
    gates.apparmor_restricts.is_some_and(|switch| switch != 0) && !privileged(caller) && plain
}

/// With a profile for this very program, unless its path has characters that
/// mean something in a profile or in a shell, or others than root can put a
/// program there: a profile is bound to a path, and whatever they put there
/// would have what the machine keeps from them.
fn apparmor_restriction(_: &Caller, gates: &Gates) -> Advice {
    let safe = gates.program_writers == Writers::Root && is_plain(&gates.program);
    match gates.program.to_str().filter(|_| safe) {
        Some(path) => run::APPARMOR_RESTRICTS.advice(&[("program", &path)]),
        None => run::APPARMOR_RESTRICTS_PATH.advice(&[]),
    }
}

fn is_plain(program: &Path) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+ ".contains(c);
    program.to_str().is_some_and(|path| path.chars().all(plain))
}

fn apparmor_confines(_: &Caller, gates: &Gates) -> bool {
    let forbids_nothing = |label: &str| {
        ["unconfined", "(unconfined)", "(complain)"].iter().any(|it| label.ends_with(it))
    };
    gates.apparmor_label.as_deref().is_some_and(|label| !forbids_nothing(label))
}

fn apparmor_confinement(_: &Caller, gates: &Gates) -> Advice {
    let label = gates.apparmor_label.as_deref().unwrap_or_default();
    run::APPARMOR_CONFINES.advice(&[("label", &label.escape_debug())])
}

fn clone_is_off(caller: &Caller, gates: &Gates) -> bool {
    gates.unprivileged_clone == Some(0) && !privileged(caller)
}

fn clone_off(_: &Caller, _: &Gates) -> Advice {
    run::USERNS_OFF.advice(&[])
}

fn born_elsewhere(_: &Caller, gates: &Gates) -> bool {
    gates.children == Children::Elsewhere
}

fn pid_namespace_unentered(_: &Caller, _: &Gates) -> Advice {
    run::PID_NAMESPACE_UNENTERED.advice(&[])
}

fn in_chroot(_: &Caller, gates: &Gates) -> bool {
    gates.root == Root::Chroot
}

fn chroot(_: &Caller, _: &Gates) -> Advice {
    run::CHROOT.advice(&[])
}

fn unmapped(caller: &Caller, _: &Gates) -> bool {
    let exists = |map, id| super::ids::outside(map, id).is_some();
    !exists(&caller.uid_map, caller.euid) || !exists(&caller.gid_map, caller.egid)
}

fn not_mapped(caller: &Caller, _: &Gates) -> Advice {
    run::CALLER_UNMAPPED.advice(&[("uid", &caller.euid), ("gid", &caller.egid)])
}

fn filtered(caller: &Caller, _: &Gates) -> bool {
    caller.filter == Filter::Installed
}

fn filter(_: &Caller, _: &Gates) -> Advice {
    run::SECCOMP_FILTER.advice(&[])
}

fn denied(_: &Caller, _: &Gates) -> Advice {
    run::USERNS_DENIED.advice(&[])
}

fn quota_is_zero(_: &Caller, gates: &Gates) -> bool {
    gates.max_namespaces.iter().any(|(_, most)| *most == 0)
}

/// A quota that the kernel gives a machine with a few GB.
const USUAL_QUOTA: u32 = 28_633;

fn quota_zero(_: &Caller, gates: &Gates) -> Advice {
    let zero = gates.max_namespaces.iter().filter(|(_, most)| *most == 0);
    let switches: Vec<String> =
        zero.map(|(kind, _)| format!("user.max_{kind}_namespaces")).collect();
    let values =
        switches.iter().map(|switch| format!("{switch}={USUAL_QUOTA}\\n")).collect::<String>();
    run::QUOTA_ZERO.advice(&[("switches", &switches.join(", ")), ("values", &values)])
}

fn quota(_: &Caller, gates: &Gates) -> Advice {
    let all = gates.max_namespaces.iter();
    let switches: Vec<String> =
        all.map(|(kind, most)| format!("user.max_{kind}_namespaces={most}")).collect();
    run::QUOTA_USED.advice(&[("switches", &switches.join(" "))])
}

fn compiled_out(_: &Caller, _: &Gates) -> Advice {
    run::KERNEL_LACKS.advice(&[])
}

fn processes(_: &Caller, _: &Gates) -> Advice {
    run::PROCESSES_FULL.advice(&[])
}

fn memory(_: &Caller, _: &Gates) -> Advice {
    run::MEMORY_FULL.advice(&[])
}

fn root_without_setfcap(caller: &Caller, _: &Gates) -> bool {
    caller.euid == 0 && !caller.effective.have(&[CAP_SETFCAP])
}

fn setfcap(_: &Caller, _: &Gates) -> Advice {
    run::SETFCAP_LOST.advice(&[])
}

fn map_denied(_: &Caller, _: &Gates) -> Advice {
    run::MAP_DENIED.advice(&[])
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, made_up};
    use super::*;

    fn host(change: impl FnOnce(&mut Facts)) -> Host {
        let mut facts = made_up::facts();
        change(&mut facts);
        Host::from(facts)
    }

    #[test]
    fn no_space_is_a_quota() {
        let some = host(|facts| facts.gates.max_namespaces = vec![("user", 7)]);
        let advice = for_clone(Errno::ENOSPC, &some);
        assert!(advice.cause.contains("it is no disk that is full"), "{}", advice.cause);
        assert!(advice.hint.contains("user.max_user_namespaces=7"), "{}", advice.hint);
        let none = host(|facts| facts.gates.max_namespaces = vec![("net", 0)]);
        let advice = for_clone(Errno::ENOSPC, &none);
        assert!(advice.cause.contains("(sysctl user.max_net_namespaces)"), "{}", advice.cause);
        assert!(advice.hint.contains("user.max_net_namespaces=28633"), "{}", advice.hint);
    }

    #[test]
    fn ubuntu_gets_a_profile_for_the_real_path() {
        let ubuntu = |program: &str| {
            let program = program.to_owned();
            host(move |facts| {
                facts.gates.apparmor_restricts = Some(1);
                facts.gates.program = program.into();
                facts.gates.program_writers = Writers::Root;
            })
        };
        for tell in [for_clone, for_map] {
            let advice = tell(Errno::EPERM, &ubuntu("/opt/sublet/sublet"));
            assert!(advice.cause.starts_with("AppArmor"), "{}", advice.cause);
            let line = "profile sublet \"/opt/sublet/sublet\" flags=(unconfined) {\n  userns,\n";
            assert!(advice.hint.contains(line), "{}", advice.hint);
        }
        assert!(for_step(Errno::EACCES, &ubuntu("/x")).is_some());
        for program in ["/x\nEND\nrm", "/x\"y", "/*", "/$(x)"] {
            let advice = for_clone(Errno::EPERM, &ubuntu(program));
            assert!(!advice.hint.contains(program), "{}", advice.hint);
        }
    }

    #[test]
    fn no_profile_is_for_a_path_that_others_write() {
        let program = "/home/anna/bin/sublet";
        let host = host(|facts| {
            facts.gates.apparmor_restricts = Some(1);
            facts.gates.program = program.into();
            facts.gates.program_writers = Writers::Others;
        });
        for advice in [for_clone(Errno::EPERM, &host), for_map(Errno::EPERM, &host)] {
            let remedy = &advice.remedies[0];
            assert_eq!(remedy.id, run::APPARMOR_RESTRICTS_PATH.id);
            assert!(!remedy.script.contains(program) && !remedy.root.contains(program));
            assert!(remedy.root.contains("/usr/local/bin/sublet"), "{}", remedy.root);
        }
    }

    #[test]
    fn a_profile_of_our_own_is_not_blamed() {
        let allowed = host(|facts| {
            facts.gates.apparmor_restricts = Some(1);
            facts.gates.apparmor_label = Some("sublet (unconfined)".to_owned());
        });
        assert_eq!(for_step(Errno::EPERM, &allowed), None);
        let root = host(|facts| {
            facts.gates.apparmor_restricts = Some(1);
            facts.caller = made_up::root();
        });
        assert_eq!(for_step(Errno::EPERM, &root), None);
    }

    #[test]
    fn each_cause_of_a_denial_has_its_sentence() {
        let cause = |change: fn(&mut Facts)| for_clone(Errno::EPERM, &host(change)).cause;
        assert!(
            cause(|f| f.gates.unprivileged_clone = Some(0)).contains("unprivileged_userns_clone")
        );
        assert!(cause(|f| f.gates.root = Root::Chroot).contains("chroot"));
        assert!(cause(|f| f.caller.filter = Filter::Installed).contains("seccomp"));
        assert!(cause(|f| f.caller.uid_map = vec![]).contains("is not mapped"));
        assert!(
            cause(|f| f.gates.apparmor_label = Some("x (enforce)".into()))
                .contains("\"x (enforce)\"")
        );
        for label in ["unconfined", "x (unconfined)", "x (complain)"] {
            let confined = host(|facts| facts.gates.apparmor_label = Some(label.into()));
            assert!(
                for_clone(Errno::EPERM, &confined).cause.contains("security module"),
                "{label}"
            );
        }
        for label in ["x (kill)", "x//&y (mixed)"] {
            let confined = host(|facts| facts.gates.apparmor_label = Some(label.into()));
            assert!(for_clone(Errno::EPERM, &confined).cause.contains(label), "{label}");
        }
        assert!(cause(|_| {}).contains("security module"));
    }

    #[test]
    fn every_errno_has_words() {
        let host = host(|_| {});
        for errno in [Errno::EINVAL, Errno::ENOSYS, Errno::EAGAIN, Errno::ENOMEM, Errno::EIO] {
            for advice in [for_clone(errno, &host), for_map(errno, &host)] {
                assert!(!advice.cause.is_empty() && !advice.hint.is_empty());
            }
        }
    }
}
