//! What keeps a container from running at all, beside what `doctor` itself takes
//! away: the kernel's answers, and what confines a process.

use super::*;

/// Has strace put `errno` in the place of each answer of the kernel's to `call`:
/// of another kernel, or of one that is short of something.
fn answers(program: Program, call: &str, errno: &str) -> Program {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:error={errno}");
    program.under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
}

#[test]
fn who_is_not_mapped_is_told() {
    requires!(ordinary_user);
    let breaks = |program: Program| program.before(spawn::Before::UserNamespace);
    unusable(&breaks, "user-namespace", "caller-unmapped");
}

/// Children that would be the first of a pid namespace: of the containers that
/// doctor starts, one would have been the others' init, and never ended.
#[test]
fn who_stands_outside_of_his_own_pid_namespace_is_told() {
    requires!(unshare);
    for script in [
        r#"exec unshare --pid "$@""#,
        // The first is gone, and with it the namespace.
        r#"exec unshare --pid sh -c 'true & wait; exec "$@"' sh "$@""#,
    ] {
        let breaks = |program: Program| program.inside_namespaces(script);
        unusable(&breaks, "user-namespace", "pid-namespace-unentered");
    }
}

#[test]
fn each_answer_of_the_kernel_is_told() {
    requires!(strace);
    for (calls, errno, row) in [
        // As a kernel without pid namespaces has it.
        ("clone3", "EINVAL", "kernel-lacks"),
        ("clone3", "ENOMEM", "memory-full"),
        ("clone3", "EMFILE", "clone-refused"),
        // As a security module has it, and not a filter that knows the older one
        // alone.
        ("clone3,clone", "EPERM", "userns-denied"),
    ] {
        unusable(&|program| answers(program, calls, errno), "user-namespace", row);
    }
}

#[test]
fn a_kernel_without_filters_is_told() {
    requires!(strace, unshare);
    // There with one id: who is traced gets no privilege from newuidmap.
    let breaks =
        |program: Program| answers(program, "seccomp", "EINVAL").inside_namespaces(r#"exec "$@""#);
    unusable(&breaks, "seccomp", "seccomp-refused");
}

#[test]
fn a_proc_that_is_read_only_takes_no_map() {
    requires!(unshare);
    let breaks = |program: Program| {
        program.inside_namespaces(
            r#"mount --rbind /proc /proc; mount -o remount,bind,ro /proc; exec "$@""#,
        )
    };
    unusable(&breaks, "single-id", "map-refused");
}

/// Ubuntu's switch as its kernel shows it, and the refusal that goes with it.
const RESTRICTED: &str = "mount -t tmpfs none /proc/sys/kernel
                          echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns";

#[test]
fn a_restriction_by_apparmor_is_told() {
    requires!(unshare, strace);
    let script =
        format!("{RESTRICTED}\nexec setpriv --bounding-set -sys_admin --inh-caps -all -- \"$@\"");
    let breaks = |program: Program| answers(program, "clone3", "EACCES").inside_namespaces(&script);
    unusable(&breaks, "user-namespace", "apparmor-restricts-path");
}

mod as_root {
    use super::*;
    use crate::doctor::as_root::as_user;

    /// Where only root writes, the way out is a profile for that path.
    #[test]
    fn a_restriction_by_apparmor_is_told_with_a_profile() {
        requires!(root, strace);
        let script = format!(
            "{RESTRICTED}
             mount -t tmpfs -o mode=755 none /usr/local; mkdir -p /usr/local/bin
             install -m 755 {} /usr/local/bin/sublet",
            launcher().display()
        );
        let breaks = |program: Program| {
            let there = program.inside(r#"shift; exec /usr/local/bin/sublet "$@""#);
            as_user(answers(there, "clone3", "EACCES"), &script, "")
        };
        let scratch = Scratch::new();
        let (_, report) = doctor(&scratch, &breaks);
        let row = row(&report, "user-namespace", "apparmor-restricts");
        let profile = "profile sublet \"/usr/local/bin/sublet\" flags=(unconfined)";
        assert!(row["script"].as_str().is_some_and(|script| script.contains(profile)), "{row:#}");
        unusable(&breaks, "user-namespace", "apparmor-restricts");
    }

    const FEATURES: &str = "/sys/kernel/security/apparmor/features";

    /// A profile with all rules but `userns,`, of the machine's own AppArmor.
    struct Profile {
        file: String,
        scratch: Scratch,
    }

    impl Profile {
        fn load() -> Self {
            let scratch = Scratch::new();
            let rules = "file, capability, network, mount, remount, umount, pivot_root, ptrace, \
                         signal, unix, dbus,";
            let program = launcher().display().to_string();
            let text = format!("profile sublet-e2e \"{program}\" {{ {rules} }}\n");
            let profile = Self { file: scratch.file("profile", text), scratch };
            profile.parser("--replace");
            profile
        }

        fn parser(&self, what: &str) {
            let program = Program::new("apparmor_parser").args([what, "--skip-cache"]);
            let program = program.args(["--kernel-features", FEATURES]);
            let program = program.args(["--policy-features", FEATURES, &self.file]);
            program.at_home(&self.scratch).within(60.0).ok();
        }
    }

    impl Drop for Profile {
        fn drop(&mut self) {
            self.parser("--remove");
        }
    }

    #[test]
    fn a_profile_that_forbids_namespaces_is_told() {
        requires!(machine, root);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
        let mut numbers = kernel.split('.').map_while(|part| part.parse::<u32>().ok());
        if (numbers.next(), numbers.next()) < (Some(6), Some(7)) {
            return need::skip("apparmor", "from Linux 6.7 on, AppArmor has a rule for namespaces");
        }
        let _profile = Profile::load();
        unusable(&|program| as_user(program, "", ""), "user-namespace", "apparmor-confines");
    }
}
