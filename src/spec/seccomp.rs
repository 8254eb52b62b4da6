//! Seccomp profiles in files: OCI's own form, and docker's and podman's.
//!
//! docker's form has rules that hold only for some architectures, kernels or
//! capabilities, and a table of architectures. Both are resolved here for the
//! machine that this was built for, so that what is left is OCI's.

use anyhow::{Context, bail, ensure};
use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSyscall,
};
use serde::Deserialize;

/// The oldest kernel that sublet runs on: rules for older ones always hold.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Reads a profile for a container that has the capabilities `granted`. A
/// field that is not known is an error: to leave out a condition would let
/// through what it guards.
pub fn profile(json: &[u8], granted: &Capabilities) -> anyhow::Result<LinuxSeccomp> {
    let typed: Profile = serde_json::from_slice(json).context("it is not a seccomp profile")?;
    let granted: Vec<String> = granted.iter().map(|one| format!("CAP_{one}")).collect();
    let mut syscalls = Vec::with_capacity(typed.syscalls.len());
    for rule in typed.syscalls {
        if rule.holds(&granted)? {
            syscalls.push(rule.into_oci()?);
        }
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(typed.default_action)
        .set_default_errno_ret(typed.default_errno_ret)
        .set_architectures(typed.architectures.or_else(|| native_of(typed.arch_map)))
        .set_flags(typed.flags)
        .set_syscalls(Some(syscalls));
    Ok(profile)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    /// podman's name beside the number.
    #[serde(rename = "defaultErrno")]
    _default_errno: Option<String>,
    architectures: Option<Vec<Arch>>,
    #[serde(default)]
    arch_map: Vec<Family>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

/// An architecture and those whose programs run on it too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Family {
    architecture: Arch,
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    name: Option<String>,
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    errno: Option<String>,
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Condition {
    arches: Vec<String>,
    caps: Vec<String>,
    min_kernel: Option<String>,
}

impl Rule {
    fn holds(&self, granted: &[String]) -> anyhow::Result<bool> {
        let has = |cap: &String| granted.contains(cap);
        let here = |arch: &String| Some(arch.as_str()) == docker_arch();
        let Condition { arches, caps, min_kernel } = &self.includes;
        let included = (arches.is_empty() || arches.iter().any(here))
            && caps.iter().all(has)
            && at_least(min_kernel.as_deref())?.unwrap_or(true);
        let Condition { arches, caps, min_kernel } = &self.excludes;
        let excluded = arches.iter().any(here)
            || caps.iter().any(has)
            || at_least(min_kernel.as_deref())?.unwrap_or(false);
        Ok(included && !excluded)
    }

    fn into_oci(self) -> anyhow::Result<LinuxSyscall> {
        let mut names = self.names.unwrap_or_default();
        names.extend(self.name);
        ensure!(!names.is_empty(), "a rule has no names");
        let number = self.errno_ret.is_some();
        ensure!(number || self.errno.is_none(), "the rule for {names:?} has errno, not errnoRet");
        let mut syscall = LinuxSyscall::default();
        syscall
            .set_names(names)
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(self.args.filter(|args| !args.is_empty()));
        Ok(syscall)
    }
}

/// Whether every kernel that we run on is at least this one; `None` where
/// nothing is said.
fn at_least(version: Option<&str>) -> anyhow::Result<Option<bool>> {
    let Some(version) = version else { return Ok(None) };
    let parts = version.split_once('.').and_then(|(major, minor)| {
        Some((major.parse::<u32>().ok()?, minor.split('.').next()?.parse::<u32>().ok()?))
    });
    match parts {
        Some(parts) if parts <= OLDEST_KERNEL => Ok(Some(true)),
        Some(_) => bail!("the profile has a rule for kernels from {version}, newer than 5.15"),
        None => bail!("{version:?} is not the version of a kernel"),
    }
}

fn native_of(families: Vec<Family>) -> Option<Vec<Arch>> {
    let native = native_arch()?;
    let family = families.into_iter().find(|family| family.architecture == native)?;
    Some([native].into_iter().chain(family.sub_architectures.unwrap_or_default()).collect())
}

const fn native_arch() -> Option<Arch> {
    if cfg!(target_arch = "x86_64") {
        Some(Arch::ScmpArchX86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Arch::ScmpArchAarch64)
    } else {
        None
    }
}

/// The name that docker's conditions have for the architecture.
const fn docker_arch() -> Option<&'static str> {
    if cfg!(target_arch = "x86_64") {
        Some("amd64")
    } else if cfg!(target_arch = "aarch64") {
        Some("arm64")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::Capability;

    fn names(json: &str, granted: &[Capability]) -> anyhow::Result<Vec<String>> {
        let profile = profile(json.as_bytes(), &granted.iter().copied().collect())?;
        let rules = profile.syscalls().clone().unwrap_or_default();
        Ok(rules.iter().flat_map(|rule| rule.names().clone()).collect())
    }

    const DOCKER: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
        ],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]},
             "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["s390_only"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}}
        ]}"#;

    #[test]
    fn conditions_are_resolved() {
        assert_eq!(names(DOCKER, &[]).unwrap(), ["read", "write", "clone", "ptrace"]);
        assert_eq!(
            names(DOCKER, &[Capability::SysAdmin]).unwrap(),
            ["read", "write", "mount", "ptrace"]
        );
        let whole = profile(DOCKER.as_bytes(), &Capabilities::new()).unwrap();
        assert_eq!(whole.default_errno_ret(), Some(38));
        assert_eq!(whole.architectures().as_ref().map(Vec::len), native_arch().map(|_| 2));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for rule in [
            r#"{"names": ["x"], "action": "SCMP_ACT_ALLOW", "includes": {"weather": "fine"}}"#,
            r#"{"names": ["x"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.1"}}"#,
            r#"{"names": ["x"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}}"#,
            r#"{"names": ["x"], "action": "ALLOW"}"#,
            r#"{"names": ["x"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM"}"#,
            r#"{"action": "SCMP_ACT_ALLOW"}"#,
        ] {
            let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{rule}]}}"#);
            assert!(names(&json, &[]).is_err(), "{rule} was taken");
        }
        for json in ["", "{}", "[]", r#"{"defaultAction": "SCMP_ACT_ALLOW", "rules": []}"#] {
            assert!(names(json, &[]).is_err(), "{json:?} was taken");
        }
    }
}
