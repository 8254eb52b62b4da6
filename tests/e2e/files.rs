//! The tree inside: the root, /dev, /proc, /etc, volumes, tmpfs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;

use crate::common::*;

fn run(scratch: &Scratch, root: &Root, options: &[&str]) -> Program {
    Program::run_in(scratch).args(options).arg(root.path())
}

/// Runs a shell script inside; what it prints.
fn sh(scratch: &Scratch, root: &Root, options: &[&str], script: &str) -> String {
    run(scratch, root, options).args(["sh", "-ec", script]).ok()
}

fn mounts(scratch: &Scratch, root: &Root, options: &[&str]) -> Vec<Value> {
    let mounts = run(scratch, root, options).args(["/probe", "mounts"]).json();
    mounts.as_array().expect("a list").clone()
}

/// The mount that is seen at a point: the last one there.
fn mount_at<'a>(mounts: &'a [Value], point: &str) -> &'a Value {
    let found = mounts.iter().rev().find(|mount| mount["point"] == point);
    found.unwrap_or_else(|| panic!("nothing is mounted at {point}: {mounts:?}"))
}

fn has(mount: &Value, option: &str) -> bool {
    mount["options"].as_array().expect("a list").iter().any(|one| one == option)
}

// ---- the root

#[test]
fn a_directory_is_the_root_and_writable() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    sh(&scratch, &root, &[], "echo written > /tmp/new; cd ..; test -x /bin/busybox");
    assert_eq!(fs::read_to_string(root.join("tmp/new")).unwrap(), "written\n");
}

#[test]
fn nothing_is_written_through_the_root() {
    requires!();
    let scratch = Scratch::new();
    // Everything that is mounted over is there, so nothing has to be made.
    let root = Root::busybox(&scratch)
        .write("etc/hosts", "own hosts\n")
        .write("etc/hostname", "own hostname\n")
        .write("etc/resolv.conf", "own resolv.conf\n");
    let unchanged = Canary::of(root.path());
    sh(&scratch, &root, &["-h", "other"], "cat /etc/hosts; echo x >> /dev/null");
    unchanged.untouched();
}

#[test]
fn a_root_without_the_usual_directories_works() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for directory in ["dev", "proc", "sys", "run", "root", "tmp", "var"] {
        fs::remove_dir_all(root.join(directory)).unwrap();
    }
    assert_eq!(sh(&scratch, &root, &[], "test -c /dev/null; test -d /proc/1; echo ok"), "ok");
}

#[test]
fn a_throw_away_overlay_keeps_the_root_as_it_is() {
    requires!(overlay);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let unchanged = Canary::of(root.path());
    let script = "echo new > /new; rm /bin/cat; echo changed > /etc/passwd; mkdir /var/x; ls /new";
    let words = [&format!("{}:O", root.text()), "sh", "-ec", script];
    assert_eq!(Program::run_in(&scratch).args(words).ok(), "/new");
    unchanged.untouched();
    Leaks::of(&scratch).none();
}

#[test]
fn a_read_only_root_has_places_to_write() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let unchanged = Canary::of(root.join("tmp"));
    let script = "touch /tmp/a /run/a /var/tmp/a; touch /dev/shm/a; \
                  touch /etc/new 2>&1 || true; touch /home/new 2>&1 || true";
    let told = sh(&scratch, &root, &["--read-only"], script);
    assert_eq!(told.matches("Read-only file system").count(), 2, "{told}");
    unchanged.untouched();
}

#[test]
fn the_hosts_own_system_is_a_root() {
    requires!();
    let scratch = Scratch::new();
    // Private directories: empty, and one may write there.
    let script = "for d in home root tmp var/tmp srv mnt media; do \
                      test -d /$d || continue; ls -A /$d; touch /$d/x || echo $d; \
                  done; touch /run/x; cat /etc/os-release";
    let told = Program::run_in(&scratch).args(["host", "/bin/sh", "-c", script]).ok();
    assert_eq!(told, fs::read_to_string("/etc/os-release").unwrap().trim_end());
}

#[test]
fn the_hosts_own_system_cannot_be_written() {
    requires!();
    let scratch = Scratch::new();
    let script = "for f in /x /usr/x /etc/x /var/x /opt/x; do touch $f 2>/dev/null && echo $f; done; \
                  grep -E ' / ' /proc/mounts | cut -d' ' -f4";
    let told = Program::run_in(&scratch).args(["host", "/bin/sh", "-c", script]).ok();
    assert!(told.starts_with("ro,") && told.lines().count() == 1, "{told}");
}

#[test]
fn the_hosts_submounts_are_read_only_too() {
    requires!();
    let scratch = Scratch::new();
    let mounts = Program::run_in(&scratch).args(["host", "/bin/cat", "/proc/self/mountinfo"]).ok();
    let own = [
        "/proc", "/dev", "/sys", "/home", "/root", "/tmp", "/var/tmp", "/run", "/srv", "/mnt",
        "/media",
    ];
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (point, options) = (fields[4], fields[5]);
        // Those are the launcher's own.
        if ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].contains(&point) {
            continue;
        }
        if !own.iter().any(|own| point == *own || point.starts_with(&format!("{own}/"))) {
            assert!(options.split(',').any(|option| option == "ro"), "{line}");
        }
    }
}

#[test]
fn without_a_command_the_hosts_root_gives_the_users_shell() {
    requires!();
    let scratch = Scratch::new();
    let program = Program::run_in(&scratch).args(["-i", "host"]).input("echo pid $$; exit 3\n");
    assert_eq!(program.run().exits(3).stdout(), "pid 1\n");
}

// ---- /dev, /proc, /sys, /etc

#[test]
fn dev_holds_what_it_should_and_no_more() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let told =
        sh(&scratch, &root, &[], "ls -A /dev | sort | while read n; do printf '%s ' $n; done");
    let expected = [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ];
    // /dev/core is what other launchers put there as well.
    let names: Vec<&str> = told.split(' ').filter(|name| !["", "core"].contains(name)).collect();
    assert_eq!(names, expected);
}

#[test]
fn device_nodes_are_the_real_ones() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "stat -c '%F %t:%T %n' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty; \
                  head -c 4 /dev/zero | wc -c; echo x > /dev/full 2>/dev/null || echo full; \
                  head -c 8 /dev/urandom | wc -c; readlink /dev/fd; readlink /dev/stdin";
    let told = sh(&scratch, &root, &[], script);
    let expected = "character special file 1:3 /dev/null\n\
                    character special file 1:5 /dev/zero\n\
                    character special file 1:7 /dev/full\n\
                    character special file 1:8 /dev/random\n\
                    character special file 1:9 /dev/urandom\n\
                    character special file 5:0 /dev/tty\n\
                    4\nfull\n8\n/proc/self/fd\n/proc/self/fd/0";
    assert_eq!(told, expected);
}

#[test]
fn a_device_can_be_added() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let options = ["--device", "/dev/zero:/dev/nothing"];
    assert_eq!(sh(&scratch, &root, &options, "head -c 5 /dev/nothing | wc -c"), "5");
    let options = ["--device", "/dev/full"];
    assert_eq!(sh(&scratch, &root, &options, "stat -c %t:%T /dev/full"), "1:7");
    run(&scratch, &root, &["--device", "/dev/no-such"]).arg("true").refused(&["/dev/no-such"]);
    let file = scratch.file("no-device", "");
    run(&scratch, &root, &["--device", &file]).arg("true").refused(&["device"]);
}

#[test]
fn shared_memory_has_the_size_asked_for() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let size = "df -k /dev/shm | grep /dev/shm | { read name size rest; echo $size; }";
    assert_eq!(sh(&scratch, &root, &[], size), "65536");
    assert_eq!(sh(&scratch, &root, &["--shm-size", "1m"], size), "1024");
}

#[test]
fn proc_and_sys_have_the_usual_flags() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let mounts = mounts(&scratch, &root, &[]);
    let proc = mount_at(&mounts, "/proc");
    assert_eq!(proc["type"], "proc");
    for flag in ["nosuid", "nodev", "noexec"] {
        assert!(has(proc, flag), "{proc}");
    }
    let sys = mount_at(&mounts, "/sys");
    assert!(has(sys, "ro") && sys["type"] == "sysfs", "{sys}");
    let dev = mount_at(&mounts, "/dev");
    assert!(has(dev, "nosuid") && dev["type"] == "tmpfs", "{dev}");
    assert_eq!(mount_at(&mounts, "/dev/pts")["type"], "devpts");
    assert_eq!(mount_at(&mounts, "/dev/mqueue")["type"], "mqueue");
    assert!(has(mount_at(&mounts, "/dev/shm"), "noexec"));
}

#[test]
fn the_network_files_of_etc_are_made() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let script = "cat /etc/hostname; grep -c box /etc/hosts; grep localhost /etc/hosts | head -n 1; \
                  test -f /etc/resolv.conf";
    let told = sh(&scratch, &root, &["-h", "box"], script);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "box");
    assert!(lines[1].parse::<u32>().unwrap() >= 1, "{told}");
    assert!(lines[2].starts_with("127.0.0.1"), "{told}");
}

#[test]
fn more_can_be_masked_and_masks_can_be_lifted() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch).write("etc/secret", "secret\n");
    fs::create_dir(root.join("opt")).unwrap();
    fs::write(root.join("opt/secret"), "secret\n").unwrap();
    let options = ["--security-opt", "mask=/etc/secret:/opt"];
    let told = sh(&scratch, &root, &options, "cat /etc/secret; ls /opt; echo end");
    assert_eq!(told, "end");
    // A typing error would show what is to be hidden.
    for typed in ["mask=/etc/secert", "mask=/opt/secret/below"] {
        let program =
            Program::run_in(&scratch).args(["--security-opt", typed, root.text(), "true"]);
        program.refused(&["hide \"/", "typing error in mask="]);
    }
    let type_of = "stat -c %F /proc/keys";
    assert_eq!(sh(&scratch, &root, &[], type_of), "character special file");
    let unmasked = sh(&scratch, &root, &["--security-opt", "unmask=/proc/keys"], type_of);
    assert_eq!(unmasked, "regular empty file");
}

// ---- volumes

#[test]
fn a_volume_is_seen_and_written() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let source = scratch.dir("source");
    fs::write(scratch.join("source/from-host"), "host\n").unwrap();
    let volume = format!("{source}:/v");
    let told =
        sh(&scratch, &root, &["-v", &volume], "cat /v/from-host; echo inside > /v/from-inside");
    assert_eq!(told, "host");
    let written = scratch.join("source/from-inside");
    assert_eq!(fs::read_to_string(&written).unwrap(), "inside\n");
    assert_eq!(fs::metadata(written).unwrap().uid(), caller().0);
}

#[test]
fn a_read_only_volume_is() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let source = scratch.dir("source");
    let told =
        run(&scratch, &root, &["-v", &format!("{source}:/v:ro")]).args(["touch", "/v/x"]).run();
    assert!(told.exits(1).stderr.contains("Read-only file system"), "{}", told.stderr);
}

#[test]
fn a_volume_brings_no_devices_and_no_setuid() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let source = scratch.dir("source");
    let volumes = [format!("{source}:/v"), format!("{source}:/w:noexec,ro")];
    let mounts = mounts(&scratch, &root, &["-v", &volumes[0], "-v", &volumes[1]]);
    let volume = mount_at(&mounts, "/v");
    assert!(has(volume, "nosuid") && has(volume, "nodev") && has(volume, "rw"), "{volume}");
    assert!(!has(volume, "noexec"), "{volume}");
    let other = mount_at(&mounts, "/w");
    assert!(has(other, "noexec") && has(other, "ro"), "{other}");
}

#[test]
fn the_usual_volume_options_are_taken() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let source = scratch.dir("source");
    for option in
        ["rw", "ro", "z", "Z", "rslave", "slave", "rprivate", "nosuid", "nodev", "ro,Z,noexec"]
    {
        let volume = format!("{source}:/v:{option}");
        run(&scratch, &root, &["-v", &volume]).args(["ls", "/v"]).ok();
    }
    run(&scratch, &root, &["-v", &format!("{source}:/v:no-such")])
        .arg("true")
        .refused(&["no-such"]);
}

#[test]
fn a_file_can_be_a_volume() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let file = scratch.file("file", "one file\n");
    let volumes = [format!("{file}:/etc/one"), format!("{file}:/new/directory/two:ro")];
    let options = ["-v", &volumes[0], "-v", &volumes[1]];
    assert_eq!(
        sh(&scratch, &root, &options, "cat /etc/one /new/directory/two"),
        "one file\none file"
    );
}

#[test]
fn volumes_lie_in_one_another() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let (outer, inner) = (scratch.dir("outer"), scratch.dir("inner"));
    fs::write(scratch.join("inner/file"), "inner\n").unwrap();
    // In either order on the command line.
    let volumes = [format!("{inner}:/v/a/b"), format!("{outer}:/v")];
    let options = ["-v", &volumes[0], "-v", &volumes[1]];
    assert_eq!(sh(&scratch, &root, &options, "cat /v/a/b/file"), "inner");
}

#[test]
fn a_volume_under_an_overlay_is_not_written() {
    requires!(overlay);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let source = scratch.dir("source");
    fs::write(scratch.join("source/file"), "before\n").unwrap();
    let unchanged = Canary::of(&source);
    let volume = format!("{source}:/v:O");
    let told =
        sh(&scratch, &root, &["-v", &volume], "echo after > /v/file; touch /v/new; cat /v/file");
    assert_eq!(told, "after");
    unchanged.untouched();
    Leaks::of(&scratch).none();
}

#[test]
fn a_relative_source_is_below_the_working_directory() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    scratch.dir("source");
    let program = run(&scratch, &root, &["-v", "./source:/v"]).directory(scratch.path());
    program.args(["touch", "/v/made"]).ok();
    assert!(scratch.join("source/made").exists());
}

#[test]
fn names_that_are_awkward() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    for name in ["with space", "with\"quote", "with\\backslash", "with\ttab", "with\nnewline", "é"]
    {
        let source = scratch.dir(name);
        fs::write(scratch.join(name).join("file"), name).unwrap();
        let told = sh(&scratch, &root, &["-v", &format!("{source}:/v")], "cat /v/file");
        assert_eq!(told, name);
    }
}

#[test]
fn mount_options_by_name() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::probed(&scratch);
    let source = scratch.dir("source");
    let bind = format!("type=bind,source={source},target=/b,readonly");
    let same = format!("type=bind,src={source},dst=/c");
    let tmpfs = "type=tmpfs,destination=/t,tmpfs-size=1m";
    let devpts = "type=devpts,dst=/p";
    let options = ["--mount", &bind, "--mount", &same, "--mount", tmpfs, "--mount", devpts];
    let mounts = mounts(&scratch, &root, &options);
    assert!(has(mount_at(&mounts, "/b"), "ro"));
    assert!(has(mount_at(&mounts, "/c"), "rw"));
    assert_eq!(mount_at(&mounts, "/t")["type"], "tmpfs");
    assert!(mount_at(&mounts, "/t")["super"].to_string().contains("size=1024k"));
    assert_eq!(mount_at(&mounts, "/p")["type"], "devpts");
    for wrong in
        ["type=bind,dst=/x", "type=no-such,dst=/x", "type=tmpfs", "type=bind,src=/etc,dst=/x,zzz=1"]
    {
        run(&scratch, &root, &["--mount", wrong]).arg("true").refused(&[]);
    }
}

#[test]
fn a_tmpfs_is_empty_and_bounded() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch).write("var/tmp/below", "hidden\n");
    let options = ["--tmpfs", "/var/tmp:size=1m,mode=700", "--tmpfs", "/new"];
    let script = "ls -A /var/tmp; stat -c %a /var/tmp; touch /new/x; \
                  dd if=/dev/zero of=/var/tmp/x bs=1k count=2000 2>/dev/null || echo full";
    assert_eq!(sh(&scratch, &root, &options, script), "700\nfull");
    assert!(fs::read_dir(root.join("new")).unwrap().next().is_none());
}

/// C18, seen from the other side: what is mounted on the host later arrives
/// where that was asked for.
#[test]
fn later_mounts_arrive_in_a_slave_only() {
    requires!(unshare);
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let source = scratch.dir("source/below");
    let source = source.trim_end_matches("/below");
    for (option, seen) in [("", "0"), (":rslave", "1")] {
        let volume = format!("{source}:/v{option}");
        let words = ["sh", "-c", "echo ready; read x; ls -A /v/below | wc -l"];
        // The container waits on a pipe until the mount has been made.
        let script = r#"
            mount --make-rshared /
            cd "$TMPDIR"; rm -f go said; mkfifo go said
            exec 3<>go
            "$@" <go >said &
            exec 4<said
            read ready <&4
            mount -t tmpfs none "$SOURCE/below"; touch "$SOURCE/below/late"
            echo >&3; cat <&4; wait"#;
        let program = run(&scratch, &root, &["-i", "-v", &volume]).args(words);
        let told = program.env("SOURCE", source).inside_namespaces(script).ok();
        assert_eq!(told, seen, "with {volume}");
    }
}

#[test]
fn the_modes_of_what_is_made() {
    requires!();
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    sh(&scratch, &root, &["--tmpfs", "/made/for/this"], "true");
    let mode = fs::metadata(root.join("made/for")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o755);
}
