//! Plans for command lines, on machines that are told.
//!
//! `goldens` compares them with text for people, `order` says what must hold
//! of all of them.

mod entries;
mod goldens;
mod order;

use std::path::Path;

use super::Plan;
use crate::cli::asked_words;
use crate::host::cgroup::Controller;
use crate::host::files::Files;
use crate::host::mounts::Mounts;
use crate::host::subid::{self, Subids};
use crate::host::{Facts, Host, made_up};
use crate::spec::Spec;
use crate::spec::oci::Engine;

/// A command line on a machine.
pub(super) struct Case {
    /// Its golden file, without the extension.
    name: &'static str,
    /// What makes the machine other than one that has all.
    machine: fn(&mut Facts),
    /// The words after `sublet run`, or those for sublet-oci. None of the paths
    /// are there, so nothing of the real machine is in a plan.
    words: &'static [&'static str],
}

/// The case of that name.
pub(super) fn case(name: &str) -> &'static Case {
    let found = CASES.iter().find(|case| case.name == name);
    found.unwrap_or_else(|| panic!("there is no case {name:?}"))
}

impl Case {
    /// Whether it is one for sublet-oci.
    fn is_bundle(&self) -> bool {
        self.words.first() == Some(&"create")
    }

    pub(super) fn plan(&self) -> Plan {
        let mut facts = made_up::facts();
        (self.machine)(&mut facts);
        let spec = match self.is_bundle() {
            true => bundle(),
            false => asked_words(self.words).map(|asked| asked.spec),
        };
        let spec = spec.unwrap_or_else(|error| panic!("{}: {error:#}", self.name));
        let plan = super::compile(&spec, None, &Host::from(facts));
        plan.unwrap_or_else(|error| panic!("{}: {error:#}", self.name))
    }
}

/// A bundle that asks for what no flag of `sublet run` does.
fn bundle() -> anyhow::Result<Spec> {
    let kinds = ["user", "mount", "pid", "network", "uts", "time"];
    let namespaces = kinds.map(|kind| serde_json::json!({ "type": kind }));
    let config = serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 1000, "gid": 1000, "additionalGids": [2000]},
            "args": ["true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "oomScoreAdj": 100,
            "capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}],
        },
        "root": {"path": "rootfs"},
        "hostname": "web",
        "domainname": "nis",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "source": "data", "options": ["rbind", "rro", "rslave"]},
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs",
             "options": ["tmpcopyup", "ro"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["ro"]},
        ],
        "hooks": {
            "createRuntime": [{"path": "/bin/hook"}],
            "createContainer": [{"path": "/bin/hook"}],
            "startContainer": [{"path": "/bin/inner"}, {"path": "/bin/more"}],
        },
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
            "namespaces": namespaces,
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "timeOffsets": {"monotonic": {"secs": 7}, "boottime": {"secs": -1, "nanosecs": 5}},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
            "rootfsPropagation": "shared",
            "readonlyPaths": ["/proc/sys"],
            "maskedPaths": ["/sys/firmware"],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
        },
    });
    let text = config.to_string();
    let (directory, engine) = (Path::new("/nonexistent"), Engine::default());
    crate::spec::oci::read(text.as_bytes(), directory, "web".parse()?, engine)
}

fn has_all(_: &mut Facts) {}

fn no_range(facts: &mut Facts) {
    facts.subuids = Subids::none(subid::Source::File, None);
    facts.subgids = facts.subuids.clone();
}

/// As in a container whose /proc has something hidden.
fn covered_proc(facts: &mut Facts) {
    facts.mounts = Mounts::of("9 8 0:5 /null /proc/kcore rw - devtmpfs devtmpfs rw\n");
}

fn covered_sys(facts: &mut Facts) {
    facts.mounts = Mounts::of("9 8 0:5 / /sys/firmware ro - tmpfs tmpfs ro\n");
}

/// As where an administrator has written the drop-in.
fn delegates_all(facts: &mut Facts) {
    facts.cgroups.session_controllers = Controller::list("cpuset cpu io memory pids");
}

/// As in a unit with `Delegate=yes`.
fn owns_group(facts: &mut Facts) {
    let unit = "/sys/fs/cgroup/system.slice/ci.service";
    facts.cgroups.own = Some(unit.into());
    facts.cgroups.ours = Some(unit.into());
    facts.cgroups.controllers = Controller::list("cpuset cpu io memory pids");
}

fn has_helpers(facts: &mut Facts) {
    let files = ["/dev/net/tun", "/usr/bin/slirp4netns", "/usr/bin/pasta"];
    if let Files::Told(told) = &mut facts.files {
        told.extend(files.map(|path| (path.into(), String::new())));
    }
}

fn called_by_root(facts: &mut Facts) {
    facts.caller = made_up::root();
}

/// One choice each, so that a golden shows what it does to the default; and
/// some that have to get along.
const CASES: &[Case] = &[
    Case { name: "bundle", machine: has_all, words: &["create", "web"] },
    Case { name: "directory", machine: has_all, words: &["/nonexistent/root", "true"] },
    Case { name: "host", machine: has_all, words: &["host"] },
    Case { name: "overlay", machine: has_all, words: &["/nonexistent/root:O", "/bin/true"] },
    Case {
        name: "read-only",
        machine: has_all,
        words: &["--read-only", "/nonexistent/root", "true"],
    },
    Case {
        name: "notify",
        machine: |facts| facts.notify_socket = Some("/run/user/1000/systemd/notify".into()),
        words: &["/nonexistent/root"],
    },
    Case {
        name: "few-files",
        machine: |facts| facts.descriptors.soft = 128,
        words: &["--network", "loopback", "-p", "8000-8009:80-89", "/nonexistent/root", "true"],
    },
    Case { name: "terminal", machine: has_all, words: &["-it", "/nonexistent/root"] },
    Case {
        name: "terminal-of-a-user",
        machine: has_all,
        words: &["-t", "-u", "1000:1000", "--init", "/nonexistent/root"],
    },
    Case {
        name: "volumes",
        machine: has_all,
        words: &[
            "-v",
            "/srv/plain:/a",
            "-v",
            "/srv/read-only:/b:ro,noexec",
            "-v",
            "/srv/not-below:/c:bind",
            "-v",
            "/srv/thrown-away:/d:O",
            "/nonexistent/root",
            "true",
        ],
    },
    Case {
        name: "volume-slave",
        machine: has_all,
        words: &[
            "-v",
            "/srv/plain:/a",
            "-v",
            "/srv/followed:/b:rslave",
            "/nonexistent/root",
            "true",
        ],
    },
    Case {
        name: "host-volume-slave",
        machine: has_all,
        words: &["-v", "/media:/media:rslave", "host", "true"],
    },
    Case {
        name: "mounts",
        machine: has_all,
        words: &[
            "--mount",
            "type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=700",
            "--mount",
            "type=bind,\"src=/srv/a,b\",dst=/b,ro,bind-recursive=disabled",
            "--mount",
            "type=devpts,dst=/more/pts",
            "--mount",
            "type=mqueue,dst=/more/mqueue",
            "--tmpfs",
            "/t:exec",
            "--device",
            "/dev/fuse",
            "--shm-size",
            "1m",
            "/nonexistent/root",
            "true",
        ],
    },
    Case {
        name: "userns-single",
        machine: has_all,
        words: &["--userns", "single", "/nonexistent/root", "true"],
    },
    Case {
        name: "userns-keep-id",
        machine: has_all,
        words: &["--userns", "keep-id", "/nonexistent/root", "true"],
    },
    Case {
        name: "userns-nomap",
        machine: has_all,
        words: &["--userns", "nomap", "/nonexistent/root", "true"],
    },
    Case {
        name: "userns-custom",
        machine: has_all,
        words: &["--uidmap", "7:1000:1", "--gidmap", "8:1000:1", "/nonexistent/root", "true"],
    },
    Case { name: "no-range", machine: no_range, words: &["/nonexistent/root", "true"] },
    Case { name: "called-by-root", machine: called_by_root, words: &["/nonexistent/root", "true"] },
    Case {
        name: "user",
        machine: has_all,
        words: &["-u", "33:44", "--group-add", "7", "/nonexistent/root", "true"],
    },
    Case {
        name: "keep-groups",
        machine: has_all,
        words: &["--group-add", "keep-groups", "/nonexistent/root", "true"],
    },
    Case {
        name: "network-host",
        machine: has_all,
        words: &["--network", "host", "/nonexistent/root", "true"],
    },
    Case {
        name: "slirp4netns",
        machine: has_helpers,
        words: &[
            "--network",
            "slirp4netns:mtu=1400,outbound_addr=192.0.2.7",
            "/nonexistent/root",
            "true",
        ],
    },
    Case {
        name: "pasta",
        machine: has_helpers,
        words: &["--network", "pasta:-4", "/nonexistent/root", "true"],
    },
    Case {
        name: "pid-host",
        machine: has_all,
        words: &["--pid", "host", "/nonexistent/root", "true"],
    },
    Case {
        name: "ipc-host",
        machine: has_all,
        words: &["--ipc", "host", "/nonexistent/root", "true"],
    },
    Case {
        name: "uts-host",
        machine: has_all,
        words: &["--uts", "host", "/nonexistent/root", "true"],
    },
    Case {
        name: "cgroupns-host",
        machine: has_all,
        words: &["--cgroupns", "host", "/nonexistent/root", "true"],
    },
    Case {
        name: "limits",
        machine: delegates_all,
        words: &[
            "-m",
            "64m",
            "--memory-reservation",
            "32m",
            "--cpus",
            "0.2",
            "-c",
            "512",
            "--cpuset-cpus",
            "0-1,9",
            "--cpuset-mems",
            "0",
            "--pids-limit",
            "64",
            "--blkio-weight",
            "500",
            "--device-read-bps",
            "/dev/sda:1m",
            "--device-write-iops",
            "/dev/sda:100",
            "--cgroup-conf",
            "memory.high=60M",
            "--cgroup-conf",
            "memory.zswap.max=0",
            "--cgroup-parent",
            "mine.slice",
            "-v",
            "/srv/plain:/sys/fs/cgroup/a",
            "/nonexistent/root",
            "true",
        ],
    },
    Case {
        name: "limits-direct",
        machine: owns_group,
        words: &["-m", "64m", "--cpus", "1.5", "/nonexistent/root", "true"],
    },
    Case { name: "own-group", machine: owns_group, words: &["/nonexistent/root", "true"] },
    Case {
        name: "delegated-group",
        machine: owns_group,
        words: &["--cgroup-delegate", "--cgroup-parent", "/a/b", "/nonexistent/root", "true"],
    },
    Case {
        name: "limits-best-effort",
        machine: has_all,
        words: &[
            "--limits",
            "best-effort",
            "--cgroupns",
            "host",
            "-m",
            "64m",
            "--cpuset-cpus",
            "0-1",
            "--blkio-weight",
            "10",
            "/nonexistent/root",
            "true",
        ],
    },
    Case { name: "init", machine: has_all, words: &["--init", "/nonexistent/root", "true"] },
    Case { name: "nested", machine: has_all, words: &["--nested", "/nonexistent/root", "true"] },
    Case {
        name: "new-privileges",
        machine: has_all,
        words: &[
            "--security-opt",
            "no-new-privileges=false",
            "--init",
            "-it",
            "/nonexistent/root",
            "true",
        ],
    },
    Case {
        name: "unconfined",
        machine: has_all,
        words: &[
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "unmask=ALL",
            "--cap-add",
            "ALL",
            "/nonexistent/root",
            "true",
        ],
    },
    Case { name: "covered-proc", machine: covered_proc, words: &["/nonexistent/root", "true"] },
    Case { name: "covered-sys", machine: covered_sys, words: &["/nonexistent/root", "true"] },
    Case {
        name: "process",
        machine: has_all,
        words: &[
            "-i",
            "--hostname",
            "box",
            "--workdir",
            "/srv",
            "--umask",
            "077",
            "--ulimit",
            "nofile=10:20",
            "--oom-score-adj",
            "5",
            "/nonexistent/root",
            "/bin/sh",
            "-c",
            "echo \"a\tb\"",
        ],
    },
];
