//! Who holds a port, as far as /proc tells: proc(5).

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::spec::port::Protocol;

/// Who holds a port.
#[derive(Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process that we may look at.
    Process {
        /// Its name.
        name: String,
        /// Its id.
        pid: u32,
    },
    /// A process of that uid.
    User(u32),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, pid } => write!(f, "{name:?} (process {pid})"),
            Self::User(uid) => write!(f, "a process of uid {uid}"),
        }
    }
}

/// The table's word for a socket that listens, and for one of UDP that is not
/// connected: `include/net/tcp_states.h`.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

/// Who holds the port, or one of the same number on all addresses.
pub fn of(wanted: SocketAddr, protocol: Protocol) -> Option<Holder> {
    let (tables, state) = match protocol {
        Protocol::Tcp => (["tcp", "tcp6"], LISTENS),
        Protocol::Udp => (["udp", "udp6"], UNCONNECTED),
    };
    let entry = tables.iter().find_map(|table| {
        let text = fs::read_to_string(Path::new("/proc/net").join(table)).ok()?;
        text.lines().find_map(|line| entry(line, state).filter(|entry| entry.conflicts(wanted)))
    })?;
    Some(process_with(entry.inode).unwrap_or(Holder::User(entry.uid)))
}

/// A line of /proc/net/tcp and its kind.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    local: SocketAddr,
    uid: u32,
    inode: u64,
}

impl Entry {
    fn conflicts(&self, wanted: SocketAddr) -> bool {
        let (one, other) = (self.local.ip(), wanted.ip());
        let any = |ip: IpAddr| ip.is_unspecified();
        // A socket of all IPv6 addresses may have those of IPv4 too.
        let same_family = one.is_ipv4() == other.is_ipv4();
        let meet = one == other || any(one) || (any(other) && same_family);
        self.local.port() == wanted.port() && meet
    }
}

fn entry(line: &str, wanted_state: &str) -> Option<Entry> {
    let mut words = line.split_ascii_whitespace();
    let (local, state) = (words.nth(1)?, words.nth(1)?);
    let (uid, inode) = (words.nth(3)?, words.nth(1)?);
    if state != wanted_state {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    // Words of the machine's own byte order, which IP's is not.
    let mut bytes = Vec::new();
    for at in (0..ip.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    let local = SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?);
    Some(Entry { local, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
}

/// The first process with that socket.
fn process_with(inode: u64) -> Option<Holder> {
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        open.find(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == Path::new(&socket)))?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(Holder::Process { name: name.trim_end().to_owned(), pid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn whoever_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let Some(Holder::Process { pid, .. }) = of(address, Protocol::Tcp) else {
            panic!("nobody is found");
        };
        assert_eq!(pid, std::process::id());
        assert_eq!(of(address, Protocol::Udp), None);
        let all = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        assert!(of(all, Protocol::Tcp).is_some());
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_the_tables() {
        let told =
            |line: &str| entry(line, LISTENS).map(|entry| (entry.local.to_string(), entry.uid));
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                  1001        0 5119 1 0000000000000000 100 0 0 10 0";
        assert_eq!(told(v4), Some(("127.0.0.1:8080".to_owned(), 1001)));
        let v6 = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 \
                  0A 00000000:00000000 00:00000000 00000000     0        0 7 1 0 100 0 0 10 0";
        assert_eq!(told(v6), Some(("[::1]:80".to_owned(), 0)));
        assert_eq!(told("  sl  local_address rem_address   st"), None);
        assert_eq!(told(""), None);
        assert_eq!(told(&v4.replace(" 0A ", " 01 ")), None);
    }
}
