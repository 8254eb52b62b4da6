//! `--security-opt`, as typed.

use anyhow::{Context, bail};

use super::{Seccomp, masks::Masks, mount::host_path};
use crate::error::Explain;

/// What all `--security-opt` say together.
#[derive(Debug, Default)]
pub struct SecurityOptions {
    /// Which filter.
    pub seccomp: Seccomp,
    /// Whether programs may gain privileges, where it was said.
    pub no_new_privileges: Option<bool>,
    /// What is hidden and read-only.
    pub masks: Masks,
}

impl SecurityOptions {
    /// Takes `KEY=VALUE`, or docker's old `KEY:VALUE`. What is asked for and
    /// cannot be had is an error.
    pub fn option(&mut self, text: &str) -> anyhow::Result<()> {
        let (key, value) = match text.split_once(['=', ':']) {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => self.no_new_privileges = Some(true),
            ("no-new-privileges", Some("false")) => self.no_new_privileges = Some(false),
            ("seccomp", Some("unconfined")) => self.seccomp = Seccomp::Unconfined,
            ("seccomp", Some("builtin" | "default")) => self.seccomp = Seccomp::Default,
            ("seccomp", Some(path)) if !path.is_empty() => {
                self.seccomp = Seccomp::File(host_path(path)?);
            }
            ("mask", Some(paths)) => self.masks.mask(paths)?,
            ("unmask", Some(paths)) => self.masks.unmask(paths)?,
            // docker's word for the same.
            ("systempaths", Some("unconfined")) => self.masks.unmask("ALL")?,
            // There is neither a profile nor a label to take away.
            ("apparmor", Some("unconfined")) | ("label", Some("disable")) => {}
            ("apparmor", Some(profile)) => {
                return Err(anyhow::anyhow!("the AppArmor profile {profile:?} cannot be had"))
                    .hint("sublet changes no profile: what confines the caller confines the container");
            }
            ("label", Some(label)) => {
                return Err(anyhow::anyhow!("the SELinux label {label:?} cannot be had"))
                    .hint("label=disable is taken: sublet sets no labels");
            }
            ("proc-opts" | "writable-cgroups", _) => bail!("{key} is not in sublet yet"),
            ("seccomp" | "mask" | "unmask" | "apparmor" | "label", None) => {
                bail!("{key} has no value")
            }
            _ => bail!(
                "{text:?} is not an option: seccomp=FILE|unconfined, no-new-privileges, \
                 mask=/p:/q and unmask=ALL|/p:/q are"
            ),
        }
        Ok(())
    }

    /// Takes all, in order.
    pub fn read(options: &[String]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for text in options {
            all.option(text).with_context(|| format!("--security-opt {text:?}"))?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> anyhow::Result<SecurityOptions> {
        SecurityOptions::read(&options.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn both_spellings() {
        for text in ["no-new-privileges=false", "no-new-privileges:false"] {
            assert_eq!(read(&[text]).unwrap().no_new_privileges, Some(false));
        }
        assert_eq!(read(&["seccomp:unconfined"]).unwrap().seccomp, Seccomp::Unconfined);
        assert_eq!(read(&["seccomp=/a:b=c"]).unwrap().seccomp, Seccomp::File("/a:b=c".into()));
        assert!(read(&["unmask=ALL", "label=disable", "apparmor=unconfined"]).is_ok());
        assert!(read(&["systempaths=unconfined"]).unwrap().masks.readonly.is_empty());
    }

    #[test]
    fn what_cannot_be_had_is_refused() {
        for text in [
            "",
            "=",
            "seccomp",
            "seccomp=",
            "apparmor=docker-default",
            "label=type:x_t",
            "mask=x",
            "label",
            "no-new-privileges=maybe",
            "proc-opts=hidepid=2",
            "SECCOMP=unconfined",
        ] {
            assert!(read(&[text]).is_err(), "{text:?} was taken");
        }
    }
}
