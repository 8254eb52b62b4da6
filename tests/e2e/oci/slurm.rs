//! Slurm, with sublet-oci as the runtime of its `oci.conf`: a cluster of one
//! node, whose daemons are the caller's.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::documented;
use crate::common::*;

/// Slurm takes no address for one that is the loopback's. Whoever runs in here
/// keeps his ids.
const NETWORK: &str = "
    ip link set lo up
    ip link add lan type veth peer name far
    ip address add 10.77.0.1/24 dev lan
    ip link set lan up; ip link set far up
    exec \"$@\"";

/// Its daemons, in a network of their own, with all that they keep in the test's
/// own directories.
struct Slurm {
    scratch: Scratch,
    /// munged, who holds the network, and the two of Slurm's.
    daemons: Vec<Running>,
}

impl Slurm {
    fn new() -> Self {
        let scratch = Scratch::new();
        symlink(launcher(), scratch.join("sublet-oci")).expect("link the launcher");
        for directory in ["state", "spool", "logs", "munge"] {
            scratch.dir(directory);
        }
        scratch.file("slurm.conf", configuration(&scratch));
        scratch.file("oci.conf", runtime(&scratch));
        scratch.file("cgroup.conf", "CgroupPlugin=disabled\n");
        let mut slurm = Self { scratch, daemons: Vec::new() };
        slurm.start_munge();
        for daemon in [["slurmctld", "-D"], ["slurmd", "-D"]] {
            let running = slurm.program(&daemon).within(1200.0).spawn();
            slurm.daemons.push(running);
        }
        let idle = || {
            let told = slurm.program(&["sinfo", "--noheader", "--format", "%t"]).run();
            (told.stdout().trim() == "idle").then_some(())
        };
        eventually(90.0, idle).unwrap_or_else(|| panic!("no node is idle: {}", slurm.logs()));
        slurm
    }

    fn start_munge(&mut self) {
        let key = self.scratch.file("munge/key", [7; 1024]);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("its mode");
        let at = |name: &str| self.scratch.text(&format!("munge/{name}"));
        let own = ["unshare", "--user", "--map-current-user", "--keep-caps", "--net"];
        let outer = [&own[..], &["sh", "-ec", NETWORK, "sh"]].concat();
        // It likes no directory above its own that belongs to nobody it knows.
        let munged = Program::new("munged")
            .args(["--foreground", "--force", "--key-file", &key, "--socket", &at("socket")])
            .args(["--pid-file", &at("pid"), "--log-file", &at("log"), "--seed-file", &at("seed")])
            .within(1200.0)
            .under(&outer);
        self.daemons.push(munged.spawn());
        let socket = self.scratch.join("munge/socket");
        eventually(30.0, || socket.exists().then_some(())).expect("munged listens");
    }

    /// A program where the daemons are.
    fn program(&self, words: &[&str]) -> Program {
        let holder = self.daemons[0].pid().to_string();
        let outer = ["nsenter", "--target", &holder, "--user", "--preserve-credentials", "--net"];
        let program = Program::new(words[0]).args(&words[1..]).at_home(&self.scratch);
        program.env("SLURM_CONF", self.scratch.text("slurm.conf")).within(120.0).under(&outer)
    }

    /// `srun` with this container and a shell's script in it.
    fn step(&self, bundle: &str, options: &[&str], script: &str) -> Program {
        let container = ["--container", bundle, "/bin/sh", "-c", script];
        self.program(&[&["srun"], options, &container].concat())
    }

    /// A bundle as a user makes one.
    fn bundle(&self) -> String {
        let bundle = self.scratch.dir("bundle");
        let root = Root::busybox(&self.scratch);
        symlink(root.path(), format!("{bundle}/rootfs")).expect("a root");
        let spec = ["spec", "--rootless", "--bundle", &bundle];
        Program::new(self.scratch.join("sublet-oci")).args(spec).at_home(&self.scratch).ok();
        bundle
    }

    fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.scratch.join("logs").join(name));
        ["slurmctld", "slurmd"].map(|name| read(name).unwrap_or_default()).join("\n")
    }

    /// The runtime keeps nothing of what Slurm has ended.
    #[track_caller]
    fn nothing_left(&self) {
        let left = || fs::read_dir(self.scratch.join("containers")).map_or(0, Iterator::count);
        eventually(60.0, || (left() == 0).then_some(())).expect("nothing is left");
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.program(&["scancel", "--signal", "KILL", "--state", "RUNNING"]).run();
        while let Some(daemon) = self.daemons.pop() {
            daemon.signal(libc::SIGTERM);
            daemon.wait();
        }
    }
}

/// A port that nobody has; in the network of the daemons all of them are free.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn configuration(scratch: &Scratch) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid());
    let user = user.expect("look the caller up").expect("the caller has a name").name;
    let at = |path: &str| scratch.text(path);
    // Each daemon looks for itself by it.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a host name");
    let host = host.trim();
    // More processors than there are, so that none of the jobs waits for another.
    [
        "ClusterName=test".to_owned(),
        format!("SlurmctldHost={host}(10.77.0.1)"),
        format!("SlurmUser={user}"),
        format!("SlurmdUser={user}"),
        format!("SlurmctldPort={}", port()),
        "AuthType=auth/munge".to_owned(),
        format!("AuthInfo=socket={}", at("munge/socket")),
        "CredType=cred/munge".to_owned(),
        format!("SlurmctldPidFile={}", at("slurmctld.pid")),
        format!("SlurmdPidFile={}", at("slurmd.pid")),
        format!("SlurmctldLogFile={}", at("logs/slurmctld")),
        format!("SlurmdLogFile={}", at("logs/slurmd")),
        format!("SlurmdSpoolDir={}", at("spool")),
        format!("StateSaveLocation={}", at("state")),
        "ProctrackType=proctrack/linuxproc".to_owned(),
        "TaskPlugin=task/none".to_owned(),
        "SelectType=select/cons_tres".to_owned(),
        "SelectTypeParameters=CR_CPU".to_owned(),
        "SlurmdParameters=config_overrides".to_owned(),
        "SchedulerParameters=sched_interval=2,batch_sched_delay=0".to_owned(),
        "MpiDefault=none".to_owned(),
        // On a slow machine too.
        "MessageTimeout=100".to_owned(),
        "TCPTimeout=60".to_owned(),
        "BatchStartTimeout=300".to_owned(),
        format!("NodeName={host} NodeAddr=10.77.0.1 CPUs=32 State=UNKNOWN"),
        "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n".to_owned(),
    ]
    .join("\n")
}

/// The documentation's own lines, with the test's program and directory.
fn runtime(scratch: &Scratch) -> String {
    let mut conf = documented(include_str!("../../../docs/slurm.md"), "conf");
    for (there, here) in [
        ("/usr/local/bin/sublet-oci", scratch.text("sublet-oci")),
        ("/tmp/sublet-oci-%U", scratch.text("containers")),
        // Here the daemons are the user's own.
        ("runuser -u %u -- ", String::new()),
    ] {
        assert!(conf.contains(there), "no {there} in {conf}");
        conf = conf.replace(there, &here);
    }
    conf
}

#[test]
fn slurm_runs_steps_in_containers() {
    requires!(slurm);
    let slurm = Slurm::new();
    let bundle = slurm.bundle();
    let script = "cat; hostname; id -u; echo $SLURM_JOB_NUM_NODES $SLURM_CONF; exit 5";
    let done = slurm.step(&bundle, &[], script).input("typed\n").run();
    assert_eq!(done.exits(5).stdout(), "typed\nsublet\n0\n1\n", "{}", done.stderr);
    let told = slurm.step(&bundle, &["--ntasks", "2"], "echo $SLURM_PROCID").ok();
    let mut tasks: Vec<_> = told.lines().collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["0", "1"]);
    let missing = slurm.program(&["srun", "--container", &bundle, "/no/such"]).run();
    assert!(missing.exits(1).stderr.contains("no such file or directory"), "{}", missing.stderr);
    slurm.nothing_left();

    let mut step = slurm.step(&bundle, &[], "echo up; sleep 600").spawn();
    assert_eq!(step.line(), "up");
    let killed = ["scancel", "--signal", "KILL", "--state", "RUNNING"];
    slurm.program(&killed).ok();
    assert_ne!(step.wait().status.code(), Some(0));
    slurm.nothing_left();
}

#[test]
fn slurm_runs_an_array_of_jobs_in_containers() {
    requires!(slurm);
    let slurm = Slurm::new();
    let bundle = slurm.bundle();
    let output = slurm.scratch.text("logs/task-%a");
    let script = "echo $SLURM_ARRAY_TASK_ID $(hostname)";
    let words = ["sbatch", "--wait", "--array", "1-20", "--output", &output];
    let words = [&words[..], &["--container", &bundle, "--wrap", script]].concat();
    let done = slurm.program(&words).within(300.0).run();
    let said = |task: &i32| fs::read_to_string(slurm.scratch.join(format!("logs/task-{task}")));
    let told: Vec<_> = (1..=20).map(|task| said(&task).unwrap_or_default()).collect();
    let meant: Vec<_> = (1..=20).map(|task| format!("{task} sublet\n")).collect();
    assert_eq!(told, meant, "{done:?}: {}", slurm.logs());
    done.exits(0);
    slurm.nothing_left();
}
