//! podman, with sublet-oci as its runtime.

use std::fs;

use crate::common::*;

/// podman for an ordinary user, with all that it keeps in the test's own
/// directories.
struct Podman {
    scratch: Scratch,
    root: Root,
}

/// What podman has to be told of a runtime that it does not know.
const CONFIGURATION: &str = r#"
[containers]
log_driver = "k8s-file"
[engine]
runtime = "sublet-oci"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime_supports_json = ["sublet-oci"]
runtime_supports_nocgroups = ["sublet-oci"]
runtime_supports_nocgroup = ["sublet-oci"]
[engine.runtimes]
"#;

impl Podman {
    fn new() -> Self {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        let program = scratch.join("sublet-oci");
        std::os::unix::fs::symlink(launcher(), &program).expect("link the launcher");
        scratch.dir("config/containers");
        let known = format!("{CONFIGURATION}sublet-oci = [{program:?}]\n");
        scratch.file("config/containers/containers.conf", known);
        Self { scratch, root }
    }

    fn podman(&self, words: &[&str]) -> Program {
        let program = Program::new("podman").at_home(&self.scratch).within(120.0);
        program
            .env("CONTAINERS_CONF", self.scratch.text("config/containers/containers.conf"))
            .args(words)
    }

    /// `podman run` without a network, with these options and this command.
    fn run(&self, options: &[&str], command: &[&str]) -> Program {
        let fixed = ["run", "--network", "none", "--cgroups", "disabled"];
        self.podman(&[&fixed, options, &["--rootfs", self.root.text()], command].concat())
    }

    /// podman with this manager of control groups, where systemd is reached.
    fn managed(&self, manager: &str, words: &[&str]) -> Program {
        let bus = format!("/run/user/{}/bus", caller().0);
        if manager == "systemd" {
            // podman asks once, and it may just be started.
            eventually(30.0, || std::os::unix::net::UnixStream::connect(&bus).ok());
        }
        let bus = format!("unix:path={bus}");
        let program = self.podman(&[&["--cgroup-manager", manager], words].concat());
        program.env("DBUS_SESSION_BUS_ADDRESS", bus)
    }

    /// `podman run -d` with it.
    fn start(&self, manager: &str, options: &[&str], command: &[&str]) {
        // As many processes as there may be: not everywhere is a controller for them.
        let fixed = ["run", "-d", "--pids-limit", "-1"];
        let words = [&fixed, options, &["--rootfs", self.root.text()], command].concat();
        self.managed(manager, &words).ok();
    }

    /// The runtime keeps nothing of what podman has removed.
    #[track_caller]
    fn nothing_left(&self) {
        let left = fs::read_dir(self.scratch.join("run/sublet-oci")).map_or(0, Iterator::count);
        assert_eq!(left, 0);
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.podman(&["rm", "--all", "--force", "--time", "0"]).run();
        // Its pause process keeps our directories.
        self.podman(&["system", "migrate"]).run();
    }
}

#[test]
fn podman_runs_containers() {
    requires!(podman);
    let podman = Podman::new();
    let done = podman.run(&["--rm"], &["sh", "-c", "id -u; hostname >/dev/null; exit 7"]).run();
    assert_eq!((done.code(), done.stdout().as_str()), (7, "0\n"), "{}", done.stderr);
    podman.run(&["--rm"], &["no-such-program"]).run().exits(127);
    podman.run(&["--rm"], &["/etc/passwd"]).run().exits(126);
    let shown = podman.scratch.dir("shown");
    fs::write(format!("{shown}/file"), "hello\n").expect("a file");
    let volume = format!("{shown}:/mnt:ro");
    assert_eq!(podman.run(&["--rm", "-v", &volume], &["cat", "/mnt/file"]).ok(), "hello");
    let told = podman.run(&["--rm", "--userns", "keep-id"], &["id", "-u"]).ok();
    assert_eq!(told, caller().0.to_string());
    assert_eq!(podman.run(&["--rm", "--user", "5:6"], &["id", "-g"]).ok(), "6");
    podman.nothing_left();
}

#[test]
fn podman_stops_and_kills() {
    requires!(podman);
    let podman = Podman::new();
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done";
    podman.run(&["--detach", "--name", "a"], &["sh", "-c", script]).ok();
    let up = || podman.podman(&["logs", "a"]).ok().contains("up").then_some(());
    eventually(30.0, up).expect("it is up");
    podman.podman(&["stop", "--time", "60", "a"]).ok();
    let code = |name: &str| podman.podman(&["wait", name]).ok();
    assert_eq!(code("a"), "5");
    podman.run(&["--detach", "--name", "b"], &["sleep", "600"]).ok();
    podman.podman(&["kill", "b"]).ok();
    assert_eq!(code("b"), "137");
    podman.podman(&["start", "b"]).ok();
    podman.podman(&["rm", "--force", "--time", "0", "a", "b"]).ok();
    podman.nothing_left();
}

#[test]
fn podman_runs_further_programs() {
    requires!(podman);
    let podman = Podman::new();
    let health = ["--health-cmd", "test -e /tmp/well", "--health-interval", "disable"];
    podman
        .run(&[&["-d", "--name", "a", "-e", "A=b"], &health[..]].concat(), &["sleep", "600"])
        .ok();
    let exec = |words: &[&str]| podman.podman(&[&["exec"], words].concat());
    assert_eq!(exec(&["a", "sh", "-c", "echo $A; cat /proc/1/comm"]).ok(), "b\nsleep");
    exec(&["a", "sh", "-c", "exit 7"]).run().exits(7);
    exec(&["a", "no-such-program"]).run().exits(127);
    exec(&["a", "/etc/passwd"]).run().exits(126);
    let echoed = exec(&["-i", "a", "cat"]).input("typed\n").ok();
    assert_eq!(echoed, "typed");
    assert_eq!(
        exec(&["--user", "5:6", "-w", "/tmp", "a", "sh", "-c", "id -u; pwd"]).ok(),
        "5\n/tmp"
    );
    let mut terminal = exec(&["-it", "a", "sh", "-c", "tty; exit 3"]).on_terminal();
    let (code, text) = (terminal.wait().code(), terminal.shown());
    assert!(code == Some(3) && text.contains("/dev/pts/0"), "{code:?}: {text}");
    podman.podman(&["healthcheck", "run", "a"]).run().exits(1);
    exec(&["-d", "a", "sh", "-c", "echo >/tmp/well"]).ok();
    let well = || podman.podman(&["healthcheck", "run", "a"]).run().code() == 0;
    eventually(60.0, || well().then_some(())).expect("it is well");
    podman.podman(&["rm", "--force", "--time", "0", "a"]).ok();
    podman.nothing_left();
}

#[test]
fn podman_gives_containers_a_terminal_and_an_init() {
    requires!(podman);
    let podman = Podman::new();
    let mut terminal = podman.run(&["--rm", "-it"], &["sh", "-c", "tty; exit 3"]).on_terminal();
    let (code, text) = (terminal.wait().code(), terminal.shown());
    assert!(code == Some(3) && text.contains("/dev/pts/0"), "{code:?}: {text}");
    let told = podman.run(&["--rm", "--init"], &["ps"]).run();
    // Where podman has no init to give it says so.
    if told.code() == 0 {
        assert!(told.stdout().contains("podman-init"), "{}", told.stdout());
    }
}

#[test]
fn podman_has_systemd_make_groups() {
    requires!(podman, scopes);
    let podman = Podman::new();
    let systemd = |words: &[&str]| podman.managed("systemd", words);
    podman.start(
        "systemd",
        &["--network", "none", "--name", "a", "--cgroupns", "host"],
        &["sleep", "600"],
    );
    let id = systemd(&["inspect", "-f", "{{.Id}}", "a"]).ok();
    let told = systemd(&["exec", "a", "grep", "0::", "/proc/self/cgroup"]).ok();
    assert!(told.ends_with(&format!("/user.slice/libpod-{id}.scope/payload")), "{told}");
    let status = || systemd(&["inspect", "-f", "{{.State.Status}}", "a"]).ok();
    systemd(&["pause", "a"]).ok();
    assert_eq!(status(), "paused");
    systemd(&["exec", "a", "true"]).run().exits(255);
    systemd(&["unpause", "a"]).ok();
    assert_eq!(status(), "running");
    systemd(&["exec", "a", "true"]).ok();
    systemd(&["rm", "--force", "--time", "0", "a"]).ok();
    podman.nothing_left();
}

#[test]
fn podman_limits_containers_and_shows_what_they_use() {
    requires!(podman, user_manager);
    let podman = Podman::new();
    let systemd = |words: &[&str]| podman.managed("systemd", words);
    let limits = ["--network", "none", "--name", "a", "--memory", "64m", "--cpus", "0.5"];
    podman.start("systemd", &limits, &["sleep", "600"]);
    let shown = systemd(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "a"]).ok();
    assert!(shown.contains("67.11MB") && shown.ends_with(" 1"), "{shown}");
    let inside = systemd(&["exec", "a", "cat", "/sys/fs/cgroup/memory.max"]).ok();
    assert_eq!(inside, "67108864");
    systemd(&["rm", "--force", "--time", "0", "a"]).ok();
}

/// Each step of a Containerfile is a container of its own.
#[test]
fn podman_builds_an_image() {
    requires!(podman);
    let podman = Podman::new();
    let (containerfile, image) = (podman.scratch.join("Containerfile"), "localhost/made");
    let steps = "FROM scratch
        COPY . /
        ARG WORD=none
        RUN echo $WORD > /word && id -u >> /word
        USER 1000:1000
        WORKDIR /tmp/work
        RUN id -u > /tmp/who && ! touch /etc/x 2>/dev/null
        CMD [\"cat\", \"/word\", \"/tmp/who\"]\n";
    fs::write(&containerfile, steps).expect("write it");
    let build = |options: &[&str]| {
        let fixed =
            ["build", "--isolation", "oci", "--network", "none", "--pull=never", "-t", image];
        let file = ["-f", containerfile.to_str().expect("a path"), podman.root.text()];
        podman.podman(&[&fixed, options, &file].concat()).run()
    };
    build(&["--build-arg", "WORD=hello"]).ok();
    let run = ["run", "--rm", "--network", "none", "--cgroups", "disabled", image];
    assert_eq!(podman.podman(&run).ok(), "hello\n0\n1000");
    fs::write(&containerfile, "FROM scratch\nCOPY . /\nRUN exit 7\n").expect("write it");
    let failed = build(&[]);
    assert!(failed.code() != 0 && failed.stderr.contains("7"), "{}", failed.stderr);
    podman.podman(&["rmi", "--all", "--force"]).ok();
    podman.nothing_left();
}

/// Three in one network, and the engine's own to hold it.
fn pod(manager: &str) {
    let podman = Podman::new();
    let managed = |words: &[&str]| podman.managed(manager, words);
    managed(&["pod", "create", "--name", "p", "--network", "none"]).ok();
    let names = ["a", "b", "c"];
    for name in names {
        podman.start(manager, &["--pod", "p", "--name", name], &["sleep", "600"]);
    }
    let network = |name: &str| {
        let told = managed(&["exec", name, "ls", "-l", "/proc/self/ns/net"]).ok();
        told.rsplit(' ').next().map(str::to_owned)
    };
    assert_eq!(network("a"), network("b"));
    assert_eq!(network("a"), network("c"));
    let shown = managed(&["ps", "--pod", "--format", "{{.Names}} {{.PodName}}"]).ok();
    assert!(names.iter().all(|name| shown.contains(&format!("{name} p"))), "{shown}");
    managed(&["pod", "stop", "--time", "0", "p"]).ok();
    managed(&["pod", "rm", "--force", "p"]).ok();
    podman.nothing_left();
}

#[test]
fn podman_makes_a_pod_of_three() {
    requires!(podman, pods);
    pod("cgroupfs");
}

#[test]
fn podman_makes_a_pod_of_three_in_a_slice() {
    requires!(podman, pods, scopes);
    pod("systemd");
}
