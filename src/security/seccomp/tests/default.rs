//! What the default profile makes of arguments, architectures, capabilities.

use super::super::policy::Nesting;
use super::super::{Program, builtin};
use super::interpreter::{Call, check, run};
use super::*;

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const HIGH_BITS: u64 = 1 << 32;

const UNIX: u64 = 1;
const INET: u64 = 2;
const INET6: u64 = 10;
const NETLINK: u64 = 16;
const PACKET: u64 = 17;
const SOCK_STREAM: u64 = 1;
const SOCK_RAW: u64 = 3;
const SOCK_PACKET: u64 = 10;
const SOCK_CLOEXEC: u64 = 0o2000000;

fn usual() -> Filter {
    Filter::default(NATIVE, CapSet::DEFAULT, Nesting::Refused)
}

fn with(names: &str) -> Filter {
    Filter::default(NATIVE, CapSet::DEFAULT.or(caps(names)), Nesting::Refused)
}

fn nested() -> Filter {
    Filter::default(NATIVE, CapSet::DEFAULT, Nesting::Allowed)
}

#[test]
fn keystrokes_cannot_be_injected_whatever_the_high_bits_are() {
    for filter in [usual(), with("SYS_ADMIN SYS_TTY_CONFIG"), nested()] {
        for high in [0, HIGH_BITS, 0xffff_ffff << 32, 1 << 63] {
            assert_eq!(filter.judge("ioctl", &[0, high | TIOCSTI]), "EPERM");
            assert_eq!(filter.judge("ioctl", &[0, high | TIOCLINUX]), "EPERM");
            assert_eq!(filter.judge("ioctl", &[0, high | 0x5401]), "allow");
        }
        // The request is the second argument and no other.
        assert_eq!(filter.judge("ioctl", &[TIOCSTI, 0x5413, TIOCSTI]), "allow");
    }
}

#[test]
fn no_namespace_can_be_made_or_entered() {
    let usual = usual();
    let namespaces = [17, 25, 26, 27, 28, 29, 30].map(|bit| 1u64 << bit);
    assert_eq!(namespaces.iter().sum::<u64>(), 0x7e02_0000);
    for flag in namespaces {
        for rest in [0, 17, 0x0010_0000, HIGH_BITS] {
            assert_eq!(usual.judge("clone", &[flag | rest]), "EPERM");
            assert_eq!(nested().judge("clone", &[flag | rest]), "allow");
            assert_eq!(with("SYS_ADMIN").judge("clone", &[flag | rest]), "allow");
        }
    }
    // What glibc passes for a fork and for a thread.
    for flags in [0x0120_0011, 0x003d_0f00] {
        assert_eq!(usual.judge("clone", &[flags]), "allow");
    }
    // CLONE_NEWTIME does not fit clone, whose low byte is a signal.
    for filter in [usual, with("SYS_PTRACE NET_ADMIN SYS_CHROOT")] {
        assert_eq!(filter.judge("clone3", &[]), "ENOSYS");
        for name in ["unshare", "setns", "mount", "umount2", "pivot_root", "fsopen", "open_tree"] {
            assert_eq!(filter.judge(name, &[0x1000_0000]), "EPERM", "{name}");
        }
    }
}

#[test]
fn sockets_of_other_families_are_as_if_the_kernel_lacked_them() {
    for filter in [usual(), nested(), with("SYS_ADMIN")] {
        for name in ["socket", "socketpair"] {
            for family in 0..64 {
                let expected = match family {
                    UNIX | INET | INET6 | NETLINK => "allow",
                    PACKET => "EPERM",
                    _ => "EAFNOSUPPORT",
                };
                for kind in [SOCK_STREAM, SOCK_RAW, SOCK_STREAM | SOCK_CLOEXEC] {
                    // The kernel reads an int: the high half is not looked at.
                    for high in [0, HIGH_BITS] {
                        let judged = filter.judge(name, &[high | family, kind, 0]);
                        assert_eq!(judged, expected, "{name} {family} {kind}");
                    }
                }
            }
            assert_eq!(filter.judge(name, &[0xffff_ffff, 1, 0]), "EAFNOSUPPORT");
        }
    }
}

#[test]
fn of_netlink_only_what_programs_need() {
    let judge = |filter: &Filter, protocol| filter.judge("socket", &[NETLINK, SOCK_RAW, protocol]);
    for filter in [usual(), nested(), with("SYS_ADMIN")] {
        for protocol in 0..32 {
            let expected = match protocol {
                0 | 15 | 16 => "allow",
                9 => "EINVAL",
                _ => "EPROTONOSUPPORT",
            };
            assert_eq!(judge(&filter, protocol), expected, "{protocol}");
            assert_eq!(judge(&filter, HIGH_BITS | protocol), expected, "{protocol}");
        }
    }
    assert_eq!(judge(&with("AUDIT_WRITE"), 9), "allow");
    assert_eq!(judge(&with("NET_ADMIN"), 12), "allow");
    for protocol in [6, 12] {
        assert_eq!(judge(&with("AUDIT_WRITE"), protocol), "EPROTONOSUPPORT");
    }
    assert_eq!(judge(&with("NET_ADMIN"), 6), "EPROTONOSUPPORT");
}

#[test]
fn packet_sockets_need_the_capability_under_both_names() {
    for kind in [SOCK_PACKET, SOCK_PACKET | SOCK_CLOEXEC, HIGH_BITS | SOCK_PACKET] {
        assert_eq!(usual().judge("socket", &[INET, kind, 0]), "EPERM");
        assert_eq!(with("NET_RAW").judge("socket", &[INET, kind, 0]), "allow");
    }
    assert_eq!(with("NET_RAW").judge("socket", &[PACKET, SOCK_RAW, 0]), "allow");
    assert_eq!(usual().judge("socket", &[INET6, SOCK_PACKET, 0]), "allow");
}

#[test]
fn personality_is_limited_to_harmless_ones() {
    for persona in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
        assert_eq!(usual().judge("personality", &[persona]), "allow");
        assert_eq!(usual().judge("personality", &[HIGH_BITS | persona]), "allow");
    }
    // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
    for persona in [0x0004_0000, 0x0040_0000] {
        assert_eq!(usual().judge("personality", &[persona]), "EPERM");
    }
}

#[test]
fn what_never_comes_back() {
    let all = Filter::default(NATIVE, CapSet::up_to(40), Nesting::Allowed);
    for name in ["io_uring_setup", "keyctl", "add_key", "request_key", "statmount", "listns"] {
        for filter in [usual(), nested(), Filter { ..with("SYS_PTRACE") }] {
            assert_eq!(filter.judge(name, &[]), "ENOSYS", "{name}");
        }
        assert_eq!(all.judge(name, &[]), "ENOSYS", "{name}");
    }
    for name in ["kexec_load", "userfaultfd", "vmsplice", "swapon"] {
        assert_eq!(all.judge(name, &[]), "EPERM", "{name}");
    }
}

#[test]
fn capabilities_bring_their_calls() {
    for (cap, names) in [
        ("SYS_ADMIN", "mount unshare setns clone3 pivot_root sethostname bpf quotactl syslog"),
        ("SYS_PTRACE", "pidfd_getfd kcmp process_madvise"),
        ("SYS_TIME", "settimeofday clock_settime"),
        ("SYS_MODULE", "init_module finit_module delete_module"),
        ("DAC_READ_SEARCH", "open_by_handle_at name_to_handle_at"),
        ("SYS_NICE", "mbind set_mempolicy get_mempolicy"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
        ("SYSLOG", "syslog"),
        ("SYS_BOOT", "reboot"),
        ("SYS_PACCT", "acct"),
        ("SYS_TTY_CONFIG", "vhangup"),
    ] {
        for name in names.split_whitespace() {
            assert_eq!(with(cap).judge(name, &[]), "allow", "{name} with {cap}");
            assert_ne!(usual().judge(name, &[]), "allow", "{name} without {cap}");
        }
    }
    let bare = Filter::default(NATIVE, CapSet::EMPTY, Nesting::Refused);
    assert_eq!(bare.judge("chroot", &[]), "EPERM");
    assert_eq!(usual().judge("chroot", &[]), "allow");
}

#[test]
fn containers_inside_can_be_made_and_are_held_as_this_one_is() {
    let nested = Filter::default(NATIVE, CapSet::EMPTY, Nesting::Allowed);
    for name in
        ["clone3", "unshare", "setns", "mount", "umount2", "pivot_root", "fsopen", "fsmount"]
            .into_iter()
            .chain(["move_mount", "mount_setattr", "open_tree_attr", "sethostname", "chroot"])
    {
        assert_eq!(nested.judge(name, &[]), "allow", "{name}");
    }
    for name in ["pidfd_getfd", "bpf", "open_by_handle_at", "reboot", "syslog", "init_module"] {
        assert_eq!(nested.judge(name, &[]), "EPERM", "{name}");
    }
}

#[test]
fn other_architectures_and_abis_get_enosys() {
    let all = Filter::default(Arch::X86_64, CapSet::up_to(40), Nesting::Allowed);
    let judge = |arch, number| {
        let call = Call { arch, number, args: [0; 6] };
        run(&all.instructions, &call).verdict.to_string()
    };
    let native = Arch::X86_64.audit();
    // i386, where 1 is exit and 11 execve, Arm, and nothing at all.
    for arch in [0x4000_0003, 0x4000_0028, Arch::Aarch64.audit(), 0, u32::MAX] {
        for number in [0, 1, 11, 102, 359, 0x4000_0001] {
            assert_eq!(judge(arch, number), "ENOSYS");
        }
    }
    for number in 0..1024 {
        assert_eq!(judge(native, 0x4000_0000 | number), "ENOSYS", "x32 {number}");
        assert_eq!(judge(native, 0x8000_0000 | number), "ENOSYS");
    }
    assert_eq!(judge(native, u32::MAX), "ENOSYS");
    assert_eq!(judge(native, 0), "allow");
}

#[test]
fn what_is_compiled_in_is_what_would_be_compiled_now() {
    let pick = |caps, nesting| builtin(caps, nesting).unwrap();
    for nesting in [Nesting::Refused, Nesting::Allowed] {
        for caps in [CapSet::DEFAULT, CapSet::EMPTY] {
            let Program { instructions, flags, unknown } = pick(caps, nesting);
            assert!(matches!(instructions, std::borrow::Cow::Borrowed(_)));
            assert_eq!(*instructions, Filter::default(NATIVE, caps, nesting).instructions);
            assert_eq!((flags, unknown), (super::super::Flags::SPEC_ALLOW, vec![]));
        }
    }
    // Capabilities that no entry asks about make no difference.
    let fewer = CapSet::DEFAULT.without(caps("CHOWN SETUID"));
    assert_eq!(pick(fewer, Nesting::Refused), pick(CapSet::DEFAULT, Nesting::Refused));
    let more = pick(CapSet::DEFAULT.or(caps("SYS_TIME")), Nesting::Refused);
    assert_eq!(*more.instructions, with("SYS_TIME").instructions);
}

#[test]
fn every_capability_alone_compiles_to_a_sound_filter() {
    for cap in CapSet::up_to(40).iter() {
        for nesting in [Nesting::Refused, Nesting::Allowed] {
            check(&Filter::default(NATIVE, CapSet::from_iter([cap]), nesting).instructions);
        }
    }
}
