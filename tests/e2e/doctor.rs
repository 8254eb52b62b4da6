//! What a machine can lack: each thing is taken away for real, and then `sublet
//! doctor` and a run say the same of it, in the words of one row of the table.

use serde_json::Value;

use crate::common::*;

mod files;
mod groups;
mod ids;
mod kernel;
mod rows;

/// The user that is to be served where a test is root's.
const USER: &str = "tester";

/// A way to break something: it changes how a program is started.
type Break<'a> = &'a dyn Fn(Program) -> Program;

/// What a doctor finds who has the time for all of it.
fn doctor(scratch: &Scratch, breaks: Break<'_>) -> (i32, Value) {
    in_time(|| doctor_once(scratch, breaks), |(_, report)| report)
}

/// What is told, at the third time at last also where a doctor has not come to
/// all of it: a machine that is emulated beside others may take longer than the
/// doctor has, which is no fault of the machine's.
pub fn in_time<T>(tell: impl Fn() -> T, report: impl Fn(&T) -> &Value) -> T {
    let is_late = |finding: &Value| {
        let told = finding["evidence"].as_str().unwrap_or_default();
        // That follows from what is broken.
        let told = told.replace("not known: there is no container to connect", "");
        ["not done in time", "not known:", "no answer within"]
            .iter()
            .any(|word| told.contains(word))
    };
    let mut told = tell();
    for _ in 0..2 {
        let findings = report(&told)["findings"].as_array().expect("findings");
        if !findings.iter().any(is_late) {
            break;
        }
        told = tell();
    }
    told
}

fn doctor_once(scratch: &Scratch, breaks: Break<'_>) -> (i32, Value) {
    let done = breaks(Program::sublet(scratch).args(["doctor", "--json"])).within(60.0).run();
    let value = serde_json::from_slice(&done.bytes)
        .unwrap_or_else(|error| panic!("{error}: {} {}", done.stdout(), done.stderr));
    (done.code(), value)
}

/// The finding of that name.
#[track_caller]
fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    let all = report["findings"].as_array().expect("findings");
    let found = all.iter().find(|finding| finding["id"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

/// The row of that name that a finding is told by.
#[track_caller]
fn row<'a>(report: &'a Value, id: &str, row: &str) -> &'a Value {
    let finding = finding(report, id);
    let rows = finding["remedies"].as_array().expect("remedies");
    let found = rows.iter().find(|remedy| remedy["id"] == row);
    found.unwrap_or_else(|| panic!("no {row} in {finding:#}"))
}

/// Insists that a run has said all that the row says.
#[track_caller]
fn says(told: &str, row: &Value) {
    for part in ["cause", "root", "around"] {
        for line in row[part].as_str().expect("a text").lines() {
            assert!(told.contains(line.trim_start()), "no {line:?} in {told}");
        }
    }
}

/// Breaks something that no container runs without: doctor and a run refuse
/// with the same row.
#[track_caller]
fn unusable(breaks: Break<'_>, id: &str, name: &str) {
    let scratch = Scratch::new();
    let (code, report) = doctor(&scratch, breaks);
    assert_eq!((code, &report["verdict"]), (2, &"unusable".into()), "{report:#}");
    assert_eq!(finding(&report, id)["verdict"], "missing");
    let row = row(&report, id, name);
    let done = breaks(Program::run_in(&scratch).args(["host", "true"])).run();
    says(&done.refused(&[]).stderr, row);
}

/// Breaks something that is done without: a run with `options` is refused with
/// the row that doctor has.
#[track_caller]
fn refuses(breaks: Break<'_>, id: &str, name: &str, options: &[&str]) {
    refuses_run(Program::run_in, breaks, id, name, options);
}

/// The same for a run that `run` begins.
#[track_caller]
fn refuses_run(
    run: fn(&Scratch) -> Program,
    breaks: Break<'_>,
    id: &str,
    name: &str,
    options: &[&str],
) {
    let scratch = Scratch::new();
    let (code, report) = doctor(&scratch, breaks);
    assert_eq!(code, 1, "{report:#}");
    let done = breaks(run(&scratch).args(options)).run();
    says(&done.refused(&[]).stderr, row(&report, id, name));
}

/// Breaks something that a run does otherwise, with a warning of that row.
#[track_caller]
fn warns(breaks: Break<'_>, id: &str, name: &str) {
    let scratch = Scratch::new();
    let (code, report) = doctor(&scratch, breaks);
    assert_eq!((code, &report["verdict"]), (1, &"degraded".into()), "{report:#}");
    assert_eq!(finding(&report, id)["verdict"], "degraded");
    assert!(finding(&report, id)["instead"].is_string(), "{report:#}");
    let whole = finding(&report, "container");
    let row = row(&report, id, name);
    let done = breaks(Program::run_in(&scratch).args(["host", "true"])).run();
    done.exits(0);
    assert!(done.stderr.contains("warning: "), "{}", done.stderr);
    says(&done.stderr, row);
    // The container that doctor has run says so, too.
    assert_eq!(whole["verdict"], "ok", "{whole:#}");
    let cause = row["cause"].as_str().expect("a cause");
    assert!(whole["evidence"].as_str().is_some_and(|told| told.contains(cause)), "{whole:#}");
}

#[test]
fn on_this_machine_doctor_and_runs_agree_and_nothing_is_left() {
    requires!();
    let scratch = Scratch::new();
    let leaks = Leaks::of(&scratch);
    let (code, report) = doctor(&scratch, &|program| program);
    for essential in ["user-namespace", "single-id", "mount", "network-namespace", "container"] {
        assert_eq!(finding(&report, essential)["verdict"], "ok", "{report:#}");
    }
    let verdict = report["verdict"].as_str().expect("a verdict");
    let codes = [("full", 0), ("degraded", 1), ("unusable", 2)];
    assert!(codes.contains(&(verdict, code)) && report["exit_code"] == code, "{verdict} {code}");
    leaks.none();
    let runtime = scratch.environment().into_iter().find(|(name, _)| *name == "XDG_RUNTIME_DIR");
    let (_, runtime) = runtime.expect("a directory");
    let left: Vec<_> = std::fs::read_dir(runtime.join("sublet")).expect("look").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn people_have_a_page_and_tickets_a_script() {
    requires!(unshare);
    let scratch = Scratch::new();
    let hide = |program: Program| {
        program.inside_namespaces(r#"mount -t tmpfs none /dev/net; exec "$@""#).within(60.0)
    };
    let page = hide(Program::sublet(&scratch).arg("doctor")).run();
    page.exits(1);
    let text = page.stdout();
    for words in ["Run anything at all", "as root   modprobe tun", "containers run, with less"] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours, but no terminal: {text}");
    // What is not there is told of once, and not as what may not be opened.
    assert!(!text.contains("may not be opened"), "{text}");
    let script = hide(Program::sublet(&scratch).args(["doctor", "--fix-script"])).run();
    script.exits(1);
    let text = script.stdout();
    assert!(text.starts_with("#!/bin/sh\n") && text.contains("\nmodprobe tun\n"), "{text}");
    Program::new("sh").args(["-n", "-c", &text]).ok();
    let rungs = hide(Program::sublet(&scratch).args(["doctor", "--ci"])).run();
    let text = rungs.stdout();
    assert!(text.contains("a container           yes"), "{text}");
    assert!(text.contains("a network of its own  no    sublet run --network host"), "{text}");
}

/// Its trials are containers, too, and are gone with their end. The line for
/// those inside of others is one that works, wherever sublet lies.
#[test]
fn a_doctor_leaves_nothing_and_its_last_rung_stands() {
    requires!();
    let scratch = Scratch::new();
    let told = Program::sublet(&scratch).args(["doctor", "--ci", "--json"]).within(60.0).run();
    assert_eq!(Program::sublet(&scratch).args(["ps", "-aq"]).ok(), "");
    let rungs: Value = serde_json::from_slice(&told.bytes).expect("JSON");
    let nested = rungs.as_array().and_then(|rungs| rungs.last()).expect("a rung");
    if nested["stands"] != true {
        return;
    }
    let line = nested["recipe"].as_str().expect("a line");
    let script = format!("sublet() {{ '{}' \"$@\"; }}; {line} -u", launcher().display());
    assert_eq!(Program::sublet(&scratch).inside(&script).ok(), "0", "{line}");
}

#[test]
fn a_quota_of_zero_is_no_full_disk() {
    requires!(unshare);
    let breaks = |program: Program| {
        program.inside_namespaces(r#"echo 0 >/proc/sys/user/max_user_namespaces; exec "$@""#)
    };
    unusable(&breaks, "user-namespace", "quota-zero");
}

#[test]
fn a_quota_that_is_used_up_is_another_thing() {
    requires!(unshare);
    // Namespaces are counted where the quota is: one more than there are fits.
    let breaks = |program: Program| {
        program.inside_namespaces(
            r#"echo 1 >/proc/sys/user/max_user_namespaces
               unshare --user sleep 600 & trap "kill $!" EXIT
               until [ "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do :; done
               "$@""#,
        )
    };
    unusable(&breaks, "user-namespace", "quota-used");
}

#[test]
fn a_chroot_makes_no_namespaces() {
    requires!(unshare);
    // A directory on which nothing is mounted, with the launcher at its place.
    let scratch = Scratch::new();
    let root = Root::busybox(&scratch);
    let (launcher, root) = (launcher().display().to_string(), root.text().to_owned());
    let script = format!(
        r#"mount --rbind /proc {root}/proc
           mkdir -p {root}$(dirname {launcher}); cp {launcher} {root}{launcher}
           exec chroot {root} "$@""#
    );
    let breaks = |program: Program| program.inside_namespaces(&script);
    unusable(&breaks, "user-namespace", "chroot");
}

#[test]
fn an_outer_filter_is_told_of() {
    requires!();
    let scratch = Scratch::new();
    let mount = format!("type=bind,src={},dst=/run/outer,ro", launcher().display());
    let inside = |words: &[&str]| {
        let program = Program::run_in(&scratch).args(["--mount", &mount, "host", "/run/outer"]);
        program.args(words).within(60.0).run()
    };
    let report = inside(&["doctor", "--json"]);
    report.exits(2);
    let report: Value = serde_json::from_slice(&report.bytes).expect("JSON");
    let row = row(&report, "user-namespace", "seccomp-filter");
    says(&inside(&["run", "host", "true"]).refused(&[]).stderr, row);
}

#[test]
fn no_process_more_is_no_clone() {
    requires!(ordinary_user);
    unusable(
        &|program| program.under(&["prlimit", "--nproc=1"]),
        "user-namespace",
        "processes-full",
    );
}

#[test]
fn a_root_without_setfcap_maps_nothing() {
    requires!(unshare);
    let breaks = |program: Program| {
        program.inside_namespaces(r#"exec setpriv --bounding-set -setfcap "$@""#)
    };
    unusable(&breaks, "single-id", "setfcap-lost");
}

#[test]
fn without_proc_there_is_nothing_to_read() {
    requires!(unshare);
    let breaks =
        |program: Program| program.inside_namespaces(r#"mount -t tmpfs none /proc; exec "$@""#);
    unusable(&breaks, "proc", "proc-missing");
}

#[test]
fn an_old_kernel_is_said_to_be_old() {
    requires!();
    let scratch = Scratch::new();
    // Which is what the kernel then says of itself.
    let old = |program: Program| program.under(&["setarch", "--uname-2.6"]);
    let (code, report) = doctor(&scratch, &old);
    assert_eq!(code, 2);
    let row = row(&report, "kernel", "kernel-old");
    let cause = row["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("this is Linux 2.6.") && cause.contains("5.15"), "{cause}");
}

#[test]
fn one_id_is_told_with_its_reason() {
    requires!(unshare);
    warns(&|program| program.inside_namespaces(r#"exec "$@""#), "id-range", "container-one-id");
}

#[test]
fn no_new_privileges_is_told() {
    requires!(ordinary_user);
    let breaks = |program: Program| program.under(&["setpriv", "--no-new-privs"]);
    warns(&breaks, "id-range", "no-new-privileges");
}

#[test]
fn a_range_that_the_container_does_not_have_is_told() {
    requires!(subuid, unshare, ordinary_user);
    let breaks = |program: Program| program.under(&["unshare", "--user", "--map-current-user"]);
    warns(&breaks, "id-range", "range-outside");
}

#[test]
fn a_covered_proc_is_told() {
    requires!(unshare, coverable);
    let breaks = |program: Program| {
        program.inside_namespaces(r#"mount --bind /dev/null /proc/uptime; exec "$@""#)
    };
    warns(&breaks, "proc-new", "proc-covered");
}

#[test]
fn a_covered_sys_is_told() {
    requires!(unshare, coverable_sys);
    let scratch = Scratch::new();
    let breaks = |program: Program| {
        program.inside_namespaces(r#"mount -t tmpfs none /sys/devices; exec "$@""#)
    };
    let (_, report) = doctor(&scratch, &breaks);
    let sys = finding(&report, "sys-new");
    assert_eq!(sys["verdict"], "degraded", "{sys:#}");
    row(&report, "sys-new", "sys-covered");
    // What is done instead: the same /sys, covered as it is.
    let run = breaks(Program::run_in(&scratch).args(["host", "ls", "-A", "/sys/devices"]));
    assert_eq!(run.ok(), "");
}

#[test]
fn layers_that_the_kernel_refuses_are_told() {
    requires!(unshare, overlay);
    let breaks = |program: Program| {
        program.inside_namespaces(r#"mount -t tmpfs none /usr/local; exec "$@""#)
    };
    let scratch = Scratch::new();
    let (code, report) = doctor(&scratch, &breaks);
    assert_eq!(code, 1);
    let row = row(&report, "overlay", "overlay-refused");
    let done = breaks(Program::run_in(&scratch).args(["/usr:O", "/bin/true"])).run();
    says(&done.refused(&[]).stderr, row);
}

#[test]
fn every_way_in_which_a_tap_is_refused_is_told() {
    requires!(unshare, pasta);
    let network = ["--network", "pasta", "host", "true"];
    for (script, name) in [
        ("mount -t tmpfs none /dev/net", "tun-missing"),
        ("mount -t tmpfs none /dev/net; mkdir /dev/net/tun", "tun-strange"),
        (
            "mount --bind /dev/net/tun /dev/net/tun; mount -o remount,bind,nodev /dev/net/tun",
            "tun-denied",
        ),
        (
            "mount -t tmpfs none /dev/net; python3 -c 'import socket; \
             socket.socket(socket.AF_UNIX).bind(\"/dev/net/tun\")'",
            "tun-no-driver",
        ),
    ] {
        let script = format!(r#"{script}; exec "$@""#);
        let breaks = |program: Program| program.inside_namespaces(&script);
        refuses(&breaks, "tun", name, &network);
    }
}

#[test]
fn helpers_of_the_network_that_are_missing_or_fail_are_told() {
    requires!(unshare, pasta, slirp4netns);
    let program = |name: &str| need::find(name).expect("a program").display().to_string();
    let (pasta, slirp) = (program("pasta"), program("slirp4netns"));
    let scratch = Scratch::new();
    std::fs::write(scratch.join("fails"), "#!/bin/sh\nexit 7\n").expect("write");
    std::fs::write(scratch.join("old"), "#!/bin/sh\necho unrecognized option >&2; exit 1\n")
        .expect("write");
    for (script, options, finding, name) in [
        (
            format!("install -m 755 fails x; mount --bind x {pasta}"),
            "pasta",
            "pasta",
            "network-helper-fails",
        ),
        (
            format!("install -m 755 fails x; mount --bind x {slirp}"),
            "slirp4netns",
            "slirp4netns",
            "network-helper-fails",
        ),
    ] {
        let script = format!(r#"cd {}; {script}; exec "$@""#, scratch.join("").display());
        let breaks = |program: Program| program.inside_namespaces(&script);
        let (code, report) = doctor(&scratch, &breaks);
        assert_eq!(code, 1);
        let row = row(&report, finding, name);
        let run = breaks(Program::run_in(&scratch).args(["--network", options, "host", "true"]));
        let told = run.run().refused(&[]).stderr.clone();
        let around = row["around"].as_str().expect("a text");
        assert!(told.contains(around), "no {around:?} in {told}");
    }
    let old =
        format!("cd {}; install -m 755 old x; mount --bind x {pasta}", scratch.join("").display());
    let old = format!(r#"{old}; exec "$@""#);
    let breaks = |program: Program| program.inside_namespaces(&old);
    let pasta = ["--network", "pasta", "host", "true"];
    let (_, report) = doctor(&scratch, &breaks);
    let around = row(&report, "pasta", "network-helper-old")["around"].clone();
    let around = around.as_str().expect("a text");
    breaks(Program::run_in(&scratch).args(pasta)).refused(&["pasta of 2023 or later", around]);

    // Where the system's programs are not, neither is either of them.
    let none =
        |program: Program| program.inside_namespaces(r#"mount -t tmpfs none /usr/bin; exec "$@""#);
    let usual = Program::run_usual;
    refuses_run(usual, &none, "network", "network-helpers-missing", &["host", "true"]);
    refuses(&none, "pasta", "network-helper-missing", &["--network", "pasta", "host", "true"]);
}

/// One that says nothing, for as long as it is waited for.
#[test]
fn a_helper_of_the_network_that_hangs_is_told() {
    requires!(unshare, pasta);
    let pasta = need::find("pasta").expect("pasta").display().to_string();
    let scratch = Scratch::new();
    std::fs::write(scratch.join("hangs"), "#!/bin/sh\nexec sleep 600\n").expect("write");
    let script = format!(
        r#"cd {}; install -m 755 hangs x; mount --bind x {pasta}; exec "$@""#,
        scratch.path().display()
    );
    let breaks = |program: Program| program.inside_namespaces(&script).within(60.0);
    let (code, report) = doctor_once(&scratch, &breaks);
    assert_eq!(code, 1, "{report:#}");
    let around = row(&report, "pasta", "network-helper-slow")["around"].clone();
    let run = Program::run_in(&scratch).args(["--network", "pasta", "host", "true"]);
    breaks(run).refused(&[around.as_str().expect("a text"), "it has not said in 10 seconds"]);
}

#[test]
fn a_low_port_is_told() {
    requires!(ordinary_user);
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() != "1024") {
        return need::skip("low_ports", "ports below 1024 are open here");
    }
    let scratch = Scratch::new();
    let (_, report) = doctor(&scratch, &|program| program);
    let row = row(&report, "low-ports", "low-ports");
    let run = Program::run_in(&scratch);
    let run = run.args(["--network", "loopback", "-p", "80:80", "host", "true"]);
    says(&run.run().refused(&[]).stderr, row);
}

#[test]
fn a_closed_ping_is_told_with_its_range() {
    requires!();
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").expect("a range");
    let scratch = Scratch::new();
    let (_, report) = doctor(&scratch, &|program| program);
    if range.split_whitespace().collect::<Vec<_>>() != ["1", "0"] {
        return assert_eq!(finding(&report, "ping")["verdict"], "ok");
    }
    let row = row(&report, "ping", "ping-closed");
    assert!(row["cause"].as_str().is_some_and(|cause| cause.contains("is 1 0)")), "{row:#}");
}

/// The directory of records, in every state that it can't be used in.
#[test]
fn a_directory_of_records_that_is_of_no_use_is_told() {
    requires!(unshare);
    let named = ["--name", "x", "host", "true"];
    for (script, name) in [
        (
            "mount -t tmpfs none \"$XDG_RUNTIME_DIR\"; chmod 777 \"$XDG_RUNTIME_DIR\"
             mount -t tmpfs none /run; mount -t tmpfs none /tmp; touch /tmp/sublet-0",
            "state-nowhere",
        ),
        ("mkdir \"$XDG_RUNTIME_DIR/sublet\"; chmod 777 \"$XDG_RUNTIME_DIR/sublet\"", "state-open"),
        (
            "mount -t tmpfs -o size=4k,mode=700 none \"$XDG_RUNTIME_DIR\"
             mkdir -m 700 \"$XDG_RUNTIME_DIR/sublet\"
             head -c 4096 /dev/zero >\"$XDG_RUNTIME_DIR/sublet/.dead-full\"",
            "state-full",
        ),
        (
            "mount -t tmpfs -o mode=700 none \"$XDG_RUNTIME_DIR\"
             mkdir -m 700 \"$XDG_RUNTIME_DIR/sublet\"
             mount -o remount,bind,ro \"$XDG_RUNTIME_DIR\"",
            "state-readonly",
        ),
    ] {
        let script = format!("{script}\nexec \"$@\"");
        let breaks = |program: Program| program.inside_namespaces(&script);
        let scratch = Scratch::new();
        let (code, report) = doctor(&scratch, &breaks);
        assert_eq!(code, 1, "{name}: {report:#}");
        assert_eq!(finding(&report, "state")["verdict"], "degraded");
        let row = row(&report, "state", name);
        let scratch = Scratch::new();
        let told = breaks(Program::run_in(&scratch).args(named)).run();
        let told = told.refused(&[]).stderr.clone();
        // The two have a directory each.
        let around = row["around"].as_str().expect("a text");
        let first = around.split(['/', '(', '\n']).next().expect("words");
        assert!(told.contains(first.trim_end()), "{name}: no {first:?} in {told}");
    }
}

#[test]
fn a_hybrid_tree_is_told() {
    requires!(legacy_cgroups, ordinary_user);
    for (id, options) in [
        ("memory", ["-m", "64m", "host", "true"]),
        ("cpu", ["--cpus", "1", "host", "true"]),
        ("pids", ["--pids-limit", "100", "host", "true"]),
    ] {
        refuses(&|program| program, id, "cgroup-hybrid", &options);
    }
}

/// What only root can take away from a user, in a mount namespace of its own.
mod as_root {
    use super::*;

    /// The program as that user, after `script` has changed what is mounted.
    pub fn as_user(program: Program, script: &str, options: &str) -> Program {
        let script = format!(
            "{script}\nexec setpriv --reuid {USER} --regid {USER} --init-groups {options} -- \"$@\""
        );
        let outer = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &script, "sh"];
        // The scratch directory is root's: the records go to the user's own.
        program.env("XDG_RUNTIME_DIR", "").under(&outer)
    }

    /// Bind a changed copy of a file over it.
    pub fn changed(path: &str, change: &str) -> String {
        format!(
            "d=$(mktemp -d); chmod 755 $d; cp -p {path} $d/f; {change}; mount --bind $d/f {path}"
        )
    }

    #[test]
    fn a_helper_that_can_not_work_is_told() {
        requires!(root, newuidmap);
        let path = need::find("newuidmap").expect("newuidmap").display().to_string();
        let directory = path.trim_end_matches("/newuidmap");
        let without = format!(
            "d=$(mktemp -d); mount -t tmpfs none $d; mkdir $d/u $d/w
             mount -t overlay -o lowerdir={directory},upperdir=$d/u,workdir=$d/w none {directory}
             rm {path}"
        );
        for (script, options, name) in [
            (
                changed(&path, "chmod u-s $d/f; setfattr -x security.capability $d/f || true"),
                "",
                "idmap-helper-privilege",
            ),
            (changed(&path, "chown 1 $d/f"), "", "idmap-helper-owner"),
            (changed(&path, "chmod 4750 $d/f"), "", "idmap-helper-mode"),
            (
                format!("mount --bind {path} {path}; mount -o remount,bind,nosuid {path}"),
                "",
                "idmap-helper-nosuid",
            ),
            (without, "", "idmap-helper-missing"),
            (String::new(), "--bounding-set -setuid", "idmap-helper-bounded"),
        ] {
            let breaks = |program: Program| as_user(program, &script, options);
            warns(&breaks, "id-range", name);
        }
    }

    #[test]
    fn a_user_without_a_range_or_a_name_is_told() {
        requires!(root, newuidmap);
        let bind = |path: &str, content: &str| {
            format!("f=$(mktemp); printf '{content}' >$f; chmod 644 $f; mount --bind $f {path}")
        };
        let no_user = changed("/etc/passwd", &format!("sed -i /^{USER}:/d $d/f"));
        for (script, name) in [
            (bind("/etc/subuid", "other:100000:65536\\n"), "range-missing"),
            (
                format!(
                    "{}; {}",
                    bind("/etc/subuid", ""),
                    bind("/etc/passwd", "root:x:0:0::/:/bin/sh\\n")
                ),
                "account-nameless",
            ),
            (no_user + "; " + &bind("/etc/subgid", ""), "range-missing-site"),
        ] {
            let uid = format!("uid=$(id -u {USER}); gid=$(id -g {USER})");
            let script = format!(
                "{uid}; {script}\nexec setpriv --reuid $uid --regid $gid --clear-groups -- \"$@\""
            );
            let breaks = |program: Program| {
                let outer =
                    ["unshare", "--mount", "--propagation", "private", "sh", "-ec", &script, "sh"];
                program.env("XDG_RUNTIME_DIR", "").under(&outer)
            };
            warns(&breaks, "id-range", name);
        }
        // Which knows nobody.
        let Some(ask) = need::find("getsubids") else {
            return need::skip("getsubids", "getsubids is not installed");
        };
        let silent = changed(&ask.display().to_string(), "printf '#!/bin/sh\nexit 1\n' >$d/f");
        let module = changed("/etc/nsswitch.conf", "echo 'subid: sss' >$d/f") + "; " + &silent;
        warns(&|program| as_user(program, &module, ""), "id-range", "range-missing-module");
    }

    /// Trees of control groups as on other machines.
    #[test]
    fn a_tree_that_can_not_be_limited_is_told() {
        requires!(root, legacy_cgroups);
        let memory = ["-m", "64m", "host", "true"];
        let systemd = ["--cgroups", "systemd", "host", "true"];
        let bare = "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup";
        for (script, id, name, options) in [
            ("umount -l /sys/fs/cgroup", "memory", "cgroup-v1", memory),
            (bare, "memory", "cgroup-bare", memory),
            (bare, "cgroup", "systemd-absent", systemd),
        ] {
            if name == "systemd-absent" && std::path::Path::new("/run/systemd/system").exists() {
                continue;
            }
            refuses(&|program| as_user(program, script, ""), id, name, &options);
        }
    }

    #[test]
    fn a_foreign_group_is_told() {
        requires!(root, newuidmap);
        let script = format!(
            "uid=$(id -u {USER})\nexec setpriv --reuid $uid --regid 1 --clear-groups -- \"$@\""
        );
        let breaks = |program: Program| {
            program.env("XDG_RUNTIME_DIR", "").under(&["sh", "-ec", &script, "sh"])
        };
        warns(&breaks, "id-range", "caller-group");
    }

    /// The real switch, of the whole machine.
    #[test]
    fn user_namespaces_that_are_switched_off_are_told() {
        requires!(machine, root);
        let switch = std::path::Path::new("/proc/sys/kernel/unprivileged_userns_clone");
        if !switch.exists() {
            return need::skip("userns_switch", "this kernel has no unprivileged_userns_clone");
        }
        struct Off<'a>(&'a std::path::Path);
        impl Drop for Off<'_> {
            fn drop(&mut self) {
                std::fs::write(self.0, "1").expect("switch it on again");
            }
        }
        std::fs::write(switch, "0").expect("switch it off");
        let _off = Off(switch);
        unusable(&|program| as_user(program, "", ""), "user-namespace", "userns-off");
    }
}

/// As in a container of docker or podman that nobody has given a privilege:
/// masked paths, no newuidmap, no tap, no session. A run stands on lower rungs
/// and says on which.
#[test]
fn in_a_masked_container_a_run_takes_the_ladder_down() {
    requires!(unshare, coverable);
    let scratch = Scratch::new();
    let script = r#"
        for path in /proc/uptime /proc/keys /proc/timer_list; do
            [ ! -e $path ] || mount --bind /dev/null $path
        done
        for path in /proc/tty /proc/scsi /sys/firmware; do
            [ ! -d $path ] || mount -t tmpfs -o ro none $path
        done
        mount --rbind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
        mount -t tmpfs none /dev/net
        exec setpriv --no-new-privs "$@""#;
    let breaks = |program: Program| program.inside_namespaces(script);
    let run = breaks(Program::run_in(&scratch).args(["host", "sh", "-c", "id -u; echo $$"])).run();
    assert_eq!(run.ok(), "0\n1", "its own pid namespace, as root");
    for rung in ["one id only", "the outer /proc is shown"] {
        assert!(run.stderr.contains(rung), "no {rung:?} in {}", run.stderr);
    }
    let (code, report) = doctor(&scratch, &breaks);
    assert_eq!(code, 1, "{report:#}");
    for (id, verdict) in [
        ("container", "ok"),
        ("id-range", "degraded"),
        ("proc-new", "degraded"),
        ("tun", "degraded"),
        ("overlay", "ok"),
    ] {
        assert_eq!(finding(&report, id)["verdict"], verdict, "{id}: {report:#}");
    }
    let rungs = breaks(Program::sublet(&scratch).args(["doctor", "--ci", "--json"])).run();
    let rungs: Value = serde_json::from_slice(&rungs.bytes).expect("JSON");
    let stands: Vec<_> =
        rungs.as_array().expect("rungs").iter().map(|rung| &rung["stands"]).collect();
    assert_eq!(stands[..4], [true, false, false, true], "{rungs:#}");
    // Each line of a rung is one that works there: the first two do it all.
    let single = Program::run_in(&scratch).args(["--userns", "single", "host", "true"]);
    breaks(single).ok();
}

/// The same under an ordinary user, one container deeper: sublet in sublet.
#[test]
fn in_a_container_of_sublet_itself_a_run_works() {
    requires!(subuid);
    let scratch = Scratch::new();
    let mount = format!("type=bind,src={},dst=/run/inner,ro", launcher().display());
    let nested = ["--nested", "--userns", "single", "--mount", &mount, "host", "/run/inner"];
    let inner =
        |words: &[&str]| Program::run_in(&scratch).args(nested).args(words).within(60.0).run();
    let run = inner(&["run", "host", "id", "-u"]);
    assert_eq!(run.ok(), "0");
    assert!(run.stderr.contains("the container we are in has one id itself"), "{}", run.stderr);
    let report = inner(&["doctor", "--json"]);
    let value: Value = serde_json::from_slice(&report.bytes).expect("JSON");
    assert_eq!(report.code(), 1, "{value:#}");
    row(&value, "id-range", "container-one-id");
}
