//! /etc/hosts, /etc/hostname and /etc/resolv.conf.
//!
//! They are files of the [`Workshop`], mounted over what the root has there,
//! whatever that is: nothing is ever written through the root, and nothing of
//! them is left when the container has gone.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use oci_spec::runtime::Mount;

use super::attr::NOEXEC;
use super::draft::{Draft, cstring};
use super::join::Whose;
use super::network::{Network, service};
use super::step::{Missing, Step, Target};
use super::workshop::Workshop;
use crate::host::Host;
use crate::spec::Beside;
use crate::spec::network::Names;
use crate::sys::mount::Reach;

/// What the three files hold.
#[derive(Debug)]
pub struct Files {
    /// /etc/hosts; hosts(5). `None` where the root's own is wanted.
    pub hosts: Option<String>,
    /// /etc/hostname; hostname(5).
    pub hostname: String,
    /// /etc/resolv.conf; resolv.conf(5).
    pub resolv: Resolv,
}

/// What resolv.conf holds, and whether there is anybody to ask.
#[derive(Debug)]
pub struct Resolv {
    text: String,
    /// What the user should hear.
    note: Option<String>,
}

impl Files {
    /// The files of a container of that name.
    pub fn of(hostname: &str, network: &Network, beside: &Beside, host: &Host) -> Self {
        let Beside { names, services, .. } = beside;
        let mut hosts = match network {
            // On the host's network the host's own answers are the right ones.
            Network::Host => text("/etc/hosts", host),
            Network::None | Network::Helped(_) => own(hostname),
            // What it knows of others, and its own name.
            Network::Joined(Whose { hosts: Some(hosts), .. }) => {
                let end = if hosts.is_empty() || hosts.ends_with('\n') { "" } else { "\n" };
                format!("{hosts}{end}127.0.1.1\t{hostname}\n")
            }
            Network::Joined(_) => own(hostname),
        };
        if !names.hosts.is_empty() && !hosts.is_empty() && !hosts.ends_with('\n') {
            hosts.push('\n');
        }
        for entry in &names.hosts {
            let _ = writeln!(hosts, "{}\t{}", entry.address, entry.name);
        }
        let mut called: Vec<&str> = services.iter().map(|service| &*service.name).collect();
        called.dedup();
        for name in called {
            let _ = writeln!(hosts, "{}\t{name}", service::ADDRESS);
        }
        let hosts = (!names.no_hosts).then_some(hosts);
        let resolv = Resolv::of(network, names, host);
        Self { hosts, hostname: format!("{hostname}\n"), resolv }
    }
}

fn own(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         127.0.1.1\t{hostname}\n"
    )
}

fn text(path: &str, host: &Host) -> String {
    host.files().text(Path::new(path))
}

const FILE: &str = "/etc/resolv.conf";

impl Resolv {
    fn of(network: &Network, names: &Names, host: &Host) -> Self {
        let said = |text: String| Self { text, note: None };
        match network {
            Network::Host => said(followed(text(FILE, host), names, Some(host))),
            Network::Joined(Whose { resolv: Some(resolv), .. }) => {
                said(followed(resolv.clone(), names, None))
            }
            // Nobody says who can be asked there: those that the host asks, if
            // they are not on the host itself.
            Network::Joined(_) => {
                let servers = host.resolv().reachable(true);
                let servers = servers.iter().map(ToString::to_string).collect();
                said(written(servers, names, Some(host)))
            }
            // Nothing of the host's: its search domains tell where it stands.
            Network::None if names.asks_resolver() => said(written(Vec::new(), names, None)),
            Network::None => said("# no network: there is nobody to ask\n".to_owned()),
            Network::Helped(helper) => {
                let mut servers = host.resolv().reachable(helper.ipv6);
                servers.extend(helper.resolver.map(IpAddr::V4));
                let nobody = servers.is_empty() && names.servers.is_empty();
                let servers = servers.iter().map(ToString::to_string).collect();
                let note = nobody.then(|| {
                    format!(
                        "no server for names: the host's {FILE} has none that is reached from \
                             inside: --dns IP"
                    )
                });
                Self { text: written(servers, names, Some(host)), note }
            }
        }
    }
}

/// That file, but for what is asked for.
fn followed(file: String, names: &Names, host: Option<&Host>) -> String {
    if !names.asks_resolver() {
        return file;
    }
    let servers = file.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver").and(words.next())
    });
    written(servers.map(str::to_owned).collect(), names, host)
}

/// A resolv.conf of what is asked for, and of what `host` says where nothing
/// is.
fn written(servers: Vec<String>, names: &Names, host: Option<&Host>) -> String {
    let hosts = host.map(Host::resolv);
    let servers = match names.servers.as_slice() {
        [] => servers,
        asked => asked.iter().map(ToString::to_string).collect(),
    };
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let mut line = |word: &str, asked: Option<&Vec<String>>, of_host: Option<Vec<String>>| {
        let words = asked.cloned().or(of_host).unwrap_or_default();
        if !words.is_empty() {
            let _ = writeln!(text, "{word} {}", words.join(" "));
        }
    };
    line("search", names.search.as_ref(), hosts.map(|resolv| resolv.search.clone()));
    // Said of a resolver on the machine itself, whose word can be trusted.
    let options = hosts.map(|resolv| {
        resolv.options.iter().filter(|option| *option != "trust-ad").cloned().collect()
    });
    line("options", names.options.as_ref(), options);
    text
}

/// Plans the three files.
///
/// One that the user mounts is the user's, and so is a whole /etc.
pub fn plan(
    files: Files,
    mounts: &[Mount],
    workshop: Workshop,
    draft: &mut Draft,
) -> anyhow::Result<()> {
    let all = [
        ("hosts", files.hosts, None),
        ("hostname", Some(files.hostname), None),
        ("resolv.conf", Some(files.resolv.text), files.resolv.note),
    ];
    for (name, content, note) in all {
        let target = Path::new("/etc").join(name);
        let users = |mount: &Mount| {
            mount.destination() == Path::new("/etc") || *mount.destination() == target
        };
        if let Some(content) = content.filter(|_| !mounts.iter().any(users)) {
            show(name, content, workshop, draft)?;
            draft.notes.extend(note);
        }
    }
    Ok(())
}

fn show(name: &str, content: String, workshop: Workshop, draft: &mut Draft) -> anyhow::Result<()> {
    workshop.file(name, content.into_bytes(), draft);
    let tree = workshop.copy(name, draft);
    draft.set(tree, &format!("our {name}"), NOEXEC, 0, Reach::Mount);
    draft.push(Step::Attach {
        tree,
        what: format!("our {name}"),
        target: Target::Path(cstring(&Path::new("/etc").join(name))?),
        // A root without an /etc, or with one that leads nowhere, does without.
        missing: Missing::Try,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::files::Files as HostFiles;
    use crate::host::made_up;

    const RESOLV: &str = "nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n\
                          search a.example\noptions edns0 trust-ad\n";

    /// hosts, resolv.conf and notes of a run with these options.
    fn files(options: &[&str], resolv: &str) -> (String, String, Option<String>) {
        let mut facts = made_up::facts();
        let told: [(&str, &str); 5] = [
            ("/etc/hosts", "192.0.2.2 thehost"),
            (FILE, resolv),
            ("/dev/net/tun", ""),
            ("/usr/bin/slirp4netns", ""),
            ("/usr/bin/pasta", ""),
        ];
        let told = told.map(|(path, text)| (path.into(), text.to_owned()));
        facts.files = HostFiles::Told(told.into());
        let host = Host::from(facts);
        let words: Vec<&str> = options.iter().copied().chain(["/nonexistent"]).collect();
        let spec = crate::cli::asked_words(&words).unwrap().spec;
        let idmap = super::super::idmap::compile(&spec, &host).unwrap();
        let network =
            super::super::network::plan(&spec.beside, &idmap, &host, &mut Vec::new()).unwrap();
        let Files { hosts, resolv, .. } = Files::of("box", &network, &spec.beside, &host);
        (hosts.unwrap_or_default(), resolv.text, resolv.note)
    }

    fn resolv(options: &[&str], resolv: &str) -> String {
        files(options, resolv).1
    }

    const SLIRP: [&str; 2] = ["--network", "slirp4netns"];

    #[test]
    fn servers_that_are_reached_are_the_hosts() {
        let text = "nameserver 192.0.2.1\nsearch a.example\noptions edns0\n";
        assert_eq!(resolv(&SLIRP, RESOLV), text);
        assert_eq!(resolv(&["--net", "pasta"], RESOLV), text);
        let asked = ["--net", "slirp4netns:ipv6=true"];
        assert!(resolv(&asked, RESOLV).contains("nameserver 2001:db8::1\n"));
        assert_eq!(resolv(&["--net", "host"], RESOLV), RESOLV);
        assert!(resolv(&["--net", "none"], RESOLV).starts_with("# no network"));
    }

    #[test]
    fn one_on_the_host_alone_is_asked_through_the_helper_and_none_is_invented() {
        let local = "nameserver 127.0.0.1\n";
        assert_eq!(resolv(&SLIRP, local), "nameserver 10.0.2.3\n");
        assert_eq!(resolv(&["--net", "pasta"], local), "nameserver 169.254.1.1\n");
        let (_, text, note) = files(&SLIRP, "");
        assert_eq!(text, "");
        assert!(note.unwrap().contains("--dns IP"));
        assert_eq!(files(&SLIRP, RESOLV).2, None);
    }

    #[test]
    fn what_is_asked_for_takes_the_place_of_the_hosts() {
        let dns = ["--dns", "192.0.2.9", "--dns", "fd00::9"];
        let all = [&SLIRP[..], &dns, &["--dns-search", "b.example", "--dns-option", "ndots:3"]];
        assert_eq!(
            resolv(&all.concat(), RESOLV),
            "nameserver 192.0.2.9\nnameserver fd00::9\nsearch b.example\noptions ndots:3\n"
        );
        let nowhere = [&SLIRP[..], &["--dns-search", "."]].concat();
        assert_eq!(resolv(&nowhere, RESOLV), "nameserver 192.0.2.1\noptions edns0\n");
        let host = ["--net", "host", "--dns-search", "b.example"];
        assert_eq!(
            resolv(&host, "nameserver 127.0.0.1\nsearch a.example\n"),
            "nameserver 127.0.0.1\nsearch b.example\n"
        );
        assert_eq!(resolv(&["--dns", "127.0.0.1"], RESOLV), "nameserver 127.0.0.1\n");
    }

    #[test]
    fn hosts_has_what_was_added() {
        let added = ["--add-host", "db:192.0.2.7", "--add-host", "db:fd00::7"];
        let (own, ..) = files(&[&SLIRP[..], &added].concat(), RESOLV);
        assert!(own.ends_with("127.0.1.1\tbox\n192.0.2.7\tdb\nfd00::7\tdb\n"), "{own}");
        let (hosts, ..) = files(&[&["--net", "host"], &added[..2]].concat(), RESOLV);
        assert_eq!(hosts, "192.0.2.2 thehost\n192.0.2.7\tdb\n");
        assert_eq!(files(&["--no-hosts"], RESOLV).0, "");
        let services = ["--host-service", "80:db", "--host-service", "81"];
        let (hosts, ..) = files(&services, RESOLV);
        let told = "127.0.1.1\tbox\n169.254.1.2\tdb\n169.254.1.2\thost.containers.internal\n";
        assert!(hosts.ends_with(told), "{hosts}");
    }
}
