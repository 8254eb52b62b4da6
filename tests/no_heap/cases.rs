//! Containers that between them perform every step, and every way to fail.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sublet::sys::process::Ended;

/// One run of the launcher.
pub struct Case {
    pub name: &'static str,
    /// What follows `sublet run`.
    pub words: Vec<String>,
    pub streams: Streams,
    /// Sent to the launcher as soon as the payload has said [`READY`].
    pub signal: Option<Signal>,
    /// How the launcher ends.
    pub ended: Ended,
    /// What it says.
    pub says: &'static str,
}

/// What the launcher's standard streams are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Files.
    Files,
    /// A pty.
    Terminal,
}

/// What a payload prints that waits for a signal.
pub const READY: &str = "ready";

/// A directory with all that the cases use; gone when dropped.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// `payload` is a static program: it becomes that of the small root.
    pub fn new(payload: &Path) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("sublet-no-heap.{}", std::process::id()));
        fs::create_dir(&path)?;
        let scratch = Self { path };
        for directory in ["root/etc", "root/sub", "volume/below", "root/bin"] {
            fs::create_dir_all(scratch.path.join(directory))?;
        }
        // Other users than the caller are in some cases.
        for directory in [".", "root", "root/etc", "root/sub", "volume"] {
            let readable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(scratch.path.join(directory), readable)?;
        }
        symlink(payload, scratch.path.join("payload"))?;
        symlink("/nowhere/at/all", scratch.path.join("root/dangling"))?;
        let script = scratch.path.join("root/script");
        fs::write(&script, "#!/nowhere\n")?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        fs::write(scratch.path.join("file"), "")?;
        let hook =
            |path: &Path, code: &str| json!([{"path": path, "args": ["/payload", "exit", code]}]);
        let hooks = |first: &str, last: &str| {
            json!({
                "createContainer": hook(payload, first),
                "startContainer": hook(Path::new("/payload"), last),
            })
        };
        scratch.bundle("hooks", &hooks("0", "0"), &Value::Null)?;
        scratch.bundle("hook-fails", &hooks("0", "3"), &Value::Null)?;
        let asks = json!({
            "defaultAction": "SCMP_ACT_NOTIFY",
            "listenerPath": scratch.path.join("nobody"),
        });
        scratch.bundle("no-agent", &Value::Null, &asks)?;
        Ok(scratch)
    }

    /// Makes a bundle over the small root, with hooks and a filter.
    fn bundle(&self, name: &str, hooks: &Value, filter: &Value) -> std::io::Result<()> {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let kinds = ["user", "pid", "mount", "network", "ipc", "uts"];
        let bound = json!({
            "destination": "/payload", "type": "bind", "source": self.path.join("payload"),
            "options": ["bind"],
        });
        let config = json!({
            "ociVersion": "1.2.0",
            "process": {
                "user": {"uid": 0, "gid": 0}, "args": ["/payload", "exit", "0"], "cwd": "/",
                "noNewPrivileges": true,
            },
            "root": {"path": self.path.join("root")},
            "hooks": hooks,
            "mounts": [bound],
            "linux": {
                "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
                "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
                "namespaces": kinds.map(|kind| json!({"type": kind})),
                "seccomp": filter,
            },
        });
        fs::create_dir(self.path.join(name))?;
        fs::write(self.path.join(name).join("config.json"), config.to_string())
    }

    /// Those of `sublet-oci`.
    pub fn bundles(&self) -> Vec<Case> {
        let case = |(name, code, says): &(&'static str, i32, &'static str)| {
            let line = format!("--root @/state run --bundle @/{name} one");
            Case { says, ..self.case(name, Ended::Exited(*code), &line) }
        };
        BUNDLES.iter().map(case).collect()
    }

    /// A case of that line; see [`Self::words`].
    pub fn case(&self, name: &'static str, ended: Ended, line: &str) -> Case {
        let words = self.words(line);
        Case { name, words, streams: Streams::Files, signal: None, ended, says: "" }
    }

    /// All that need no range of ids.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for (name, line) in STARTS {
            cases.push(self.case(name, Ended::Exited(0), line));
        }
        for (name, line) in TERMINALS {
            let case = self.case(name, Ended::Exited(3), line);
            cases.push(Case { streams: Streams::Terminal, says: "a terminal", ..case });
        }
        for (name, code, line, says) in FAILURES {
            cases.push(Case { says, ..self.case(name, Ended::Exited(*code), line) });
        }
        for (name, signal, ended, line) in SIGNALS {
            cases.push(Case { signal: Some(*signal), ..self.case(name, *ended, line) });
        }
        cases
    }

    /// The words, with `@` standing for this directory, `%` for options and
    /// root of a small root that has the payload in it, and the caller's ids.
    fn words(&self, line: &str) -> Vec<String> {
        let path = self.path.to_str().unwrap_or_default();
        let line = line
            .replace('%', "-v @/payload:/payload @/root")
            .replace('@', path)
            .replace("{uid}", &nix::unistd::geteuid().to_string())
            .replace("{gid}", &nix::unistd::getegid().to_string());
        let mut words: Vec<String> = Vec::new();
        // A shell's script is one word.
        for (at, part) in line.split('\'').enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const BUNDLES: &[(&str, i32, &str)] = &[
    ("hooks", 0, ""),
    ("hook-fails", 1, "hooks.startContainer"),
    ("no-agent", 1, "linux.seccomp.listenerPath"),
];

const STARTS: &[(&str, &str)] = &[
    ("best map there is", "host true"),
    ("one id", "--userns single host true"),
    ("ids as asked for", "--uidmap 7:{uid}:1 --gidmap 8:{gid}:1 host true"),
    ("directory", "% /payload exit 0"),
    ("times told", "--timing % /payload exit 0"),
    ("standard input", "-i % /payload exit 0"),
    ("overlay over the root", "%:O /payload exit 0"),
    ("read-only root", "--read-only -v @/volume:/run/made/here % /payload exit 0"),
    (
        "volumes",
        "-v @/volume:/a -v @/volume:/b:ro,noexec -v @/volume:/c/made/deep:bind \
         -v @/volume:/d:O -v @/file:/sub/file -v @/volume:/e:rslave % /payload exit 0",
    ),
    (
        "mounts",
        "--mount type=tmpfs,dst=/t,tmpfs-size=1m --tmpfs /u:exec --device /dev/null:/dev/again \
         --mount type=devpts,dst=/more/pts --mount type=mqueue,dst=/more/mqueue --shm-size 1m \
         % /payload exit 0",
    ),
    ("host's network", "--network host % /payload exit 0"),
    ("host's processes", "--pid host % /payload exit 0"),
    ("host's ipc", "--ipc host % /payload exit 0"),
    ("host's names", "--uts host % /payload exit 0"),
    ("host's cgroups", "--cgroupns host % /payload exit 0"),
    (
        "process",
        "--hostname box --workdir /sub --umask 077 --ulimit nofile=64:64 --oom-score-adj 1000 \
         --preserve-fds 1 % /payload exit 0",
    ),
    ("caller's groups", "--group-add keep-groups % /payload exit 0"),
    ("reaper", "--init % /payload exit 0"),
    ("reaper of orphans", "--init host sh -c '(true & true) & (true & true) & sleep 0.2'"),
    ("containers inside", "--nested % /payload exit 0"),
    ("new privileges", "--init --security-opt no-new-privileges=false % /payload exit 0"),
    (
        "unconfined",
        "--security-opt seccomp=unconfined --security-opt unmask=ALL --cap-drop ALL \
         % /payload exit 0",
    ),
];

/// Those that need a range of ids.
pub const STARTS_WITH_A_RANGE: &[(&str, &str)] = &[
    ("range with an id kept", "--userns keep-id % /payload exit 0"),
    ("range without the caller", "--userns nomap host true"),
    ("other user", "-u 33:44 --group-add 7 --cap-add net_raw % /payload exit 0"),
];

const TERMINALS: &[(&str, &str)] = &[
    ("terminal", "-t % /payload terminal"),
    // Without keys: with them the launcher is a copy of the one that was called.
    ("terminal with input", "-it --detach-keys= % /payload terminal"),
    ("terminal with a reaper", "-t --init --userns single % /payload terminal"),
    (
        "terminal and new privileges",
        "-t --security-opt no-new-privileges=false % /payload terminal",
    ),
];

const FAILURES: &[(&str, i32, &str, &str)] = &[
    ("no such program", 127, "host no-such-program", "not found in $PATH"),
    ("no such path", 127, "% /no/such/program", "no such file"),
    ("no interpreter", 127, "% /script", "interpreter"),
    ("not executable", 126, "host /etc/passwd", "permission denied"),
    ("not a program", 126, "-v @/volume:/v % /v", "permission denied"),
    ("payload fails", 5, "% /payload exit 5", ""),
    ("payload fails under a reaper", 5, "--init % /payload exit 5", ""),
    ("payload is killed", 137, "--init host sh -c 'kill -9 $$'", ""),
    ("no root", 125, "@/nothing true", "No such file or directory"),
    ("root is a file", 125, "@/file true", "it is not a directory"),
    ("no source", 125, "-v @/nothing:/x % /payload", "mkdir -p"),
    ("overlay over a file", 125, "-v @/file:/x:O % /payload", "it is not a directory"),
    ("not a device", 125, "--device @/file % /payload", "it is not a device"),
    ("link to nothing", 125, "-v @/volume:/dangling/x % /payload", "leads to nothing inside"),
    ("directory on a file", 125, "-v @/volume:/script % /payload", "not a directory"),
    ("directory below a file", 125, "-v @/volume:/script/x % /payload", "not a directory"),
    ("no room in the host", 125, "-v @/volume:/no/such/place host true", "read-only"),
    ("no working directory", 125, "-w /no/such/place % /payload", "no such directory"),
    ("working directory outside", 125, "-w /proc/self/fd/0 % /payload", "working directory"),
    ("limit too high", 125, "--ulimit nofile=2000000000 % /payload", "limit RLIMIT_NOFILE"),
    ("score too low", 125, "--oom-score-adj -1000 % /payload", "oom_score_adj"),
    ("owner without an id", 125, "--mount type=devpts,dst=/p,uid=4000000000 % /payload", "devpts"),
    ("reaper of a failure", 127, "--init host no-such-program", "not found in $PATH"),
];

const SIGNALS: &[(&str, Signal, Ended, &str)] = &[
    ("forwarded signal", Signal::SIGTERM, Ended::Exited(143), "% /payload wait"),
    ("signal through a reaper", Signal::SIGTERM, Ended::Exited(143), "--init % /payload wait"),
    ("launcher is killed", Signal::SIGKILL, Ended::Killed(9), "% /payload wait"),
    ("launcher is killed, reaper", Signal::SIGKILL, Ended::Killed(9), "--init % /payload wait"),
];
