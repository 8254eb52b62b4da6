//! Root filesystems for containers.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::spawn::place;
use super::{Scratch, probe};

/// The applets that tests call by name.
const APPLETS: &[&str] = &[
    "[", "cat", "chmod", "chown", "cp", "dd", "df", "echo", "env", "false", "find", "grep", "head",
    "hostname", "id", "kill", "ln", "ls", "mkdir", "mknod", "mount", "printf", "ps", "pwd", "rm",
    "sh", "sleep", "sort", "stat", "stty", "test", "touch", "true", "umount", "wc",
];

const DIRECTORIES: &[&str] =
    &["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/tmp"];

pub const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          user:x:1000:1000:A User:/home:/bin/sh\n\
                          nobody:x:65534:65534:nobody:/:/bin/false\n";
pub const GROUP: &str = "root:x:0:\nuser:x:1000:\nextra:x:2000:other,user\nnogroup:x:65534:\n";

/// A root filesystem that belongs to one test.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
}

impl Root {
    /// busybox and what belongs around it.
    pub fn busybox(scratch: &Scratch) -> Self {
        Self::named(scratch, "root")
    }

    /// The same under a name of its own, where a test needs several.
    pub fn named(scratch: &Scratch, name: &str) -> Self {
        let busybox = busybox().as_ref().expect("a static busybox");
        Self::build(scratch, name, |path| {
            place(|| fs::copy(busybox, path));
        })
    }

    /// Another one with the same busybox, for tests that need hundreds.
    pub fn sibling(&self, scratch: &Scratch, name: &str) -> Self {
        let busybox = self.join("bin/busybox");
        Self::build(scratch, name, |path| fs::hard_link(busybox, path).expect("link busybox"))
    }

    fn build(scratch: &Scratch, name: &str, put_busybox: impl FnOnce(&Path)) -> Self {
        let root = Self { path: scratch.join(name) };
        for directory in DIRECTORIES {
            fs::create_dir_all(root.join(directory)).expect("make a directory");
        }
        for open in ["tmp", "var/tmp"] {
            fs::set_permissions(root.join(open), fs::Permissions::from_mode(0o1777)).expect("mode");
        }
        put_busybox(&root.join("bin/busybox"));
        for applet in APPLETS {
            symlink("busybox", root.join(&format!("bin/{applet}"))).expect("link an applet");
        }
        root.write("etc/passwd", PASSWD).write("etc/group", GROUP)
    }

    /// busybox with the probe at `/probe`.
    pub fn probed(scratch: &Scratch) -> Self {
        Self::busybox(scratch).with_probe("probe")
    }

    /// A copy of the probe below this root.
    pub fn with_probe(self, at: &str) -> Self {
        place(|| fs::copy(probe(), self.join(at)));
        self
    }

    pub fn write(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.join(path), content).expect("write a file of a root");
        self
    }

    /// A shell script at `path`.
    pub fn script(self, path: &str, text: &str) -> Self {
        place(|| fs::write(self.join(path), format!("#!/bin/sh\n{text}\n")));
        self.mode(path, 0o755)
    }

    pub fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.join(path), fs::Permissions::from_mode(mode)).expect("set a mode");
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// As a word of a command line.
    pub fn text(&self) -> &str {
        self.path.to_str().expect("a plain path")
    }
}

/// A busybox that needs no library.
pub fn busybox() -> &'static Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let path = ["/bin/busybox", "/usr/bin/busybox"]
            .iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
            .ok_or("busybox is not installed (package busybox-static)")?;
        let bytes = fs::read(&path).map_err(|error| error.to_string())?;
        let dynamic = bytes.windows(9).any(|word| word == b"/ld-linux");
        if dynamic {
            Err("busybox is not static (package busybox-static)".to_owned())
        } else {
            Ok(path)
        }
    })
}
