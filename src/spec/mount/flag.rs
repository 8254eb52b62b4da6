//! `--mount`, as typed.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::Mount;

use super::bind::Bind;
use super::tmpfs::Tmpfs;
use super::{entry, host_path, mode, target_path};
use crate::spec::csv;
use crate::state::nearest;

/// Reads `type=bind|tmpfs|devpts|mqueue,src=...,dst=...,OPTION,...`: fields
/// in CSV, so a path with a comma goes into quotes.
pub fn mount(text: &str) -> anyhow::Result<Mount> {
    let mut kind = None;
    let mut source = None;
    let mut target = None;
    let mut options = Vec::new();
    for field in csv::fields(text)? {
        let (typed, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (field.as_str(), None),
        };
        match (typed.to_ascii_lowercase().as_str(), value) {
            ("type", Some(value)) => kind = Some(value),
            ("source" | "src", Some(value)) => source = Some(value),
            ("target" | "destination" | "dest" | "dst", Some(value)) => target = Some(value),
            ("type" | "source" | "src" | "target" | "destination" | "dest" | "dst", None) => {
                bail!("{typed:?} has no value")
            }
            // macOS only; every docker takes it and does nothing here.
            ("consistency", _) => {}
            (key, value) => {
                options.push(Choice { typed: typed.to_owned(), key: key.to_owned(), value });
            }
        }
    }
    let missing = |what| missing(what, &options);
    let target = target_path(&target.ok_or_else(|| missing("dst= is missing"))?)?;
    let kind = kind.ok_or_else(|| missing("type= is missing: bind, tmpfs, devpts or mqueue"))?;
    match (kind.as_str(), source) {
        ("bind", Some(source)) => bind(host_source(&source)?, target, options),
        ("bind", None) => bail!(missing("src= is missing")),
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

/// A field that is no type, source or target.
struct Choice {
    /// Its key as it was typed.
    typed: String,
    /// The same in small letters, as it is read.
    key: String,
    value: Option<String>,
}

type Options = Vec<Choice>;

const KEYS: [&str; 7] = ["type", "src", "dst", "source", "target", "dest", "destination"];
const BIND: [&str; 16] = [
    "ro",
    "readonly",
    "rw",
    "readwrite",
    "bind-propagation",
    "bind-nonrecursive",
    "bind-recursive",
    "relabel",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "idmap",
    "chown",
];
const TMPFS: [&str; 6] = ["ro", "readonly", "rw", "readwrite", "tmpfs-size", "tmpfs-mode"];
const DEVPTS: [&str; 4] = ["mode", "uid", "gid", "max"];

/// The error for what was not said, or for a key that there is not and that may
/// have been meant to say it.
fn missing(what: &'static str, options: &Options) -> anyhow::Error {
    let known = [&KEYS[..], &BIND, &TMPFS, &DEVPTS].concat();
    let is_strange =
        |choice: &&Choice| choice.value.is_some() && !known.contains(&choice.key.as_str());
    let Some(Choice { typed, key, .. }) = options.iter().find(is_strange) else {
        return anyhow!(what);
    };
    match nearest(key, &KEYS) {
        Some(near) => anyhow!("there is no key {typed:?}, but there is {near}"),
        None => anyhow!("there is no key {typed:?}: type, src, dst, ro and their like are"),
    }
}

fn host_source(source: &str) -> anyhow::Result<PathBuf> {
    ensure!(!source.is_empty(), "src= is empty");
    host_path(source)
}

fn bind(source: PathBuf, target: PathBuf, options: Options) -> anyhow::Result<Mount> {
    let mut bind = Bind::default();
    for Choice { typed, key, value } in options {
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
            ("u" | "chown", _) => bind.word("U")?,
            ("idmap", _) => bind.word("idmap")?,
            (_, value) => bail!(unknown(&typed, value, "bind", &BIND)),
        }
    }
    bind.mount(source, target)
}

fn tmpfs(target: PathBuf, options: Options) -> anyhow::Result<Mount> {
    let mut tmpfs = Tmpfs::default();
    for Choice { typed, key, value } in options {
        match (key.as_str(), value.as_deref()) {
            ("ro" | "readonly", value) => tmpfs.word(either(value, "ro", "rw")?)?,
            ("rw" | "readwrite", value) => tmpfs.word(either(value, "rw", "ro")?)?,
            ("tmpfs-size", Some(value)) => tmpfs.word(&format!("size={value}"))?,
            ("tmpfs-mode", Some(value)) => tmpfs.word(&format!("mode={value}"))?,
            (key, None) => tmpfs.word(key)?,
            (_, value) => bail!(unknown(&typed, value, "tmpfs", &TMPFS)),
        }
    }
    Ok(entry(target, "tmpfs", "tmpfs", &tmpfs.options()))
}

fn devpts(target: PathBuf, options: Options) -> anyhow::Result<Mount> {
    let mut words = ["nosuid", "noexec", "newinstance", "ptmxmode=0666"].map(String::from).to_vec();
    for Choice { typed, key, value } in options {
        words.push(match (key.as_str(), value.as_deref()) {
            ("mode", Some(value)) => format!("mode={:04o}", mode(value)?),
            ("uid" | "gid" | "max", Some(value)) => {
                let value = value.parse::<u32>().with_context(|| format!("{key}={value:?}"))?;
                format!("{key}={value}")
            }
            (_, value) => bail!(unknown(&typed, value, "devpts", &DEVPTS)),
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

fn unknown(typed: &str, value: Option<&str>, kind: &str, known: &[&str]) -> String {
    let word = match value {
        Some(value) => format!("{typed}={value}"),
        None => typed.to_owned(),
    };
    let known = [&KEYS[..], known].concat();
    let near = match nearest(typed, &known) {
        Some(near) if near != typed => format!(", but {near} is"),
        _ => String::new(),
    };
    format!("{word:?} is not an option of a {kind} mount{near}")
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
    fn a_key_that_there_is_not_is_named() {
        for (text, error) in [
            (
                "tpye=bind,src=/a,dst=/b",
                "there is no key \"tpye\": type, src, dst, ro and their like are",
            ),
            ("typ=bind,src=/a,dst=/b", "there is no key \"typ\", but there is type"),
            ("type=bind, src=/a,dst=/b", "there is no key \" src\", but there is src"),
            ("type=bind, src=/a, dst=/b", "there is no key \" src\", but there is src"),
            ("type=bind,Srcs=/a,dst=/b", "there is no key \"Srcs\", but there is src"),
            ("dst=/b,noatime", "type= is missing: bind, tmpfs, devpts or mqueue"),
            ("src=/a,dst=/b,ro", "type= is missing: bind, tmpfs, devpts or mqueue"),
            (
                "type=bind,src=/a,dst=/b,readnoly",
                "\"readnoly\" is not an option of a bind mount, but readonly is",
            ),
            ("type=bind,src=/a,dst=/b,X=1", "\"X=1\" is not an option of a bind mount"),
            ("type=bind,src=/a,dst=/b,U=true", "\"U\" is not in sublet yet"),
            ("type=bind,src=/a,dst=/b,idmap", "\"idmap\" is not in sublet yet"),
        ] {
            assert_eq!(mount(text).unwrap_err().to_string(), error, "{text}");
        }
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
