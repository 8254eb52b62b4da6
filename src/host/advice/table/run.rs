//! What keeps a container from running at all.

use super::super::entry::entries;

entries! {
    Run;

    KERNEL_OLD "kernel-old" {
        cause: "this is Linux <release>, and sublet needs 5.15 or later",
        root: "install a newer kernel, and boot it",
        script: "",
        around: "",
    }
    PROC_MISSING "proc-missing" {
        cause: "no procfs is mounted at /proc: a process's own ids and maps are read there",
        root: "mount -t proc proc /proc",
        script: "mountpoint -q /proc || mount -t proc proc /proc\n",
        around: "in a container: start the outer one with a /proc",
    }
    APPARMOR_RESTRICTS "apparmor-restricts" {
        cause: "AppArmor gives no privileges in a user namespace to a program without a profile \
                (sysctl kernel.apparmor_restrict_unprivileged_userns is 1)",
        root: "so that <program> may make user namespaces:\n\
               cat > /etc/apparmor.d/sublet <<'END'\n\
               abi <abi/4.0>,\n\
               include <tunables/global>\n\
               profile sublet \"<program>\" flags=(unconfined) {\n\
               \x20 userns,\n\
               \x20 include if exists <local/sublet>\n\
               }\n\
               END\n\
               apparmor_parser -r /etc/apparmor.d/sublet\n\
               or for all programs: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        script: "cat > /etc/apparmor.d/sublet <<'END'\n\
                 abi <abi/4.0>,\n\
                 include <tunables/global>\n\
                 profile sublet \"<program>\" flags=(unconfined) {\n\
                 \x20 userns,\n\
                 \x20 include if exists <local/sublet>\n\
                 }\n\
                 END\n\
                 apparmor_parser -r /etc/apparmor.d/sublet\n",
        around: "",
    }
    APPARMOR_RESTRICTS_PATH "apparmor-restricts-path" {
        cause: "AppArmor gives no privileges in a user namespace to a program without a profile \
                (sysctl kernel.apparmor_restrict_unprivileged_userns is 1), and no profile should \
                be bound to the path of this one: others than root can write there, or it can't \
                be written in a profile",
        root: "install sublet as /usr/local/bin/sublet, where only root writes; then that one's \
               doctor has the profile. Or for all programs: \
               sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        script: "",
        around: "",
    }
    APPARMOR_CONFINES "apparmor-confines" {
        cause: "the AppArmor profile \"<label>\" that confines this process may forbid it",
        root: "add the rule `userns,` to that profile",
        script: "",
        around: "start sublet outside of that profile",
    }
    USERNS_OFF "userns-off" {
        cause: "user namespaces are switched off for ordinary users (sysctl \
                kernel.unprivileged_userns_clone is 0)",
        root: "echo kernel.unprivileged_userns_clone=1 > /etc/sysctl.d/50-userns.conf && \
               sysctl -p /etc/sysctl.d/50-userns.conf",
        script: "echo kernel.unprivileged_userns_clone=1 > /etc/sysctl.d/50-userns.conf\n\
                 sysctl -p /etc/sysctl.d/50-userns.conf\n",
        around: "",
    }
    CHROOT "chroot" {
        cause: "this process is in a chroot, where the kernel makes no user namespace",
        root: "",
        script: "",
        around: "enter that directory with a mount namespace and pivot_root in place of chroot",
    }
    PID_NAMESPACE_UNENTERED "pid-namespace-unentered" {
        cause: "this process has its children born into another pid namespace than its own, and \
                from there the kernel makes no further one",
        root: "",
        script: "",
        around: "start it inside of that pid namespace: unshare --pid --fork, or nsenter without \
                 --no-fork",
    }
    CALLER_UNMAPPED "caller-unmapped" {
        cause: "uid <uid> or gid <gid> of this process is not mapped in the user namespace it is in",
        root: "",
        script: "",
        around: "start it as a user that the outer container maps: see /proc/self/uid_map",
    }
    SECCOMP_FILTER "seccomp-filter" {
        cause: "the seccomp filter of an outer container or service may forbid user namespaces",
        root: "",
        script: "",
        around: "start the outer one with a filter that allows clone, clone3, unshare and mount: \
                 --security-opt seccomp=unconfined (docker, podman), or --nested (sublet)",
    }
    USERNS_DENIED "userns-denied" {
        cause: "a security module or the kernel's configuration forbids user namespaces",
        root: "see what denied it: journalctl -k | grep -iE 'avc|apparmor|userns'",
        script: "",
        around: "",
    }
    QUOTA_ZERO "quota-zero" {
        cause: "the quota of namespaces is zero (sysctl <switches>); it is no disk that is full",
        root: "printf '<values>' > /etc/sysctl.d/50-userns-quota.conf && \
               sysctl -p /etc/sysctl.d/50-userns-quota.conf",
        script: "printf <values> > /etc/sysctl.d/50-userns-quota.conf\n\
                 sysctl -p /etc/sysctl.d/50-userns-quota.conf\n",
        around: "in a container, the quota may be that of the outer one",
    }
    QUOTA_USED "quota-used" {
        cause: "a quota of namespaces is used up, here or in an outer container, or they are \
                nested 32 deep; it is no disk that is full",
        root: "raise the sysctl: <switches>",
        script: "",
        around: "stop other containers of yours (lsns shows them)",
    }
    KERNEL_LACKS "kernel-lacks" {
        cause: "this kernel lacks a kind of namespace, or clone3 itself",
        root: "use Linux 5.15 or later with CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, \
               CONFIG_UTS_NS, CONFIG_IPC_NS and CONFIG_CGROUPS; ls /proc/self/ns shows the kinds",
        script: "",
        around: "",
    }
    PROCESSES_FULL "processes-full" {
        cause: "no more processes may be made: RLIMIT_NPROC, pids.max or kernel.threads-max",
        root: "",
        script: "",
        around: "raise what is reached: ulimit -u, or TasksMax= of the unit this runs in",
    }
    MEMORY_FULL "memory-full" {
        cause: "there is no memory for it",
        root: "",
        script: "",
        around: "raise memory.max of the cgroup this runs in, or see free -m and the sysctl \
                 vm.overcommit_memory",
    }
    CLONE_REFUSED "clone-refused" {
        cause: "the kernel refuses new namespaces (<errno>)",
        root: "",
        script: "",
        around: "see how many files may be open (ulimit -n), what the kernel says (dmesg), and the \
                 sysctls user.max_*_namespaces",
    }
    SETFCAP_LOST "setfcap-lost" {
        cause: "this root has lost CAP_SETFCAP, and without it the kernel maps id 0 nowhere",
        root: "",
        script: "",
        around: "let the outer container or service keep CAP_SETFCAP: --cap-add SETFCAP",
    }
    MAP_DENIED "map-denied" {
        cause: "an id of the map is not ours to give, or the process belongs to another user, as \
                what a set-user-id or set-group-id program starts does",
        root: "",
        script: "",
        around: "compare the map with /proc/self/uid_map and /etc/subuid, or take one id alone: \
                 --userns single; a sublet with a set-id bit maps none: chmod ug-s",
    }
    MAP_REFUSED "map-refused" {
        cause: "the kernel refuses the id map (<errno>)",
        root: "",
        script: "",
        around: "see whether /proc is mounted read-only (findmnt /proc), how many files may be \
                 open (ulimit -n), and what the kernel says: dmesg",
    }
    SECCOMP_REFUSED "seccomp-refused" {
        cause: "this kernel has no seccomp filters, or a profile asks for a flag it does not know",
        root: "use a kernel with CONFIG_SECCOMP_FILTER",
        script: "",
        around: "--security-opt seccomp=unconfined goes without",
    }
}
