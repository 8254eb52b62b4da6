//! Who the payload is: names looked up in the root's own files.
//!
//! Reads `Beside::user`, `Beside::groups` and `process.user`. The root's
//! /etc/passwd and /etc/group are an image's, so anything may be in them or in
//! their place; [`passwd`](crate::host::passwd) reads them as such.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::draft::cstring;
use super::idmap::{Idmap, Ids, Setgroups};
use super::step::Groups;
use crate::error::Explain;
use crate::host::passwd;
use crate::spec::{GroupName, Lifetime, Root, Spec, UserName};
use crate::sys::Errno;
use crate::sys::path::{open_in_root, open_typed};

/// The payload's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User and group, as numbered inside.
    pub ids: Ids,
    /// The supplementary groups.
    pub groups: Groups,
    /// Its home directory.
    pub home: String,
}

/// Decides who the payload is, by the files of its root.
///
/// # Errors
/// A name that is not there, an id that is not mapped, a group that can't be
/// had.
pub fn plan(spec: &Spec, idmap: &Idmap, files: &Files) -> anyhow::Result<User> {
    let (ids, entry) = match &spec.beside.user {
        Some(asked) => {
            let (uid, entry) = match &asked.user {
                // A number is enough, whatever state the root's files are in.
                UserName::Id(uid) => (*uid, files.user(|users| users.by_id(*uid)).ok().flatten()),
                UserName::Name(name) => {
                    let entry = files.user(|users| users.by_name(name))?;
                    let entry = entry
                        .with_context(|| {
                            format!("there is no user {name:?} in the root's /etc/passwd")
                        })
                        .hint("take a name from there, or a number: --user 1000:1000")?;
                    (entry.uid, Some(entry))
                }
            };
            let gid = match &asked.group {
                Some(group) => files.gid(group)?,
                None => entry.as_ref().map_or(0, |user| user.gid),
            };
            (Ids { uid, gid }, entry)
        }
        None => {
            let ids = idmap.default_user;
            (ids, files.user(|users| users.by_id(ids.uid)).ok().flatten())
        }
    };
    if !idmap.contains(ids) {
        return Err(anyhow!("uid {} with gid {} is not in the container's map", ids.uid, ids.gid))
            .hint(match spec.beside.lifetime {
                Lifetime::Own => "linux.uidMappings and linux.gidMappings say which are, or those \
                                  of the user namespace that the caller is in: \
                                  cat /proc/self/uid_map /proc/self/gid_map"
                    .to_owned(),
                Lifetime::WithLauncher => format!(
                    "{}\nits map can be told to: --userns keep-id:uid={},gid={}",
                    told(idmap),
                    ids.uid,
                    ids.gid
                ),
            });
    }
    let home = match &entry {
        Some(user) if user.home.is_absolute() => user.home.to_string_lossy().into_owned(),
        _ if ids.uid == 0 => "/root".to_owned(),
        _ => "/".to_owned(),
    };
    let named = match (&spec.beside.user, &entry) {
        // With a group of its own choice a user gets that one only, as docker
        // has it.
        (Some(asked), Some(user)) if asked.group.is_none() => files.groups_of(&user.name)?,
        _ => Vec::new(),
    };
    let groups = groups(spec, idmap, ids, named, files)?;
    Ok(User { ids, groups, home })
}

/// Which ids there are, for somebody who has asked for another.
fn told(idmap: &Idmap) -> String {
    format!("the container has {}", idmap.rung)
}

fn groups(
    spec: &Spec,
    idmap: &Idmap,
    ids: Ids,
    named: Vec<u32>,
    files: &Files,
) -> anyhow::Result<Groups> {
    if spec.beside.keep_groups {
        if !spec.beside.groups.is_empty() {
            bail!(
                "--group-add keep-groups keeps the caller's groups as they are, no other can be added"
            );
        }
        return Ok(Groups::Keep);
    }
    let mut wanted = Vec::new();
    for group in &spec.beside.groups {
        let gid = files.gid(group)?;
        if idmap.gid_outside(gid).is_none() {
            return Err(anyhow!("group {gid} is not in the container's map")).hint(told(idmap));
        }
        wanted.push(gid);
    }
    if idmap.setgroups == Setgroups::Deny {
        // The kernel lets nobody map a single gid and drop groups too: that
        // could take away a group that a file is denied to
        // (user_namespaces(7)).
        let others: Vec<u32> = wanted.into_iter().filter(|gid| *gid != ids.gid).collect();
        if let Some(gid) = others.first() {
            return Err(anyhow!(
                "group {gid} cannot be added: setgroups is denied in this container"
            ))
            .hint(told(idmap));
        }
        return Ok(Groups::Keep);
    }
    // Groups of the image that are not mapped are left out: nobody asked for
    // them by name.
    wanted.extend(named.into_iter().filter(|gid| idmap.gid_outside(*gid).is_some()));
    wanted.sort_unstable();
    wanted.dedup();
    Ok(Groups::Set(wanted))
}

/// The user database of a root.
#[derive(Debug)]
pub struct Files {
    /// Where it is, for people.
    root: PathBuf,
    /// It; else the path is opened.
    opened: Option<OwnedFd>,
}

impl Files {
    /// That of the root that a container is to have.
    pub fn of(root: &Root) -> Self {
        let root = match root {
            Root::Directory(path) | Root::Overlay(path) => path.clone(),
            Root::Host => PathBuf::from("/"),
        };
        Self { root, opened: None }
    }

    /// That of a root which is open.
    pub fn at(root: OwnedFd) -> Self {
        Self { root: PathBuf::from("/"), opened: Some(root) }
    }

    fn open_root(&self) -> anyhow::Result<Option<OwnedFd>> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        match &self.opened {
            Some(root) => Ok(Some(root.try_clone().context("open the root")?)),
            // Where it can't be, the child opens it too, and says so better.
            None => Ok(open_typed(&cstring(&self.root)?, flags).ok()),
        }
    }

    /// Opens a file below the root; `None` where there is none.
    fn open(&self, path: &CStr) -> anyhow::Result<Option<File>> {
        let Some(root) = self.open_root()? else { return Ok(None) };
        // O_NONBLOCK: a FIFO in its place must not make us wait for a writer.
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        match open_in_root(root.as_fd(), path, flags) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno)
                .with_context(|| format!("read /{} of {:?}", path.to_string_lossy(), self.root)),
        }
    }

    fn user(
        &self,
        find: impl Fn(&passwd::Passwd) -> Option<passwd::User>,
    ) -> anyhow::Result<Option<passwd::User>> {
        let Some(file) = self.open(c"etc/passwd")? else { return Ok(None) };
        let users = passwd::Passwd::read(file).with_context(|| self.reading("etc/passwd"))?;
        Ok(find(&users))
    }

    fn gid(&self, group: &GroupName) -> anyhow::Result<u32> {
        let name = match group {
            GroupName::Id(gid) => return Ok(*gid),
            GroupName::Name(name) => name,
        };
        let found = match self.open(c"etc/group")? {
            Some(file) => {
                passwd::Groups::read(file).with_context(|| self.reading("etc/group"))?.by_name(name)
            }
            None => None,
        };
        found
            .map(|group| group.gid)
            .with_context(|| format!("there is no group {name:?} in the root's /etc/group"))
            .hint("take a name from there, or a number")
    }

    fn groups_of(&self, user: &str) -> anyhow::Result<Vec<u32>> {
        let Some(file) = self.open(c"etc/group")? else { return Ok(Vec::new()) };
        Ok(passwd::Groups::read(file).with_context(|| self.reading("etc/group"))?.of(user))
    }

    fn reading(&self, file: &str) -> String {
        format!("read {:?}", self.root.join(Path::new(file)))
    }
}
