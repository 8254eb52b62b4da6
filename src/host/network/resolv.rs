//! Whom the machine asks for names: resolv.conf(5), understood.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use crate::host::files::Files;

/// What the machine's resolv.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    /// Servers that can be asked from another network namespace.
    pub servers: Vec<IpAddr>,
    /// Whether one is at an address of the machine's own, where only the
    /// machine itself reaches it.
    pub local: bool,
    /// Where short names are looked for.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

const FILE: &str = "/etc/resolv.conf";

/// Whom the stub of systemd-resolved asks; systemd-resolved.service(8).
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// Where systemd-resolved listens: its stub, and the same without its cache.
const STUBS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];

impl Resolv {
    /// Reads it. Where the only servers are systemd-resolved's stub, those
    /// behind it are meant.
    pub(in crate::host) fn probe(files: &Files) -> Self {
        let (resolv, all) = Self::read(&files.text(Path::new(FILE)));
        let is_stub = !all.is_empty() && all.iter().all(|server| STUBS.contains(server));
        if !is_stub {
            return resolv;
        }
        let (behind, _) = Self::read(&files.text(Path::new(BEHIND_STUB)));
        Self { servers: behind.servers, local: true, ..resolv }
    }

    /// The servers of the kinds that can be reached.
    pub fn reachable(&self, ipv6: bool) -> Vec<IpAddr> {
        self.servers.iter().copied().filter(|server| ipv6 || server.is_ipv4()).collect()
    }

    /// What a file says, and all servers that it names.
    fn read(text: &str) -> (Self, Vec<IpAddr>) {
        let mut resolv = Self::default();
        let mut all = Vec::new();
        for line in text.lines() {
            // A comment begins in the first column (resolv.conf(5)).
            let mut words = line.split_whitespace();
            let rest = |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect();
            match words.next() {
                // A scoped address names an interface, and inside there is
                // none of that name.
                Some("nameserver") => {
                    all.extend(words.next().and_then(|ip| ip.parse::<IpAddr>().ok()));
                }
                // The last of them counts.
                Some("search" | "domain") => resolv.search = rest(words),
                Some("options") => resolv.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolv.local = all.iter().any(is_local);
        resolv.servers = all.iter().copied().filter(|server| !is_local(server)).collect();
        // Written by whoever runs the machine, and copied into a file.
        let plain = |word: &String| word.chars().all(|c| c.is_ascii_graphic());
        resolv.search.retain(|domain| plain(domain) && domain != ".");
        resolv.options.retain(plain);
        (resolv, all)
    }
}

/// Whether an address means the machine itself to whoever uses it.
fn is_local(address: &IpAddr) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    address.is_loopback() || address.is_unspecified() || link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolv(files: &[(&str, &str)]) -> Resolv {
        let files = files.iter().map(|(path, text)| (path.into(), (*text).to_owned()));
        Resolv::probe(&Files::Told(files.collect()))
    }

    fn servers(resolv: &Resolv, ipv6: bool) -> Vec<String> {
        resolv.reachable(ipv6).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_others_can_reach_is_kept() {
        let text = "# nameserver 192.0.2.9\n; x\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \n\
                    nameserver fe80::1%eth0\nnameserver fe80::2\nnameserver nonsense\nnameserver\n\
                    domain old.example\nsearch a.example b.example .\n\
                    options edns0 trust-ad\noptions ndots:2\n";
        let found = resolv(&[(FILE, text)]);
        assert_eq!(servers(&found, true), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(servers(&found, false), ["192.0.2.1"]);
        assert_eq!(found.search, ["a.example", "b.example"]);
        assert_eq!(found.options, ["edns0", "trust-ad", "ndots:2"]);
    }

    #[test]
    fn behind_the_stub_are_the_real_ones() {
        let stub = "nameserver 127.0.0.53\noptions edns0\nsearch lan\n";
        let real = "nameserver 192.0.2.1\nnameserver 127.0.0.1\nsearch other\n";
        let found = resolv(&[(FILE, stub), (BEHIND_STUB, real)]);
        assert_eq!(servers(&found, true), ["192.0.2.1"]);
        assert_eq!((found.local, &found.search[..]), (true, &["lan".to_owned()][..]));
        // With another beside it the administrator has chosen.
        let both = "nameserver 127.0.0.53\nnameserver 192.0.2.7\n";
        assert_eq!(servers(&resolv(&[(FILE, both), (BEHIND_STUB, real)]), true), ["192.0.2.7"]);
        let gone = resolv(&[(FILE, stub)]);
        assert_eq!((servers(&gone, true).len(), gone.local), (0, true));
    }

    #[test]
    fn a_server_on_the_machine_is_local() {
        for address in ["127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1", "::"] {
            let found = resolv(&[(FILE, &format!("nameserver {address}\n"))]);
            assert_eq!((found.servers.len(), found.local), (0, true), "{address}");
        }
        assert_eq!(resolv(&[]), Resolv::default());
    }
}
