//! `--mount`, as typed.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use oci_spec::runtime::Mount;

use super::bind::Bind;
use super::tmpfs::Tmpfs;
use super::{entry, host_path, mode, target_path};
use crate::spec::csv;

/// Reads `type=bind|tmpfs|devpts|mqueue,src=...,dst=...,OPTION,...`: fields
/// in CSV, so a path with a comma goes into quotes.
pub fn mount(text: &str) -> anyhow::Result<Mount> {
    let mut kind = None;
    let mut source = None;
    let mut target = None;
    let mut options = Vec::new();
    for field in csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (field.as_str(), None),
        };
        match (key.to_ascii_lowercase().as_str(), value) {
            ("type", Some(value)) => kind = Some(value),
            ("source" | "src", Some(value)) => source = Some(value),
            ("target" | "destination" | "dest" | "dst", Some(value)) => target = Some(value),
            ("type" | "source" | "src" | "target" | "destination" | "dest" | "dst", None) => {
                bail!("{key:?} has no value")
            }
            // macOS only; every docker takes it and does nothing here.
            ("consistency", _) => {}
            (key, value) => options.push((key.to_owned(), value)),
        }
    }
    let target = target_path(&target.context("dst= is missing")?)?;
    let kind = kind.context("type= is missing: bind, tmpfs, devpts or mqueue")?;
    match (kind.as_str(), source) {
        ("bind", Some(source)) => bind(host_source(&source)?, target, options),
        ("bind", None) => bail!("src= is missing"),
        ("tmpfs" | "devpts" | "mqueue", Some(_)) => bail!("a {kind} has no src="),
        ("tmpfs", None) => tmpfs(target, options),
        ("devpts", None) => devpts(target, options),
        ("mqueue", None) => {
            ensure!(options.is_empty(), "an mqueue has no options");
            Ok(entry(target, "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]))
        }
        ("volume" | "image" | "glob" | "artifact" | "ramfs" | "npipe" | "cluster", _) => {
            bail!("mounts of type {kind} are not in sublet yet: bind, tmpfs, devpts and mqueue are")
        }
        _ => bail!("{kind:?} is not a type of mount: bind, tmpfs, devpts and mqueue are"),
    }
}

type Options = Vec<(String, Option<String>)>;

fn host_source(source: &str) -> anyhow::Result<PathBuf> {
    ensure!(!source.is_empty(), "src= is empty");
    host_path(source)
}

fn bind(source: PathBuf, target: PathBuf, options: Options) -> anyhow::Result<Mount> {
    let mut bind = Bind::default();
    for (key, value) in options {
        match (key.as_str(), value.as_deref()) {
            ("ro" | "readonly", value) => bind.word(either(value, "ro", "rw")?)?,
            ("rw" | "readwrite", value) => bind.word(either(value, "rw", "ro")?)?,
            ("bind-propagation", Some(value)) => {
                ensure!(propagates(value), "{value:?} is not a propagation such as rslave");
                bind.word(value)?;
            }
            ("bind-nonrecursive", value) => bind.word(either(value, "bind", "rbind")?)?,
            ("bind-recursive", Some("enabled")) => bind.word("rbind")?,
            ("bind-recursive", Some("disabled")) => bind.word("bind")?,
            // Only with SELinux is there anything to relabel.
            ("relabel", Some("shared" | "private")) => {}
            ("suid" | "nosuid" | "dev" | "nodev" | "exec" | "noexec", None) => bind.word(&key)?,
            (key, value) => bail!(unknown(key, value, "bind")),
        }
    }
    bind.mount(source, target)
}

fn tmpfs(target: PathBuf, options: Options) -> anyhow::Result<Mount> {
    let mut tmpfs = Tmpfs::default();
    for (key, value) in options {
        match (key.as_str(), value.as_deref()) {
            ("ro" | "readonly", value) => tmpfs.word(either(value, "ro", "rw")?)?,
            ("rw" | "readwrite", value) => tmpfs.word(either(value, "rw", "ro")?)?,
            ("tmpfs-size", Some(value)) => tmpfs.word(&format!("size={value}"))?,
            ("tmpfs-mode", Some(value)) => tmpfs.word(&format!("mode={value}"))?,
            (key, None) => tmpfs.word(key)?,
            (key, value) => bail!(unknown(key, value, "tmpfs")),
        }
    }
    Ok(entry(target, "tmpfs", "tmpfs", &tmpfs.options()))
}

fn devpts(target: PathBuf, options: Options) -> anyhow::Result<Mount> {
    let mut words = ["nosuid", "noexec", "newinstance", "ptmxmode=0666"].map(String::from).to_vec();
    for (key, value) in options {
        words.push(match (key.as_str(), value.as_deref()) {
            ("mode", Some(value)) => format!("mode={:04o}", mode(value)?),
            ("uid" | "gid" | "max", Some(value)) => {
                let value = value.parse::<u32>().with_context(|| format!("{key}={value:?}"))?;
                format!("{key}={value}")
            }
            (key, value) => bail!(unknown(key, value, "devpts")),
        });
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(entry(target, "devpts", "devpts", &words))
}

/// A switch that may have `=true` or `=false` behind it.
fn either(
    value: Option<&str>,
    on: &'static str,
    off: &'static str,
) -> anyhow::Result<&'static str> {
    match value {
        None | Some("true" | "1") => Ok(on),
        Some("false" | "0") => Ok(off),
        Some(value) => bail!("{value:?} is neither true nor false"),
    }
}

fn propagates(word: &str) -> bool {
    matches!(word.strip_prefix('r').unwrap_or(word), "private" | "shared" | "slave")
}

fn unknown(key: &str, value: Option<&str>, kind: &str) -> String {
    match value {
        Some(value) => format!("{key}={value} is not an option of a {kind} mount"),
        None => format!("{key:?} is not an option of a {kind} mount"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let mount = mount(text).unwrap();
        format!(
            "{} {} {} {}",
            mount.typ().as_deref().unwrap(),
            mount.source().as_deref().unwrap().display(),
            mount.destination().display(),
            mount.options().as_ref().unwrap().join(",")
        )
    }

    #[test]
    fn binds() {
        assert_eq!(
            told("type=bind,src=/a,dst=/b,ro"),
            "bind /a /b rbind,rro,rnosuid,rnodev,rprivate"
        );
        assert_eq!(
            told(
                "type=bind,\"source=/a,b\",Target=/b,readonly=false,bind-propagation=rslave,consistency=x"
            ),
            "bind /a,b /b rbind,rnosuid,rnodev,rslave"
        );
        assert_eq!(
            told("dst=/b,src=/a:c,type=bind,bind-recursive=disabled,relabel=shared,dev"),
            "bind /a:c /b bind,nosuid,rprivate"
        );
    }

    #[test]
    fn the_other_types() {
        assert_eq!(
            told("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700,exec"),
            "tmpfs tmpfs /t nosuid,nodev,size=1048576,mode=0700,exec"
        );
        assert_eq!(
            told("type=devpts,dst=/p,gid=7,max=10"),
            "devpts devpts /p nosuid,noexec,newinstance,ptmxmode=0666,gid=7,max=10"
        );
        assert_eq!(told("type=mqueue,dst=/q"), "mqueue mqueue /q nosuid,noexec,nodev");
    }

    #[test]
    fn what_is_no_mount_is_refused() {
        for text in [
            "",
            "type=bind",
            "src=/a,dst=/b",
            "type=bind,dst=/b",
            "type=bind,src=,dst=/b",
            "type=bind,src=/a,dst=b",
            "type=bind,src=/a,dst=/b,ro,rw",
            "type=bind,src=/a,dst=/b,ro=maybe",
            "type=bind,src=/a,dst=/b,O",
            "type=bind,src=/a,dst=/b,bind-propagation=ro",
            "type=bind,src=/a,dst",
            "type=bind,\"src=/a,dst=/b",
            "type=bind,src=/a\n,dst=/b",
            "type=tmpfs,src=/a,dst=/b",
            "type=tmpfs,dst=/b,volume-nocopy",
            "type=volume,src=v,dst=/b",
            "type=proc,dst=/b",
            "type=devpts,dst=/b,gid=-1",
        ] {
            assert!(mount(text).is_err(), "{text:?} was taken");
        }
    }
}
