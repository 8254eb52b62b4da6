//! How ids are to be mapped, as typed.

use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

use super::Userns;

/// The kernel takes this many lines in one map (user_namespaces(7)).
const MOST_LINES: usize = 340;

impl FromStr for Userns {
    type Err = anyhow::Error;

    /// Reads `auto`, `single`, `nomap` or `keep-id[:uid=N,gid=N]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, options) = match text.split_once(':') {
            Some((word, options)) => (word, Some(options)),
            None => (text, None),
        };
        Ok(match (word, options) {
            ("auto", None) => Self::Auto,
            ("single", None) => Self::Single,
            ("nomap", None) => Self::NoMap,
            ("keep-id", None) => Self::KeepId { uid: None, gid: None },
            ("keep-id", Some(options)) => keep_id(options)?,
            ("host", _) => bail!("an ordinary user's container has to have a user namespace"),
            _ => bail!(
                "{text:?} is not a way to map ids: auto, single, nomap or keep-id[:uid=N,gid=N]"
            ),
        })
    }
}

fn keep_id(options: &str) -> anyhow::Result<Userns> {
    let (mut uid, mut gid) = (None, None);
    for option in options.split(',') {
        match option.split_once('=') {
            Some(("uid", value)) => uid = Some(id(value)?),
            Some(("gid", value)) => gid = Some(id(value)?),
            _ => bail!("{option:?} is no option of keep-id: uid=N and gid=N are"),
        }
    }
    Ok(Userns::KeepId { uid, gid })
}

/// Reads the lines of one map, each `CONTAINER:HOST[:SIZE]`, the size 1 where
/// it is left out. The ids are checked as the kernel will: no line is empty,
/// none reaches beyond 4294967294, and no two overlap on either side.
pub fn id_map<S: AsRef<str>>(lines: &[S]) -> anyhow::Result<Vec<LinuxIdMapping>> {
    ensure!(lines.len() <= MOST_LINES, "a map has at most {MOST_LINES} lines");
    let map = lines.iter().map(|line| id_map_line(line.as_ref())).collect::<Result<Vec<_>, _>>()?;
    for (at, one) in map.iter().enumerate() {
        for other in &map[..at] {
            let inside = overlap(one.container_id(), other.container_id(), *one, *other);
            let outside = overlap(one.host_id(), other.host_id(), *one, *other);
            ensure!(!inside, "{} and {} overlap in the container", shown(other), shown(one));
            ensure!(!outside, "{} and {} overlap on the host", shown(other), shown(one));
        }
    }
    Ok(map)
}

fn id_map_line(text: &str) -> anyhow::Result<LinuxIdMapping> {
    let mut parts = text.split(':');
    let (Some(container), Some(host), size, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        bail!("{text:?} is not CONTAINER:HOST:SIZE");
    };
    let container = id(container)?;
    // podman's mark for an id as the host has it, which ours always are.
    let host = id(host.strip_prefix('@').unwrap_or(host))?;
    let size = match size {
        Some(size) => number(size).with_context(|| format!("the size in {text:?}"))?,
        None => 1,
    };
    ensure!(size > 0, "{text:?} maps no id: its size is 0");
    for first in [container, host] {
        ensure!(size <= u32::MAX - first, "{text:?} goes beyond the last id, 4294967294");
    }
    Ok(LinuxIdMappingBuilder::default().container_id(container).host_id(host).size(size).build()?)
}

fn id(text: &str) -> anyhow::Result<u32> {
    match number(text) {
        Some(id) if id != u32::MAX => Ok(id),
        _ => bail!("{text:?} is not an id: a number from 0 to 4294967294"),
    }
}

fn number(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn overlap(one: u32, other: u32, first: LinuxIdMapping, second: LinuxIdMapping) -> bool {
    one.saturating_sub(other) < second.size() && other.saturating_sub(one) < first.size()
}

fn shown(line: &LinuxIdMapping) -> String {
    format!("{}:{}:{}", line.container_id(), line.host_id(), line.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_map() {
        let userns = |text: &str| text.parse::<Userns>();
        assert_eq!(userns("auto").unwrap(), Userns::Auto);
        assert_eq!(userns("keep-id").unwrap(), Userns::KeepId { uid: None, gid: None });
        assert_eq!(
            userns("keep-id:uid=5,gid=0").unwrap(),
            Userns::KeepId { uid: Some(5), gid: Some(0) }
        );
        for text in [
            "",
            "host",
            "single:",
            "auto:size=3",
            "keep-id:",
            "keep-id:uid",
            "keep-id:uid=",
            "keep-id:uid=-1",
            "keep-id:uid=4294967295",
            "keep-id:uid=+1",
            "keep-id:size=1",
        ] {
            assert!(userns(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn maps() {
        let map = id_map(&["0:1000:1", "1:100000:65536", "70000:@5"]).unwrap();
        assert_eq!(
            map.iter().map(shown).collect::<Vec<_>>(),
            ["0:1000:1", "1:100000:65536", "70000:5:1"]
        );
        assert!(id_map(&["4294967294:0:1"]).is_ok());
    }

    #[test]
    fn maps_that_the_kernel_would_refuse() {
        for lines in [
            &["0:1000:0"][..],
            &["4294967294:0:2"],
            &["0:1:4294967295"],
            &["0:4294967295:1"],
            &["0:0:10", "9:100:1"],
            &["9:100:1", "0:0:10"],
            &["0:100:10", "20:105:1"],
            &["0"],
            &["0:1:2:3"],
            &["0:1:"],
            &[":1:1"],
            &["-1:1:1"],
            &["0:1:x"],
            &["0x0:1:1"],
            &["0: 1:1"],
        ] {
            assert!(id_map(lines).is_err(), "{lines:?} was taken");
        }
        assert!(id_map(&vec!["0:1:1"; 341]).is_err());
    }
}
