//! What the kernel's log says of a process that a system call filter has killed.
//!
//! Nothing but this names the call: neither the exit status nor /proc of a dead
//! process has its number (seccomp(2), waitid(2)). Where auditd doesn't take
//! it, the kernel's record of type 1326 is in /dev/kmsg, which is for root
//! where the sysctl kernel.dmesg_restrict is 1.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use nix::libc;

/// A system call, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// `AUDIT_ARCH_*`, linux/audit.h.
    pub arch: u32,
    /// Its number there.
    pub number: u32,
}

/// The log is written by a thread of the kernel's own: how often it is looked
/// at, and how long it is waited in between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// The call for which a filter has killed process `pid`, as numbered by the
/// machine; `None` where the log can't be read or does not say.
pub fn refused_call(pid: i32) -> Option<Call> {
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
        let log = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg").ok()?;
        if let Some(call) = last(log, pid) {
            return Some(call);
        }
    }
    None
}

/// The last record of it; each read gives one.
fn last(mut log: File, pid: i32) -> Option<Call> {
    let (mut found, mut record) = (None, [0; 8192]);
    loop {
        match log.read(&mut record) {
            Ok(0) => return found,
            Ok(length) => {
                let text = String::from_utf8_lossy(&record[..length]);
                found = call_of(&text, pid).or(found);
            }
            // Records that were overwritten before they were read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return found,
        }
    }
}

/// `6,1,2,-;audit: type=1326 audit(…): … pid=7 comm="x" … sig=31 arch=c000003e
/// syscall=165 …`. What a process calls itself stands in quotes or as digits.
fn call_of(record: &str, pid: i32) -> Option<Call> {
    let (_, text) = record.split_once(";audit: type=1326 ")?;
    let value = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key));
    let is_it = value("pid=")?.parse() == Ok(pid) && value("sig=")? == "31";
    let arch = u32::from_str_radix(value("arch=")?, 16).ok()?;
    let number = value("syscall=")?.parse().ok()?;
    is_it.then_some(Call { arch, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_filter_is_told_from_others() {
        let record = |pid: i32, sig: i32| {
            format!(
                "5,1093,3457,-;audit: type=1326 audit(1700000000.123:9): auid=1001 uid=1001 \
                 gid=1001 ses=3 subj=unconfined pid={pid} comm=\"a b\" exe=\"/bin/x\" sig={sig} \
                 arch=c000003e syscall=165 compat=0 ip=0x7f code=0x80000000\n"
            )
        };
        let call = Some(Call { arch: 0xc000_003e, number: 165 });
        assert_eq!(call_of(&record(7, 31), 7), call);
        assert_eq!((call_of(&record(8, 31), 7), call_of(&record(7, 0), 7)), (None, None));
        for text in ["", "6,1,2,-;usb 1-1: new device", "6,1,2,-;audit: type=1326 pid=7"] {
            assert_eq!(call_of(text, 7), None, "{text}");
        }
    }
}
