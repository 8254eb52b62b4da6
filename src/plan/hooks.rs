//! Programs that the container's own process runs before it is the payload.
//!
//! Reads `hooks.createContainer` and `hooks.startContainer`; `child::hook`
//! performs them. Those of the caller's namespaces the launcher runs itself.

use anyhow::Context;
use oci_spec::runtime::{Hook as Asked, Hooks};

use super::draft::{cstring, cstring_text};
use super::process;
use super::security::Rights;
use super::step::{Hook, Step};
use crate::sys::process::StringArray;

/// Whether there are hooks that see the container before it has its root.
pub fn are_to_meet(hooks: Option<&Hooks>) -> bool {
    let Some(hooks) = hooks else { return false };
    #[allow(deprecated)]
    [hooks.prestart(), hooks.create_runtime(), hooks.create_container()]
        .iter()
        .any(|hooks| hooks.as_ref().is_some_and(|hooks| !hooks.is_empty()))
}

/// The steps for `createContainer`: programs of the host's, with all rights over
/// the container, of whom its files are as theirs.
///
/// # Errors
/// What no program can be given.
pub fn create_container(hooks: Option<&Hooks>) -> anyhow::Result<Vec<Step>> {
    let all = hooks.and_then(|hooks| hooks.create_container().as_ref());
    steps("createContainer", all, |hook| hook.umask = Some(process::UMASK))
}

/// The steps for `startContainer`: programs of the container's, with the
/// payload's rights.
///
/// # Errors
/// As [`create_container`].
pub fn start_container(hooks: Option<&Hooks>, rights: &Rights) -> anyhow::Result<Vec<Step>> {
    let all = hooks.and_then(|hooks| hooks.start_container().as_ref());
    steps("startContainer", all, |hook| {
        // Else it is loaded by now.
        if rights.no_new_privileges {
            hook.filter = rights.instructions_alone();
        }
    })
}

fn steps(
    field: &'static str,
    hooks: Option<&Vec<Asked>>,
    change: impl Fn(&mut Hook),
) -> anyhow::Result<Vec<Step>> {
    let step = |(number, asked): (usize, &Asked)| {
        let what = || format!("hooks.{field}[{number}]");
        let mut hook = one(field, number as u32, asked).with_context(what)?;
        change(&mut hook);
        Ok(Step::Hook(Box::new(hook)))
    };
    hooks.into_iter().flatten().enumerate().map(step).collect()
}

fn one(field: &'static str, number: u32, asked: &Asked) -> anyhow::Result<Hook> {
    let strings = |texts: &Option<Vec<String>>| -> anyhow::Result<Vec<_>> {
        texts.iter().flatten().map(|text| cstring_text(text)).collect()
    };
    let path = cstring(asked.path())?;
    let mut argv = strings(asked.args())?;
    if argv.is_empty() {
        argv.push(path.clone());
    }
    let (argv, envp) = (StringArray::new(argv), StringArray::new(strings(asked.env())?));
    let seconds = asked.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    Ok(Hook { field, number, path, argv, envp, seconds, umask: None, filter: None })
}
