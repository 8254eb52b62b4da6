//! Kernel parameters of the container's own namespaces: sysctl(8).
//!
//! Reads `linux.sysctl`. Only keys that a namespace has for itself are taken,
//! by a list: what a key that is not on it would change is the machine's, or a
//! program that the kernel runs (kernel.core_pattern, CVE-2022-0811).

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};

use super::draft::{Draft, cstring};
use super::namespaces::Namespaces;
use super::step::{Slot, Step};
use crate::error::Explain;

/// What is written, in the order of the keys.
#[derive(Debug)]
pub struct Sysctls(Vec<(PathBuf, String)>);

/// Keys of the IPC namespace outside of fs.mqueue (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

impl Sysctls {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// A key that is not a namespace's own, or whose namespace is the caller's.
    pub fn plan(asked: &HashMap<String, String>, namespaces: Namespaces) -> anyhow::Result<Self> {
        let mut all = Vec::new();
        for (key, value) in asked {
            let told = || format!("linux.sysctl {key:?}");
            let path = path_of(key).with_context(told)?;
            check(&path, namespaces).with_context(told)?;
            let plain = !value.contains(['\n', '\0']);
            ensure!(plain, "linux.sysctl {key:?}: {value:?} is more than a line");
            all.push((PathBuf::from("sys").join(path), value.clone()));
        }
        all.sort();
        Ok(Self(all))
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes them through the container's /proc, before that is covered in
    /// part and once it is in its namespaces.
    ///
    /// # Errors
    /// Where there is no /proc.
    pub fn write(self, proc: Option<Slot>, draft: &mut Draft) -> anyhow::Result<()> {
        for (path, value) in self.0 {
            let proc = proc.context("linux.sysctl needs a mount of type proc at /proc")?;
            let content = value.into_bytes();
            draft.push(Step::WriteProc { proc, path: cstring(&path)?, content });
        }
        Ok(())
    }
}

/// The file of a key, below /proc/sys. The first separator says which of dot
/// and slash is meant as one; the other is then part of a name, as in that of a
/// VLAN's interface (sysctl(8)).
fn path_of(key: &str) -> anyhow::Result<String> {
    let dots = key.find(['.', '/']).is_some_and(|at| key.as_bytes()[at] == b'.');
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if dots { key.chars().map(swapped).collect() } else { key.to_owned() };
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    ensure!(path.split('/').all(plain), "it is not the name of a kernel parameter");
    Ok(path)
}

fn check(path: &str, namespaces: Namespaces) -> anyhow::Result<()> {
    let (kind, name) = if path.starts_with("net/") {
        (libc::CLONE_NEWNET, "network")
    } else if path.starts_with("fs/mqueue/") || IPC.contains(&path) {
        (libc::CLONE_NEWIPC, "ipc")
    } else if path == "kernel/domainname" {
        (libc::CLONE_NEWUTS, "uts")
    } else if path.starts_with("user/") {
        (libc::CLONE_NEWUSER, "user")
    } else {
        return Err(anyhow!("it is the machine's and not a container's")).hint(
            "net.*, fs.mqueue.*, kernel.shm*, kernel.msg*, kernel.sem, kernel.domainname and user.* \
             are those that a container has for itself; hostname is a field of its own",
        );
    };
    if namespaces.apart(kind) {
        return Ok(());
    }
    Err(anyhow!("it would change the caller's own"))
        .hint(format!("add a {name} namespace to linux.namespaces, or leave the parameter out"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_separator_is_understood() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ] {
            assert_eq!(path_of(key).unwrap(), path, "{key}");
        }
        for key in ["", ".", "net..x", "net/../kernel/core_pattern", "net.\nx", "/net/x", "net/"] {
            assert!(path_of(key).is_err(), "{key:?} was taken");
        }
    }

    #[test]
    fn only_what_a_namespace_has_for_itself_is_taken() {
        let host = crate::host::Host::from(crate::host::made_up::facts());
        let kinds = ["user", "mount", "network"].map(|kind| {
            serde_json::from_value(serde_json::json!({ "type": kind })).expect("a namespace")
        });
        let (all, _) = Namespaces::plan(&kinds, &crate::spec::Userns::Auto, None, &host).unwrap();
        let asked = |key: &str, value: &str| {
            Sysctls::plan(&HashMap::from([(key.to_owned(), value.to_owned())]), all)
        };
        for key in ["net.ipv4.ip_forward", "user.max_mnt_namespaces", "net/core/somaxconn"] {
            assert!(asked(key, "1").is_ok(), "{key} was refused");
        }
        for key in [
            "kernel.core_pattern",
            "kernel.shmmax",
            "kernel.shm_next_id",
            "kernel.hostname",
            "kernel.domainname",
            "fs.mqueue.msg_max",
            "fs.file-max",
            "vm.overcommit_memory",
            "net",
            "kernel/../net/x",
        ] {
            assert!(asked(key, "1").is_err(), "{key} was taken");
        }
        assert!(asked("net.ipv4.ip_forward", "1\n2").is_err());
    }
}
