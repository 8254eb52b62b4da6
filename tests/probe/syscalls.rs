//! What the system call filter lets through.

use serde_json::{Map, Value, json};

use crate::raw::{self, Fate};
use crate::{Report, outcome};

/// No call takes this as a valid descriptor, address, flag word and length.
const INVALID: usize = usize::MAX;

/// Arguments for the calls whose plain refusal would look like the filter's,
/// or that would do something with invalid ones.
fn arguments(number: i64) -> [usize; 6] {
    match number {
        // An unknown function number is ENOSYS by the call itself; 0 reads.
        libc::SYS_modify_ldt => [0, 0, 0, 0, 0, 0],
        // Flags of all ones would make a queue that outlives the probe.
        libc::SYS_msgget | libc::SYS_semget | libc::SYS_shmget => [INVALID, 0, 0, 0, 0, 0],
        // Unknown commands of futex are ENOSYS by the call itself: FUTEX_WAKE.
        libc::SYS_futex => [0, 1, 0, 0, 0, 0],
        _ => [INVALID; 6],
    }
}

/// Calls that cannot be made with nothing more than numbers: vfork lends its
/// stack to the child, and a second fork would answer twice.
const LEFT_OUT: [i64; 2] = [libc::SYS_vfork, libc::SYS_fork];

/// `syscalls [FIRST LAST]`: calls each number with arguments that are refused
/// by any call that is let through, and tells the outcome.
pub fn table(args: &[String]) -> Report {
    let bound = |at: usize, default| args.get(at).map_or(default, |n| n.parse().expect("a number"));
    let outcomes: Map<String, Value> = (bound(0, 0)..=bound(1, 600))
        .filter(|number| !LEFT_OUT.contains(number))
        .map(|number| {
            let fate = raw::call_in_child(number, arguments(number));
            (number.to_string(), Value::from(fate.to_string()))
        })
        .collect();
    Value::from(outcomes).into()
}

/// Flags that make a namespace; time has no meaning for clone(2), where the
/// bit belongs to the exit signal.
const NAMESPACES: [(&str, i32); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("mount", libc::CLONE_NEWNS),
    ("pid", libc::CLONE_NEWPID),
    ("uts", libc::CLONE_NEWUTS),
    ("ipc", libc::CLONE_NEWIPC),
    ("net", libc::CLONE_NEWNET),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", 0x80),
];

/// `clone-flags`: tries to make each namespace by each of the three calls, and
/// to join one by setns(2).
pub fn clone_flags(_: &[String]) -> Report {
    let mut tried = Map::new();
    for (name, flag) in NAMESPACES {
        let flags = flag as usize;
        let unshare = raw::call_in_child(libc::SYS_unshare, [flags, 0, 0, 0, 0, 0]);
        tried.insert(format!("unshare {name}"), Value::from(unshare.to_string()));
        if name != "time" {
            let clone =
                in_new_process(libc::SYS_clone, [flags | libc::SIGCHLD as usize, 0, 0, 0, 0, 0]);
            tried.insert(format!("clone {name}"), Value::from(clone.to_string()));
        }
        // struct clone_args (clone(2)): flags first, exit_signal fifth.
        let clone_args = [flags as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
        let address = clone_args.as_ptr() as usize;
        let clone3 =
            in_new_process(libc::SYS_clone3, [address, size_of_val(&clone_args), 0, 0, 0, 0]);
        tried.insert(format!("clone3 {name}"), Value::from(clone3.to_string()));
    }
    let own = std::fs::File::open("/proc/self/ns/uts").expect("open a namespace");
    let own = std::os::fd::AsRawFd::as_raw_fd(&own) as usize;
    let setns = raw::call_in_child(libc::SYS_setns, [own, 0, 0, 0, 0, 0]);
    tried.insert("setns".to_owned(), Value::from(setns.to_string()));
    Value::from(tried).into()
}

/// A call of the clone family: the new process leaves at once.
fn in_new_process(number: i64, args: [usize; 6]) -> Fate {
    raw::in_child(|| {
        // SAFETY: no stack is given, so the new process goes on with a copy
        // of this one's, as after fork(2), and does nothing but leave.
        #[allow(unsafe_code)]
        unsafe {
            let pid = raw::call(number, args)?;
            if pid == 0 {
                libc::_exit(0);
            }
            libc::waitpid(pid as i32, std::ptr::null_mut(), 0);
            Ok(pid)
        }
    })
}

/// keyctl(2) commands and special keyrings.
const KEYCTL_GET_KEYRING_ID: usize = 0;
const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
const KEYCTL_SEARCH: usize = 10;
const KEY_SPEC_SESSION_KEYRING: usize = -3_isize as usize;
const KEY_SPEC_USER_KEYRING: usize = -4_isize as usize;

/// `keyring NAME`: looks for the user key NAME, and tries the three calls.
pub fn keyring(args: &[String]) -> Report {
    let name = std::ffi::CString::new(args[0].as_str()).expect("a name");
    let name = name.as_ptr() as usize;
    let user = c"user".as_ptr() as usize;
    let word = b"x";
    // SAFETY: the strings live until the end of the function, and the calls
    // read them only.
    #[allow(unsafe_code)]
    let call = |number, args| unsafe { outcome(raw::call(number, args)) };
    let keyctl = libc::SYS_keyctl;
    json!({
        "get": call(keyctl, [KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0, 0]),
        "join": call(keyctl, [KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0]),
        "search user": call(keyctl, [KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, user, name, 0, 0]),
        "search session": call(keyctl, [KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, user, name, 0, 0]),
        "add": call(
            libc::SYS_add_key,
            [user, name, word.as_ptr() as usize, word.len(), KEY_SPEC_USER_KEYRING, 0],
        ),
        "request": call(libc::SYS_request_key, [user, name, 0, 0, 0, 0]),
    })
    .into()
}
