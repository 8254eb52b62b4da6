//! What keeps a container from reaching the world, or from being reached.

use super::super::entry::entries;

entries! {
    Network;

    TUN_MISSING "tun-missing" {
        cause: "/dev/net/tun is not there",
        root: "modprobe tun; where there is no udev: mkdir -p /dev/net && mknod -m 666 /dev/net/tun \
               c 10 200",
        script: "modprobe tun\n\
                 [ -e /dev/net/tun ] || \
                 { mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200; }\n",
        around: "in a container: start the outer one with --device /dev/net/tun",
    }
    TUN_DENIED "tun-denied" {
        cause: "/dev/net/tun may not be opened by you",
        root: "chmod 666 /dev/net/tun, as udev does everywhere",
        script: "chmod 666 /dev/net/tun\n",
        around: "in a container: start the outer one with --device /dev/net/tun",
    }
    TUN_NO_DRIVER "tun-no-driver" {
        cause: "the kernel has no tun driver loaded",
        root: "modprobe tun",
        script: "modprobe tun\n",
        around: "",
    }
    TUN_STRANGE "tun-strange" {
        cause: "/dev/net/tun can't be opened: <errno>",
        root: "see what it is: ls -l /dev/net/tun, which is c 10, 200",
        script: "",
        around: "",
    }
    NETWORK_HELPER_MISSING "network-helper-missing" {
        cause: "<helper> is not installed",
        root: "apt-get install <package> (Debian, Ubuntu), dnf install <package> (Fedora, RHEL) or \
               apk add <package> (Alpine)",
        script: "if command -v apt-get >/dev/null; then apt-get install -y <package>\n\
                 elif command -v dnf >/dev/null; then dnf install -y <package>\n\
                 elif command -v apk >/dev/null; then apk add <package>\n\
                 else echo install <package> >&2; fi\n",
        around: "go on without a network: --network none",
    }
    NETWORK_HELPERS_MISSING "network-helpers-missing" {
        cause: "neither slirp4netns nor pasta is installed",
        root: "apt-get install <package> (Debian, Ubuntu), dnf install <package> (Fedora, RHEL) or \
               apk add <package> (Alpine)",
        script: "if command -v apt-get >/dev/null; then apt-get install -y <package>\n\
                 elif command -v dnf >/dev/null; then dnf install -y <package>\n\
                 elif command -v apk >/dev/null; then apk add <package>\n\
                 else echo install <package> >&2; fi\n",
        around: "go on without a network: --network none",
    }
    NETWORK_HELPER_OLD "network-helper-old" {
        cause: "<helper> does not know an option that it is told",
        root: "install <oldest> or later",
        script: "",
        around: "<oldest> or later is needed, and its own words for its options",
    }
    NETWORK_HELPER_FAILS "network-helper-fails" {
        cause: "<helper> ends before the network is there",
        root: "",
        script: "",
        around: "try the other helper: --network <other>",
    }
    NETWORK_HELPER_SLOW "network-helper-slow" {
        cause: "<helper> has not said in time that the network is there",
        root: "",
        script: "",
        around: "see what it waits for: ps, strace; or go on without a network: --network none",
    }
    LOW_PORTS "low-ports" {
        cause: "ports below <first> are for root",
        root: "sysctl -w net.ipv4.ip_unprivileged_port_start=<port>",
        script: "echo net.ipv4.ip_unprivileged_port_start=<port> > /etc/sysctl.d/50-ports.conf\n\
                 sysctl -p /etc/sysctl.d/50-ports.conf\n",
        around: "let systemd open it and start sublet with the socket: -p fd:NAME:<inside> \
                 (systemd.socket(5))\n\
                 or take another: -p <other>:<inside>",
    }
    PING_CLOSED "ping-closed" {
        cause: "your group may not ping (sysctl net.ipv4.ping_group_range is <range>)",
        root: "echo 'net.ipv4.ping_group_range=0 2147483647' > /etc/sysctl.d/50-ping.conf && \
               sysctl -p /etc/sysctl.d/50-ping.conf",
        script: "echo 'net.ipv4.ping_group_range=0 2147483647' > /etc/sysctl.d/50-ping.conf\n\
                 sysctl -p /etc/sysctl.d/50-ping.conf\n",
        around: "nothing but ping needs it; from a container with a network, pings get no answer \
                 without",
    }
}
