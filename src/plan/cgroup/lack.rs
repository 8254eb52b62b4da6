//! What is missing for a limit, in a sentence, and the lines that mend it.

use std::path::Path;

use super::Manager;
use super::place::Place;
use crate::host::advice::Advice;
use crate::host::cgroup::{Cgroups, Controller, Version};
use crate::host::files::Files;

/// The last resort of every hint.
pub const WITHOUT: &str = "or go on without: --limits best-effort";

/// There is no hierarchy that can be delegated.
pub fn no_hierarchy(version: Version) -> Advice {
    let v1 = "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and boot";
    let (cause, hint) = match version {
        Version::V1 => ("this machine has cgroup v1, of which only root can make groups", v1),
        Version::Hybrid => (
            "this machine has its controllers in cgroup v1, of which only root can make groups, and \
             none in the cgroup v2 beside it",
            v1,
        ),
        Version::Bare => (
            "the host of this container has its controllers in cgroup v1, and none in the cgroup v2 \
             that is shown here",
            "on that host, add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and \
             boot",
        ),
        Version::V2 | Version::None => (
            "no cgroup v2 is mounted here",
            "as root: mount -t cgroup2 none /sys/fs/cgroup; in a container, it has to be shown \
             there, writable",
        ),
    };
    Advice { cause: cause.to_owned(), hint: hint.to_owned() }
}

/// There is to be none.
pub fn disabled() -> Advice {
    Advice {
        cause: "--cgroups disabled makes no control group".to_owned(),
        hint: "leave it away: auto makes one where it is needed".to_owned(),
    }
}

/// Our own group can't be split.
pub fn not_ours(cgroups: &Cgroups) -> Advice {
    let own = match &cgroups.own {
        Some(own) => format!(" {}", own.display()),
        None => String::new(),
    };
    Advice {
        cause: format!("the control group{own} that sublet is in is not yours to write"),
        hint: "a service of the machine's systemd is given its own with Delegate=yes\nor name a \
               group that is yours: --cgroup-parent /PATH"
            .to_owned(),
    }
}

/// There is no group where the user said.
pub fn not_there(parent: &Path) -> Advice {
    Advice {
        cause: format!("there is no control group {}", parent.display()),
        hint: format!("as root: mkdir -p {0}, and chown USER {0} {0}/cgroup.*", parent.display()),
    }
}

/// systemd is there, and its groups are not.
pub fn no_session() -> Advice {
    Advice {
        cause: "the control group of your systemd can't be seen from here".to_owned(),
        hint: "in a container, --cgroupns host or a /sys/fs/cgroup of the host's shows it"
            .to_owned(),
    }
}

/// A controller is not where the group would be made.
pub fn controller(
    lacking: &[Controller],
    place: &Place,
    cgroups: &Cgroups,
    files: &Files,
) -> Advice {
    if cgroups.version == Version::Bare {
        return no_hierarchy(Version::Bare);
    }
    let mount = cgroups.mount.as_deref().unwrap_or(Path::new("/"));
    let names = |controllers: &[Controller]| {
        let names: Vec<_> = controllers.iter().map(ToString::to_string).collect();
        names.join(" ")
    };
    let has = match names(&place.controllers) {
        none if none.is_empty() => "nothing".to_owned(),
        names => names,
    };
    let told = format!("{}/cgroup.controllers has {has}", place.directory.display());
    let what = match lacking {
        [one] => format!("the controller {one}"),
        more => format!("the controllers {}", names(more)),
    };
    let whole = Controller::list(&files.text(&mount.join("cgroup.controllers")));
    if let Some(absent) = lacking.iter().find(|one| !whole.is_empty() && !whole.contains(one)) {
        return Advice {
            cause: format!(
                "{}/cgroup.controllers, the top of all that is seen here, has no {absent}",
                mount.display()
            ),
            hint: format!(
                "a kernel leaves it out if its command line has cgroup_disable={absent}, and some \
                 boards want cgroup_enable={absent}; an outer container leaves out what it is not given"
            ),
        };
    }
    let are = if lacking.len() == 1 { "is" } else { "are" };
    match place.manager {
        Manager::Systemd { .. } => Advice {
            cause: format!("{what} {are} not delegated to your systemd: {told}"),
            hint: drop_in(lacking),
        },
        Manager::Direct { .. } | Manager::None => Advice {
            cause: format!("{what} {are} not given to this control group: {told}"),
            hint: by_hand(lacking, &place.directory),
        },
    }
}

/// The controller is there, but not this of it.
pub fn file(file: &str, directory: &Path) -> Advice {
    let hint = match file {
        "memory.swap.max" => "the kernel counts no swap: take swapaccount=0 off its command line",
        "io.weight" => "no scheduler of disks here has weights: load bfq, and choose it as root",
        _ => {
            "look for the name in the kernel's document on cgroup v2; a new one takes a new kernel"
        }
    };
    Advice {
        cause: format!(
            "this kernel has no {file}: {} is not there",
            directory.join(file).display()
        ),
        hint: hint.to_owned(),
    }
}

/// What root has to write, as a unit of systemd reads it.
fn drop_in(lacking: &[Controller]) -> String {
    let hugetlb = if lacking.contains(&Controller::Hugetlb) { " hugetlb" } else { "" };
    format!(
        "as root, write to /etc/systemd/system/user@.service.d/delegate.conf:\n\
         [Service]\n\
         Delegate=cpu cpuset io memory pids{hugetlb}\n\
         then systemctl daemon-reload, and log out of all sessions and in again"
    )
}

fn by_hand(lacking: &[Controller], directory: &Path) -> String {
    let words: Vec<_> = lacking.iter().map(|one| format!("+{one}")).collect();
    let above = directory.parent().unwrap_or(directory).display();
    format!(
        "a unit of systemd is given all with Delegate=yes; by hand, as root:\n\
         echo '{}' > {above}/cgroup.subtree_control",
        words.join(" ")
    )
}
