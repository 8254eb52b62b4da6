//! What is missing of files and file systems.

use super::super::entry::entries;

entries! {
    Files;

    PROC_COVERED "proc-covered" {
        cause: "the kernel refuses a new /proc because this machine's has <path> covered or \
                read-only, as in a container with masked paths",
        root: "",
        script: "",
        around: "run the outer container with --security-opt unmask=ALL to get a private one",
    }
    SYS_COVERED "sys-covered" {
        cause: "the kernel refuses a new /sys because this machine's has <path> covered",
        root: "",
        script: "",
        around: "run the outer container with --security-opt unmask=ALL to get a private one",
    }
    FILESYSTEM_MISSING "filesystem-missing" {
        cause: "this kernel has no <kind> loaded",
        root: "modprobe <kind>",
        script: "modprobe <kind>\n",
        around: "",
    }
    OVERLAY_REFUSED "overlay-refused" {
        cause: "the kernel refuses the layers: an overlay in a user namespace takes Linux 5.11, and \
                its root may not be on NFS, itself an overlay of user namespaces, or have mounts \
                on it",
        root: "",
        script: "",
        around: "copy the root and run the copy, or use --read-only",
    }
    OVERLAY_TMPFS "overlay-tmpfs" {
        cause: "Linux before 6.6 keeps no user.* attributes in a tmpfs, and inside ROOT:O no \
                directory can be made where one of the root was removed",
        root: "install Linux 6.6 or later, and boot it",
        script: "",
        around: "copy the root and run the copy",
    }
    MOUNTS_FULL "mounts-full" {
        cause: "there are too many mounts: the limit is the sysctl fs.mount-max",
        root: "raise the sysctl fs.mount-max",
        script: "",
        around: "mount less",
    }
    STATE_NOWHERE "state-nowhere" {
        cause: "<reasons>",
        root: "",
        script: "",
        around: "set XDG_RUNTIME_DIR to a directory that only you can enter, for example:\n\
                 mkdir -m 700 ~/.runtime; export XDG_RUNTIME_DIR=~/.runtime",
    }
    STATE_OPEN "state-open" {
        cause: "<path> can be written by others (mode <mode>)",
        root: "",
        script: "",
        around: "nobody else should have been able to: chmod 700 <path>",
    }
    STATE_FULL "state-full" {
        cause: "the disk, its inodes or your quota of it is full at <path>",
        root: "",
        script: "",
        around: "make room (df <path>; df -i <path>), or set XDG_RUNTIME_DIR to a directory of \
                 your own elsewhere",
    }
    STATE_READONLY "state-readonly" {
        cause: "<path> can't be written",
        root: "",
        script: "",
        around: "make <path> writable for you, or set XDG_RUNTIME_DIR to a directory of your own \
                 elsewhere",
    }
    STATE_REMOTE "state-remote" {
        cause: "<path> is on <kind>, where locks may not hold between machines",
        root: "",
        script: "",
        around: "set XDG_RUNTIME_DIR to a directory of your own on a local disk or in memory",
    }
}
