//! What keeps limits from being set, beside the ways into a process, which
//! `hosts` has, and the trees of other machines.

use super::rows::says_as_the_page;
use super::*;

/// Leaves a test where cgroup v1 has the controllers, and so is the reason.
fn unified() -> bool {
    let met = need::legacy_cgroups().is_err();
    if !met {
        need::skip("unified", "this machine has hierarchies of cgroup v1");
    }
    met
}

#[test]
fn a_group_that_is_not_there_is_told() {
    requires!(ordinary_user);
    if !unified() {
        return;
    }
    let scratch = Scratch::new();
    let run = Program::run_in(&scratch).args(["--cgroup-parent", "/nowhere", "host", "true"]);
    let told = run.run().refused(&[]).stderr.clone();
    says_as_the_page(&told, "cgroup-not-there", &[("path", "/sys/fs/cgroup/nowhere")]);
}

#[test]
fn a_group_that_is_not_ours_is_told() {
    requires!(ordinary_user);
    if !unified() {
        return;
    }
    let groups = std::fs::read_to_string("/proc/self/cgroup").expect("groups");
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).expect("a group");
    let scratch = Scratch::new();
    let (_, report) = doctor(&scratch, &|program| program);
    let tree = finding(&report, "cgroup")["evidence"].as_str().expect("a text").to_owned();
    assert!(tree.contains("it is not delegated to us"), "{tree}");
    let run = Program::run_in(&scratch).args(["--cgroups", "direct", "host", "true"]);
    let told = run.run().refused(&[]).stderr.clone();
    says_as_the_page(&told, "cgroup-not-ours", &[("own", &format!(" /sys/fs/cgroup{own}"))]);
}

/// As on a kernel that is too old for a file, or was built without it.
#[test]
fn a_file_that_the_kernel_lacks_is_told() {
    requires!(user_manager);
    let scratch = Scratch::new();
    let run = Program::run_in(&scratch);
    let run = run.args(["--cgroup-conf", "memory.e2e=1", "host", "true"]);
    let told = run.run().refused(&[]).stderr.clone();
    let (uid, _) = caller();
    let path = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/memory.e2e");
    let help = "look for the name in the kernel's document on cgroup v2; a new one takes a new \
                kernel";
    let holes = [("file", "memory.e2e"), ("path", &path), ("help", help)];
    says_as_the_page(&told, "control-file-absent", &holes);
}

mod as_root {
    use super::*;
    use crate::doctor::as_root::as_user;

    const MEMORY: [&str; 4] = ["-m", "64m", "host", "true"];

    #[test]
    fn a_machine_without_a_tree_is_told() {
        requires!(root, cgroup2);
        let breaks = |program: Program| as_user(program, "umount -l /sys/fs/cgroup", "");
        refuses(&breaks, "memory", "cgroup-none", &MEMORY);
    }

    /// As in a container that has the socket of the user's systemd, and another
    /// tree.
    #[test]
    fn a_systemd_without_its_groups_is_told() {
        requires!(machine, root, cgroup2);
        let hide = "mount -t tmpfs none /sys/fs/cgroup/user.slice";
        let breaks = |program: Program| as_user(program, hide, "");
        refuses(&breaks, "memory", "cgroup-hidden", &MEMORY);
    }

    /// A group of the user's with a group in it, which has been given nothing
    /// but the counting of processes.
    struct Group(String);

    impl Group {
        fn new() -> Self {
            let group = Self(format!("/sys/fs/cgroup/sublet-e2e.{}", std::process::id()));
            Program::new("sh").args(["-ec", &format!(
                "mkdir {0} {0}/below; echo +pids >{0}/cgroup.subtree_control; chown -R {USER} {0}/below",
                group.0
            )]).ok();
            group
        }

        /// Enters it; what is done then has no systemd to go to.
        fn enter(&self) -> String {
            format!("echo $$ >{}/below/cgroup.procs; mount -t tmpfs none /run/user\n", self.0)
        }
    }

    impl Drop for Group {
        /// With the groups that a launcher has made of it.
        fn drop(&mut self) {
            let gone = || {
                let remove = ["find", &self.0, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"];
                let done = Program::new(remove[0]).args(&remove[1..]).run();
                done.status.success().then_some(())
            };
            let gone = eventually(10.0, gone);
            assert!(gone.is_some() || std::thread::panicking(), "{} is left", self.0);
        }
    }

    #[test]
    fn a_controller_that_a_group_is_not_given_is_told() {
        requires!(machine, root, cgroup2);
        let group = Group::new();
        let script = group.enter();
        let breaks = |program: Program| as_user(program, &script, "");
        refuses(&breaks, "memory", "controller-not-given", &MEMORY);
    }

    /// As in a container whose tree begins at its own group.
    #[test]
    fn a_controller_that_is_nowhere_is_told() {
        requires!(machine, root, cgroup2);
        let group = Group::new();
        let script = group.enter();
        let breaks = |program: Program| {
            let inner = "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup";
            let program = as_user(program, inner, "");
            program
                .under(&["unshare", "--cgroup"])
                .under(&["sh", "-ec", &(script.clone() + "exec \"$@\""), "sh"])
                .under(&["unshare", "--mount", "--propagation", "private"])
        };
        refuses(&breaks, "memory", "controller-absent", &MEMORY);
    }

    #[test]
    fn root_whose_systemd_does_not_listen_is_told() {
        requires!(root);
        let script = "mount -t tmpfs none /run; mkdir -p /run/systemd/system
                      umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
                      exec \"$@\"";
        let outer = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"];
        let scratch = Scratch::new();
        let (_, report) = doctor(&scratch, &|program| program.under(&outer));
        let row = row(&report, "cgroup", "system-bus-none");
        let run = Program::run_in(&scratch).args(["--cgroups", "systemd", "host", "true"]);
        says(&run.under(&outer).run().refused(&[]).stderr, row);
    }
}
