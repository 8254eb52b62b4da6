//! containerd, with sublet-oci behind runc's shim: by `ctr`, and by the
//! interface that a kubelet has to it ([`cri`](super::cri)).

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::documented;
use crate::common::*;

/// Makes a /run of the daemon's own, where its shims have their sockets whatever
/// its configuration says; what else is there stays.
const OWN_RUN: &str = "
    mount --rbind /run $1; mount -t tmpfs -o mode=755 none /run
    for each in $1/*; do ln -s $each /run/; done
    rm -f /run/containerd; shift
    exec \"$@\"";

/// The name that the image has.
pub const IMAGE: &str = "localhost/busybox:test";

/// The daemon, with all that it keeps in the test's own directories: as root, or
/// for an ordinary user as root of a user namespace of his range.
pub struct Containerd {
    pub scratch: Scratch,
    daemon: Running,
}

impl Containerd {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        symlink(launcher(), scratch.join("sublet-oci")).expect("link the launcher");
        scratch.file("config.toml", configuration(&scratch));
        let image = image(&scratch);
        let run = scratch.dir("hosts-run");
        let words = ["--config".to_owned(), scratch.text("config.toml")];
        let own: &[&str] = match caller().0 {
            0 => &[],
            _ => &["--user", "--map-root-user", "--map-auto"],
        };
        let outer = [&["unshare"], own, &["--mount", "--propagation", "private"]].concat();
        let outer = [&outer[..], &["sh", "-ec", OWN_RUN, "sh", &run]].concat();
        let program = Program::new("containerd").args(words).at_home(&scratch).within(600.0);
        let daemon = program.under(&outer).env("XDG_RUNTIME_DIR", runtime_dir()).spawn();
        let new = Self { scratch, daemon };
        let ready = || (new.ctr(&["version"]).run().code() == 0).then_some(());
        eventually(60.0, ready).expect("containerd answers");
        for space in ["default", "k8s.io"] {
            let import = ["images", "import", "--snapshotter", "native", &image];
            new.ctr(&[&["--namespace", space], &import[..]].concat()).ok();
        }
        new
    }

    /// The socket at which it is asked.
    pub fn socket(&self) -> String {
        self.scratch.text("socket")
    }

    /// `ctr`, where the daemon is.
    pub fn ctr(&self, words: &[&str]) -> Program {
        let target = self.daemon.pid().to_string();
        let user: &[&str] = match caller().0 {
            0 => &[],
            _ => &["--user", "--preserve-credentials"],
        };
        let outer = [&["nsenter", "--target", &target, "--mount"], user].concat();
        let program = Program::new("ctr").args(["--address", &self.socket()]).args(words);
        program.at_home(&self.scratch).within(120.0).under(&outer)
    }

    /// `ctr run` with these options.
    fn run(&self, options: &[&str], id: &str, command: &[&str]) -> Program {
        let program = self.scratch.text("sublet-oci");
        let runtime = ["--runtime", "io.containerd.runc.v2", "--runc-binary", &program];
        let fixed = ["--snapshotter", "native"];
        let words = [&["run"], &runtime[..], &fixed, options, &[IMAGE, id], command].concat();
        self.ctr(&words)
    }

    fn status(&self, id: &str) -> String {
        let told = self.ctr(&["tasks", "list"]).ok();
        let line = told.lines().find(|line| line.split_whitespace().next() == Some(id));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or("none").to_owned()
    }

    /// The runtime keeps nothing of what containerd has removed, nor do shims.
    #[track_caller]
    pub fn nothing_left(&self, space: &str) {
        let own = format!("/proc/{}/root/run/containerd", self.daemon.pid());
        let listed = |path: String| {
            let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>()
        };
        assert!(listed(format!("{own}/runc/{space}")).is_empty());
        let ended = || listed(format!("{own}/s")).is_empty().then_some(());
        eventually(30.0, ended).expect("the shims end");
    }
}

impl Drop for Containerd {
    /// Its shims would outlive it with what they have started.
    fn drop(&mut self) {
        for space in ["default", "k8s.io"] {
            let within = |words: &[&str]| self.ctr(&[&["--namespace", space], words].concat());
            for id in within(&["tasks", "list", "--quiet"]).run().stdout().lines() {
                within(&["tasks", "delete", "--force", id]).run();
            }
        }
        self.daemon.signal(libc::SIGTERM);
    }
}

/// Where the caller's systemd is reached; of root nothing is there.
fn runtime_dir() -> String {
    match caller().0 {
        0 => "/run".to_owned(),
        uid => format!("/run/user/{uid}"),
    }
}

/// The documentation's own lines, and what keeps this daemon apart from others.
fn configuration(scratch: &Scratch) -> String {
    let documented = documented(include_str!("../../../docs/kubernetes.md"), "toml");
    let program = scratch.text("sublet-oci");
    assert!(documented.contains("\"/usr/local/bin/sublet-oci\""), "{documented}");
    let documented = documented.replace("/usr/local/bin/sublet-oci", &program);
    let (data, state) = (scratch.text("data"), scratch.text("state"));
    let socket = scratch.text("socket");
    // An ordinary user may not protect his processes, and not everywhere limit
    // them. As the page has it for nodes with AppArmor, no profile of it is asked
    // for.
    let ordinary = caller().0 != 0;
    format!(
        "root = {data:?}\n\
         state = {state:?}\n\
         {documented}\n\
         [grpc]\n\
         address = {socket:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         sandbox_image = {IMAGE:?}\n\
         restrict_oom_score_adj = {ordinary}\n\
         disable_cgroup = {ordinary}\n\
         disable_apparmor = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n\
         snapshotter = \"native\"\n"
    )
}

/// An archive as `docker save` makes it, of a root with busybox.
fn image(scratch: &Scratch) -> String {
    let root = Root::busybox(scratch);
    let run = |program: &str, words: &[&str]| Program::new(program).args(words).ok();
    let (layer, archive) = (scratch.text("layer.tar"), scratch.text("image.tar"));
    let owned = ["--owner=0", "--group=0"];
    run("tar", &[&owned[..], &["-C", root.text(), "-cf", &layer, "."]].concat());
    let digest = run("sha256sum", &[&layer]);
    let digest = digest.split_whitespace().next().expect("a digest");
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "600"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    scratch.file("config.json", config.to_string());
    scratch.file("manifest.json", manifest.to_string());
    let names = ["manifest.json", "config.json", "layer.tar"];
    run(
        "tar",
        &[&["-C", scratch.path().to_str().expect("a path"), "-cf", &archive], &names[..]].concat(),
    );
    archive
}

/// Each verb that the shim knows; `group` is where `/ID` is made.
fn all_verbs(containerd: &Containerd, grouped: impl Fn(&str) -> Vec<String>, group: &str) {
    let run = |id: &str, options: &[&str], command: &[&str]| {
        let grouped = grouped(id);
        let all: Vec<&str> = grouped.iter().map(String::as_str).chain(options.to_vec()).collect();
        containerd.run(&all, id, command)
    };
    let script = "id -u; cat /proc/self/cgroup /proc/1/comm; exit 7";
    let told = run("a", &["--rm"], &["sh", "-c", script]).run().exits(7).stdout();
    assert!(told.starts_with("0\n") && told.ends_with("\nsh\n"), "{told}");
    assert!(told.contains(&format!("{group}a{}/payload\n", end_of(group))), "{told}");
    let done = run("a", &["--rm"], &["no-such-program"]).run();
    assert!(done.code() != 0, "{done:?}");
    assert!(done.stderr.contains("executable file not found in $PATH"), "{}", done.stderr);

    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done";
    let mut running = run("b", &[], &["sh", "-c", script]).spawn();
    assert_eq!(running.line(), "up");
    assert_eq!(containerd.status("b"), "RUNNING");
    let exec = |words: &[&str]| {
        let fixed = ["tasks", "exec", "--exec-id", "x", "b"];
        containerd.ctr(&[&fixed[..], words].concat()).run()
    };
    let told = exec(&["sh", "-c", "id -u; cat /proc/self/cgroup /proc/1/comm; exit 3"]);
    let told = told.exits(3).stdout();
    assert!(told.starts_with("0\n") && told.ends_with("\nsh\n"), "{told}");
    assert!(told.contains(&format!("{group}b{}/payload\n", end_of(group))), "{told}");
    let done = exec(&["no-such-program"]);
    assert!(done.code() != 0, "{done:?}");
    assert!(done.stderr.contains("executable file not found in $PATH"), "{}", done.stderr);

    let listed = containerd.ctr(&["tasks", "ps", "b"]).ok();
    assert!(listed.lines().count() >= 2, "{listed}");
    containerd.ctr(&["tasks", "pause", "b"]).ok();
    assert_eq!(containerd.status("b"), "PAUSED");
    containerd.ctr(&["tasks", "resume", "b"]).ok();
    assert_eq!(containerd.status("b"), "RUNNING");
    containerd.ctr(&["tasks", "kill", "b"]).ok();
    // Its own code, which only its parent knows.
    running.wait().exits(5);
    containerd.ctr(&["containers", "delete", "b"]).ok();

    run("b", &["--detach"], &["sleep", "600"]).ok();
    let refused = containerd.ctr(&["tasks", "delete", "b"]).run();
    assert!(refused.code() != 0, "{refused:?}");
    containerd.ctr(&["tasks", "kill", "--signal", "KILL", "b"]).ok();
    let stopped = || (containerd.status("b") == "STOPPED").then_some(());
    eventually(60.0, stopped).unwrap_or_else(|| panic!("b is {}", containerd.status("b")));
    let done = containerd.ctr(&["tasks", "delete", "b"]).run();
    assert!(done.stderr.contains("exit code 137"), "{done:?}");
    containerd.ctr(&["containers", "delete", "b"]).ok();
    containerd.nothing_left("default");
}

/// What systemd calls a group ends with.
fn end_of(group: &str) -> &'static str {
    if group.ends_with('-') { ".scope" } else { "" }
}

/// Has the caller's systemd make the group.
fn scoped(scratch: &Scratch) -> (impl Fn(&str) -> Vec<String>, String) {
    let name = scratch.mark().trim_end_matches('.').to_owned();
    let group = format!("/user.slice/{name}-");
    let grouped = move |id: &str| {
        ["--runc-systemd-cgroup", "--cgroup", &format!("user.slice:{name}:{id}")]
            .map(str::to_owned)
            .to_vec()
    };
    (grouped, group)
}

#[test]
fn containerd_runs_containers() {
    requires!(containerd, scopes);
    let containerd = Containerd::new();
    let (grouped, group) = scoped(&containerd.scratch);
    all_verbs(&containerd, grouped, &group);
}

#[test]
fn containerd_of_root_runs_containers() {
    requires!(machine, root, containerd);
    let containerd = Containerd::new();
    let name = containerd.scratch.mark().to_owned();
    let path = format!("/{name}/");
    let grouped = |id: &str| vec!["--cgroup".to_owned(), format!("{path}{id}")];
    all_verbs(&containerd, grouped, &path);
    fs::remove_dir(format!("/sys/fs/cgroup/{name}")).expect("nothing is left in it");
    let (grouped, group) = scoped(&containerd.scratch);
    all_verbs(&containerd, grouped, &group);
}
