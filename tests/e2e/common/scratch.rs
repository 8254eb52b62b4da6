//! A directory of a test's own.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::spawn::{place, start};

/// A directory that everybody may enter (a container's ids are not the
/// caller's) and that is removed in the end.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sublet-e2e.{}.{count}.", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("make a scratch directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set its mode");
        let scratch = Self { path };
        for (_, private) in scratch.environment() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(private).expect("make it");
        }
        scratch
    }

    /// The variables that tell programs where to keep what.
    pub fn environment(&self) -> [(&'static str, PathBuf); 7] {
        [
            ("HOME", self.join("home")),
            ("TMPDIR", self.join("temp")),
            ("XDG_CACHE_HOME", self.join("cache")),
            ("XDG_CONFIG_HOME", self.join("config")),
            ("XDG_DATA_HOME", self.join("data")),
            ("XDG_RUNTIME_DIR", self.join("run")),
            ("XDG_STATE_HOME", self.join("state")),
        ]
    }

    /// The id of the container that has this name, whose launcher was started
    /// with our environment.
    pub fn container(&self, name: &str) -> String {
        let link = self.join("run/sublet/.names").join(name);
        let id = std::fs::read_link(&link);
        let id = id.unwrap_or_else(|error| panic!("{}: {error}", link.display()));
        id.to_str().expect("an id").to_owned()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A word that is in every path of this directory and nowhere else.
    pub fn mark(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("a plain name")
    }

    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// The same as text.
    pub fn text(&self, path: &str) -> String {
        self.join(path).to_str().expect("a plain path").to_owned()
    }

    /// Makes a directory, and those above it.
    pub fn dir(&self, path: &str) -> String {
        fs::create_dir_all(self.join(path)).expect("make a directory");
        self.text(path)
    }

    /// Writes a file.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> String {
        // It may be a script.
        place(|| fs::write(self.join(path), content));
        self.text(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("SUBLET_KEEP").is_some() {
            return;
        }
        open_up(&self.path);
        if fs::remove_dir_all(&self.path).is_err() {
            // Ids of a container's range wrote there; the caller is root over
            // them in a user namespace of that range.
            let outer = ["--user", "--map-auto", "--map-root-user", "rm", "-rf", "--"];
            let mut remove = Command::new("unshare");
            remove.args(outer).arg(&self.path).stderr(Stdio::null());
            let _ = start(&mut remove).and_then(|mut child| child.wait());
        }
    }
}

/// Lets the owner into every directory: tests take that away.
fn open_up(path: &Path) {
    let Ok(facts) = fs::symlink_metadata(path) else { return };
    if !facts.is_dir() {
        return;
    }
    if facts.permissions().mode() & 0o700 != 0o700 {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}
