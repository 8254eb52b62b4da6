//! What is missing for a limit, in a sentence, and the lines that mend it.

use std::path::Path;

use super::Manager;
use super::place::Place;
use crate::host::advice::table::limits;
use crate::host::advice::{Advice, Hole};
use crate::host::cgroup::{Cgroups, Controller, Version};
use crate::host::files::Files;

/// The last resort of every hint.
pub const WITHOUT: &str = "or go on without: --limits best-effort";

/// There is no hierarchy that can be delegated.
pub fn no_hierarchy(version: Version) -> Advice {
    let row = match version {
        Version::V1 => &limits::CGROUP_V1,
        Version::Hybrid => &limits::CGROUP_HYBRID,
        Version::Bare => &limits::CGROUP_BARE,
        Version::V2 | Version::None => &limits::CGROUP_NONE,
    };
    row.advice(&[])
}

/// There is to be none.
pub fn disabled() -> Advice {
    Advice::of_request(
        "--cgroups disabled makes no control group",
        "leave it out: auto makes one where it is needed",
    )
}

/// Our own group can't be split.
pub fn not_ours(cgroups: &Cgroups) -> Advice {
    let own = match &cgroups.own {
        Some(own) => format!(" {}", own.display()),
        None => String::new(),
    };
    limits::CGROUP_NOT_OURS.advice(&[("own", &own)])
}

/// There is no group where the user said.
pub fn not_there(parent: &Path) -> Advice {
    limits::CGROUP_NOT_THERE.advice(&[("path", &parent.display())])
}

/// systemd is there, and its groups are not.
pub fn no_session() -> Advice {
    limits::CGROUP_HIDDEN.advice(&[])
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
    let what = match lacking {
        [one] => format!("the controller {one}"),
        more => format!("the controllers {}", names(more)),
    };
    let whole = Controller::list(&files.text(&mount.join("cgroup.controllers")));
    if let Some(absent) = lacking.iter().find(|one| !whole.is_empty() && !whole.contains(one)) {
        let holes: [Hole; 2] = [("path", &mount.display()), ("controller", absent)];
        return limits::CONTROLLER_ABSENT.advice(&holes);
    }
    let what = format!("{what} {}", if lacking.len() == 1 { "is" } else { "are" });
    let more = if lacking.contains(&Controller::Hugetlb) { " hugetlb" } else { "" };
    let words: Vec<_> = lacking.iter().map(|one| format!("+{one}")).collect();
    let above = place.directory.parent().unwrap_or(&place.directory);
    let row = match place.manager {
        Manager::Systemd { .. } => &limits::CONTROLLER_NOT_DELEGATED,
        Manager::Direct { .. } | Manager::None => &limits::CONTROLLER_NOT_GIVEN,
    };
    row.advice(&[
        ("what", &what),
        ("path", &place.directory.display()),
        ("has", &has),
        ("more", &more),
        ("words", &words.join(" ")),
        ("above", &above.display()),
    ])
}

/// The controller is there, but not this of it.
pub fn file(file: &str, directory: &Path) -> Advice {
    let help = match file {
        "memory.swap.max" => "the kernel counts no swap: take swapaccount=0 off its command line",
        "io.weight" => "no scheduler of disks here has weights: load bfq, and choose it as root",
        _ => {
            "look for the name in the kernel's document on cgroup v2; a new one takes a new kernel"
        }
    };
    let path = directory.join(file);
    limits::CONTROL_FILE_ABSENT.advice(&[
        ("file", &file),
        ("path", &path.display()),
        ("help", &help),
    ])
}
