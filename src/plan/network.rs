//! How the container reaches the world.
//!
//! Reads `network` of the spec, the routes of the host and which helpers are
//! installed; [`network`](crate::network) starts the one that is chosen.

pub mod closed;
pub mod service;

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::idmap::Idmap;
use super::join::Whose;
use crate::error::Explain;
use crate::host::advice::table::network;
use crate::host::advice::{Advice, Hole};
use crate::host::network::Cidr;
use crate::host::{Host, advice};
use crate::spec::Beside;
use crate::spec::network::{Network as Asked, Slirp4netns};

/// How the container reaches the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// As the host does.
    Host,
    /// Not at all.
    None,
    /// Through a program that runs beside it.
    Helped(Helper),
    /// As somebody else does, whose network it has.
    Joined(Whose),
}

/// A program that passes packets on, as an ordinary process of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Where it is.
    pub program: PathBuf,
    /// Which one it is.
    pub driver: Driver,
    /// Whether there is IPv6 inside.
    pub ipv6: bool,
    /// Whether the container's user namespace has a root that it can be.
    pub has_root: bool,
    /// The address at which it passes questions for names on to the host's own
    /// resolver: only where none can be asked without it.
    pub resolver: Option<Ipv4Addr>,
}

/// Which helper, and what only that one is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Driver {
    /// slirp4netns(1): a network stack of its own.
    Slirp4netns {
        /// The longest packet inside, in bytes.
        mtu: u32,
        /// The container's network.
        cidr: Cidr,
        /// The host's address or interface that IPv4 goes out by.
        outbound: Option<String>,
        /// The same for IPv6.
        outbound6: Option<String>,
    },
    /// pasta(1): the host's own addresses, and its sockets.
    Pasta {
        /// What else it is told.
        arguments: Vec<String>,
        /// Whether the caller, whose id it keeps, is root.
        called_by_root: bool,
    },
}

impl Driver {
    /// The program's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Slirp4netns { .. } => SLIRP4NETNS,
            Self::Pasta { .. } => PASTA,
        }
    }
}

const SLIRP4NETNS: &str = "slirp4netns";
const PASTA: &str = "pasta";

/// What a tap is made by.
const TUN: &str = "/dev/net/tun";

/// IPv6 takes packets of so many bytes everywhere (RFC 8200).
const SHORTEST_IPV6: u32 = 1280;

/// The longest that slirp4netns takes.
const LONGEST: u32 = 65521;

/// Networks for slirp4netns where none is asked for: its own, and others for
/// hosts that have routes there.
const CIDRS: [Cidr; 4] = [
    Cidr::of(Ipv4Addr::new(10, 0, 2, 0), 24),
    Cidr::of(Ipv4Addr::new(10, 241, 2, 0), 24),
    Cidr::of(Ipv4Addr::new(172, 29, 242, 0), 24),
    Cidr::of(Ipv4Addr::new(192, 168, 242, 0), 24),
];

/// Where pasta is asked for names: an address that nobody else has (RFC 3927).
const PASTA_RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Decides.
pub fn plan(
    beside: &Beside,
    idmap: &Idmap,
    host: &Host,
    notes: &mut Vec<String>,
) -> anyhow::Result<Network> {
    let mut helper = match &beside.network {
        Asked::Host => return Ok(Network::Host),
        Asked::None | Asked::Loopback => return Ok(Network::None),
        Asked::Usual => match usual(idmap, host)? {
            Ok(helper) => helper,
            Err(Advice { cause, hint, .. }) => {
                notes.push(format!("no network but loopback, because {cause}: {hint}"));
                return Ok(Network::None);
            }
        },
        Asked::Slirp4netns(options) => {
            look_for_tun(SLIRP4NETNS, host)?;
            slirp4netns(options, idmap, host)?
        }
        Asked::Pasta(arguments) => {
            look_for_tun(PASTA, host)?;
            pasta(arguments, idmap, host)?
        }
        Asked::Auto => automatic(idmap, host)?,
        Asked::Container(_) | Asked::Namespace(_) => bail!("nobody has looked for that network"),
    };
    let resolv = host.resolv();
    let alone = beside.names.servers.is_empty() && resolv.reachable(helper.ipv6).is_empty();
    if alone && resolv.local {
        helper.resolver = Some(match helper.driver {
            Driver::Slirp4netns { cidr, .. } => cidr.address(3),
            Driver::Pasta { .. } => PASTA_RESOLVER,
        });
    }
    Ok(Network::Helped(helper))
}

/// What is there where nobody asked for anything: slirp4netns, which the host's
/// address is not shared with, else pasta. Neither works without a tap; for that
/// a start is not given up that has asked for no network.
fn usual(idmap: &Idmap, host: &Host) -> anyhow::Result<Result<Helper, Advice>> {
    let has = |name| host.files().program(name).is_some();
    let plan = match (has(SLIRP4NETNS), has(PASTA)) {
        (true, _) => slirp4netns(&Slirp4netns::default(), idmap, host)?,
        (false, true) => pasta(&[], idmap, host)?,
        (false, false) => {
            let holes: [Hole; 1] = [("package", &SLIRP4NETNS)];
            let advice = network::NETWORK_HELPERS_MISSING.advice(&holes);
            return advice.refuse().context("connect the container");
        }
    };
    let opened = host.files().opens(Path::new(TUN));
    Ok(opened.map(|()| plan).map_err(advice::for_tun))
}

/// pasta is faster. It takes its addresses from the host's default route, and
/// before 2024 it ends where there is none.
fn automatic(idmap: &Idmap, host: &Host) -> anyhow::Result<Helper> {
    let routed = host.routes().default_ipv4().is_some() || host.routes().ipv6.is_some();
    let has = |name| host.files().program(name).is_some();
    look_for_tun("a network helper", host)?;
    match (has(PASTA), has(SLIRP4NETNS)) {
        (true, false) => pasta(&[], idmap, host),
        (true, true) if routed => pasta(&[], idmap, host),
        (_, true) => slirp4netns(&Slirp4netns::default(), idmap, host),
        (false, false) => {
            network::NETWORK_HELPERS_MISSING.advice(&[("package", &"passt")]).refuse()
        }
    }
}

fn look_for_tun(whose: &str, host: &Host) -> anyhow::Result<()> {
    let opened = host.files().opens(Path::new(TUN));
    opened.or_else(|errno| {
        let advice = advice::for_tun(errno);
        let hint = format!("{}\nor go on without a network: --network none", advice.hint);
        Err(anyhow!(advice.cause)).with_context(|| format!("{whose} needs a tap")).hint(hint)
    })
}

fn find(name: &str, package: &str, host: &Host) -> anyhow::Result<PathBuf> {
    let missing = || {
        let holes: [Hole; 2] = [("helper", &name), ("package", &package)];
        network::NETWORK_HELPER_MISSING.advice(&holes).refuse()
    };
    host.files().program(name).map_or_else(missing, Ok)
}

fn slirp4netns(options: &Slirp4netns, idmap: &Idmap, host: &Host) -> anyhow::Result<Helper> {
    let program = find(SLIRP4NETNS, SLIRP4NETNS, host)?;
    let cidr = match options.cidr {
        Some(cidr) => free(cidr, host)?,
        None => CIDRS.into_iter().find(|cidr| free(*cidr, host).is_ok()).unwrap_or(CIDRS[0]),
    };
    let route = host.routes().mtu(host.files()).min(LONGEST);
    let (mtu, ipv6) = match (options.mtu, options.ipv6) {
        (Some(mtu), ipv6) => (mtu, ipv6.unwrap_or(has_ipv6(host) && mtu >= SHORTEST_IPV6)),
        (None, ipv6) => {
            let ipv6 = ipv6.unwrap_or_else(|| has_ipv6(host));
            (if ipv6 { route.max(SHORTEST_IPV6) } else { route }, ipv6)
        }
    };
    let (outbound, outbound6) = (options.outbound.clone(), options.outbound6.clone());
    let driver = Driver::Slirp4netns { mtu, cidr, outbound, outbound6 };
    Ok(Helper { program, driver, ipv6, has_root: has_root(idmap), resolver: None })
}

fn pasta(arguments: &[String], idmap: &Idmap, host: &Host) -> anyhow::Result<Helper> {
    let program = find(PASTA, "passt", host)?;
    let called_by_root = host.caller()?.euid == 0;
    let driver = Driver::Pasta { arguments: arguments.to_vec(), called_by_root };
    let (ipv6, has_root) = (has_ipv6(host), has_root(idmap));
    Ok(Helper { program, driver, ipv6, has_root, resolver: None })
}

fn has_ipv6(host: &Host) -> bool {
    host.routes().ipv6.is_some()
}

fn has_root(idmap: &Idmap) -> bool {
    idmap.uid_outside(0).is_some() && idmap.gid_outside(0).is_some()
}

/// Addresses of the container's own network can't be reached outside of it.
fn free(cidr: Cidr, host: &Host) -> anyhow::Result<Cidr> {
    let mut routes = host.routes().ipv4.iter();
    let Some(taken) = routes.find(|route| !route.to.is_all() && route.to.overlaps(cidr)) else {
        return Ok(cidr);
    };
    let (to, interface) = (taken.to, &taken.interface);
    Err(anyhow!("the host has a route to {to} through {interface}, which it would cover"))
        .with_context(|| format!("cidr={cidr}"))
        .hint("choose a network that ip route does not show, or leave the choice: no cidr=")
}

impl Helper {
    /// What keeps the resolver's address from leading elsewhere. pasta passes
    /// nothing on from there but questions for names.
    pub fn closed(&self) -> closed::Requests {
        match (&self.driver, self.resolver) {
            (Driver::Slirp4netns { .. }, Some(resolver)) => closed::but_for_names(resolver),
            _ => closed::Requests::default(),
        }
    }

    /// What is told about it beside its name.
    fn told(&self) -> String {
        let mut words = Vec::new();
        match &self.driver {
            Driver::Slirp4netns { mtu, cidr, outbound, outbound6 } => {
                words.extend([format!("mtu {mtu}"), cidr.to_string()]);
                for out in [outbound, outbound6].into_iter().flatten() {
                    words.push(format!("out by {out}"));
                }
            }
            Driver::Pasta { arguments, .. } => {
                words.push("the host's addresses".to_owned());
                words.extend(arguments.iter().map(|word| format!("{word:?}")));
            }
        }
        words.extend(self.resolver.map(|resolver| format!("names asked of it at {resolver}")));
        words.push(if self.ipv6 { "IPv4 and IPv6" } else { "IPv4" }.to_owned());
        words.join(", ")
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host's"),
            Self::None => f.write_str("none, but for loopback"),
            Self::Joined(whose) => write!(f, "that of {whose}"),
            Self::Helped(helper) => {
                write!(f, "behind {}: {}", helper.program.display(), helper.told())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;
    use crate::host::files::Files;
    use crate::host::made_up;

    /// A machine with these files beside the usual ones.
    fn machine(files: &[(&str, &str)]) -> Host {
        let mut facts = made_up::facts();
        if let Files::Told(told) = &mut facts.files {
            told.extend(files.iter().map(|(path, text)| (path.into(), (*text).to_owned())));
        }
        Host::from(facts)
    }

    fn planned(asked: &str, files: &[(&str, &str)]) -> anyhow::Result<String> {
        planned_for(&["--network", asked, "/nonexistent"], files)
    }

    /// The plan of a command line, after what is told beside it.
    fn planned_for(words: &[&str], files: &[(&str, &str)]) -> anyhow::Result<String> {
        let host = machine(files);
        let spec = crate::cli::asked_alone(words)?.spec;
        let idmap = super::super::idmap::compile(&spec, &host)?;
        let mut notes = Vec::new();
        let network = plan(&spec.beside, &idmap, &host, &mut notes)?;
        Ok(notes.into_iter().chain([network.to_string()]).collect::<Vec<_>>().join("\n"))
    }

    fn refused(asked: &str, files: &[(&str, &str)]) -> String {
        report(&planned(asked, files).expect_err(asked))
    }

    const TUN: (&str, &str) = ("/dev/net/tun", "");
    const SLIRP: (&str, &str) = ("/usr/bin/slirp4netns", "");
    const PASST: (&str, &str) = ("/usr/bin/pasta", "");
    const ROUTED: (&str, &str) = (
        "/proc/net/route",
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t1400\t0\t0\n\
         eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
    );
    const IPV6: (&str, &str) = (
        "/proc/net/ipv6_route",
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
         fd000000000000000000000000000001 00000400 00000005 00000000 00000003 eth0\n",
    );

    #[test]
    fn the_way_out_decides() {
        let all = [TUN, SLIRP, PASST, ROUTED, IPV6];
        assert_eq!(
            planned("slirp4netns", &all).unwrap(),
            "behind /usr/bin/slirp4netns: mtu 1400, 10.241.2.0/24, IPv4 and IPv6"
        );
        assert_eq!(
            planned("slirp4netns:mtu=1000,cidr=10.9.0.0/16", &all).unwrap(),
            "behind /usr/bin/slirp4netns: mtu 1000, 10.9.0.0/16, IPv4"
        );
        assert_eq!(
            planned("slirp4netns:outbound_addr=eth0", &[TUN, SLIRP]).unwrap(),
            "behind /usr/bin/slirp4netns: mtu 1500, 10.0.2.0/24, out by eth0, IPv4"
        );
        assert_eq!(
            planned("pasta:-4", &all).unwrap(),
            "behind /usr/bin/pasta: the host's addresses, \"-4\", IPv4 and IPv6"
        );
    }

    #[test]
    fn the_faster_that_works_is_taken() {
        let starts = |files: &[_], program: &str| {
            let told = planned("auto", files).unwrap();
            assert!(told.starts_with(&format!("behind /usr/bin/{program}:")), "{told}");
        };
        starts(&[TUN, SLIRP, PASST, ROUTED], "pasta");
        starts(&[TUN, SLIRP, PASST], "slirp4netns");
        starts(&[TUN, SLIRP, ROUTED], "slirp4netns");
        starts(&[TUN, PASST], "pasta");
        assert!(refused("auto", &[TUN]).contains("apt-get install passt"));
    }

    #[test]
    fn where_nothing_is_asked_for_there_is_a_way_out_if_it_can_be_had() {
        let told = |files: &[_]| planned_for(&["/nonexistent"], files);
        let starts = |files: &[_], program: &str| {
            let told = told(files).unwrap();
            assert!(told.starts_with(&format!("behind /usr/bin/{program}:")), "{told}");
        };
        starts(&[TUN, SLIRP, PASST, ROUTED], "slirp4netns");
        starts(&[TUN, PASST], "pasta");
        let error = report(&told(&[TUN]).unwrap_err());
        assert!(error.contains("neither slirp4netns nor pasta is installed"), "{error}");
        assert!(error.contains("apt-get install slirp4netns"), "{error}");
        assert!(error.contains("--network none"), "{error}");
        for helper in [SLIRP, PASST] {
            let told = told(&[helper]).unwrap();
            let why = "no network but loopback, because /dev/net/tun is not there: as root, once";
            assert!(told.starts_with(why) && told.ends_with("\nnone, but for loopback"), "{told}");
        }
        let asked = planned_for(&["--network", "none", "/nonexistent"], &[]).unwrap();
        assert_eq!(asked, "none, but for loopback");
    }

    #[test]
    fn a_resolver_on_the_host_is_reached_through_the_helper() {
        let resolv = |text| ("/etc/resolv.conf", text);
        let told = |asked, text| {
            // The last file of a name would not be found.
            let host = machine(&[TUN, SLIRP, PASST]);
            let mut facts = made_up::facts();
            facts.files = host.files().clone();
            if let Files::Told(told) = &mut facts.files {
                told.retain(|(path, _)| path != Path::new("/etc/resolv.conf"));
                let (path, text) = resolv(text);
                told.push((path.into(), text));
            }
            let host = Host::from(facts);
            let spec = crate::cli::asked_words(asked).unwrap().spec;
            let idmap = super::super::idmap::compile(&spec, &host).unwrap();
            plan(&spec.beside, &idmap, &host, &mut Vec::new()).unwrap().to_string()
        };
        let local = || "nameserver 127.0.0.1\n".to_owned();
        let slirp = ["--network", "slirp4netns", "/nonexistent"];
        let pasta = ["--network", "pasta", "/nonexistent"];
        let own = ["--network", "slirp4netns", "--dns", "192.0.2.9", "/nonexistent"];
        assert!(told(&slirp, local()).contains("names asked of it at 10.0.2.3"));
        assert!(told(&pasta, local()).contains("names asked of it at 169.254.1.1"));
        assert!(!told(&own, local()).contains("names"));
        assert!(!told(&slirp, local() + "nameserver 192.0.2.1\n").contains("names"));
        assert!(!told(&slirp, String::new()).contains("names"));
    }

    #[test]
    fn what_is_missing_is_told_with_what_helps() {
        let text = refused("slirp4netns", &[TUN]);
        assert!(text.contains("slirp4netns is not installed"), "{text}");
        assert!(text.contains("apt-get install slirp4netns"), "{text}");
        let text = refused("pasta", &[SLIRP, PASST]);
        assert!(text.contains("pasta needs a tap: /dev/net/tun is not there"), "{text}");
        assert!(text.contains("--network none"), "{text}");
        let text = refused("slirp4netns:cidr=10.0.0.0/8", &[TUN, SLIRP, ROUTED]);
        assert!(text.contains("a route to 10.0.2.0/24 through eth0"), "{text}");
    }
}
