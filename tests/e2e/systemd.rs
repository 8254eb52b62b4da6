//! The client of `cgroup::systemd` against the user's own manager.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::unistd::Pid;
use sublet::cgroup::systemd::{Failure, Kind, StartScope, Systemd};
use sublet::error::report;
use sublet::host::Host;
use sublet::host::bus::{self, Bus, Places};
use sublet::plan::cgroup::{Property, Value};

use crate::common::spawn::start;
use crate::common::{eventually, patience, requires};

/// A process to be moved about, ended with its test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        Self(start(Command::new("sleep").arg("600")).expect("start sleep"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id() as i32)
    }

    /// The directory of its cgroup.
    fn cgroup(&self) -> PathBuf {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", self.pid())).expect("a cgroup");
        let path = text.trim().strip_prefix("0::/").expect("cgroup v2").to_owned();
        PathBuf::from("/sys/fs/cgroup").join(path)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the manager listens, in all ways: what `find` prefers, and the bus.
fn sockets() -> Vec<Bus> {
    let host = Host::new();
    let caller = host.caller().expect("a caller");
    let found = bus::find(caller, &Places::probe()).expect("a manager");
    let path = format!("/run/user/{}/bus", caller.uid).into();
    vec![found, Bus { path, kind: bus::Kind::Session }]
}

fn property(name: &str, value: Value) -> Property {
    Property { name: name.to_owned(), value }
}

fn kind(error: &anyhow::Error) -> Option<&Kind> {
    error.downcast_ref::<Failure>().map(|failure| &failure.kind)
}

#[test]
fn a_scope_is_started_changed_and_stopped() {
    requires!(user_manager);
    for (at, bus) in sockets().iter().enumerate() {
        let systemd = Systemd::at(bus).within(patience(2.0));
        // The bus may have been started a moment ago.
        let on_bus = || systemd.reset_failed("sublet-e2e-none.scope").ok();
        eventually(5.0, on_bus).expect("the manager on the bus");
        let sleeper = Sleeper::start();
        let unit = format!("sublet-e2e-{}-{at}.scope", std::process::id());
        let start = |properties: &[Property]| {
            let scope = StartScope {
                unit: &unit,
                slice: None,
                description: "a test",
                pids: &[sleeper.pid()],
                delegate: true,
                properties,
            };
            systemd.start_scope(&scope)?.wait()
        };
        let limit = |bytes| property("MemoryMax", Value::U64(bytes));

        let unknown = start(&[limit(64 << 20), property("NoSuchLimit", Value::Bool(true))]);
        let unknown = unknown.expect_err("an unknown property");
        assert_eq!(kind(&unknown), Some(&Kind::UnknownProperty("NoSuchLimit".to_owned())));

        start(&[
            limit(64 << 20),
            property("AllowedCPUs", Value::Bytes(vec![1])),
            property("IOReadBandwidthMax", Value::Rates(vec![("/dev/null".to_owned(), 1)])),
            property("OOMPolicy", Value::Text("continue".to_owned())),
        ])
        .unwrap_or_else(|error| panic!("{}", report(&error)));
        let cgroup = sleeper.cgroup();
        assert!(cgroup.ends_with(&unit), "{}", cgroup.display());
        let memory = || fs::read_to_string(cgroup.join("memory.max")).expect("memory.max");
        assert_eq!(memory(), "67108864\n");
        let again = start(&[]).expect_err("the name is taken");
        assert_eq!(kind(&again), Some(&Kind::UnitExists), "{}", report(&again));

        systemd.set_properties(&unit, &[limit(32 << 20)]).expect("another limit");
        assert_eq!(memory(), "33554432\n");
        // Delegated: its directory is ours.
        fs::create_dir(cgroup.join("payload")).expect("a cgroup below it");
        systemd.attach(&unit, "/payload", &[sleeper.pid()]).expect("moved");
        assert_eq!(sleeper.cgroup(), cgroup.join("payload"));

        systemd.stop(&unit).unwrap_or_else(|error| panic!("{}", report(&error)));
        eventually(5.0, || (!cgroup.exists()).then_some(())).expect("the cgroup gone");
        systemd.stop(&unit).expect("nothing to stop");
        systemd.reset_failed(&unit).expect("nothing to forget");
        let absent = systemd.set_properties(&unit, &[limit(1)]).expect_err("no such unit");
        assert_eq!(kind(&absent), Some(&Kind::NoSuchUnit));
    }
}

#[test]
fn the_machines_manager_starts_nothing_for_a_user() {
    requires!(scopes, ordinary_user);
    let bus = Bus { path: "/run/dbus/system_bus_socket".into(), kind: bus::Kind::System };
    let systemd = Systemd::at(&bus).within(patience(2.0));
    let sleeper = Sleeper::start();
    let scope = StartScope {
        unit: "sublet-e2e-denied.scope",
        slice: None,
        description: "",
        pids: &[sleeper.pid()],
        delegate: true,
        properties: &[],
    };
    let denied = systemd.start_scope(&scope).and_then(|job| job.wait()).expect_err("denied");
    assert_eq!(kind(&denied), Some(&Kind::Denied), "{}", report(&denied));
}
