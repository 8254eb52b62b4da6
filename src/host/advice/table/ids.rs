//! What keeps a container from having a range of ids.

use super::super::entry::entries;

entries! {
    Ids;

    NO_NEW_PRIVILEGES "no-new-privileges" {
        cause: "no_new_privs is set on this process, so newuidmap and newgidmap get no privilege",
        root: "",
        script: "",
        around: "start it without no_new_privs: not from a unit with NoNewPrivileges=yes, a \
                 sandbox or a pod with allowPrivilegeEscalation: false",
    }
    HELPER_MISSING "idmap-helper-missing" {
        cause: "<helper> is not installed",
        root: "apt-get install uidmap (Debian, Ubuntu), dnf install shadow-utils (Fedora, RHEL) or \
               apk add shadow-uidmap (Alpine)",
        script: "if command -v apt-get >/dev/null; then apt-get install -y uidmap\n\
                 elif command -v dnf >/dev/null; then dnf install -y shadow-utils\n\
                 elif command -v apk >/dev/null; then apk add shadow-uidmap\n\
                 else echo 'install newuidmap and newgidmap (shadow)' >&2; fi\n",
        around: "",
    }
    HELPER_OWNER "idmap-helper-owner" {
        cause: "<path> belongs to uid <uid>, not to root",
        root: "apt-get install --reinstall uidmap (Debian, Ubuntu) or dnf reinstall shadow-utils \
               (Fedora, RHEL)",
        script: "if command -v apt-get >/dev/null; then apt-get install -y --reinstall uidmap\n\
                 elif command -v dnf >/dev/null; then dnf reinstall -y shadow-utils\n\
                 elif command -v apk >/dev/null; then apk fix --reinstall shadow-uidmap\n\
                 else echo 'install newuidmap and newgidmap (shadow) anew' >&2; fi\n",
        around: "",
    }
    HELPER_MODE "idmap-helper-mode" {
        cause: "<path> may not be executed by you (mode <mode>)",
        root: "chmod 4755 <path>",
        script: "chmod 4755 <path>\n",
        around: "",
    }
    HELPER_PRIVILEGE "idmap-helper-privilege" {
        cause: "<path> has neither the set-user-id bit nor <capability>",
        root: "apt-get install --reinstall uidmap (Debian, Ubuntu) or dnf reinstall shadow-utils \
               (Fedora, RHEL), or: setcap <capability>+ep <path>",
        script: "setcap <capability>+ep <path> || chmod 4755 <path>\n",
        around: "",
    }
    HELPER_NOSUID "idmap-helper-nosuid" {
        cause: "<path> is on a mount with nosuid, which takes its privilege away",
        root: "mount that filesystem without nosuid",
        script: "mount -o remount,suid \"$(findmnt -n -o TARGET -T <path>)\"\n",
        around: "in a container: see that the outer one does not mount its root nosuid",
    }
    HELPER_BOUNDED "idmap-helper-bounded" {
        cause: "<capability> is not in the capability bounding set, so <path> can't get it",
        root: "",
        script: "",
        around: "let the outer container or service keep <capability>",
    }
    ACCOUNT_NAMELESS "account-nameless" {
        cause: "uid <uid> has no name, neither in /etc/passwd nor by getent",
        root: "echo 'me:x:<uid>:<uid>::/:/bin/sh' >> /etc/passwd",
        script: "getent passwd <uid> >/dev/null || \
                 echo 'me:x:<uid>:<uid>::/:/bin/sh' >> /etc/passwd\n",
        around: "",
    }
    CALLER_SET_ID "caller-set-id" {
        cause: "real and effective ids differ, which newuidmap does not serve",
        root: "",
        script: "",
        around: "take the set-user-id or set-group-id bit from the program that starts this",
    }
    CALLER_GROUP "caller-group" {
        cause: "your group is <gid> and not <primary>, the primary group of <user>, which \
                newuidmap insists on",
        root: "",
        script: "",
        around: "start it from a shell without newgrp or sg: su - <user>",
    }
    RANGE_MISSING "range-missing" {
        cause: "<problem>",
        root: "usermod --add-sub<kind>s <first>-<last> <user>",
        script: "grep -q '^'<user>: /etc/sub<kind> 2>/dev/null || \
                 usermod --add-sub<kind>s <first>-<last> <user>\n",
        around: "",
    }
    RANGE_MISSING_SITE "range-missing-site" {
        cause: "<problem>",
        root: "echo <user>:<first>:65536 >> /etc/sub<kind>",
        script: "grep -q '^'<user>: /etc/sub<kind> 2>/dev/null || \
                 echo <user>:<first>:65536 >> /etc/sub<kind>\n",
        around: "",
    }
    RANGE_MISSING_MODULE "range-missing-module" {
        cause: "<problem>",
        root: "",
        script: "",
        around: "ask who runs <module> for 65536 <kind>s; /etc/sub<kind> does not count here",
    }
    RANGE_OUTSIDE "range-outside" {
        cause: "the <kind>s of <user>, <ranges>, do not exist in the container we are in",
        root: "",
        script: "",
        around: "see /proc/self/<kind>_map for those that do, and put them in /etc/sub<kind>",
    }
    CONTAINER_ONE_ID "container-one-id" {
        cause: "the container we are in has one id itself",
        root: "",
        script: "",
        around: "give the outer container a range of ids",
    }
    RANGE_UNKNOWN "range-unknown-to-helper" {
        cause: "newuidmap or newgidmap knows other ranges than /etc/subuid and /etc/subgid show",
        root: "",
        script: "",
        around: "see what it knows: getsubids, and subid: in /etc/nsswitch.conf",
    }
    HELPER_SEES_NOBODY "idmap-helper-sees-nobody" {
        cause: "newuidmap or newgidmap takes the container for another user's",
        root: "",
        script: "",
        around: "it serves only a user's own processes with the primary group, in a /proc that \
                 shows owners: look for hidepid and for newgrp",
    }
    HELPER_FAILED "idmap-helper-failed" {
        cause: "newuidmap or newgidmap does not do its work",
        root: "",
        script: "",
        around: "do without it: --userns single",
    }
}
