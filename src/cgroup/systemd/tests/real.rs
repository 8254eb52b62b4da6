//! The client against a real bus, where one is installed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::peer::{LONG, UNIT, kind, path};
use super::*;
use crate::host::bus::Bus;

/// dbus-daemon(1), ended with its test.
struct Daemon {
    child: Child,
    bus: Bus,
}

impl Daemon {
    /// `None` where it is not installed.
    fn start(test: &str) -> Option<Self> {
        let bus = Bus { path: path(test), kind: bus::Kind::Session };
        let mut child = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address"])
            .arg(format!("--address=unix:path={}", bus.path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:path="), "{address:?}");
        Some(Self { child, bus })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(&self.bus.path);
    }
}

#[test]
fn a_bus_without_systemd_says_so() {
    let Some(daemon) = Daemon::start("daemon") else {
        eprintln!("skipped: dbus-daemon is not installed");
        return;
    };
    let scope = StartScope {
        unit: UNIT,
        slice: None,
        description: "",
        pids: &[],
        delegate: true,
        properties: &[],
    };
    let job = Systemd::at(&daemon.bus).within(LONG).start_scope(&scope).unwrap();
    let error = job.wait().unwrap_err();
    let text = report(&error);
    assert!(text.contains("org.freedesktop.DBus.Error."), "{text}");
    assert_eq!(kind(&error), Kind::NoManager, "{text}");
}
