//! The other two ways into the kernel of an x86-64 machine.

use serde_json::json;

use crate::Report;
use crate::raw::{self, Fate};

/// The bit of a system call number that means x32.
const X32: i64 = 0x4000_0000;

/// `x32`: getpid by its x32 number.
pub fn x32(_: &[String]) -> Report {
    let fate = raw::call_in_child(libc::SYS_getpid | X32, [0; 6]);
    json!({ "getpid": fate.to_string() }).into()
}

/// `int80`: through the gate of 32-bit programs getpid, a vsock socket, and
/// socketcall(2), of which a filter cannot see the arguments (with an address
/// that is none, so that it gets no further than reading them).
pub fn int80(_: &[String]) -> Report {
    const GETPID: u32 = 20;
    const SOCKETCALL: u32 = 102;
    const SOCKET: u32 = 359;
    const AF_VSOCK: u32 = 40;
    let getpid = gate(GETPID, [0; 3]);
    let socket = gate(SOCKET, [AF_VSOCK, 1, 0]);
    let socketcall = gate(SOCKETCALL, [1, u32::MAX, 0]);
    json!({
        "getpid": getpid.to_string(),
        "vsock": socket.to_string(),
        "socketcall": socketcall.to_string(),
    })
    .into()
}

#[cfg(target_arch = "x86_64")]
fn gate(number: u32, [first, second, third]: [u32; 3]) -> Fate {
    raw::in_child(|| {
        let mut answer = i64::from(number);
        // SAFETY: both calls take numbers only. The gate keeps the registers
        // apart from rax and may zero r8 to r11; rbx is the compiler's own
        // and is put back.
        #[allow(unsafe_code)]
        unsafe {
            std::arch::asm!(
                "xchg rbx, {first:r}",
                "int 0x80",
                "xchg rbx, {first:r}",
                first = inout(reg) u64::from(first) => _,
                inout("rax") answer,
                in("rcx") u64::from(second),
                in("rdx") u64::from(third),
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        match i64::from(answer as i32) {
            negative @ -4095..=-1 => Err(nix::errno::Errno::from_raw(-negative as i32)),
            value => Ok(value),
        }
    })
}

/// Other machines have no such gate.
#[cfg(not(target_arch = "x86_64"))]
fn gate(_: u32, _: [u32; 3]) -> Fate {
    Fate::Returned(Err(nix::errno::Errno::ENOSYS))
}
