//! The ranges of ids that a site has given its users: subuid(5), subgid(5).
//!
//! Found as newuidmap(1) finds them, because it has the last word: in
//! /etc/subuid and /etc/subgid by name or by uid, or, where nsswitch.conf(5)
//! names another source for `subid`, from that source alone, which
//! `getsubids` asks.

use std::fmt;
use std::path::Path;

use super::caller::Account;
use super::ids::Range;
use super::program;
use super::textfile::{self, lines, number};

/// Of which ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Users.
    Uid,
    /// Groups.
    Gid,
}

impl Kind {
    /// The file that lists ranges of this kind.
    pub fn file(self) -> &'static str {
        match self {
            Self::Uid => "/etc/subuid",
            Self::Gid => "/etc/subgid",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uid => "uid",
            Self::Gid => "gid",
        })
    }
}

/// Where ranges come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// /etc/subuid or /etc/subgid.
    File,
    /// The named module of the name service switch; the files do not count.
    Module(String),
}

/// What a user may use beside its own id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subids {
    /// Where the answer comes from.
    pub source: Source,
    /// All of the user's ranges, in the source's order, as written: they may
    /// overlap.
    pub ranges: Vec<Range>,
    /// Why a line (the first such), or the source itself, could not be used.
    pub problem: Option<String>,
    /// From here upwards no user has a range yet: what to suggest to root.
    pub free_from: u32,
}

/// SUB_UID_MIN of login.defs(5): below are the ids of users themselves.
const FIRST: u32 = 100_000;

/// How many ids a user is usually given.
pub const USUAL: u64 = 65_536;

/// More ranges than this of one user are not looked at: a map has room for
/// 340 extents at most.
const MOST: usize = 340;

impl Subids {
    /// Finds the ranges of a user.
    pub(super) fn probe(kind: Kind, uid: u32, account: Option<&Account>) -> Self {
        let name = account.map(|account| account.user.name.as_str());
        match module() {
            Some(module) => Self::asked(kind, module, name),
            None => Self::listed(kind, uid, name),
        }
    }

    /// No range at all, for a reason.
    pub fn none(source: Source, problem: Option<String>) -> Self {
        Self { source, ranges: Vec::new(), problem, free_from: FIRST }
    }

    fn listed(kind: Kind, uid: u32, name: Option<&str>) -> Self {
        let path = kind.file();
        let text = textfile::open(Path::new(path))
            .and_then(|file| file.map(|f| textfile::read(f, textfile::HOST_FILE)).transpose());
        match text {
            Ok(Some(text)) => Self::in_file(path, &text, uid, name),
            Ok(None) => Self::none(Source::File, Some(format!("there is no {path}"))),
            Err(error) => Self::none(Source::File, Some(format!("{path}: {error:#}"))),
        }
    }

    /// Reads NAME:START:COUNT, where NAME may be a uid.
    fn in_file(path: &str, text: &[u8], uid: u32, name: Option<&str>) -> Self {
        let mut found = Self::none(Source::File, None);
        let uid = uid.to_string();
        for (at, line) in lines(text) {
            let mut fields = line.split(|byte| *byte == b':');
            let owner = fields.next().unwrap_or_default();
            let numbers = (fields.next().and_then(number), fields.next().and_then(number));
            let range = match numbers {
                (Some(start), Some(count)) if fields.next().is_none() => {
                    Range::clipped(start, count)
                }
                _ => None,
            };
            // A range at the very end of all ids leaves no room above itself.
            let end = range.map_or(0, |range| range.end());
            if end + USUAL < u64::from(u32::MAX) {
                found.free_from = found.free_from.max(u32::try_from(end).unwrap_or(FIRST));
            }
            if owner != uid.as_bytes() && name.map(str::as_bytes) != Some(owner) {
                continue;
            }
            match range {
                Some(_) if found.ranges.len() == MOST => {}
                Some(range) => found.ranges.push(range),
                None => {
                    found.problem.get_or_insert_with(|| {
                        format!(
                            "line {at} of {path} is not NAME:START:COUNT with ids below 4294967295"
                        )
                    });
                }
            }
        }
        found
    }

    fn asked(kind: Kind, module: String, name: Option<&str>) -> Self {
        let problem = |text: String| Some(format!("nsswitch.conf has subid: {module}, {text}"));
        let source = Source::Module(module.clone());
        let Some(getsubids) = program::system("getsubids") else {
            return Self::none(source, problem("and getsubids is not installed to ask it".into()));
        };
        let Some(name) = name else {
            return Self::none(source, problem("which knows users by name alone".into()));
        };
        let arguments: &[&str] = match kind {
            Kind::Uid => &[name],
            Kind::Gid => &["-g", name],
        };
        match program::ask(&getsubids, arguments) {
            Ok(Some(text)) => Self { ranges: answer(&text, name), ..Self::none(source, None) },
            Ok(None) => Self::none(source, None),
            Err(error) => Self::none(source, problem(format!("but {error:#}"))),
        }
    }
}

/// Reads what getsubids(1) prints, `0: anna 100000 65536` a line.
fn answer(text: &[u8], name: &str) -> Vec<Range> {
    lines(text)
        .filter_map(|(_, line)| {
            let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            words.next()?.strip_suffix(b":")?;
            words.next().filter(|owner| *owner == name.as_bytes())?;
            let range = Range::clipped(number(words.next()?)?, number(words.next()?)?);
            range.filter(|_| words.next().is_none())
        })
        .take(MOST)
        .collect()
}

/// The module that nsswitch.conf names for `subid`, if it isn't `files`.
fn module() -> Option<String> {
    let file = textfile::open(Path::new("/etc/nsswitch.conf")).ok()??;
    module_in(&textfile::read(file, textfile::HOST_FILE).ok()?)
}

fn module_in(text: &[u8]) -> Option<String> {
    let line = lines(text).find_map(|(_, line)| line.trim_ascii().strip_prefix(b"subid:"))?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|module| *module != "files" && !module.starts_with('#')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8]) -> Subids {
        Subids::in_file("/etc/subuid", text, 1000, Some("anna"))
    }

    fn range(start: u32, count: u32) -> Range {
        Range { start, count }
    }

    #[test]
    fn all_ranges_by_name_and_by_uid() {
        let found = found(b"otto:100000:65536\nanna:165536:1000\n1000:231072:65536\nann:1:1\n");
        assert_eq!(found.ranges, [range(165_536, 1000), range(231_072, 65_536)]);
        assert_eq!(found.problem, None);
        assert_eq!(found.free_from, 296_608);
    }

    #[test]
    fn a_hostile_line_is_a_problem_and_no_range() {
        for line in [
            "anna:-1:5",
            "anna:0x10:5",
            "anna:100000:65536\r",
            "anna:100000",
            "anna:100000:65536:1",
            "anna:100000:0",
            "anna::",
            "anna",
            "anna:99999999999999999999999:1",
            "anna:4294967295:1",
            "anna: 100000:65536",
            "1000:1:\0",
        ] {
            let found = found(line.as_bytes());
            assert_eq!(found.ranges, [], "{line:?} was taken");
            assert!(found.problem.is_some(), "{line:?}");
        }
        for line in ["#anna:1:1", "", ":1:1", "\0anna:1:1", "anna \0:1:1", "ANNA:1:1"] {
            assert_eq!(found(line.as_bytes()), Subids::none(Source::File, None), "{line:?}");
        }
    }

    #[test]
    fn a_range_beyond_the_last_id_is_cut() {
        let found = found(b"anna:4294967290:18446744073709551615");
        assert_eq!(found.ranges, [range(4_294_967_290, 5)]);
    }

    #[test]
    fn endless_ranges_end() {
        assert_eq!(found("anna:1:1\n".repeat(100_000).as_bytes()).ranges.len(), MOST);
    }

    #[test]
    fn a_file_that_is_only_noise_ends() {
        let text = [vec![0xff; 100_000], vec![b':'; 100_000], vec![b'\n'; 100_000]].concat();
        assert_eq!(found(&text), Subids::none(Source::File, None));
    }

    #[test]
    fn the_switch_names_a_module() {
        assert_eq!(module_in(b"passwd: files\n subid:  sss files\n"), Some("sss".to_owned()));
        assert_eq!(module_in(b"subid: files\n"), None);
        assert_eq!(module_in(b"#subid: sss\nsubid: # sss"), None);
        assert_eq!(module_in(b"subid:\xff"), None);
    }

    #[test]
    fn answers_of_getsubids() {
        let text = b"0: anna 100000 65536\n1: anna 300000 10\n0: otto 1 1\nError\n2: anna 1 1 1";
        assert_eq!(answer(text, "anna"), [range(100_000, 65_536), range(300_000, 10)]);
    }
}
