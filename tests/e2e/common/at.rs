//! A root, and where the launcher keeps its records.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{Program, Root, Running, Scratch, eventually};

/// What a test of containers that others know begins with.
pub struct At {
    pub scratch: Scratch,
    pub root: Root,
}

impl At {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        let root = Root::busybox(&scratch);
        Self { scratch, root }
    }

    /// `sublet run` with these options, without a command yet.
    pub fn run(&self, options: &[&str]) -> Program {
        Program::run_in(&self.scratch).args(options).arg(self.root.path()).within(60.0)
    }

    /// A container called `name` that has said that it is ready, and that
    /// others know to run.
    pub fn start(&self, name: &str, options: &[&str], script: &str) -> Running {
        let program = self.run(&[&["--name", name], options].concat());
        let mut running = program.args(["sh", "-c", script]).within(120.0).spawn();
        assert_eq!(running.line(), "ready");
        let known = || self.names(&[]).iter().any(|known| known == name).then_some(());
        eventually(10.0, known).expect("it runs");
        running
    }

    /// Another verb.
    pub fn sublet(&self, words: &[&str]) -> Program {
        Program::sublet(&self.scratch).args(words).within(60.0)
    }

    pub fn inspect(&self, name: &str) -> Value {
        self.sublet(&["inspect", name]).json()[0].take()
    }

    /// The first process of one that runs.
    pub fn payload(&self, name: &str) -> u32 {
        self.inspect(name)["State"]["Pid"].as_u64().expect("a pid") as u32
    }

    /// What `stats` tells.
    pub fn stats(&self, words: &[&str]) -> Value {
        self.sublet(&[&["stats", "--format", "json"], words].concat()).json()
    }

    /// The names that `ps` lists, in its order.
    pub fn names(&self, words: &[&str]) -> Vec<String> {
        let listed = self.sublet(&[&["ps", "--format", "{{.Names}}"], words].concat()).ok();
        listed.lines().map(str::to_owned).collect()
    }

    /// What is in the directory of the records.
    pub fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.scratch.join("run/sublet")).expect("the records");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a plain name");
        let mut names: Vec<_> = entries.flatten().map(name).collect();
        names.retain(|name| name != ".names");
        names
    }

    /// The scope of a container that runs.
    pub fn unit(&self, name: &str) -> String {
        format!("sublet-{}.scope", self.scratch.container(name))
    }

    /// A file of the control group of a container that runs.
    pub fn file(&self, name: &str, file: &str) -> String {
        let place = self.inspect(name)["CgroupPath"].as_str().map(PathBuf::from);
        let path = place.expect("a place").join(file);
        fs::read_to_string(&path).expect("a file").trim().to_owned()
    }
}
