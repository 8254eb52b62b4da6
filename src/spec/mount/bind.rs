//! How a directory or file of the host is shown inside.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use oci_spec::runtime::Mount;

use super::entry;

/// The choices of one bind mount, filled word by word.
#[derive(Default)]
pub struct Bind {
    access: Option<String>,
    suid: Option<String>,
    dev: Option<String>,
    exec: Option<String>,
    depth: Option<String>,
    propagation: Option<String>,
    overlay: Option<String>,
}

impl Bind {
    /// Takes one option word. A word that contradicts an earlier one is an
    /// error, as is one that asks for what cannot be had.
    pub fn word(&mut self, word: &str) -> anyhow::Result<()> {
        let slot = match word {
            "ro" | "rw" => &mut self.access,
            "suid" | "nosuid" => &mut self.suid,
            "dev" | "nodev" => &mut self.dev,
            "exec" | "noexec" => &mut self.exec,
            "bind" | "rbind" => &mut self.depth,
            "shared" | "rshared" => bail!(
                "{word:?} cannot be had: mounts of a user namespace never reach the host \
                 (mount_namespaces(7)); rslave shows inside what the host mounts later"
            ),
            "slave" | "rslave" | "private" | "rprivate" | "unbindable" | "runbindable" => {
                &mut self.propagation
            }
            "O" => &mut self.overlay,
            // SELinux labels and hints for virtual machines: nothing here
            // is labelled, and nothing is cached.
            "z" | "Z" | "cached" | "consistent" | "default" | "delegated" => return Ok(()),
            "U" | "idmap" => bail!("{word:?} is not in sublet yet"),
            "copy" | "nocopy" => {
                bail!("{word:?} is for named volumes, which are not in sublet yet")
            }
            _ => bail!(
                "{word:?} is not a volume's option: ro, rw, O, z, nosuid, nodev, noexec, rslave \
                 and their like are"
            ),
        };
        if let Some(earlier) = slot {
            ensure!(earlier == word, "{earlier:?} and {word:?} contradict each other");
        }
        *slot = Some(word.to_owned());
        Ok(())
    }

    /// The mount. Submounts are shown too and treated alike; set-user-id
    /// programs and device files inside have no effect unless asked for.
    pub fn mount(self, source: PathBuf, target: PathBuf) -> anyhow::Result<Mount> {
        let is = |slot: &Option<String>, word: &str| slot.as_deref() == Some(word);
        if self.overlay.is_some() {
            let plain = self.access.is_none() && self.depth.is_none() && self.propagation.is_none();
            ensure!(plain, "an overlay (O) takes no ro, rw, bind or propagation beside it");
        }
        let alone = is(&self.depth, "bind");
        let mut options = Vec::new();
        let mut add = |wanted: bool, one: &'static str, recursive: &'static str| {
            if wanted {
                options.push(if alone || self.overlay.is_some() { one } else { recursive });
            }
        };
        add(self.overlay.is_none(), "bind", "rbind");
        add(is(&self.access, "ro"), "ro", "rro");
        add(!is(&self.suid, "suid"), "nosuid", "rnosuid");
        add(!is(&self.dev, "dev"), "nodev", "rnodev");
        add(is(&self.exec, "noexec"), "noexec", "rnoexec");
        if self.overlay.is_some() {
            return Ok(entry(target, "overlay", source, &options));
        }
        options.push(self.propagation.as_deref().unwrap_or("rprivate"));
        Ok(entry(target, "bind", source, &options))
    }
}
