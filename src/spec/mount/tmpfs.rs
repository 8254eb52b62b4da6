//! File systems in memory: `--tmpfs`, `--mount type=tmpfs`, `--shm-size`.

use anyhow::{Context, bail, ensure};
use oci_spec::runtime::Mount;

use super::{entry, mode, target_path};
use crate::spec::size;

/// Reads `DST[:OPTION,...]`, the options those of tmpfs(5). Without `exec`,
/// `suid` or `dev` it is mounted noexec, nosuid, nodev.
pub fn tmpfs(text: &str) -> anyhow::Result<Mount> {
    let (target, options) = match text.split_once(':') {
        Some((target, options)) => (target, Some(options)),
        None => (text, None),
    };
    let mut tmpfs = Tmpfs::default();
    for word in options.into_iter().flat_map(|words| words.split(',')) {
        tmpfs.word(word)?;
    }
    Ok(entry(target_path(target)?, "tmpfs", "tmpfs", &tmpfs.options()))
}

/// `size=` of /dev/shm for what `--shm-size` was given.
pub fn shm_size_option(text: &str) -> anyhow::Result<String> {
    let bytes = size::bytes(text)?;
    // To the kernel a size of 0 is no limit at all (tmpfs(5)).
    ensure!(bytes > 0, "a size of 0 would be no limit");
    Ok(format!("size={bytes}"))
}

/// The options of one tmpfs, filled word by word.
#[derive(Default)]
pub struct Tmpfs(Vec<String>);

impl Tmpfs {
    /// Takes one option word, a later one in place of an earlier one of its
    /// kind.
    pub fn word(&mut self, word: &str) -> anyhow::Result<()> {
        let option = match word.split_once('=') {
            None => flag(word)?,
            Some((key, value)) => {
                setting(key, value).with_context(|| format!("the option {word:?}"))?
            }
        };
        let Some(option) = option else { return Ok(()) };
        let kind = kind(&option).to_owned();
        self.0.retain(|earlier| self::kind(earlier) != kind);
        self.0.push(option);
        Ok(())
    }

    /// All of them, the restrictive ones added where nothing was said.
    pub fn options(&self) -> Vec<&str> {
        let said = |word: &str| self.0.iter().any(|option| kind(option) == kind(word));
        let added = ["noexec", "nosuid", "nodev"].into_iter().filter(|word| !said(word));
        added.chain(self.0.iter().map(String::as_str)).collect()
    }
}

/// What an option is about: only one of a kind can hold.
fn kind(option: &str) -> &str {
    match option.split_once('=') {
        Some((key, _)) => key,
        None if matches!(option, "ro" | "rw") => "ro",
        None if option.ends_with("atime") && !option.contains("dir") => "atime",
        None => option.strip_prefix("no").unwrap_or(option),
    }
}

fn flag(word: &str) -> anyhow::Result<Option<String>> {
    match word {
        "ro" | "rw" | "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "atime"
        | "noatime" | "relatime" | "strictatime" | "diratime" | "nodiratime" | "noswap" => {
            Ok(Some(word.to_owned()))
        }
        // What we do anyway, in podman's words.
        "notmpcopyup" | "rprivate" | "private" => Ok(None),
        _ => bail!("{word:?} is not an option of tmpfs: size=, mode=, uid=, gid=, exec, ro are"),
    }
}

fn setting(key: &str, value: &str) -> anyhow::Result<Option<String>> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        ensure!(digits, "{text:?} is not a number");
        text.parse::<u32>().context("too large")
    };
    Ok(Some(match key {
        "size" => match value.strip_suffix('%') {
            Some(share) => format!("size={}%", number(share)?),
            None => format!("size={}", size::bytes(value)?),
        },
        "mode" => format!("mode={:04o}", mode(value)?),
        "uid" | "gid" => format!("{key}={}", number(value)?),
        "nr_inodes" | "nr_blocks" => format!("{key}={}", size::bytes(value)?),
        _ => bail!("it is not one of tmpfs: size, mode, uid, gid, nr_inodes, nr_blocks are"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> String {
        tmpfs(text).unwrap().options().as_ref().unwrap().join(",")
    }

    #[test]
    fn quiet_unless_asked() {
        assert_eq!(options("/t"), "noexec,nosuid,nodev");
        assert_eq!(
            options("/t:size=64m,mode=1777,exec"),
            "nosuid,nodev,size=67108864,mode=1777,exec"
        );
        assert_eq!(options("/t:ro,size=10%,rw,size=1k"), "noexec,nosuid,nodev,rw,size=1024");
        assert_eq!(
            options("/t:noatime,relatime,nodiratime"),
            "noexec,nosuid,nodev,relatime,nodiratime"
        );
    }

    #[test]
    fn what_is_no_tmpfs_is_refused() {
        for text in [
            "",
            "t",
            "/",
            "/t:",
            "/t:x",
            "/t:size=",
            "/t:size=-1",
            "/t:mode=9",
            "/t:uid=x",
            "/t:uid=4294967296",
            "/t:mpol=bind:0",
            "/t:size=1,",
            "/t:tmpcopyup",
            "/t:size=+1%",
        ] {
            assert!(tmpfs(text).is_err(), "{text:?} was taken");
        }
        assert!(shm_size_option("0").is_err());
    }
}
