//! `--cap-add` and `--cap-drop`, as typed.

use anyhow::Context;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

/// What a container has unless something else is asked for.
const DEFAULT: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Reads both lists as docker does: a name stands above `ALL`, and of two
/// equal names the added one holds. `ALL` is every capability that has a name;
/// the kernel may have fewer.
pub fn granted(add: &[String], drop: &[String]) -> anyhow::Result<Capabilities> {
    let (add_all, add) = named(add).context("--cap-add")?;
    let (drop_all, drop) = named(drop).context("--cap-drop")?;
    let mut granted: Capabilities = match (add_all, drop_all) {
        (true, _) => ALL.into_iter().filter(|one| !drop.contains(one)).collect(),
        (false, true) => Capabilities::new(),
        (false, false) => DEFAULT.into_iter().filter(|one| !drop.contains(one)).collect(),
    };
    granted.extend(add);
    Ok(granted)
}

/// The five sets of a process that has `granted`. Nothing is inheritable or
/// ambient: a program run by another user inside starts without any.
pub fn sets(granted: Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(granted.clone()))
        .set_effective(Some(granted.clone()))
        .set_permitted(Some(granted))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

/// Whether `ALL` is among the words, and the others.
fn named(words: &[String]) -> anyhow::Result<(bool, Vec<Capability>)> {
    let (mut all, mut named) = (false, Vec::new());
    for word in words.iter().flat_map(|words| words.split(',')) {
        match word.to_ascii_uppercase().as_str() {
            "ALL" => all = true,
            word => named.push(capability(word)?),
        }
    }
    Ok((all, named))
}

/// Reads `CAP_CHOWN` or `CHOWN`.
fn capability(word: &str) -> anyhow::Result<Capability> {
    let name = word.strip_prefix("CAP_").unwrap_or(word);
    name.parse().ok().with_context(|| format!("there is no capability {word:?}"))
}

const ALL: [Capability; 41] = [
    Capability::AuditControl,
    Capability::AuditRead,
    Capability::AuditWrite,
    Capability::BlockSuspend,
    Capability::Bpf,
    Capability::CheckpointRestore,
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::Kill,
    Capability::Lease,
    Capability::LinuxImmutable,
    Capability::MacAdmin,
    Capability::MacOverride,
    Capability::Mknod,
    Capability::NetAdmin,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetRaw,
    Capability::Perfmon,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysChroot,
    Capability::SysModule,
    Capability::SysNice,
    Capability::SysPacct,
    Capability::SysPtrace,
    Capability::SysRawio,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Syslog,
    Capability::WakeAlarm,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn after(add: &[&str], drop: &[&str]) -> anyhow::Result<Capabilities> {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        granted(&owned(add), &owned(drop))
    }

    #[test]
    fn names_stand_above_all() {
        let default = Capabilities::from(DEFAULT);
        assert_eq!(after(&[], &[]).unwrap(), default);
        assert_eq!(after(&["cap_net_raw"], &["ALL"]).unwrap(), [Capability::NetRaw].into());
        assert_eq!(after(&["all"], &["SYS_ADMIN"]).unwrap().len(), ALL.len() - 1);
        assert_eq!(after(&["CHOWN"], &["CHOWN"]).unwrap(), default);
        assert_eq!(after(&[], &["KILL,CHOWN"]).unwrap().len(), DEFAULT.len() - 2);
    }

    #[test]
    fn what_is_no_capability_is_refused() {
        for word in ["", "CAP_", "CAP_CAP_CHOWN", "NET RAW", "41", "CHOWN,", "Chown\n"] {
            assert!(after(&[word], &[]).is_err(), "{word:?} was taken");
        }
    }
}
