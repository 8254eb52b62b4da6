//! What the kernel refused, and what it means by that.

use std::fmt;
use std::path::PathBuf;

use nix::errno::Errno;

/// What was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Opening the directory.
    Open,
    /// Reading a file of it.
    Read(String),
    /// Writing to a file of it.
    Write {
        /// The file.
        file: String,
        /// What was written.
        content: String,
    },
    /// Making a cgroup in it.
    Make(String),
    /// Removing a cgroup from it.
    Remove(String),
    /// Moving all its processes to a cgroup below.
    Clear,
    /// Waiting until all of it is as it was told to be.
    Await(&'static str),
}

/// Something that was tried with a cgroup and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What.
    pub attempt: Attempt,
    /// The directory of the cgroup.
    pub path: PathBuf,
    /// Why.
    pub errno: Errno,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.attempt {
            Attempt::Open => write!(f, "open the cgroup {path}")?,
            Attempt::Read(file) => write!(f, "read {file} of the cgroup {path}")?,
            Attempt::Write { file, content } => {
                write!(f, "write {content:?} to {file} of the cgroup {path}")?;
            }
            Attempt::Make(name) => write!(f, "make the cgroup {name:?} in {path}")?,
            Attempt::Remove(name) => write!(f, "remove the cgroup {name:?} from {path}")?,
            Attempt::Clear => write!(f, "move all processes out of the cgroup {path}")?,
            Attempt::Await(state) => write!(f, "wait until the cgroup {path} is {state}")?,
        }
        write!(f, ": {}", self.errno.desc())?;
        self.meaning().map_or(Ok(()), |meaning| write!(f, " ({meaning})"))
    }
}

impl Refused {
    /// What the kernel means by the error here, where its words don't say.
    pub fn meaning(&self) -> Option<&'static str> {
        match &self.attempt {
            Attempt::Write { file, .. } => match file.as_str() {
                "cgroup.subtree_control" => of_control(self.errno),
                "cgroup.procs" => of_processes(self.errno),
                _ => of_setting(file, self.errno),
            },
            Attempt::Read(_) => (self.errno == Errno::ENODEV).then_some(REMOVED),
            Attempt::Make(_) => of_making(self.errno),
            Attempt::Remove(_) => {
                (self.errno == Errno::EBUSY).then_some("processes or other cgroups are in it")
            }
            Attempt::Open => {
                (self.errno == Errno::ENOTTY).then_some("it is not a directory of cgroup v2")
            }
            Attempt::Clear => match self.errno {
                Errno::ESRCH => Some("one is of a pid namespace that we don't see"),
                Errno::ETIMEDOUT => Some("they fork faster than they can be moved"),
                _ => None,
            },
            Attempt::Await(_) => None,
        }
    }
}

const REMOVED: &str = "the cgroup has been removed";
const READ_ONLY: &str = "cgroups are mounted read-only here";

/// `cgroup_subtree_control_write` in the kernel.
fn of_control(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EBUSY => {
            "a cgroup that shares a controller out to others may hold no process itself, \
             and one that they use can't be taken from them"
        }
        Errno::ENOENT => "the cgroup above doesn't share this controller out",
        Errno::EINVAL => "the kernel has no such controller, or has it in cgroup v1",
        Errno::EOPNOTSUPP => "it is threaded, or below one that is",
        Errno::EACCES | Errno::EPERM => "it was not delegated to us",
        Errno::EROFS => READ_ONLY,
        Errno::ENODEV => REMOVED,
        _ => return None,
    })
}

/// `cgroup_procs_write`.
fn of_processes(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EACCES | Errno::EPERM => {
            "who moves a process has to own cgroup.procs of the nearest cgroup above both places"
        }
        Errno::ENOENT => "one of the two places is outside of our cgroup namespace",
        Errno::EBUSY => "a cgroup that shares controllers out may hold no process itself",
        Errno::EOPNOTSUPP => "it is threaded, or below one that is",
        Errno::EINVAL => "a thread of the kernel, which can't be moved",
        Errno::ESRCH => "the process is gone",
        Errno::EROFS => READ_ONLY,
        Errno::ENODEV => REMOVED,
        _ => return None,
    })
}

fn of_setting(file: &str, errno: Errno) -> Option<&'static str> {
    let of_controller = crate::host::cgroup::Controller::of_file(file).is_some();
    Some(match errno {
        Errno::ENOENT if of_controller => {
            "the kernel has no such file, or the controller is off: \
             cgroup.controllers doesn't list it"
        }
        Errno::ENOENT => "the kernel has no such file",
        Errno::EINVAL => "the kernel doesn't take this value",
        Errno::ERANGE => "the value is out of its range",
        Errno::ENODEV if file.starts_with("io.") => "there is no such block device",
        Errno::ENODEV => REMOVED,
        Errno::EACCES | Errno::EPERM => "it belongs to whoever manages the cgroup above",
        Errno::EOPNOTSUPP => "not for this kind of cgroup, or switched off in the kernel",
        Errno::EROFS => READ_ONLY,
        _ => return None,
    })
}

fn of_making(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EAGAIN => {
            "there are as many as cgroup.max.descendants allows here or above, \
             or as deep as cgroup.max.depth does"
        }
        Errno::EACCES | Errno::EPERM => "it was not delegated to us",
        Errno::ENOENT | Errno::ENODEV => REMOVED,
        Errno::EROFS => READ_ONLY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(attempt: Attempt, errno: Errno) -> String {
        Refused { attempt, path: "/sys/fs/cgroup/x".into(), errno }.to_string()
    }

    #[test]
    fn a_refusal_names_file_content_and_meaning() {
        let write = |file: &str, content: &str| Attempt::Write {
            file: file.to_owned(),
            content: content.to_owned(),
        };
        let control = write("cgroup.subtree_control", "+io");
        assert_eq!(
            told(control.clone(), Errno::ENOENT),
            "write \"+io\" to cgroup.subtree_control of the cgroup /sys/fs/cgroup/x: \
             No such file or directory (the cgroup above doesn't share this controller out)"
        );
        assert!(told(control, Errno::EBUSY).contains("may hold no process itself"));
        assert!(told(write("cgroup.procs", "7"), Errno::EACCES).contains("nearest cgroup above"));
        assert!(told(write("memory.max", "1"), Errno::ENOENT).contains("the controller is off"));
        assert!(told(write("io.max", "8:0"), Errno::ENODEV).contains("no such block device"));
        assert!(told(write("cpu.max", "1"), Errno::ENODEV).contains("has been removed"));
        assert!(told(Attempt::Make("a".into()), Errno::EAGAIN).contains("max.descendants"));
        assert!(told(Attempt::Await("frozen"), Errno::ETIMEDOUT).ends_with("timed out"));
    }
}
