//! What a refused user namespace means on this machine, and what would help.
//!
//! The kernel answers with one errno for a dozen causes: `ENOSPC` is a quota
//! and no disk, `EPERM` may be a switch, a chroot or an outer container. Here
//! is the table of causes, the likeliest first.

use std::path::Path;

use nix::errno::Errno;

use super::Host;
use super::caller::{CAP_SETFCAP, CAP_SYS_ADMIN, Caller, Filter};
use super::gates::{Gates, Root};
use crate::error::Explain;

/// Why something can't be had, and how it could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The cause: lower case, no full stop.
    pub cause: String,
    /// What helps: what root can set, or the way round.
    pub hint: String,
}

impl Advice {
    /// The error that says the cause and carries the hint.
    pub fn refuse<T>(self) -> anyhow::Result<T> {
        Err(anyhow::Error::msg(self.cause)).hint(self.hint)
    }
}

/// Why clone3(2) or unshare(2) with namespaces was refused.
pub fn for_clone(errno: Errno, host: &Host) -> Advice {
    tell(CLONE, errno, host).unwrap_or_else(|| Advice {
        cause: format!("the kernel refuses new namespaces ({})", errno.desc()),
        hint: "see what the kernel says: dmesg, and the sysctls user.max_*_namespaces".to_owned(),
    })
}

/// Why a write to /proc/PID/uid_map, gid_map or setgroups was refused.
pub fn for_map(errno: Errno, host: &Host) -> Advice {
    tell(MAP, errno, host).unwrap_or_else(|| Advice {
        cause: format!("the kernel refuses the id map ({})", errno.desc()),
        hint: "take one id alone: --userns single".to_owned(),
    })
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
    let (cause, hint) = match errno {
        Errno::ENOENT => (
            "/dev/net/tun is not there".to_owned(),
            "as root, once: modprobe tun; where there is no udev: mkdir -p /dev/net && \
             mknod -m 666 /dev/net/tun c 10 200\n\
             in a container: start the outer one with --device /dev/net/tun",
        ),
        Errno::EACCES | Errno::EPERM => (
            "/dev/net/tun may not be opened by you".to_owned(),
            "as root, once: chmod 666 /dev/net/tun, as udev does everywhere\n\
             in a container: start the outer one with --device /dev/net/tun",
        ),
        Errno::ENODEV | Errno::ENXIO => {
            ("the kernel has no tun driver loaded".to_owned(), "as root, once: modprobe tun")
        }
        errno => (
            format!("/dev/net/tun can't be opened: {}", errno.desc()),
            "as root, see what it is: ls -l /dev/net/tun, which is c 10, 200",
        ),
    };
    Advice { cause, hint: hint.to_owned() }
}

/// One cause: which errno it shows as, when it is the one, what to say.
struct Row {
    shows_as: &'static [Errno],
    applies: fn(&Caller, &Gates) -> bool,
    says: fn(&Caller, &Gates) -> Advice,
}

const DENIED: &[Errno] = &[Errno::EPERM, Errno::EACCES];

const CLONE: &[Row] = &[
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
    Row { shows_as: &[Errno::EINVAL], applies: always, says: map_invalid },
    Row { shows_as: &[Errno::ENOENT, Errno::ESRCH], applies: always, says: process_gone },
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

fn apparmor_restriction(_: &Caller, gates: &Gates) -> Advice {
    Advice {
        cause: "AppArmor gives no privileges in a user namespace to a program without a profile \
                (sysctl kernel.apparmor_restrict_unprivileged_userns is 1)"
            .to_owned(),
        hint: apparmor_profile(&gates.program).unwrap_or_else(|| {
            "as root, once: install sublet as /usr/local/bin/sublet, a path that an AppArmor \
             profile can name, or: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
                .to_owned()
        }),
    }
}

/// A profile that allows `program` what it needs, ready to be pasted, and the
/// way round. `None` where the path has characters that mean something in a
/// profile or in a shell.
fn apparmor_profile(program: &Path) -> Option<String> {
    let path = program.to_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+ ".contains(c);
    path.chars().all(plain).then(|| {
        format!(
            "as root, once, so that {path} may make user namespaces:\n\
             cat > /etc/apparmor.d/sublet <<'END'\n\
             abi <abi/4.0>,\n\
             include <tunables/global>\n\
             profile sublet \"{path}\" flags=(unconfined) {{\n\
             \x20 userns,\n\
             \x20 include if exists <local/sublet>\n\
             }}\n\
             END\n\
             apparmor_parser -r /etc/apparmor.d/sublet\n\
             or for all programs: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    })
}

fn apparmor_confines(_: &Caller, gates: &Gates) -> bool {
    gates.apparmor_label.as_deref().is_some_and(|label| label.ends_with("(enforce)"))
}

fn apparmor_confinement(_: &Caller, gates: &Gates) -> Advice {
    let label = gates.apparmor_label.as_deref().unwrap_or_default();
    Advice {
        cause: format!("the AppArmor profile {label:?} that confines this process may forbid it"),
        hint: "as root: add the rule `userns,` to that profile, or start sublet outside of it"
            .to_owned(),
    }
}

fn clone_is_off(caller: &Caller, gates: &Gates) -> bool {
    gates.unprivileged_clone == Some(0) && !privileged(caller)
}

fn clone_off(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "user namespaces are switched off for ordinary users \
                (sysctl kernel.unprivileged_userns_clone is 0)"
            .to_owned(),
        hint:
            "as root, once: echo kernel.unprivileged_userns_clone=1 > /etc/sysctl.d/50-userns.conf \
               && sysctl --system"
                .to_owned(),
    }
}

fn in_chroot(_: &Caller, gates: &Gates) -> bool {
    gates.root == Root::Chroot
}

fn chroot(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "this process is in a chroot, where the kernel makes no user namespace".to_owned(),
        hint: "enter that directory with a mount namespace and pivot_root in place of chroot"
            .to_owned(),
    }
}

fn unmapped(caller: &Caller, _: &Gates) -> bool {
    let exists = |map, id| super::ids::outside(map, id).is_some();
    !exists(&caller.uid_map, caller.euid) || !exists(&caller.gid_map, caller.egid)
}

fn not_mapped(caller: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: format!(
            "uid {} or gid {} of this process is not mapped in the user namespace it is in",
            caller.euid, caller.egid
        ),
        hint: "start it as a user that the outer container maps: see /proc/self/uid_map".to_owned(),
    }
}

fn filtered(caller: &Caller, _: &Gates) -> bool {
    caller.filter == Filter::Installed
}

fn filter(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "the seccomp filter of an outer container or service may forbid user namespaces"
            .to_owned(),
        hint: "start the outer one with a filter that allows clone, clone3, unshare and mount: \
               --security-opt seccomp=unconfined (docker, podman), or --nested (sublet)"
            .to_owned(),
    }
}

fn denied(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "a security module or the kernel's configuration forbids user namespaces".to_owned(),
        hint: "as root, see what denied it: journalctl -k | grep -iE 'avc|apparmor|userns'"
            .to_owned(),
    }
}

fn quota_is_zero(_: &Caller, gates: &Gates) -> bool {
    gates.max_namespaces.iter().any(|(_, most)| *most == 0)
}

fn quota_zero(_: &Caller, gates: &Gates) -> Advice {
    let switches: Vec<String> = gates
        .max_namespaces
        .iter()
        .filter(|(_, most)| *most == 0)
        .map(|(kind, _)| format!("user.max_{kind}_namespaces"))
        .collect();
    let values = switches.iter().map(|switch| format!("{switch}=28633\\n")).collect::<String>();
    Advice {
        cause: format!(
            "the quota of namespaces is zero (sysctl {}); it is no disk that is full",
            switches.join(", ")
        ),
        hint: format!(
            "as root, once: printf '{values}' > /etc/sysctl.d/50-userns.conf && sysctl --system"
        ),
    }
}

fn quota(_: &Caller, gates: &Gates) -> Advice {
    let switches: Vec<String> = gates
        .max_namespaces
        .iter()
        .map(|(kind, most)| format!("user.max_{kind}_namespaces={most}"))
        .collect();
    Advice {
        cause: "a quota of namespaces is used up, here or in an outer container, or they are \
                nested 32 deep; it is no disk that is full"
            .to_owned(),
        hint: format!(
            "stop other containers of yours (lsns shows them), or as root raise the sysctl: {}",
            switches.join(" ")
        ),
    }
}

fn compiled_out(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "this kernel lacks a kind of namespace, or clone3 itself".to_owned(),
        hint: "use Linux 5.15 or later with CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, \
               CONFIG_UTS_NS, CONFIG_IPC_NS and CONFIG_CGROUPS; ls /proc/self/ns shows the kinds"
            .to_owned(),
    }
}

fn processes(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "no more processes may be made: RLIMIT_NPROC, pids.max or kernel.threads-max"
            .to_owned(),
        hint: "raise what is reached: ulimit -u, or TasksMax= of the unit this runs in".to_owned(),
    }
}

fn memory(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "there is no memory for it, or the pid namespace we are in is dying".to_owned(),
        hint: "raise memory.max of the cgroup this runs in, or start from a living container"
            .to_owned(),
    }
}

fn root_without_setfcap(caller: &Caller, _: &Gates) -> bool {
    caller.euid == 0 && !caller.effective.have(&[CAP_SETFCAP])
}

fn setfcap(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "only a process with CAP_SETFCAP may map id 0 of its user namespace, and this \
                root has lost it"
            .to_owned(),
        hint: "let the outer container or service keep CAP_SETFCAP: --cap-add SETFCAP".to_owned(),
    }
}

fn map_denied(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "an id of the map is not ours to give, or the process belongs to another user"
            .to_owned(),
        hint: "compare the map with /proc/self/uid_map and /etc/subuid, or take one id alone: \
               --userns single"
            .to_owned(),
    }
}

fn map_invalid(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "the map overlaps itself or has more than 340 extents".to_owned(),
        hint: "see the map that is planned: --dry-run".to_owned(),
    }
}

fn process_gone(_: &Caller, _: &Gates) -> Advice {
    Advice {
        cause: "the process has ended before its map was written".to_owned(),
        hint: "see what ended it: dmesg (out of memory?), memory.events of its cgroup".to_owned(),
    }
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
            })
        };
        for tell in [for_clone, for_map] {
            let advice = tell(Errno::EPERM, &ubuntu("/home/anna/bin/sublet"));
            assert!(advice.cause.starts_with("AppArmor"), "{}", advice.cause);
            let line = "profile sublet \"/home/anna/bin/sublet\" flags=(unconfined) {\n  userns,\n";
            assert!(advice.hint.contains(line), "{}", advice.hint);
        }
        assert!(for_step(Errno::EACCES, &ubuntu("/x")).is_some());
        for program in ["/x\nEND\nrm", "/x\"y", "/*", "/$(x)"] {
            let advice = for_clone(Errno::EPERM, &ubuntu(program));
            assert!(!advice.hint.contains(program), "{}", advice.hint);
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
