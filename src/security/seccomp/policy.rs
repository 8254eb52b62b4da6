//! From what is written down to what holds here: conditions are settled,
//! names become numbers, actions become the filter's return words.
//!
//! Also part of the build script: nothing here may use the rest of the crate.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use super::super::caps::{Cap, CapSet};
use super::arch::{Arch, SCMP_NAMES};
use super::bpf::{Flags, Verdict, data};
use super::errno;
use super::profile::{Action, Arg, Condition, Entry, Profile};
use super::syscalls::{self, Lookup};

/// Whether containers may be made inside the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// They may not.
    Refused,
    /// They may.
    Allowed,
}

/// What the conditions of a profile are held against.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// What the filter is compiled for.
    pub arch: Arch,
    /// The container's bounding set.
    pub caps: CapSet,
    /// Whether containers may be made inside.
    pub nesting: Nesting,
    /// The kernel's version and major revision.
    pub kernel: (u32, u32),
}

/// A profile with nothing left to look up.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What the numbers are for.
    pub arch: Arch,
    /// What becomes of calls that no rule matches.
    pub default: Verdict,
    /// By number: rules, of which the first that matches decides.
    pub rules: BTreeMap<u32, Vec<Rule>>,
    /// How the filter is to be loaded.
    pub flags: Flags,
    /// Names that no known architecture has, each once.
    pub unknown: BTreeSet<String>,
}

/// What becomes of a call if its arguments compare so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of them have to hold; each argument occurs at most once.
    pub comparisons: Vec<Arg>,
    /// What becomes of the call.
    pub verdict: Verdict,
}

impl Policy {
    /// Settles `profile` for the given circumstances.
    pub fn settle(profile: &Profile, here: &Circumstances) -> Result<Self> {
        check_architectures(profile)?;
        let flags = profile.flags.iter().fold(Flags::default(), |all, flag| all | flag.bits());
        let default =
            verdict(profile.default_action, profile.default_errno_ret, &profile.default_errno)
                .context("the default action")?;
        let mut policy = Self {
            arch: here.arch,
            default,
            rules: BTreeMap::new(),
            flags,
            unknown: BTreeSet::new(),
        };
        for (at, entry) in profile.syscalls.iter().enumerate() {
            policy.add(entry, here).with_context(|| {
                let name = entry.names.first().or(entry.name.as_ref());
                format!("entry {} of syscalls ({})", at + 1, name.map_or("empty", |name| name))
            })?;
        }
        policy.listen(profile.listener_path.as_deref())?;
        Ok(policy)
    }

    /// Has the filter come with a listener, if it asks one.
    fn listen(&mut self, path: Option<&str>) -> Result<()> {
        let mut rules = self.rules.values().flatten();
        let asks =
            self.default == Verdict::NOTIFY || rules.any(|rule| rule.verdict == Verdict::NOTIFY);
        let waits = self.flags.contains(Flags::WAIT_KILLABLE_RECV);
        // The kernel refuses the flag without a listener (EINVAL).
        ensure!(
            asks || !waits,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV goes with SCMP_ACT_NOTIFY, which is nowhere"
        );
        if asks {
            let is_named = path.is_some_and(|path| !path.is_empty());
            ensure!(is_named, "SCMP_ACT_NOTIFY needs a listener, and there is no listenerPath");
            // The kernel takes one or the other; and there is one thread.
            self.flags = self.flags.without(Flags::TSYNC) | Flags::NEW_LISTENER;
        }
        Ok(())
    }

    /// Adds what an entry says, if its conditions hold.
    ///
    /// It is checked also where they do not: a profile is right or wrong
    /// whatever the capabilities are.
    fn add(&mut self, entry: &Entry, here: &Circumstances) -> Result<()> {
        ensure!(
            entry.name.is_none() || entry.names.is_empty(),
            "name and names cannot be given together"
        );
        let verdict = verdict(entry.action, entry.errno_ret, &entry.errno)?;
        let alternatives = alternatives(&entry.args)?;
        let included = match &entry.includes {
            Some(condition) => Held::of(condition, here)?.all(),
            None => true,
        };
        let excluded = match &entry.excludes {
            Some(condition) => Held::of(condition, here)?.any(),
            None => false,
        };
        if !included || excluded {
            return Ok(());
        }
        for name in entry.names.iter().chain(&entry.name) {
            match syscalls::find(here.arch, name) {
                Lookup::Here(number) => {
                    let rules = self.rules.entry(number).or_default();
                    rules.extend(alternatives.iter().map(|comparisons| {
                        let comparisons = comparisons.clone();
                        Rule { comparisons, verdict }
                    }));
                }
                Lookup::Elsewhere => {}
                Lookup::Unknown => {
                    self.unknown.insert(name.clone());
                }
            }
        }
        Ok(())
    }
}

/// The lists of comparisons of which one has to hold.
///
/// Where an argument is compared twice, runc and crun make every comparison a
/// rule of its own, and profiles are written to that.
fn alternatives(args: &[Arg]) -> Result<Vec<Vec<Arg>>> {
    let mut seen = BTreeSet::new();
    let mut repeated = false;
    for arg in args {
        let last = data::ARGUMENTS - 1;
        ensure!(arg.index <= last, "there is no argument {}: they go from 0 to {last}", arg.index);
        repeated |= !seen.insert(arg.index);
    }
    Ok(if repeated { args.iter().map(|arg| vec![*arg]).collect() } else { vec![args.to_vec()] })
}

/// How each part of a condition that is given turned out.
struct Held(Vec<bool>);

impl Held {
    fn of(condition: &Condition, here: &Circumstances) -> Result<Self> {
        let mut held = Vec::new();
        for name in &condition.caps {
            held.push(here.caps.contains(name.parse::<Cap>()?));
        }
        // Any word goes here: docker 20.10 wrote mips3l64n32 in its own profile.
        if !condition.arches.is_empty() {
            held.push(condition.arches.iter().any(|name| name == here.arch.go()));
        }
        if let Some(version) = &condition.min_kernel {
            held.push(here.kernel >= kernel_version(version)?);
        }
        if let Some(nested) = condition.nested {
            held.push(nested == (here.nesting == Nesting::Allowed));
        }
        Ok(Self(held))
    }

    fn all(&self) -> bool {
        self.0.iter().all(|held| *held)
    }

    fn any(&self) -> bool {
        self.0.iter().any(|held| *held)
    }
}

/// Reads `4.8`, and the start of `6.18.4-arch1`.
pub fn kernel_version(text: &str) -> Result<(u32, u32)> {
    let mut numbers = text.trim().split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(version)), Some(Ok(major))) => Ok((version, major)),
        _ => bail!("{text:?} is not a kernel version"),
    }
}

/// The word for an action and what goes with it.
fn verdict(action: Action, number: Option<u32>, name: &Option<String>) -> Result<Verdict> {
    let named = match name.as_deref() {
        None | Some("") => None,
        Some(name) => {
            Some(errno::number(name).with_context(|| format!("there is no error {name:?}"))?)
        }
    };
    if let (Some(number), Some(named)) = (number, named) {
        ensure!(number == named, "errnoRet is {number}, errno is {named}");
    }
    let given = number.or(named);
    // OCI: an errnoRet that the action has no use for is an error, and EPERM
    // is meant where there is none.
    let plain = |verdict| match given {
        None => Ok(verdict),
        Some(given) => bail!("the action takes no errnoRet, but {given} is given"),
    };
    match action {
        Action::KillThread => plain(Verdict::KILL_THREAD),
        Action::KillProcess => plain(Verdict::KILL_PROCESS),
        Action::Trap => plain(Verdict::TRAP),
        Action::Allow => plain(Verdict::ALLOW),
        Action::Log => plain(Verdict::LOG),
        Action::Errno => {
            let errno = given.unwrap_or(1);
            ensure!(errno <= errno::MAX, "errnoRet {errno} is over {}", errno::MAX);
            Ok(Verdict::errno(u16::try_from(errno)?))
        }
        Action::Trace => {
            let message = given.unwrap_or(1);
            let message = u16::try_from(message)
                .with_context(|| format!("errnoRet {message} is over {}", u16::MAX))?;
            Ok(Verdict::trace(message))
        }
        Action::Notify => plain(Verdict::NOTIFY),
    }
}

/// Every architecture but the one compiled for is refused whatever is listed,
/// so the lists are only checked.
fn check_architectures(profile: &Profile) -> Result<()> {
    ensure!(
        profile.architectures.is_empty() || profile.arch_map.is_empty(),
        "architectures and archMap cannot be given together"
    );
    let mapped = profile
        .arch_map
        .iter()
        .flat_map(|map| std::iter::once(&map.architecture).chain(&map.sub_architectures));
    for name in profile.architectures.iter().chain(mapped) {
        let known = name.strip_prefix("SCMP_ARCH_").is_some_and(|bare| SCMP_NAMES.contains(&bare));
        ensure!(known, "there is no architecture {name:?}");
    }
    Ok(())
}
