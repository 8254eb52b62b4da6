//! Whole containers, started as anybody would: by `sublet run`.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::unistd::Pid;

use super::{Bench, Finding};
use crate::child::trial::readable;
use crate::host::advice::table::network as table;
use crate::host::advice::{Advice, Topic};
use crate::network;
use crate::sys::process;

/// Containers that have been started.
pub struct Started {
    plain: Result<Running, String>,
    helpers: Vec<(Helper, Trial<Running>)>,
}

/// What became of the trial of a helper.
enum Trial<T> {
    /// It is not installed.
    NotThere,
    /// None works without a tap, for which there has to be /dev/net/tun.
    NoTap,
    /// A container was started with it.
    Made(Result<T, String>),
}

/// A program that connects containers.
#[derive(Clone, Copy)]
struct Helper {
    name: &'static str,
    package: &'static str,
}

const HELPERS: [Helper; 2] = [
    Helper { name: "pasta", package: "passt" },
    Helper { name: "slirp4netns", package: "slirp4netns" },
];

/// Starts one without a network, and one for each helper that is installed.
pub fn start(bench: &Bench<'_>) -> Started {
    let files = bench.host.files();
    let tap = files.opens(Path::new("/dev/net/tun")).is_ok();
    let helper = |helper: Helper| {
        let trial = match files.program(helper.name) {
            None => Trial::NotThere,
            Some(_) if !tap => Trial::NoTap,
            Some(_) => Trial::Made(Running::start(&["--network", helper.name], bench)),
        };
        (helper, trial)
    };
    let plain = Running::start(&["--network", "none"], bench);
    Started { plain, helpers: HELPERS.map(helper).into() }
}

impl Started {
    /// Waits for all of them.
    pub fn finish(self, bench: &Bench<'_>) -> Vec<Finding> {
        let whole = Finding::new("container", Topic::Run, "a whole container").essential();
        let plain = self.plain.and_then(|plain| plain.finish(bench));
        let runs = plain.is_ok();
        let mut findings = vec![match plain {
            Ok(notes) => {
                let rungs = match notes.as_slice() {
                    [] => "with nothing less than could be had".to_owned(),
                    notes => format!("with less: {}", notes.join("; ")),
                };
                whole.ok(format!("ran, {rungs}"))
            }
            Err(told) => whole.missing(told),
        }];
        let tried = self.helpers.into_iter().map(|(helper, trial)| (helper, trial.finish(bench)));
        let tried: Vec<_> = tried.collect();
        if tried.iter().all(|(_, trial)| matches!(trial, Trial::NotThere)) {
            let finding = Finding::new("network", Topic::Network, "a network through a helper");
            let instead = "a run is refused that says neither --network none, loopback nor host";
            let advice = table::NETWORK_HELPERS_MISSING.advice(&[("package", &"slirp4netns")]);
            findings.push(finding.degraded(String::new(), instead).because(advice));
        }
        let working = tried.iter().find(|(_, trial)| matches!(trial, Trial::Made(Ok(_))));
        let instead = match working {
            Some((helper, _)) => format!("--network {} works", helper.name),
            None => {
                "loopback alone: --network none; published ports and --network host work".into()
            }
        };
        for (helper, trial) in tried {
            let finding = Finding::new(helper.name, Topic::Network, helper.what());
            findings.push(match trial {
                Trial::NotThere => finding.info(String::new()).because(helper.missing()),
                Trial::NoTap => finding.info("not tried: it needs /dev/net/tun"),
                Trial::Made(Ok(_)) => finding.ok("connected a container"),
                // It is not the helper's doing.
                Trial::Made(Err(_)) if !runs => {
                    finding.info("not known: there is no container to connect")
                }
                Trial::Made(Err(told)) => {
                    let advice = match told.as_str() {
                        LATE => helper.is_slow(),
                        told => network::meaning(told, helper.name),
                    };
                    finding.degraded(told, &instead).because(advice)
                }
            });
        }
        findings
    }
}

impl Trial<Running> {
    fn finish(self, bench: &Bench<'_>) -> Trial<Vec<String>> {
        match self {
            Self::NotThere => Trial::NotThere,
            Self::NoTap => Trial::NoTap,
            Self::Made(started) => Trial::Made(started.and_then(|run| run.finish(bench))),
        }
    }
}

impl Helper {
    fn what(self) -> &'static str {
        match self.name {
            "pasta" => "a network through pasta",
            _ => "a network through slirp4netns",
        }
    }

    fn missing(self) -> Advice {
        let holes = [("helper", &self.name as &dyn std::fmt::Display), ("package", &self.package)];
        table::NETWORK_HELPER_MISSING.advice(&holes)
    }

    fn is_slow(self) -> Advice {
        table::NETWORK_HELPER_SLOW.advice(&[("helper", &self.name)])
    }
}

/// A run says itself what it has waited for in vain, for as long as a doctor
/// waits in all; it began a little later, and has to be heard.
const GRACE: Duration = Duration::from_secs(5);

/// What is said of one that has not come to its end.
const LATE: &str = "it was not done in time";

/// A `sublet run` that has been started. Dropped, it is killed; its watcher
/// takes the container along.
struct Running(Child);

impl Running {
    /// The payload is this program, which is static and prints its version.
    fn start(options: &[&str], bench: &Bench<'_>) -> Result<Self, String> {
        let program = bench.host.gates().program.display().to_string();
        Command::new("/proc/self/exe")
            .args(["run", "--rm"])
            .args(options)
            .args(["--mount", &format!("type=bind,src={program},dst=/run/sublet,ro")])
            .args(["host", "/run/sublet", "--version"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map(Self)
            .map_err(|error| format!("start {program}: {error}"))
    }

    /// What it warned of, or its error.
    fn finish(mut self, bench: &Bench<'_>) -> Result<Vec<String>, String> {
        let pidfd = process::open_pidfd(Pid::from_raw(self.0.id() as i32));
        let pidfd = pidfd.map_err(|errno| errno.desc().to_owned())?;
        if !readable(pidfd.as_fd(), bench.deadline + GRACE) {
            return Err(LATE.to_owned());
        }
        let mut said = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            let _ = stderr.take(1 << 16).read_to_string(&mut said);
        }
        let status = self.0.wait().map_err(|error| error.to_string())?;
        let after = |mark: &'static str| {
            let lines = said.lines();
            lines.filter_map(move |line| line.strip_prefix(mark)).map(str::to_owned)
        };
        if status.success() {
            return Ok(after("warning: ").collect());
        }
        Err(after("error: ").next().unwrap_or_else(|| format!("{status}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both are harmless where it has ended: `Child` remembers.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
