//! Which sockets can be had.

use std::collections::BTreeSet;

use nix::errno::Errno;
use serde_json::json;

use crate::raw;

/// Families up to the last one of Linux 6.18 and one that does not exist.
const FAMILIES: std::ops::RangeInclusive<usize> = 0..=46;
const TYPES: [usize; 6] = [1, 2, 3, 4, 5, 10];
const PROTOCOLS: std::ops::RangeInclusive<usize> = 0..=22;
/// Protocols of the internet families that have a socket of their own beyond
/// the small numbers: SCTP, MPTCP.
const MORE_PROTOCOLS: [usize; 2] = [132, 262];

/// `sockets`: every family, type and protocol; names the triples that gave a
/// socket and, by family, the errors of those that did not.
pub fn matrix(_: &[String]) -> crate::Report {
    let mut opened = Vec::new();
    let mut pairs = BTreeSet::new();
    let mut refused = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    // Without a filter the kernel looks for a module at each attempt; one that
    // it does not find for a family is not there for the next protocol either.
    let filtered = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.contains("\nSeccomp:\t2"));
    for family in FAMILIES {
        if !filtered && close(libc::SYS_socket, [family, 1, 0, 0, 0, 0]) == Err(Errno::EAFNOSUPPORT)
        {
            refused.entry(family.to_string()).or_default().insert("EAFNOSUPPORT".to_owned());
            continue;
        }
        for kind in TYPES {
            for protocol in PROTOCOLS.chain(MORE_PROTOCOLS) {
                match close(libc::SYS_socket, [family, kind, protocol, 0, 0, 0]) {
                    Ok(()) => opened.push([family, kind, protocol]),
                    Err(errno) => {
                        refused.entry(family.to_string()).or_default().insert(format!("{errno:?}"));
                    }
                }
            }
            let mut ends = [-1_i32; 2];
            let address: *mut [i32; 2] = &mut ends;
            let args = [family, kind, 0, address as usize, 0, 0];
            // SAFETY: on success the kernel writes two descriptors into
            // `ends`, which lives until the end of the block; nobody else
            // knows them.
            #[allow(unsafe_code)]
            unsafe {
                if raw::call(libc::SYS_socketpair, args).is_ok() {
                    pairs.insert(family);
                    for end in ends {
                        libc::close(end);
                    }
                }
            }
        }
    }
    json!({ "opened": opened, "pairs": pairs, "refused": refused }).into()
}

/// Makes a descriptor and closes it again.
fn close(number: i64, args: [usize; 6]) -> Result<(), Errno> {
    // SAFETY: socket(2) takes numbers only, and the new descriptor is known
    // to nobody else.
    #[allow(unsafe_code)]
    unsafe {
        let fd = raw::call(number, args)?;
        libc::close(fd as i32);
    }
    Ok(())
}
