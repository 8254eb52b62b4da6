//! A bundle's config.json as a [`Spec`]: the OCI runtime specification from
//! 1.0.2 to 1.3.0.
//!
//! Each field has its effect or is refused by its name, also one that no
//! version knows: what was asked for and is silently not done is what its
//! author relies on. Annotations are data, and change nothing.

mod fields;
mod mounts;
mod refused;
mod resources;

pub use mounts::OPTIONS as MOUNT_OPTIONS;
pub use refused::check_process;
pub use resources::{check as check_resources, read as read_resources};

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec as Oci};
use serde_json::{Value, json};

use super::network::Network;
use super::resources::control::Cgroups;
use super::user::{GroupName, UserName};
use super::{ContainerId, Lifetime, Root, Seccomp, Spec, Stdin, UserRequest, Userns};
use crate::error::Explain;

/// The first and the last version of the specification that is spoken.
pub const VERSIONS: (&str, &str) = ("1.0.2", "1.3.0");

/// The longest config.json that is read.
pub const LONGEST: u64 = 16 << 20;

/// What the engine says beside the bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// Who makes control groups.
    pub cgroups: Cgroups,
    /// How many descriptors from 3 upwards are handed down.
    pub preserve_fds: u32,
}

/// Reads the `text` of the config.json of `bundle`, an absolute directory.
///
/// # Errors
/// What is no configuration, and the first field that can't be honoured.
pub fn read(text: &[u8], bundle: &Path, id: ContainerId, engine: Engine) -> anyhow::Result<Spec> {
    let written: Value = serde_json::from_slice(text).context("it is not JSON")?;
    let mut oci: Oci =
        serde_json::from_value(written.clone()).context("it is not as the specification has it")?;
    let known = serde_json::to_value(&oci).context("compare it with what is known")?;
    fields::all_known(&written, &known)?;
    check_version(oci.version())?;
    refused::check(&oci)?;

    let root = root(&oci, bundle)?;
    let mut mounts = mounts::read(oci.mounts().as_deref().unwrap_or_default(), bundle)?;
    mounts::complete(&mut mounts);
    oci.set_mounts(Some(mounts));

    let linux = oci.linux_mut().as_mut().context("linux is missing")?;
    let control = resources::control(linux, engine.cgroups)?;
    let mut spec = around(oci, id, root, engine.preserve_fds)?;
    spec.beside.control = control;
    Ok(spec)
}

/// The specification of a container that was made of `oci`, as [`read`] has left
/// that, for another program to be put in the payload's place.
///
/// # Errors
/// None for what was read before.
pub fn made(oci: Oci, id: ContainerId, root: PathBuf, preserve_fds: u32) -> anyhow::Result<Spec> {
    around(oci, id, Root::Directory(root), preserve_fds)
}

/// Reads the `text` of a file with what `process` is in a configuration.
///
/// # Errors
/// What is none, and a field that nobody here knows; [`check_process`] says what
/// can't be honoured.
pub fn read_process(text: &[u8]) -> anyhow::Result<Process> {
    let written: Value = serde_json::from_slice(text).context("it is not JSON")?;
    let process: Process =
        serde_json::from_value(written.clone()).context("it is not as the specification has it")?;
    let known = serde_json::to_value(&process).context("compare it with what is known")?;
    fields::all_known(&json!({ "process": written }), &json!({ "process": known }))?;
    Ok(process)
}

/// A container over the same root, of which what differs is changed.
fn around(oci: Oci, id: ContainerId, root: Root, preserve_fds: u32) -> anyhow::Result<Spec> {
    let mut spec = Spec::new(id, root);
    let beside = &mut spec.beside;
    beside.lifetime = Lifetime::Own;
    beside.exact_capabilities = true;
    beside.etc_files = false;
    beside.stdin = Stdin::Inherit;
    beside.preserve_fds = preserve_fds;
    let process = oci.process().as_ref().context("process is missing")?;
    let user = process.user();
    beside.user = Some(UserRequest {
        user: UserName::Id(user.uid()),
        group: Some(GroupName::Id(user.gid())),
    });
    let groups = user.additional_gids().iter().flatten();
    beside.groups = groups.map(|gid| GroupName::Id(*gid)).collect();

    // Who reaches out of it is the engine's to say, and not ours.
    beside.network = Network::None;

    let linux = oci.linux().as_ref().context("linux is missing")?;
    beside.userns = userns(linux)?;
    beside.seccomp = match linux.seccomp() {
        Some(_) => Seccomp::Profile,
        None => Seccomp::Unconfined,
    };
    spec.oci = oci;
    Ok(spec)
}

fn check_version(version: &str) -> anyhow::Result<()> {
    let (first, last) = VERSIONS;
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    let known = matches!(
        (numbers.next(), numbers.next(), numbers.next()),
        (Some(Ok(1)), Some(Ok(_)), Some(Ok(_)))
    );
    if known {
        return Ok(());
    }
    Err(anyhow!("ociVersion {version:?} is not spoken"))
        .hint(format!("versions from {first} to {last} are, and later ones that begin with 1"))
}

fn root(oci: &Oci, bundle: &Path) -> anyhow::Result<Root> {
    let root = oci.root().as_ref().context("root is missing")?;
    ensure!(!root.path().as_os_str().is_empty(), "root.path is empty");
    let path: PathBuf = bundle.join(root.path());
    Ok(Root::Directory(path))
}

fn userns(linux: &oci_spec::runtime::Linux) -> anyhow::Result<Userns> {
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let own = namespaces.iter().any(|one| one.typ() == LinuxNamespaceType::User);
    let maps = [linux.uid_mappings(), linux.gid_mappings()];
    let mapped = maps.iter().filter(|map| map.as_ref().is_some_and(|map| !map.is_empty())).count();
    match (own, mapped) {
        (true, 2) => Ok(Userns::Custom),
        (true, _) => {
            bail!("a new user namespace takes both linux.uidMappings and linux.gidMappings")
        }
        (false, 0) => Ok(Userns::Caller),
        (false, _) => bail!(
            "linux.uidMappings and linux.gidMappings take a user namespace in linux.namespaces"
        ),
    }
}

#[cfg(test)]
mod tests;
