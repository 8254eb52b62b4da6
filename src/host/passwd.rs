//! /etc/passwd and /etc/group of a root that nobody vouches for, and of the
//! machine itself.
//!
//! Takes an opened file and never a path: how a path below an untrusted root
//! is opened is not decided here. Open it with O_NOFOLLOW and O_NONBLOCK, or a
//! FIFO blocks before it can be refused. A line that makes no sense is not an
//! entry, as in the C library; the first that fits wins. Only digits are an
//! id, and an id too large is none: it can't wrap to root (CVE-2024-40635).

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Context;

use super::textfile::{self, id, lines};

/// A root's own file is at most this long.
const ROOT_FILE: u64 = 1 << 20;

/// The most groups a process can have, NGROUPS_MAX in linux/limits.h.
const MOST_GROUPS: usize = 65536;

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The user's id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The home directory as written: perhaps empty or relative.
    pub home: PathBuf,
    /// The shell as written: perhaps empty.
    pub shell: PathBuf,
}

/// The text of a passwd(5) file.
#[derive(Debug, Default)]
pub struct Passwd(Vec<u8>);

impl Passwd {
    /// Reads a root's /etc/passwd, at most 1 MiB.
    ///
    /// # Errors
    /// Not a regular file, too long, a line beyond 64 KiB.
    pub fn read(file: File) -> anyhow::Result<Self> {
        textfile::read(file, ROOT_FILE).context("read the users of the root").map(Self)
    }

    /// The machine's own, or what `getent` printed.
    pub(super) fn of_host(text: Vec<u8>) -> Self {
        Self(text)
    }

    /// The first user of that name.
    pub fn by_name(&self, name: &str) -> Option<User> {
        self.users().find(|user| user.name == name)
    }

    /// The first user with that id.
    pub fn by_id(&self, uid: u32) -> Option<User> {
        self.users().find(|user| user.uid == uid)
    }

    fn users(&self) -> impl Iterator<Item = User> {
        lines(&self.0).filter_map(|(_, line)| {
            let [name, _, uid, gid, _, home, shell] = fields(line)?;
            let path = |text| PathBuf::from(OsStr::from_bytes(text));
            let (uid, gid) = (id(uid)?, id(gid)?);
            Some(User { name: named(name)?, uid, gid, home: path(home), shell: path(shell) })
        })
    }
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The group's id.
    pub gid: u32,
}

/// The text of a group(5) file.
#[derive(Debug, Default)]
pub struct Groups(Vec<u8>);

impl Groups {
    /// Reads a root's /etc/group, at most 1 MiB.
    ///
    /// # Errors
    /// Not a regular file, too long, a line beyond 64 KiB.
    pub fn read(file: File) -> anyhow::Result<Self> {
        textfile::read(file, ROOT_FILE).context("read the groups of the root").map(Self)
    }

    /// The first group of that name.
    pub fn by_name(&self, name: &str) -> Option<Group> {
        self.entries().map(|(group, _)| group).find(|group| group.name == name)
    }

    /// The first group with that id.
    pub fn by_id(&self, gid: u32) -> Option<Group> {
        self.entries().map(|(group, _)| group).find(|group| group.gid == gid)
    }

    /// The ids of all groups that list `user` as a member, each once.
    pub fn of(&self, user: &str) -> Vec<u32> {
        let mut gids: Vec<u32> = self
            .entries()
            .filter(|(_, members)| {
                let mut members = members.split(|byte| *byte == b',');
                members.any(|member| !member.is_empty() && member == user.as_bytes())
            })
            .map(|(group, _)| group.gid)
            .collect();
        gids.sort_unstable();
        gids.dedup();
        gids.truncate(MOST_GROUPS);
        gids
    }

    fn entries(&self) -> impl Iterator<Item = (Group, &[u8])> {
        lines(&self.0).filter_map(|(_, line)| {
            let [name, _, gid, members] = fields(line)?;
            Some((Group { name: named(name)?, gid: id(gid)? }, members))
        })
    }
}

/// The fields of a line, exactly `N`. A line with control characters is none:
/// home and shell end up in an environment and on a terminal.
fn fields<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().any(u8::is_ascii_control) {
        return None;
    }
    let mut fields = line.split(|byte| *byte == b':');
    let mut found = [&[][..]; N];
    for field in &mut found {
        *field = fields.next()?;
    }
    fields.next().is_none().then_some(found)
}

fn named(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwd(text: &str) -> Passwd {
        Passwd(text.as_bytes().to_vec())
    }

    #[test]
    fn users_are_found_by_name_and_by_id() {
        let passwd = passwd(
            "# comment\n\nroot:x:0:0:root:/root:/bin/sh\nanna:x:1000:100::/home/anna:/bin/zsh\r\n\
             anna:x:0:0::/:/bin/sh\n",
        );
        let anna = passwd.by_name("anna").unwrap();
        assert_eq!((anna.uid, anna.gid), (1000, 100));
        assert_eq!(anna.shell, PathBuf::from("/bin/zsh"));
        assert_eq!(passwd.by_id(1000), Some(anna));
        assert_eq!(passwd.by_id(0).unwrap().name, "root");
        assert_eq!(passwd.by_name(""), None);
    }

    #[test]
    fn a_hostile_line_is_no_user() {
        let passwd = passwd(
            "a:x:4294967296:0:::\nb:x:-1:0:::\nc:x:0x0:0:::\nd:x::0:::\ne:x:0:4294967295:::\n\
             f:x:0:0::/\u{1b}[2J:/bin/sh\ng:x:0:0::/\0:/bin/sh\n:x:0:0:::\nh:x:0\n\
             i:x:0:0:::::\n+::::::\n1000:x:18446744073709551616:0:::",
        );
        for name in ["a", "b", "c", "d", "e", "f", "g", "", "h", "i", "+", "1000"] {
            assert_eq!(passwd.by_name(name), None, "{name:?} was taken");
        }
        assert_eq!(passwd.by_id(0), None);
        assert_eq!(super::Passwd(vec![b':'; 4096]).by_id(0), None);
        assert_eq!(super::Passwd(vec![0xff; 4096]).by_id(0), None);
    }

    #[test]
    fn groups_and_their_members() {
        let groups = Groups(
            b"root:x:0:\nwheel:x:10:anna,otto\nstaff:x:50:otto,anna\nagain:x:10:anna\n\
              big:x:4294967296:anna\nannabel:x:7:annabel\n"
                .to_vec(),
        );
        assert_eq!(groups.of("anna"), [10, 50]);
        assert_eq!(groups.of(""), [0_u32; 0]);
        assert_eq!(groups.by_name("staff").unwrap().gid, 50);
        assert_eq!(groups.by_id(10).unwrap().name, "wheel");
        assert_eq!(groups.by_name("big"), None);
    }

    #[test]
    fn what_is_no_small_file_is_refused() {
        let directory = std::env::temp_dir().join(format!("sublet-passwd-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let sparse = directory.join("sparse");
        File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
        let long = directory.join("long");
        std::fs::write(&long, vec![b'x'; textfile::LINE + 1]).unwrap();
        let full = directory.join("full");
        std::fs::write(&full, "x:\n".repeat(400_000)).unwrap();
        for path in [&sparse, &long, &full, &directory] {
            let error = Passwd::read(File::open(path).unwrap()).unwrap_err();
            assert!(format!("{error:#}").starts_with("read the users of the root: "));
            assert!(Groups::read(File::open(path).unwrap()).is_err());
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
