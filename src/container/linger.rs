//! Whether a container in the background outlives its caller's session.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::host::Host;

/// Where logind keeps who is here, and who lingers: sd_uid_get_state(3),
/// loginctl(1).
const HERE: &str = "/run/systemd/users";
const LINGER: &str = "/var/lib/systemd/linger";

/// What is to be said, once, to a user whom systemd will take the container
/// from when his last session ends. `told` remembers that it was.
pub fn warning(host: &Host, told: &Path) -> Option<String> {
    let uid = host.caller().ok()?.uid;
    let name = &host.account().ok()?.ok()?.user.name;
    if !Path::new(HERE).join(uid.to_string()).exists() || Path::new(LINGER).join(name).exists() {
        return None;
    }
    let told: PathBuf = told.join("linger-told");
    OpenOptions::new().write(true).create_new(true).open(told).ok()?;
    Some(format!(
        "when your last session ends, systemd may end the container, and forgets its record: \
         loginctl enable-linger {name} prevents that (this is said once)"
    ))
}
