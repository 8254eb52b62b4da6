//! Defaults that a person keeps in a file: what `run` is told where the command
//! line says nothing.
//!
//! `$XDG_CONFIG_HOME/sublet/config.toml`, else `~/.config/sublet/config.toml`,
//! comes before `/etc/sublet/config.toml`. A setting is a flag of `run` and is
//! put in front of what was typed, so there is one reader and one meaning.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use nix::libc;
use toml_span::ErrorKind;
use toml_span::value::{Table, ValueInner};

use super::run::Caller;
use crate::error::Explain;
use crate::state::nearest;

/// A setting that there is: a flag of `run` that takes one value.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, which is the flag's.
    pub name: &'static str,
    /// What holds where nobody says anything.
    pub default: &'static str,
}

const fn key(name: &'static str, default: &'static str) -> Key {
    Key { name, default }
}

/// All there are, in the section `[run]`.
pub const KEYS: [Key; 15] = [
    key("network", "slirp4netns, else pasta"),
    key("publish-address", "127.0.0.1"),
    key("userns", "auto"),
    key("memory", "unlimited"),
    key("memory-swap", "unlimited"),
    key("cpus", "unlimited"),
    key("pids-limit", "2048 where it can be had"),
    key("shm-size", "64m"),
    key("timeout", "none"),
    key("limits", "strict"),
    key("cgroups", "auto"),
    key("detach-keys", "ctrl-p,ctrl-q"),
    key("log-driver", "k8s-file"),
    key("log-max-size", "10m"),
    key("log-max-file", "3"),
];

/// The one section.
const SECTION: &str = "run";

/// The largest file that is read.
const LIMIT: u64 = 64 << 10;

/// A setting that a file makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1.
    pub line: usize,
}

impl Setting {
    /// As it is said on a command line.
    fn word(&self) -> OsString {
        format!("--{}={}", self.key, self.value).into()
    }

    fn origin(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

/// Where the files are, the one that wins first.
pub fn files(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let own = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|at| at.join(".config")));
    let own = own.into_iter().chain([PathBuf::from("/etc")]);
    own.map(|at| at.join("sublet/config.toml")).collect()
}

/// What the files say. Of two that say something of the same, the first counts.
///
/// # Errors
/// A file that is there and can't be read, and what in it is not understood.
pub fn settings(files: &[PathBuf]) -> anyhow::Result<Vec<Setting>> {
    let mut settings: Vec<Setting> = Vec::new();
    for file in files {
        let Some(text) = read(file)? else { continue };
        for setting in parse(file, &text)? {
            if settings.iter().all(|known| known.key != setting.key) {
                settings.push(setting);
            }
        }
    }
    Ok(settings)
}

/// A command line of `run` or `create`, with the settings in front of what was typed.
///
/// # Errors
/// As [`settings`], and values that the flag does not take.
pub fn with_settings(mut words: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
    if words.get(1).is_none_or(|verb| verb != "run" && verb != "create") {
        return Ok(words);
    }
    let settings = settings(&files(|name| std::env::var_os(name)))?;
    settings.iter().try_for_each(check)?;
    words.splice(2..2, settings.iter().map(Setting::word));
    Ok(words)
}

/// Whether `run` takes it: else the error would be about a flag that nobody
/// has typed.
pub fn check(setting: &Setting) -> anyhow::Result<()> {
    let words = ["sublet".into(), "run".into(), setting.word(), "host".into()];
    let read = || -> anyhow::Result<()> {
        let super::Cli { verb: super::Verb::Run(args), .. } = super::parse(words)? else {
            return Ok(());
        };
        args.into_spec(&Caller::here()).map(drop)
    };
    read()
        .with_context(|| setting.origin())
        .hint(format!("it is what --{} of sublet run takes: sublet run --help", setting.key))
}

fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let what = || format!("read {}", file.display());
    // A pipe would have us wait for who writes to it.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = match File::options().read(true).custom_flags(flags).open(file) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        // Somebody else's home, as under su: its settings are not for us.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !file.exists() => {
            return Ok(None);
        }
        opened => opened.with_context(what)?,
    };
    if !opened.metadata().with_context(what)?.is_file() {
        return Err(anyhow!("it is not a regular file")).with_context(what);
    }
    let mut bytes = Vec::new();
    opened.take(LIMIT + 1).read_to_end(&mut bytes).with_context(what)?;
    if bytes.len() as u64 > LIMIT {
        return Err(anyhow!("it has more than {LIMIT} bytes")).with_context(what);
    }
    String::from_utf8(bytes).map(Some).map_err(|_| anyhow!("it is not UTF-8")).with_context(what)
}

fn parse(file: &Path, text: &str) -> anyhow::Result<Vec<Setting>> {
    let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    let at = |span: toml_span::Span| format!("{}:{}", file.display(), line(span.start));
    let mut whole = toml_span::parse(text).map_err(|error| {
        let place = at(error.span);
        let typed = text.lines().nth(line(error.span.start) - 1).unwrap_or_default();
        no_toml(&error, typed).context(place)
    })?;
    let mut settings = Vec::new();
    let ValueInner::Table(sections) = whole.take() else { return Ok(settings) };
    for (name, mut section) in sections {
        let place = at(name.span);
        if name.name != SECTION {
            return Err(unknown("section", &name.name, &[SECTION])).context(place).hint(format!(
                "settings stand below a line [{SECTION}]: sublet info shows all there are"
            ));
        }
        let ValueInner::Table(table) = section.take() else {
            return Err(anyhow!("{SECTION} is a section: a line [{SECTION}]")).context(place);
        };
        settings.extend(of_section(table, file, &line)?);
    }
    Ok(settings)
}

/// Why a line is no TOML, in words for who wrote it; `typed` is the line.
fn no_toml(error: &toml_span::Error, typed: &str) -> anyhow::Error {
    const EXAMPLE: &str = "a setting is a line such as memory = \"2g\", below a line [run]";
    let (cause, hint) = match &error.kind {
        ErrorKind::UnquotedString | ErrorKind::InvalidNumber => {
            let (name, value) = typed.split_once('=').unwrap_or(("network", "none"));
            let value = value.split('#').next().unwrap_or_default();
            (
                "the value is neither a text in quotes nor a number".to_owned(),
                format!("a text stands in quotes: {} = {:?}", name.trim(), value.trim()),
            )
        }
        ErrorKind::DuplicateKey { key, .. } => {
            (format!("{key} is there twice"), "one of the two has to go".to_owned())
        }
        _ => (error.to_string(), EXAMPLE.to_owned()),
    };
    let result = Err::<(), _>(anyhow!(cause)).hint(hint);
    result.err().unwrap_or_else(|| anyhow!("it is no TOML"))
}

fn of_section(
    table: Table<'_>,
    file: &Path,
    line: &impl Fn(usize) -> usize,
) -> anyhow::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (name, mut value) in table {
        let line = line(name.span.start);
        let place = format!("{}:{line}", file.display());
        let Some(key) = KEYS.iter().find(|key| key.name == name.name) else {
            let names = KEYS.map(|key| key.name);
            return Err(unknown("setting", &name.name, &names))
                .context(place)
                .hint("sublet info shows all there are");
        };
        let value = match value.take() {
            ValueInner::String(text) => text.into_owned(),
            ValueInner::Integer(number) => number.to_string(),
            ValueInner::Float(number) => number.to_string(),
            _ => return Err(anyhow!("{} is a text or a number", key.name)).context(place),
        };
        settings.push(Setting { key: key.name, value, file: file.to_owned(), line });
    }
    Ok(settings)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> anyhow::Error {
    match nearest(name, known) {
        Some(near) => anyhow!("there is no {what} {name:?}, but there is {near}"),
        None => anyhow!("there is no {what} {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    fn of(text: &str) -> anyhow::Result<Vec<Setting>> {
        parse(Path::new("/c.toml"), text)
    }

    fn told(text: &str) -> String {
        report(&of(text).expect_err(text))
    }

    #[test]
    fn settings_are_flags_with_their_lines() {
        let settings = of("# mine\n[run]\nnetwork = \"pasta:-4\"\ncpus = 1.5\npids-limit = 100\n");
        let mut settings = settings.unwrap();
        settings.sort_by_key(|setting| setting.line);
        let words: Vec<_> = settings.iter().map(Setting::word).collect();
        assert_eq!(words, ["--network=pasta:-4", "--cpus=1.5", "--pids-limit=100"]);
        assert_eq!(settings[1].origin(), "/c.toml:4");
        assert_eq!(of("").unwrap(), []);
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        let text = told("[run]\n\nnetwrok = \"auto\"\n");
        assert!(text.contains("/c.toml:3: there is no setting \"netwrok\", but there is network"));
        let text = told("network = \"auto\"\n");
        assert!(text.contains("/c.toml:1: there is no section \"network\""), "{text}");
        assert!(text.contains("[run]"), "{text}");
        assert!(told("[rum]\n").contains("but there is run"));
        assert!(told("[run]\nmemory = [1]\n").contains("/c.toml:2: memory is a text or a number"));
        assert!(told("run = 1\n").contains("is a section"));
        for broken in ["[run\n", "[run]\nmemory = 1\nmemory = 2\n", "\u{0}", "a = {"] {
            assert!(told(broken).starts_with("error: /c.toml:"), "{broken:?}: {}", told(broken));
        }
    }

    #[test]
    fn what_is_no_toml_is_told_in_words() {
        for (line, cause, hint) in [
            ("network = none", "neither a text in quotes", "quotes: network = \"none\""),
            ("memory = 2g # much", "nor a number", "quotes: memory = \"2g\""),
            ("[run", "expected a right bracket, found a newline", "memory = \"2g\", below"),
            ("memory \"2g\"", "expected an equals, found", "memory = \"2g\", below"),
            ("cpus = 1\ncpus = 2", "cpus is there twice", "has to go"),
        ] {
            let told = told(&format!("[run]\n{line}\n"));
            assert!(told.starts_with("error: /c.toml:"), "{line}: {told}");
            assert!(told.contains(cause) && told.contains(hint), "{line}: {told}");
        }
    }

    #[test]
    fn every_key_is_a_flag_that_takes_one_value() {
        let command = super::super::command();
        let run = command.find_subcommand("run").unwrap();
        for key in KEYS {
            let flag = run.get_arguments().find(|arg| arg.get_long() == Some(key.name));
            let action = flag.map(|flag| flag.get_action());
            assert!(matches!(action, Some(clap::ArgAction::Set)), "{}", key.name);
        }
    }

    #[test]
    fn values_are_read_as_the_flag_reads_them() {
        let setting = |key, value: &str| Setting {
            key,
            value: value.to_owned(),
            file: "/c.toml".into(),
            line: 2,
        };
        check(&setting("memory", "1g")).unwrap();
        check(&setting("publish-address", "::1")).unwrap();
        for (key, value) in [("memory", "much"), ("network", "lan"), ("publish-address", "here")] {
            let told = report(&check(&setting(key, value)).unwrap_err());
            assert!(told.starts_with(&format!("error: /c.toml:2: --{key} ")), "{told}");
        }
    }

    #[test]
    fn the_users_file_comes_first() {
        let files = |config: Option<&'static str>, home: Option<&'static str>| {
            let files = files(|name| match name {
                "XDG_CONFIG_HOME" => config.map(Into::into),
                "HOME" => home.map(Into::into),
                _ => None,
            });
            files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>()
        };
        let system = "/etc/sublet/config.toml";
        assert_eq!(files(Some("/c"), Some("/h")), ["/c/sublet/config.toml", system]);
        assert_eq!(files(Some("c"), Some("/h")), ["/h/.config/sublet/config.toml", system]);
        assert_eq!(files(None, None), [system]);
    }
}
