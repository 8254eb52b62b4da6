//! How this machine reaches the world: routes, and whom it asks for names.

mod cidr;
mod resolv;

use std::net::Ipv4Addr;
use std::path::Path;

use super::files::Files;
pub use cidr::Cidr;
pub use resolv::Resolv;

/// Where packets go from here, as /proc/net says: the main table of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Those of IPv4 that lead somewhere.
    pub ipv4: Vec<Route>,
    /// The interface of the default route of IPv6, if there is one.
    pub ipv6: Option<String>,
}

/// A route of IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The addresses that it is for.
    pub to: Cidr,
    /// The interface it leads through.
    pub interface: String,
    metric: u32,
    /// The longest packet, where the route says so.
    mtu: Option<u32>,
}

/// `RTF_UP` and `RTF_REJECT` of `linux/route.h`.
const UP: u32 = 1;
const REJECT: u32 = 0x200;

/// The longest packet that Ethernet takes, and so nearly everything.
const USUAL_MTU: u32 = 1500;

impl Routes {
    /// Reads the tables.
    pub(super) fn probe(files: &Files) -> Self {
        let ipv4 = files.text(Path::new("/proc/net/route"));
        let ipv6 = files.text(Path::new("/proc/net/ipv6_route"));
        Self {
            ipv4: ipv4.lines().filter_map(ipv4_route).collect(),
            ipv6: ipv6.lines().find_map(ipv6_default),
        }
    }

    /// The default route of IPv4.
    pub fn default_ipv4(&self) -> Option<&Route> {
        self.ipv4.iter().filter(|route| route.to.is_all()).min_by_key(|route| route.metric)
    }

    /// The longest packet that the way out takes, in bytes.
    pub fn mtu(&self, files: &Files) -> u32 {
        let default = self.default_ipv4();
        let interface = default.map(|route| route.interface.as_str()).or(self.ipv6.as_deref());
        default
            .and_then(|route| route.mtu)
            .or_else(|| interface.and_then(|name| files.mtu(name)))
            .unwrap_or(USUAL_MTU)
    }
}

/// A line of /proc/net/route: interface, destination, gateway, flags, two
/// counts, metric, mask, MTU, ...; proc_net(5).
fn ipv4_route(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let interface = words.next()?.to_owned();
    let mut word = |skipped| words.nth(skipped);
    let destination = address(word(0)?)?;
    let flags = u32::from_str_radix(word(1)?, 16).ok()?;
    let metric = word(2)?.parse().ok()?;
    let mask = address(word(0)?)?;
    let mtu = word(0)?.parse().ok().filter(|mtu| *mtu != 0);
    let prefix = mask.to_bits().leading_ones() as u8;
    let leads = flags & UP != 0 && flags & REJECT == 0;
    leads.then(|| Route { to: Cidr::of(destination, prefix), interface, metric, mtu })
}

/// The kernel prints the four bytes as one number of this machine's order.
fn address(text: &str) -> Option<Ipv4Addr> {
    let number = u32::from_str_radix(text, 16).ok()?;
    Some(Ipv4Addr::from_bits(u32::from_be(number)))
}

/// The interface of a line of /proc/net/ipv6_route that is for all addresses:
/// destination, its prefix, source, its prefix, next hop, metric, two counts,
/// flags, interface.
fn ipv6_default(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [destination, prefix, .., flags, interface] = words.as_slice() else { return None };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let all = destination.bytes().all(|digit| digit == b'0') && *prefix == "00";
    let leads = flags & UP != 0 && flags & REJECT == 0 && *interface != "lo";
    (all && leads).then(|| (*interface).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wg0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
none\t0000000A\t00000000\t0201\t0\t0\t0\t000000FF\t0\t0\t0
";
    const IPV6: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000005 00000000 00000003     eth0
";

    fn told(files: &[(&str, &str)]) -> Files {
        Files::Told(files.iter().map(|(path, text)| (path.into(), (*text).to_owned())).collect())
    }

    #[test]
    fn routes_are_read_and_the_way_out_is_found() {
        let files = told(&[
            ("/proc/net/route", IPV4),
            ("/proc/net/ipv6_route", IPV6),
            ("/sys/class/net/eth0/mtu", "1420\n"),
        ]);
        let routes = Routes::probe(&files);
        let told: Vec<String> =
            routes.ipv4.iter().map(|route| format!("{} {}", route.to, route.interface)).collect();
        let order = if cfg!(target_endian = "little") { "192.0.2.0/24 eth0" } else { "" };
        assert_eq!(told, ["0.0.0.0/0 wg0", "0.0.0.0/0 eth0", order]);
        assert_eq!(routes.default_ipv4().unwrap().interface, "eth0");
        assert_eq!(routes.ipv6.as_deref(), Some("eth0"));
        assert_eq!(routes.mtu(&files), 1420);
    }

    #[test]
    fn the_routes_own_mtu_comes_first_and_the_usual_one_last() {
        let line =
            IPV4.lines().nth(2).unwrap().replace("00000000\t0\t0\t0", "00000000\t1300\t0\t0");
        let files = told(&[("/proc/net/route", &line), ("/sys/class/net/eth0/mtu", "9000\n")]);
        assert_eq!(Routes::probe(&files).mtu(&files), 1300);
        let none = told(&[]);
        assert_eq!(Routes::probe(&none), Routes::default());
        assert_eq!(Routes::default().mtu(&none), USUAL_MTU);
    }
}
