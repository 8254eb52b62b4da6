//! A bundle, and the runtime that it is given to.

use std::fs::{self, File};
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use crate::common::program::Done;
use crate::common::spawn::own;
use crate::common::*;

/// A bundle over a busybox root, and a runtime of the test's own.
pub struct Bundle {
    pub scratch: Scratch,
    pub root: Root,
    config: Value,
    program: PathBuf,
    global: Vec<String>,
}

/// A bundle for the caller as root, with namespaces of its own.
fn config(root: &str, args: &[&str]) -> Value {
    let (uid, gid) = caller();
    let kinds = ["user", "pid", "mount", "network", "ipc", "uts"];
    let namespaces = kinds.map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": root},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        ],
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
            "namespaces": namespaces,
        },
    })
}

impl Bundle {
    pub fn new(args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        scratch.dir("bundle");
        let program = scratch.join("sublet-oci");
        symlink(launcher(), &program).expect("link the launcher");
        let config = config(root.text(), args);
        Self { scratch, root, config, program, global: Vec::new() }.written()
    }

    fn written(self) -> Self {
        fs::write(self.scratch.join("bundle/config.json"), self.config.to_string()).expect("write");
        self
    }

    /// With the caller as root, and the range that the machine gives him.
    pub fn ranged(self) -> Self {
        let map = |own: u32, file: &str| {
            let (first, count) = subordinate(file).expect("a range");
            json!([
                {"containerID": 0, "hostID": own, "size": 1},
                {"containerID": 1, "hostID": first, "size": count},
            ])
        };
        let (uid, gid) = caller();
        self.set("/linux/uidMappings", map(uid, "/etc/subuid"))
            .set("/linux/gidMappings", map(gid, "/etc/subgid"))
    }

    /// With another value at a path such as `/process/cwd`.
    pub fn set(mut self, path: &str, value: Value) -> Self {
        let (parent, name) = path.rsplit_once('/').expect("a path");
        self.config.pointer_mut(parent).expect("its parent")[name] = value;
        self.written()
    }

    /// With one more in an array.
    pub fn push(mut self, path: &str, value: Value) -> Self {
        self.config.pointer_mut(path).and_then(Value::as_array_mut).expect("an array").push(value);
        self.written()
    }

    /// With these words before each verb.
    pub fn globally(mut self, words: &[&str]) -> Self {
        self.global = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.scratch.text("bundle")
    }

    /// The runtime with these words.
    pub fn command(&self, words: &[&str]) -> Program {
        let program = Program::new(&self.program).at_home(&self.scratch);
        program.args(&self.global).args(words).within(60.0)
    }

    /// Runs it.
    pub fn oci(&self, words: &[&str]) -> Done {
        self.command(words).run()
    }

    /// Makes a container, whose output nobody hears: it would keep ours open.
    pub fn create(&self, id: &str) -> Done {
        self.create_with(&[], id)
    }

    /// The same with other words beside.
    pub fn create_with(&self, words: &[&str], id: &str) -> Done {
        let path = self.path();
        let all = [&["create", "--bundle", &path], words, &[id]].concat();
        let error = self.scratch.text("stderr");
        let script = format!("exec \"$@\" >/dev/null 2>{error}");
        let mut done = self.command(&all).inside(&script).run();
        done.stderr = fs::read_to_string(error).expect("its errors");
        done
    }

    pub fn state(&self, id: &str) -> Value {
        self.oci(&["state", id]).json()
    }

    /// Waits until a container is over.
    #[track_caller]
    pub fn stopped(&self, id: &str) {
        let over = || (self.state(id)["status"] == "stopped").then_some(());
        eventually(10.0, over).expect("it ends");
    }

    /// How many containers are known.
    pub fn left(&self) -> usize {
        fs::read_dir(self.scratch.join("run/sublet-oci")).map_or(0, Iterator::count)
    }

    /// A socket that takes a terminal.
    pub fn console(&self) -> (String, UnixListener) {
        let path = self.scratch.text("console");
        let listener = UnixListener::bind(&path).expect("a socket");
        (path, listener)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for id in self.oci(&["list", "-q"]).stdout().lines() {
            self.oci(&["delete", "--force", id]);
        }
    }
}

/// Takes the descriptor that somebody sends.
pub fn receive(listener: &UnixListener) -> File {
    let (socket, _) = listener.accept().expect("somebody comes");
    let mut bytes = [0; 64];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut room = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags).expect("it");
    let found = got.cmsgs().expect("whole messages").find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    File::from(own(found.expect("a descriptor")))
}

/// Insists that there is no such container, in the words that podman looks for.
#[track_caller]
pub fn gone(done: &Done) {
    done.exits(1).explained(&["does not exist"]);
}
