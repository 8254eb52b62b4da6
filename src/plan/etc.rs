//! /etc/hosts, /etc/hostname and /etc/resolv.conf.
//!
//! They are files of the [`Workshop`], mounted over what the root has there,
//! whatever that is: nothing is ever written through the root, and nothing of
//! them is left when the container has gone.

use std::path::Path;

use oci_spec::runtime::Mount;

use super::attr::NOEXEC;
use super::draft::{Draft, cstring};
use super::namespaces::Namespaces;
use super::step::{Missing, Step, Target};
use super::workshop::Workshop;
use crate::host::Host;
use crate::sys::mount::Reach;

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
    pub fn of(hostname: &str, namespaces: &Namespaces, host: &Host) -> Self {
        let (hosts, resolv) = if namespaces.own_network() {
            let hosts = format!(
                "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                 127.0.1.1\t{hostname}\n"
            );
            // Nothing of the host's: its search domains tell where it stands.
            (hosts, "# no network: there is nobody to ask\n".to_owned())
        } else {
            // On the host's network the host's own answers are the right ones.
            let text = |path| host.files().text(Path::new(path));
            (text("/etc/hosts"), text("/etc/resolv.conf"))
        };
        Self { hosts, hostname: format!("{hostname}\n"), resolv }
    }
}

/// Plans the three files.
///
/// One that the user mounts is the user's, and so is a whole /etc.
pub fn plan(
    files: Files,
    mounts: &[Mount],
    workshop: Workshop,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    let all = [("hosts", files.hosts), ("hostname", files.hostname), ("resolv.conf", files.resolv)];
    for (name, content) in all {
        let target = Path::new("/etc").join(name);
        let users = |mount: &Mount| {
            mount.destination() == Path::new("/etc") || *mount.destination() == target
        };
        if !mounts.iter().any(users) {
            show(name, content, workshop, draft)?;
        }
    }
    Ok(())
}

fn show(name: &str, content: String, workshop: Workshop, draft: &mut Draft) -> anyhow::Result<()> {
    workshop.file(name, content.into_bytes(), draft);
    let tree = workshop.copy(name, draft);
    draft.set(tree, &format!("our {name}"), NOEXEC, 0, Reach::Mount);
    draft.push(Step::Attach {
        tree,
        what: format!("our {name}"),
        target: Target::Path(cstring(&Path::new("/etc").join(name))?),
        // A root without an /etc, or with one that leads nowhere, does without.
        missing: Missing::Try,
    });
    Ok(())
}
