//! What keeps limits from being set.

use super::super::entry::entries;

entries! {
    Limits;

    CGROUP_V1 "cgroup-v1" {
        cause: "this machine has cgroup v1, of which only root can make groups",
        root: "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and boot; where \
               systemd does not run the machine, cgroup_no_v1=all and a cgroup2 mounted",
        script: "",
        around: "",
    }
    CGROUP_HYBRID "cgroup-hybrid" {
        cause: "this machine has its controllers in cgroup v1, of which only root can make groups, \
                and none in the cgroup v2 beside it",
        root: "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, and boot; where \
               systemd does not run the machine, cgroup_no_v1=all and a cgroup2 mounted",
        script: "",
        around: "",
    }
    CGROUP_BARE "cgroup-bare" {
        cause: "the host of this container has its controllers in cgroup v1, and none in the cgroup \
                v2 that is shown here",
        root: "",
        script: "",
        around: "on that host, add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, \
                 and boot",
    }
    CGROUP_NONE "cgroup-none" {
        cause: "no cgroup v2 is mounted here",
        root: "mount -t cgroup2 none /sys/fs/cgroup",
        script: "mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup\n",
        around: "in a container, it has to be shown there, writable",
    }
    CGROUP_NOT_OURS "cgroup-not-ours" {
        cause: "the control group<own> that sublet is in is not yours to write",
        root: "",
        script: "",
        around: "a service of the machine's systemd is given its own with Delegate=yes\n\
                 or name a group that is yours: --cgroup-parent /PATH",
    }
    CGROUP_NOT_THERE "cgroup-not-there" {
        cause: "there is no control group <path>",
        root: "mkdir -p <path>, and chown USER <path> <path>/cgroup.*",
        script: "",
        around: "",
    }
    CGROUP_HIDDEN "cgroup-hidden" {
        cause: "the control group of your systemd can't be seen from here",
        root: "",
        script: "",
        around: "in a container, --cgroupns host or a /sys/fs/cgroup of the host's shows it",
    }
    CONTROLLER_ABSENT "controller-absent" {
        cause: "<path>/cgroup.controllers, the top of all that is seen here, has no <controller>",
        root: "",
        script: "",
        around: "a kernel leaves it out if its command line has cgroup_disable=<controller>, and \
                 some boards want cgroup_enable=<controller>; an outer container leaves out what \
                 it is not given",
    }
    CONTROLLER_NOT_DELEGATED "controller-not-delegated" {
        cause: "<what> not delegated to your systemd: <path>/cgroup.controllers has <has>",
        root: "write to /etc/systemd/system/user@.service.d/delegate.conf:\n\
               [Service]\n\
               Delegate=cpu cpuset io memory pids<more>\n\
               then systemctl daemon-reload, and log out of all sessions and in again",
        script: "mkdir -p /etc/systemd/system/user@.service.d\n\
                 cat > /etc/systemd/system/user@.service.d/delegate.conf <<'END'\n\
                 [Service]\n\
                 Delegate=cpu cpuset io memory pids hugetlb\n\
                 END\n\
                 systemctl daemon-reload\n",
        around: "",
    }
    CONTROLLER_NOT_GIVEN "controller-not-given" {
        cause: "<what> not given to this control group: <path>/cgroup.controllers has <has>",
        root: "a unit of systemd is given all with Delegate=yes; by hand:\n\
               echo '<words>' > <above>/cgroup.subtree_control",
        script: "",
        around: "",
    }
    CONTROL_FILE_ABSENT "control-file-absent" {
        cause: "this kernel has no <file>: <path> is not there",
        root: "",
        script: "",
        around: "<help>",
    }
    SYSTEMD_ABSENT "systemd-absent" {
        cause: "systemd does not run this machine (there is no /run/systemd/system)",
        root: "",
        script: "",
        around: "start it in a cgroup that you may write, or name one: --cgroup-parent /PATH",
    }
    SESSION_NONE "session-none" {
        cause: "<cause>",
        root: "so that your systemd runs without a login: loginctl enable-linger <uid>",
        script: "loginctl enable-linger <uid>\n",
        around: "log in by ssh, at the console or with `machinectl shell USER@` in place of su, \
                 sudo or cron",
    }
    SYSTEM_BUS_NONE "system-bus-none" {
        cause: "<cause>",
        root: "",
        script: "",
        around: "see whether they are up: ls -l /run/systemd/private /run/dbus",
    }
    LINGER_OFF "linger-off" {
        cause: "your systemd ends with your last session, and containers with limits end with it",
        root: "loginctl enable-linger <uid>",
        script: "loginctl enable-linger <uid>\n",
        around: "",
    }
}
