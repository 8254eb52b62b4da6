//! The words of `exec`.

use anyhow::{Context, anyhow, bail};
use oci_spec::runtime::Capability;

use super::args::Exec as Args;
use crate::container::oci::exec::{Changes, Exec, Program};
use crate::container::oci::id;
use crate::error::Explain;
use crate::security::caps::Cap;
use crate::spec::process::workdir;

impl Args {
    /// What they ask for.
    pub fn read(self) -> anyhow::Result<Exec> {
        let mut words = self.words.into_iter();
        let id = id(&words.next().unwrap_or_default())?;
        let args: Vec<String> = words.collect();
        let program = match self.process {
            Some(_) if !args.is_empty() => {
                bail!("--process FILE has the program, and {args:?} is another")
            }
            Some(file) => Program::File(file),
            None if args.is_empty() => {
                return Err(anyhow!("no program is given"))
                    .hint("sublet-oci exec ID PROGRAM [ARG]...");
            }
            None => {
                let capability = |text: &String| capability(text);
                let cwd = self.cwd.as_ref().map(|cwd| workdir(&cwd.to_string_lossy()));
                Program::Like(Box::new(Changes {
                    args,
                    cwd: cwd.transpose().context("--cwd")?,
                    env: self.env,
                    user: self.user.as_deref().map(user).transpose()?,
                    groups: self.additional_gids,
                    capabilities: self.cap.iter().map(capability).collect::<Result<_, _>>()?,
                    no_new_privileges: self.no_new_privs,
                    apparmor: self.apparmor,
                    label: self.process_label,
                }))
            }
        };
        Ok(Exec {
            id,
            program,
            terminal: self.tty,
            ignore_paused: self.ignore_paused,
            detach: self.detach,
            console_socket: self.console_socket,
            pid_file: self.pid_file,
            preserve_fds: self.preserve_fds,
        })
    }
}

/// Reads `UID` or `UID:GID`: numbers alone, as runc has it.
fn user(text: &str) -> anyhow::Result<(u32, Option<u32>)> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| part.parse().ok()).flatten();
        number.with_context(|| format!("--user {text:?}: it is not UID or UID:GID, in numbers"))
    };
    match text.split_once(':') {
        None => Ok((number(text)?, None)),
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
    }
}

fn capability(text: &str) -> anyhow::Result<Capability> {
    let name = text.parse::<Cap>().with_context(|| format!("--cap {text:?}"))?.to_string();
    serde_json::from_value(name.into()).with_context(|| format!("--cap {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers() {
        assert_eq!(user("5").unwrap(), (5, None));
        assert_eq!(user("5:6").unwrap(), (5, Some(6)));
        for text in ["", "root", "5:", ":6", "-1", "+1", "4294967296", "5:6:7", "5 "] {
            assert!(user(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn capabilities_are_names() {
        assert_eq!(capability("CAP_KILL").unwrap(), Capability::Kill);
        assert_eq!(capability("net_raw").unwrap(), Capability::NetRaw);
        assert!(capability("CAP_NONE").is_err() && capability("").is_err());
    }
}
