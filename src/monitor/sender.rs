//! Who has sent a signal: signalfd(2).

use nix::sys::signalfd::siginfo;
use nix::unistd::{Pid, getpid};

use super::memory::name_of;
use crate::state::{Sender, Sent};

/// Sent by the kernel, sigaction(2): by a terminal, at a key or at its end.
const SI_KERNEL: i32 = 0x80;

/// Who has sent what was read; `None` for what the launcher has sent itself,
/// which is what had come before the payload ran.
pub fn sent(info: &siginfo) -> Option<Sent> {
    told(info.ssi_signo as i32, info.ssi_code, info.ssi_pid as i32, info.ssi_uid)
}

fn told(signal: i32, code: i32, pid: i32, uid: u32) -> Option<Sent> {
    let by = match code {
        SI_KERNEL => Sender::Kernel,
        _ if pid == getpid().as_raw() => return None,
        // One of another pid namespace has no number here.
        _ => {
            let program = (pid > 0).then(|| name_of(Pid::from_raw(pid))).flatten();
            Sender::Process { pid, uid, program }
        }
    };
    Some(Sent { signal, by })
}

#[cfg(test)]
mod tests {
    use nix::libc::{SI_USER, SIGINT, SIGTERM};

    use super::*;

    #[test]
    fn a_key_is_told_from_a_process_and_from_us() {
        let told = |code, pid| told(SIGTERM, code, pid, 1001).map(|sent| sent.by);
        let process = |pid, program: Option<&str>| {
            Some(Sender::Process { pid, uid: 1001, program: program.map(str::to_owned) })
        };
        assert_eq!(told(SI_KERNEL, 0), Some(Sender::Kernel));
        assert_eq!(told(SI_USER, getpid().as_raw()), None);
        assert_eq!(told(SI_USER, 0), process(0, None), "of another pid namespace");
        assert_eq!(told(SI_USER, i32::MAX), process(i32::MAX, None), "it has gone");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        // At its exec the kernel closes descriptors, which spawn waits for,
        // before it gives the new name.
        while name_of(Pid::from_raw(pid)).as_deref() != Some("sleep") {
            std::thread::yield_now();
        }
        assert_eq!(told(SI_USER, pid), process(pid, Some("sleep")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(super::told(SIGINT, SI_KERNEL, 0, 0).unwrap().signal, SIGINT);
    }
}
