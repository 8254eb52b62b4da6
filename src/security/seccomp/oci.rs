//! The OCI runtime specification's own types as a [`Profile`].
#![forbid(unsafe_code)]

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag,
    LinuxSeccompOperator, LinuxSyscall,
};

use super::profile::{Action, Arg, Entry, Flag, Operator, Profile};

impl From<&LinuxSeccomp> for Profile {
    fn from(seccomp: &LinuxSeccomp) -> Self {
        Self {
            default_action: action(seccomp.default_action()),
            default_errno_ret: seccomp.default_errno_ret(),
            default_errno: None,
            // Parsed, so known; no other architecture than ours is let through.
            architectures: Vec::new(),
            arch_map: Vec::new(),
            flags: seccomp.flags().iter().flatten().map(|known| flag(*known)).collect(),
            listener_path: seccomp.listener_path().as_ref().map(|it| it.display().to_string()),
            listener_metadata: None,
            syscalls: seccomp.syscalls().iter().flatten().map(entry).collect(),
            comment: None,
        }
    }
}

fn entry(syscall: &LinuxSyscall) -> Entry {
    Entry {
        names: syscall.names().clone(),
        name: None,
        action: action(syscall.action()),
        errno_ret: syscall.errno_ret(),
        errno: None,
        args: syscall.args().iter().flatten().map(arg).collect(),
        includes: None,
        excludes: None,
        comment: None,
    }
}

fn arg(arg: &LinuxSeccompArg) -> Arg {
    Arg {
        // What does not fit is no argument's index either, and refused as such.
        index: u32::try_from(arg.index()).unwrap_or(u32::MAX),
        value: arg.value(),
        value_two: arg.value_two().unwrap_or(0),
        op: operator(arg.op()),
    }
}

fn action(action: LinuxSeccompAction) -> Action {
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Action::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActErrno => Action::Errno,
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActTrace => Action::Trace,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    }
}

fn operator(operator: LinuxSeccompOperator) -> Operator {
    match operator {
        LinuxSeccompOperator::ScmpCmpNe => Operator::NotEqual,
        LinuxSeccompOperator::ScmpCmpLt => Operator::Less,
        LinuxSeccompOperator::ScmpCmpLe => Operator::LessOrEqual,
        LinuxSeccompOperator::ScmpCmpEq => Operator::Equal,
        LinuxSeccompOperator::ScmpCmpGe => Operator::GreaterOrEqual,
        LinuxSeccompOperator::ScmpCmpGt => Operator::Greater,
        LinuxSeccompOperator::ScmpCmpMaskedEq => Operator::MaskedEqual,
    }
}

fn flag(flag: LinuxSeccompFilterFlag) -> Flag {
    match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => Flag::Log,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => Flag::Tsync,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => Flag::SpecAllow,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => Flag::WaitKillableRecv,
    }
}
