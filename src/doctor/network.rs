//! Whether a container reaches the world, and is reached.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::trial::{inside, tried};
use super::{Bench, Finding, nftables};
use crate::host::advice::table::network as table;
use crate::host::advice::{self, Topic};
use crate::sys::process;

/// What has no container of its own to be tried with.
pub fn probe(bench: &Bench<'_>) -> Vec<Finding> {
    vec![tun(bench), low_ports(), ping(), rules(bench)]
}

fn tun(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("tun", Topic::Network, "/dev/net/tun");
    match bench.host.files().opens(Path::new("/dev/net/tun")) {
        Ok(()) => finding.ok("opened for reading and writing"),
        Err(errno) => finding
            .degraded(String::new(), "loopback alone where nothing is asked for; published ports and --network host work")
            .because(advice::for_tun(errno)),
    }
}

/// Binds one that nobody uses.
fn low_ports() -> Finding {
    let finding = Finding::new("low-ports", Topic::Network, "ports below 1024");
    let port = 1023;
    match TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
            let first = first.map_or_else(|_| "1024".to_owned(), |text| text.trim().to_owned());
            let advice = table::LOW_PORTS.advice(&[
                ("first", &first),
                ("port", &80),
                ("inside", &80),
                ("other", &8080),
            ]);
            finding.info(String::new()).because(advice)
        }
        Err(error) => finding.info(format!("port {port}: {error}")),
        Ok(_) => finding.ok(format!("port {port} was bound")),
    }
}

/// Opens a socket for echoes; icmp(7).
fn ping() -> Finding {
    let finding = Finding::new("ping", Topic::Network, "ping on this machine");
    let opened =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
    match opened {
        Ok(_) => finding.ok("a socket for echoes was opened"),
        Err(_) => {
            let range = fs::read_to_string("/proc/sys/net/ipv4/ping_group_range");
            let range = range.unwrap_or_default();
            let words: Vec<_> = range.split_whitespace().collect();
            let advice = table::PING_CLOSED.advice(&[("range", &words.join(" "))]);
            finding.info(String::new()).because(advice)
        }
    }
}

fn rules(bench: &Bench<'_>) -> Finding {
    let finding = Finding::new("nftables", Topic::Network, "nftables (not used yet)");
    let made = inside(bench, 0, || {
        tried("make a network namespace", process::unshare(libc::CLONE_NEWNET))?;
        tried("make a table", nftables::make_table())?;
        Ok("a table was made".to_owned())
    });
    finding.info(match made {
        Ok(Ok(told)) => told,
        Ok(Err(stop)) => stop.told(),
        Err(why) => why,
    })
}
