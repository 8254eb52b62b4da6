//! `mounts` of a bundle.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use oci_spec::runtime::Mount;

use crate::error::Explain;
use crate::spec::mount::{private_mounts, target_path};

/// Reads them, in the order in which they are mounted. A relative source of a
/// bind mount lies in the bundle.
///
/// # Errors
/// What can't be mounted so.
pub fn read(mounts: &[Mount], bundle: &Path) -> anyhow::Result<Vec<Mount>> {
    let one = |mount: &Mount| one(mount, bundle);
    let told = |mount: &Mount| format!("the mount at {:?}", mount.destination());
    mounts.iter().map(|mount| one(mount).with_context(|| told(mount))).collect()
}

fn one(mount: &Mount, bundle: &Path) -> anyhow::Result<Mount> {
    let options = mount.options().as_deref().unwrap_or_default();
    let has = |word: &str| options.iter().any(|option| option == word);
    let is_bind = has("bind") || has("rbind");
    let mut read = mount.clone();
    match mount.typ().as_deref() {
        _ if is_bind => _ = read.set_typ(Some("bind".to_owned())),
        None | Some("" | "none") => bail!("it has neither a type nor the option bind or rbind"),
        Some("overlay") => {
            return Err(anyhow!("a mount of type overlay is not supported"))
                .hint("mount it outside, and bind it");
        }
        Some(_) => {}
    }
    if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
        return refuse_idmap("uidMappings and gidMappings of a mount");
    }
    for option in options {
        match option.as_str() {
            "idmap" | "ridmap" => return refuse_idmap(option),
            "remount" => bail!("the option remount: every mount here is a new one"),
            "sync" | "dirsync" | "lazytime" | "iversion" | "mand" if is_bind => bail!(
                "the option {option} is of a whole file system, which a bind mount can't change"
            ),
            _ => {}
        }
    }
    // One that is relative is meant from the root (specification, "mounts").
    let target = Path::new("/").join(mount.destination());
    read.set_destination(target_path(target.to_str().context("it is not UTF-8")?)?);
    if read.typ().as_deref() == Some("bind") {
        let source = mount.source().as_deref().context("a bind mount has a source")?;
        read.set_source(Some(bundle.join(source)));
    }
    Ok(read)
}

fn refuse_idmap<T>(what: &str) -> anyhow::Result<T> {
    Err(anyhow!("{what}: a mount with an id map of its own can't be made without root")).hint(
        "the kernel lets only the owner of the file system map its ids: choose linux.uidMappings \
         so that they fit, or change the owner of the files",
    )
}

/// Adds what every container has: a /dev.
pub fn complete(mounts: &mut Vec<Mount>) {
    let dev = Path::new("/dev");
    if mounts.iter().any(|mount| mount.destination() == dev) {
        return;
    }
    let ours = private_mounts(None).into_iter().find(|mount| mount.destination() == dev);
    let within = |mount: &Mount| mount.destination().starts_with(dev);
    let at = mounts.iter().position(within).unwrap_or(mounts.len());
    mounts.splice(at..at, ours);
}

/// The options that have a meaning, for who asks what can be had.
pub const OPTIONS: [&str; 45] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "rbind",
    "relatime",
    "rnodev",
    "rnoexec",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rro",
    "rshared",
    "rslave",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];
