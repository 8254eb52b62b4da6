//! What is missing of files and file systems, beside what `doctor` itself takes
//! away.

use super::*;

/// Where a directory of the root was removed, another can't be made.
#[test]
fn an_overlay_in_the_memory_of_an_older_kernel_is_told() {
    requires!(overlay);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = kernel.split('.').map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) >= (Some(6), Some(6)) {
        return need::skip("older_kernel", "from Linux 6.6 on, a tmpfs keeps all attributes");
    }
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    std::fs::create_dir(root.join("removed")).expect("make a directory");
    let (_, report) = doctor(&scratch, &|program| program);
    let overlay = finding(&report, "overlay");
    assert_eq!(overlay["verdict"], "degraded", "{overlay:#}");
    row(&report, "overlay", "overlay-tmpfs");
    let again = |words: &str| {
        let run = Program::run_in(&scratch).arg(format!("{}:O", root.text()));
        run.args(["sh", "-c", words]).run()
    };
    again("rm -r /removed && mkdir /another").exits(0);
    let done = again("rm -r /removed && mkdir /removed");
    assert_ne!(done.code(), 0, "{}", done.stderr);
}

mod as_root {
    use super::*;
    use crate::doctor::as_root::as_user;

    /// The module that the kernel has it in is not to be loaded.
    struct Unloaded(&'static str);

    impl Unloaded {
        fn new(module: &'static str) -> Self {
            let unloaded = Self(module);
            Program::new("modprobe").args(["--remove", module]).ok();
            let words = format!("install {module} /bin/false\n");
            std::fs::write(unloaded.file(), words).expect("keep it from being loaded");
            unloaded
        }

        fn file(&self) -> String {
            format!("/etc/modprobe.d/sublet-e2e-{}.conf", self.0)
        }
    }

    impl Drop for Unloaded {
        fn drop(&mut self) {
            std::fs::remove_file(self.file()).expect("let it be loaded again");
        }
    }

    #[test]
    fn a_file_system_that_the_kernel_lacks_is_told() {
        requires!(machine, root);
        let _overlay = Unloaded::new("overlay");
        let breaks = |program: Program| as_user(program, "", "");
        refuses(&breaks, "overlay", "filesystem-missing", &["/usr:O", "/bin/true"]);
    }

    /// The limit of the whole machine, put where the tests stand.
    struct MountMax(String);

    impl MountMax {
        const FILE: &str = "/proc/sys/fs/mount-max";

        fn new(most: usize) -> Self {
            let before = std::fs::read_to_string(Self::FILE).expect("read the limit");
            std::fs::write(Self::FILE, most.to_string()).expect("set the limit");
            Self(before)
        }
    }

    impl Drop for MountMax {
        fn drop(&mut self) {
            std::fs::write(Self::FILE, &self.0).expect("set the limit back");
        }
    }

    #[test]
    fn a_full_table_of_mounts_is_told() {
        requires!(machine, root);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let _most = MountMax::new(mounts.lines().count());
        let scratch = Scratch::new();
        let breaks = |program: Program| as_user(program, "", "");
        let (code, report) = doctor(&scratch, &breaks);
        assert_eq!(code, 2, "{report:#}");
        let row = row(&report, "overlay", "mounts-full");
        let done = breaks(Program::run_in(&scratch).args(["host", "true"])).run();
        says(&done.refused(&[]).stderr, row);
    }

    /// A server of a FUSE that has one empty directory, of the user and group in
    /// its arguments.
    const SERVER: &str = include_str!("fuse.py");

    /// FUSE is what sshfs and others share files of other machines by.
    #[test]
    fn records_on_another_machine_are_told() {
        requires!(root, python3);
        let scratch = Scratch::new();
        let server = scratch.file("fuse.py", SERVER);
        let shared = scratch.dir("runtime/sublet");
        let script = format!(
            "chown {USER}: {0} {0}/..; chmod 700 {0}/..
             python3 {server} {0} $(id -u {USER}) $(id -g {USER}) & trap 'umount -l {0}' EXIT
             until mountpoint -q {0}; do sleep 0.1; done
             code=0; setpriv --reuid {USER} --regid {USER} --init-groups -- \"$@\" || code=$?
             exit $code",
            shared
        );
        let outer = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &script, "sh"];
        let runtime = scratch.text("runtime");
        let breaks = |program: Program| program.env("XDG_RUNTIME_DIR", &runtime).under(&outer);
        let (_, report) = doctor(&scratch, &breaks);
        let state = finding(&report, "state");
        assert_eq!(state["verdict"], "degraded", "{state:#}");
        let row = row(&report, "state", "state-remote");
        let place = format!("{shared} is on FUSE");
        assert!(row["cause"].as_str().is_some_and(|told| told.starts_with(&place)), "{row:#}");
    }
}
