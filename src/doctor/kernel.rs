//! Whether anything runs at all: the kernel, namespaces, and what confines.

use std::fs;

use nix::libc;
use nix::sys::utsname::uname;

use super::trial::{self, finish, inside, to_bytes, tried};
use super::{Bench, Finding};
use crate::child::trial::Trial;
use crate::error::causes;
use crate::host::Host;
use crate::host::advice::table::run;
use crate::host::advice::{self, Topic};
use crate::host::caller::{Filter, NewPrivileges};
use crate::plan::idmap;
use crate::security::caps::CapSet;
use crate::security::seccomp::{self, Nesting};
use crate::spec::Userns;
use crate::sys::{Errno, confine, process};

/// The oldest kernel that is supported.
const FLOOR: (u32, u32) = (5, 15);

/// The kernel's version.
pub fn version() -> Finding {
    let finding = Finding::new("kernel", Topic::Run, "the kernel's version").essential();
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    match numbers(&release) {
        Some(version) if version < FLOOR => {
            finding.missing(String::new()).because(run::KERNEL_OLD.advice(&[("release", &release)]))
        }
        _ => finding.ok(format!("Linux {release}")),
    }
}

/// The first two numbers of a release.
pub fn numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// There is no /proc, and nothing else can be looked at.
pub fn no_proc(error: &anyhow::Error) -> Finding {
    let finding = Finding::new("proc", Topic::Run, "/proc").essential();
    finding.missing(causes(error)).because(run::PROC_MISSING.advice(&[]))
}

/// What is born here is born into another pid namespace, with the first of it as
/// its init: a second container would wait for the first.
pub fn born_elsewhere(host: &Host) -> Finding {
    let finding = Finding::new("user-namespace", Topic::Run, "a user namespace").essential();
    finding.missing(String::new()).because(advice::for_clone(Errno::EINVAL, host))
}

/// All of it.
pub fn probe(bench: &Bench<'_>) -> Vec<Finding> {
    let mut findings = namespaces(bench);
    findings.push(network_namespace(bench));
    findings.push(nested(bench));
    findings.push(filter(bench));
    findings.extend([restriction(bench), landlock(), quotas(bench), keyring(bench)]);
    findings
}

/// What the clone of a container makes, but for the network.
const KINDS: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWCGROUP;

/// The clone, the map of one id, and the first mount.
fn namespaces(bench: &Bench<'_>) -> Vec<Finding> {
    let clone = Finding::new("user-namespace", Topic::Run, "a user namespace").essential();
    let single = Finding::new("single-id", Topic::Run, "a map of one id").essential();
    let mount = Finding::new("mount", Topic::Run, "a mount in it").essential();
    let started = Trial::start(KINDS as u64, None, |gate| {
        gate.pass();
        let made = trial::filesystem(c"tmpfs", &[(c"mode", Some(c"0755"))]);
        to_bytes(&made.map(|_| "a tmpfs was made".to_owned()))
    });
    let mut trial = match started {
        Ok(trial) => trial,
        Err(errno) => {
            let advice = advice::for_clone(errno, bench.host);
            return vec![clone.missing(String::new()).because(advice)];
        }
    };
    let mut findings = vec![clone.ok("user, pid, mnt, uts, ipc and cgroup: cloned")];
    let map = idmap::compile(&bench.spec(Userns::Single), bench.host);
    let mapped = map.and_then(|map| {
        let pending = crate::idmap::begin(&map, trial.pid(), bench.host)?;
        pending.finish().map(|()| map)
    });
    match mapped {
        Ok(map) => {
            let (uid, gid) = (map.uids.first(), map.gids.first());
            let told = uid.zip(gid).map(|(uid, gid)| format!("uid {uid}, gid {gid}: "));
            findings.push(single.ok(told.unwrap_or_default() + "written and read back"));
        }
        Err(error) => {
            findings.push(single.missing(causes(&error)).because_of(&error));
            return findings;
        }
    }
    trial.go();
    findings.push(match finish(trial, bench) {
        Ok(told) => mount.ok(told),
        Err(stop) => {
            let why = advice::for_step(stop.errno(), bench.host);
            let mount = mount.missing(stop.told());
            why.into_iter().fold(mount, Finding::because)
        }
    });
    findings
}

fn network_namespace(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("network-namespace", Topic::Run, "a network namespace").essential();
    let unshared = || {
        tried("make a network namespace", process::unshare(libc::CLONE_NEWNET))?;
        tried("bring its loopback up", crate::sys::link::loopback_up())?;
        Ok("made, with loopback up".to_owned())
    };
    match inside(bench, 0, unshared) {
        Ok(Ok(told)) => finding.ok(told),
        Ok(Err(stop)) => {
            let advice = advice::for_clone(stop.errno(), bench.host);
            finding.missing(stop.told()).because(advice)
        }
        Err(why) => finding.info(why),
    }
}

fn nested(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("nested-user-namespace", Topic::Run, "a user namespace in one");
    let unshared = || {
        let made = process::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS);
        tried("make a user namespace inside", made)?;
        Ok("made: --nested works".to_owned())
    };
    match inside(bench, 0, unshared) {
        Ok(Ok(told)) => finding.ok(told),
        Ok(Err(stop)) => finding
            .degraded(stop.told(), "--nested makes no containers inside")
            .because(advice::for_clone(stop.errno(), bench.host)),
        Err(why) => finding.info(why),
    }
}

/// Loads the filter that containers have.
fn filter(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("seccomp", Topic::Run, "the system call filter").essential();
    let program = match seccomp::builtin(CapSet::DEFAULT, Nesting::Refused) {
        Ok(program) => program,
        Err(error) => return finding.missing(causes(&error)),
    };
    let instruction = |i: &seccomp::bpf::Instruction| libc::sock_filter {
        code: i.code,
        jt: i.jt,
        jf: i.jf,
        k: i.k,
    };
    let filter: Vec<_> = program.instructions.iter().map(instruction).collect();
    let flags = program.flags.bits();
    let count = filter.len();
    let started = Trial::start(0, None, |_| {
        let loaded = tried("give up new privileges", confine::no_new_privileges())
            .and_then(|()| tried("load the filter", confine::load_filter(&filter, flags)));
        to_bytes(&loaded.map(|()| format!("{count} instructions loaded")))
    });
    let outer = match bench.host.caller().map(|caller| caller.filter) {
        Ok(Filter::Installed) => "; an outer one is on this process already",
        _ => "",
    };
    match started.map(|trial| finish(trial, bench)) {
        Ok(Ok(told)) => finding.ok(told + outer),
        Ok(Err(stop)) => finding.missing(stop.told()).because(run::SECCOMP_REFUSED.advice(&[])),
        Err(errno) => finding.missing(errno.desc()),
    }
}

/// AppArmor's restriction of user namespaces, for this very program, and what
/// else was put on this process.
fn restriction(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("confinement", Topic::Run, "what this process is under");
    let gates = bench.host.gates();
    let label = gates.apparmor_label.as_deref();
    let mut words = vec![match (gates.apparmor_restricts, label) {
        (None | Some(0), None) => "no AppArmor".to_owned(),
        (None | Some(0), Some(label)) => {
            format!("AppArmor label {label:?}, user namespaces are not restricted")
        }
        (Some(_), label) => format!(
            "AppArmor restricts user namespaces, and {} has the label {:?}",
            gates.program.display(),
            label.unwrap_or("unconfined")
        ),
    }];
    if let Ok(caller) = bench.host.caller() {
        if caller.new_privileges == NewPrivileges::Never {
            words.push("no_new_privs is set".to_owned());
        }
        if !caller.in_initial_namespace() {
            words.push("it is in a container (a user namespace) already".to_owned());
        }
    }
    finding.info(words.join("; "))
}

fn landlock() -> Finding {
    let finding = Finding::new("landlock", Topic::Run, "Landlock (not used yet)");
    match confine::landlock_version() {
        Ok(version) => finding.info(format!("version {version}")),
        Err(Errno::EOPNOTSUPP) => finding.info("switched off at boot (lsm=)"),
        Err(errno) => finding.info(format!("none: {}", errno.desc())),
    }
}

fn quotas(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("namespace-quotas", Topic::Run, "quotas of namespaces");
    let quotas = &bench.host.gates().max_namespaces;
    let least = quotas.iter().map(|(_, most)| *most).min();
    let told: Vec<_> = quotas.iter().map(|(kind, most)| format!("{kind} {most}")).collect();
    let finding = finding.info(told.join(", "));
    match least {
        None => finding.info("the kernel has none"),
        Some(0) => finding.because(advice::for_clone(Errno::ENOSPC, bench.host)),
        Some(_) => finding,
    }
}

/// keyrings(7): `UID: USAGE NKEYS/NIKEYS QNKEYS/MAXKEYS QNBYTES/MAXBYTES`.
fn keyring(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("keyring-quota", Topic::Run, "the quota of keys");
    let uid = bench.host.caller().map(|caller| caller.uid.to_string()).unwrap_or_default();
    let text = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{uid}:")));
    let most = fs::read_to_string("/proc/sys/kernel/keys/maxkeys").unwrap_or_default();
    let used = line.and_then(|line| line.split_whitespace().nth(2));
    finding.info(match (used, most.trim()) {
        (Some(used), _) => format!("{used} keys; containers take none"),
        (None, "") => "the kernel has no keyrings".to_owned(),
        (None, most) => format!("0/{most} keys; containers take none"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(numbers("6.12.48+deb13-cloud-amd64"), Some((6, 12)));
        assert_eq!(numbers("5.15"), Some((5, 15)));
        assert!(numbers("5.4.0-1-generic").unwrap() < FLOOR);
        assert_eq!(numbers("strange"), None);
    }
}
