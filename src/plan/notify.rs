//! How the program tells the service manager that it is ready: sd_notify(3).
//!
//! The manager's own socket stays outside. In /dev, which is ours in any root,
//! there is one of the container's, behind which the launcher sits.

use oci_spec::runtime::Process;

use super::draft::Draft;
use super::mounts::Made;
use super::step::Step;

/// The name of the socket in /dev.
pub const NAME: &std::ffi::CStr = c"notify";

const VARIABLE: &str = "NOTIFY_SOCKET=";

/// Makes the socket and names it to the program, unless that was told another.
pub fn plan(made: &Made, process: &mut Process, draft: &mut Draft) {
    let mut env = process.env().clone().unwrap_or_default();
    if env.iter().any(|entry| entry.starts_with(VARIABLE)) {
        return;
    }
    let Some(dev) = made.dev else {
        let told = "it can't tell the service manager anything: its /dev is not its own";
        return draft.notes.push(told.to_owned());
    };
    draft.push(Step::OpenNotify { dev });
    env.push(format!("{VARIABLE}/dev/{}", NAME.to_string_lossy()));
    process.set_env(Some(env));
}
