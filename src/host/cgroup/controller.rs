//! The kinds of limits that control groups have.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

/// A controller of cgroup v2 that a container can be limited by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Controller {
    /// Time: `cpu.max`, `cpu.weight`.
    Cpu,
    /// Which CPUs and memory nodes: `cpuset.cpus`, `cpuset.mems`.
    Cpuset,
    /// Block devices: `io.max`, `io.weight`.
    Io,
    /// `memory.max` and its family.
    Memory,
    /// How many processes and threads: `pids.max`.
    Pids,
    /// Huge pages: `hugetlb.2MB.max`.
    Hugetlb,
}

/// By name, in the order of the type.
const NAMES: [(Controller, &str); 6] = [
    (Controller::Cpu, "cpu"),
    (Controller::Cpuset, "cpuset"),
    (Controller::Io, "io"),
    (Controller::Memory, "memory"),
    (Controller::Pids, "pids"),
    (Controller::Hugetlb, "hugetlb"),
];

impl Controller {
    /// The controllers in the text of `cgroup.controllers`, separated by
    /// spaces; those that are not of use here are left out.
    pub fn list(text: &str) -> Vec<Self> {
        text.split_ascii_whitespace().filter_map(|name| name.parse().ok()).collect()
    }

    /// The controller that a file such as `memory.max` belongs to; none for
    /// those that every cgroup has.
    pub fn of_file(file: &str) -> Option<Self> {
        file.split_once('.')?.0.parse().ok()
    }
}

impl FromStr for Controller {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match NAMES.iter().find(|(_, name)| *name == text) {
            Some((controller, _)) => Ok(*controller),
            None => bail!("{text:?} is not a controller of cgroup v2 that is used here"),
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(controller, _)| controller == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for (controller, name) in NAMES {
            assert_eq!(controller.to_string(), name);
            assert_eq!(name.parse::<Controller>().unwrap(), controller);
        }
        assert!("rdma".parse::<Controller>().is_err());
        assert_eq!(Controller::list("cpuset cpu rdma\n"), [Controller::Cpuset, Controller::Cpu]);
        assert_eq!(Controller::list(""), []);
    }

    #[test]
    fn a_file_tells_its_controller() {
        assert_eq!(Controller::of_file("memory.swap.max"), Some(Controller::Memory));
        assert_eq!(Controller::of_file("cgroup.procs"), None);
        assert_eq!(Controller::of_file("memory"), None);
    }
}
