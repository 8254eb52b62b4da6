//! /etc/hosts, /etc/hostname and /etc/resolv.conf.
//!
//! They are files of a tmpfs of our own, mounted over what the root has there,
//! whatever that is: nothing is ever written through the root, and nothing of
//! them is left when the container has gone.

use std::path::Path;

use super::attr::{NODEV, NOEXEC, NOSUID};
use super::draft::{Draft, cstring};
use super::namespaces::Namespaces;
use super::step::{Missing, Slot, Step, Target};

/// What the three files hold.
#[derive(Debug)]
pub struct Files {
    /// /etc/hosts; hosts(5).
    pub hosts: String,
    /// /etc/hostname; hostname(5).
    pub hostname: String,
    /// /etc/resolv.conf; resolv.conf(5).
    pub resolv: String,
}

impl Files {
    /// The files of a container of that name.
    pub fn of(hostname: &str, namespaces: &Namespaces) -> Self {
        let (hosts, resolv) = if namespaces.own_network() {
            let hosts = format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                 127.0.1.1\t{hostname}\n"
            );
            // Nothing of the host's: its search domains tell where it stands.
            (hosts, "# no network: there is nobody to ask\n".to_owned())
        } else {
            // On the host's network the host's own answers are the right ones.
            let read = |path| std::fs::read_to_string(path).unwrap_or_default();
            (read("/etc/hosts"), read("/etc/resolv.conf"))
        };
        Self { hosts, hostname: format!("{hostname}\n"), resolv }
    }
}

/// Plans the three files.
pub fn plan(files: Files, draft: &mut Draft) -> anyhow::Result<()> {
    let options = [("mode", Some("0755")), ("size", Some("1m"))];
    let at = draft.filesystem("tmpfs", &options, NOSUID | NODEV | NOEXEC);
    show(at, "hosts", files.hosts, draft)?;
    show(at, "hostname", files.hostname, draft)?;
    show(at, "resolv.conf", files.resolv, draft)
}

fn show(at: Slot, name: &str, content: String, draft: &mut Draft) -> anyhow::Result<()> {
    let content = content.into_bytes();
    draft.push(Step::MakeFile { at, name: cstring(Path::new(name))?, content, mode: 0o644 });
    let tree = draft.slot();
    draft.push(Step::CopyTree { from: at, name: cstring(Path::new(name))?, into: tree });
    draft.push(Step::Attach {
        tree,
        what: format!("our {name}"),
        target: Target::Path(cstring(&Path::new("/etc").join(name))?),
        // A root without an /etc, or with one that leads nowhere, does without.
        missing: Missing::Try,
    });
    Ok(())
}
