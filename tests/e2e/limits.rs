//! Limits: that they hold, who enforces them, and what is said where they
//! can't be had.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::processes::has_ended;
use crate::common::*;

/// A name for a container that no other test has.
pub fn name(test: &str) -> String {
    format!("e2e-{test}-{}", std::process::id())
}

/// What the user's systemd says.
pub fn systemctl(words: &[&str]) -> String {
    let said = spawn::output(Command::new("systemctl").arg("--user").args(words));
    let said = said.expect("run systemctl");
    String::from_utf8(said.stdout).expect("text")
}

/// The scopes of containers that systemd knows in this slice, whatever they are.
fn known_in(slice: &str) -> Vec<String> {
    let list = ["list-units", "--all", "--plain", "--no-legend", "sublet-*"];
    let units = systemctl(&list);
    let units = units.lines().filter_map(|line| line.split_whitespace().next());
    let is_there =
        |unit: &&str| systemctl(&["show", "--value", "-p", "Slice", unit]).trim() == slice;
    units.filter(is_there).map(str::to_owned).collect()
}

/// The directory of a scope.
pub fn scope(unit: &str) -> PathBuf {
    let found = eventually(20.0, || {
        let path = systemctl(&["show", "--value", "-p", "ControlGroup", unit]);
        Some(path.trim().to_owned()).filter(|path| !path.is_empty())
    });
    PathBuf::from(format!("/sys/fs/cgroup{}", found.expect("a scope")))
}

/// Waits until systemd knows none of these any more.
pub fn forgotten(units: &[&str]) {
    let known = || {
        let list = ["list-units", "--all", "--plain", "--no-legend"];
        systemctl(&[&list, units].concat())
    };
    let gone = eventually(20.0, || known().is_empty().then_some(()));
    assert!(gone.is_some(), "{}", known());
}

/// Takes 200 MiB, and touches all of them.
const GREEDY: [&str; 5] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

/// A hundred times under one name, which is free as soon as the launcher is
/// back; and systemd keeps nothing of any.
#[test]
fn whoever_takes_more_memory_is_killed_and_told() {
    requires!(user_manager);
    let at = At::new();
    let name = name("memory");
    let slice = format!("e2e_memory_{}.slice", std::process::id());
    let options = ["-m", "64m", "--cgroup-parent", &slice, "--name", &name, "--rm"];
    let (mut killed, mut late) = (0, 0);
    while killed < 100 {
        let done = at.run(&options).args(GREEDY).within(60.0).run();
        // A machine that is emulated beside others may take longer than systemd
        // is waited for; then nothing was started.
        if done.stderr.contains("no answer within") && late < 5 {
            late += 1;
            continue;
        }
        killed += 1;
        done.exits(137);
        let told = "sublet: the container ran out of memory: limit 64 MiB, peak 6";
        assert!(done.stderr.starts_with(told), "{}", done.stderr);
        assert!(done.stderr.ends_with(" MiB, 1 process killed (dd)\n"), "{}", done.stderr);
    }
    forgotten(&["sublet-*", "--state=failed"]);
    let gone = eventually(20.0, || known_in(&slice).is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", known_in(&slice));
    systemctl(&["stop", &slice]);
}

/// Half of a container is no container: all of it goes.
#[test]
fn all_of_a_container_is_killed_together() {
    requires!(user_manager);
    let at = At::new();
    let script = "sleep 600 & dd if=/dev/zero of=/dev/null bs=200M count=1; echo alive";
    for options in [&["-m", "64m"][..], &["-m", "64m", "--init"], &["-m", "64m", "--pid", "host"]] {
        let done = at.run(options).args(["sh", "-c", script]).within(60.0).run();
        done.exits(137);
        assert_eq!(done.stdout(), "", "{options:?}");
        assert!(done.stderr.contains("ran out of memory"), "{options:?}: {}", done.stderr);
    }
}

/// A container that takes what it can get of a processor, and its scope.
fn busy(at: &At, outer: &[&str], name: &str, options: &[&str]) -> (Running, String, PathBuf) {
    let script = "echo ready; while :; do :; done";
    let program = at.run(&[options, &["--name", name]].concat()).args(["sh", "-c", script]);
    let mut running = program.under(outer).within(60.0).spawn();
    assert_eq!(running.line(), "ready");
    let unit = at.unit(name);
    let scope = scope(&unit);
    (running, unit, scope)
}

/// How much of a processor each of the groups has, over five seconds of the
/// machine's own clock: fifty periods of a quota.
fn processors(groups: [&PathBuf; 2]) -> [f64; 2] {
    let used = || {
        groups.map(|group| {
            let text = fs::read_to_string(group.join("cpu.stat")).expect("cpu.stat");
            let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
            Duration::from_micros(line.expect("usage").parse().expect("a number"))
        })
    };
    let (start, before) = (Instant::now(), used());
    std::thread::sleep(Duration::from_secs(5));
    let (after, took) = (used(), start.elapsed());
    [0, 1].map(|at| (after[at] - before[at]).div_duration_f64(took))
}

/// What [`busy`] has started, ended.
fn end((running, unit, _): (Running, String, PathBuf)) {
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    forgotten(&[&unit]);
}

#[test]
fn a_fifth_of_a_processor_is_a_fifth() {
    requires!(user_manager);
    let at = At::new();
    let quota = ["--cpu-period", "100000", "--cpu-quota", "20000"];
    let one = busy(&at, &[], &name("cpus"), &["--cpus", "0.2"]);
    let two = busy(&at, &[], &name("quota"), &quota);
    for (_, _, scope) in [&one, &two] {
        let maximum = fs::read_to_string(scope.join("cpu.max")).expect("cpu.max");
        assert_eq!(maximum, "20000 100000\n");
    }
    // A machine under QEMU stands still at times, and what a period gives is
    // lost then; that is not so all the time.
    let is_a_fifth = || {
        let shares = processors([&one.2, &two.2]);
        println!("{shares:?} of a processor");
        shares.iter().all(|share| (0.17..=0.23).contains(share))
    };
    assert!((0..4).any(|_| is_a_fifth()));
    end(one);
    end(two);
}

/// Shares of 100 and 200 are weights of 17 and 29, which is 1 to 1.7: each has
/// what it should, a third and two thirds, to 15 %.
#[test]
fn who_has_twice_the_shares_has_twice_the_processor() {
    requires!(user_manager);
    let at = At::new();
    let processor = ["taskset", "-c", "0"];
    let one = busy(&at, &processor, &name("shares"), &["--cpu-shares", "100"]);
    let two = busy(&at, &processor, &name("twice"), &["--cpu-shares", "200"]);
    // A machine under QEMU stands still at times, and not for both alike.
    let is_twice = || {
        let [less, more] = processors([&one.2, &two.2]);
        println!("{less} and {more} of a processor: 1 to {}", more / less);
        let (third, thirds) = (less / (less + more) * 3.0, more / (less + more) * 1.5);
        [third, thirds].iter().all(|part| (0.85..=1.15).contains(part))
    };
    assert!((0..4).any(|_| is_twice()));
    end(one);
    end(two);
}

/// One that does not mind being refused: all of them try again and again, with
/// a pause, for the machine has two processors that are emulated.
const BOMB: &str = "import os, time
while True:
    try: os.fork()
    except OSError: time.sleep(0.5)";

#[test]
fn a_fork_bomb_harms_nobody() {
    requires!(user_manager, python3);
    let at = At::new();
    let name = name("bomb");
    let options = ["--init", "--pids-limit", "64", "--name", &name];
    let program = Program::run_in(&at.scratch).args(options);
    let running = program.args(["host", "python3", "-c", BOMB]).within(60.0).spawn();
    // The name is there before the scope is, and the scope before its leaves.
    let link = at.scratch.join("run/sublet/.names").join(&name);
    eventually(20.0, || link.is_symlink().then_some(())).expect("a name");
    let unit = at.unit(&name);
    let payload = scope(&unit).join("payload");
    eventually(20.0, || payload.exists().then_some(())).expect("a leaf");
    let number = |file: &str| {
        let text = fs::read_to_string(payload.join(file)).expect("read a number");
        text.trim().trim_start_matches("max ").parse::<u64>().expect("a number")
    };
    let refused = || (number("pids.events") > 64).then_some(());
    eventually(20.0, refused).expect("many that could not be made");
    // Meanwhile others start, with limits and without.
    at.run(&["-m", "64m"]).arg("true").within(60.0).ok();
    at.run(&[]).arg("true").within(60.0).ok();
    let before = number("pids.events");
    // Older kernels don't tell the most that there were.
    let peak = payload.join("pids.peak").exists();
    let most = number(if peak { "pids.peak" } else { "pids.current" });
    assert!((32..=64).contains(&most) && number("pids.current") <= 64, "{most}");
    eventually(20.0, || (number("pids.events") > before).then_some(())).expect("it goes on");
    running.signal(libc::SIGTERM);
    running.wait().exits(143);
    forgotten(&[&unit]);
}

#[test]
fn a_container_sees_its_own_part_of_the_tree_and_no_limits() {
    requires!(user_manager);
    let at = At::new();
    let script = "cat /proc/self/cgroup; awk '$5 == \"/sys/fs/cgroup\" { print $4 }' \
                  /proc/self/mountinfo; cat /sys/fs/cgroup/memory.max; \
                  for file in memory.max pids.max cgroup.procs; do \
                  echo 1 >/sys/fs/cgroup/$file && echo written; done; \
                  mkdir /sys/fs/cgroup/mine && echo made; true";
    let said = at.run(&["-m", "64m"]).args(["sh", "-c", script]).within(60.0).run();
    assert_eq!(said.stdout(), "0::/\n/\nmax\n", "{}", said.stderr);
    said.exits(0);
}

#[test]
fn with_groups_of_its_own_it_can_go_no_higher_either() {
    requires!(user_manager);
    let at = At::new();
    let name = name("delegate");
    let script = "cd /sys/fs/cgroup; mkdir mine && echo $$ >mine/cgroup.procs; \
                  cat /proc/self/cgroup; \
                  for file in memory.max pids.max; do echo max >$file && echo written; done; \
                  echo ready; sleep 600";
    let options = ["-m", "64m", "--pids-limit", "40", "--cgroup-delegate", "--name", &name];
    let program = at.run(&options).args(["sh", "-c", script]).within(60.0);
    let mut running = program.spawn();
    assert_eq!(running.line(), "0::/mine");
    assert_eq!(running.line(), "ready");
    let unit = at.unit(&name);
    let scope = scope(&unit);
    let limit = |file: &str| fs::read_to_string(scope.join(file)).expect("read a limit");
    assert_eq!((limit("memory.max"), limit("pids.max")), ("67108864\n".into(), "56\n".into()));
    running.signal(libc::SIGKILL);
    running.wait();
    // The watcher ends the payload, and lets the scope go.
    forgotten(&[&unit]);
}

/// systemd moves only processes of the user who asks, and with such maps the
/// child becomes another one's.
#[test]
fn whoever_one_is_inside_the_limit_is_there() {
    requires!(user_manager, subuid, newuidmap);
    let at = At::new();
    for userns in ["auto", "keep-id", "nomap", "single"] {
        let name = name(userns);
        let options = ["-m", "64m", "--userns", userns, "--name", &name, "--replace"];
        let script = "cat /proc/self/cgroup; sleep 600";
        let program = at.run(&options).args(["sh", "-c", script]).within(60.0);
        let mut running = program.spawn();
        assert_eq!(running.line(), "0::/", "{userns}");
        let unit = at.unit(&name);
        let limit = fs::read_to_string(scope(&unit).join("memory.max")).expect("memory.max");
        assert_eq!(limit, "67108864\n", "{userns}");
        // Of another user's payload it can't be told what SIGTERM would do.
        running.signal(libc::SIGKILL);
        running.wait();
        forgotten(&[&unit]);
    }
}

#[test]
fn a_name_that_is_taken_is_said() {
    requires!(scopes);
    let at = At::new();
    let name = name("taken");
    let options = ["--cgroups", "systemd", "--rm", "--name", &name];
    let script = "echo ready; sleep 600";
    let mut first = at.run(&options).args(["sh", "-c", script]).within(60.0).spawn();
    assert_eq!(first.line(), "ready");
    at.run(&options).arg("true").within(60.0).run().refused(&[&name]);
    first.signal(libc::SIGTERM);
    first.wait().exits(143);
    // And free again, at once.
    at.run(&options).arg("true").within(60.0).ok();
}

/// A slice of the user's systemd that waits for a service that takes long, and
/// with it every scope in it.
struct Slow {
    service: String,
    slice: String,
}

impl Slow {
    fn new() -> Self {
        let word = format!("e2e_slow_{}", std::process::id());
        let (service, slice) = (format!("{word}.service"), format!("{word}.slice"));
        let run = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            let made = spawn::start(command.args(&words[1..]).stdout(Stdio::null()));
            let ended = made.and_then(|mut child| child.wait());
            assert!(ended.expect("run it").success(), "{words:?}");
        };
        let oneshot = ["--user", "--quiet", "--no-block", "-p", "Type=oneshot", "--unit", &service];
        run(&[&["systemd-run"], &oneshot[..], &["sleep", "600"]].concat());
        let (manager, at) = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1");
        let method = [manager, at, "org.freedesktop.systemd1.Manager", "StartTransientUnit"];
        let unit = ["ssa(sv)a(sa(sv))", &slice, "fail", "2"];
        let after = ["Requires", "as", "1", &service, "After", "as", "1", &service, "0"];
        run(&[&["busctl", "--user", "call"], &method[..], &unit, &after].concat());
        Self { service, slice }
    }

    /// The scope of a container that waits in it: systemd keeps a file of each
    /// unit that is asked for. To ask itself would take longer than a start that
    /// nobody answers.
    fn waiting(&self) -> Option<String> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").expect("a session");
        let units = Path::new(&runtime).join("systemd/transient");
        let mut names = fs::read_dir(&units).ok()?.flatten().map(|entry| entry.file_name());
        names.find_map(|name| {
            let name = name.into_string().ok()?;
            let text = fs::read_to_string(units.join(&name)).ok()?;
            let ours = name.starts_with("sublet-") && text.contains(&self.slice);
            ours.then_some(name)
        })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        systemctl(&["stop", &self.service, &self.slice]);
    }
}

/// Units of the user's systemd, of which it tells everybody.
struct Units {
    are_enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Units {
    fn come_and_go() -> Self {
        let are_enough = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&are_enough);
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let words = ["--user", "--scope", "--quiet", "--collect", "true"];
                let made = spawn::start(Command::new("systemd-run").args(words));
                let ended = made.and_then(|mut child| child.wait());
                assert!(ended.expect("run it").success());
            }
        });
        Self { are_enough, thread: Some(thread) }
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        self.are_enough.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// By ctrl-C or because it takes too long: systemd would start the scope of one
/// that is long gone.
#[test]
fn a_start_that_is_given_up_leaves_no_job_of_systemds() {
    requires!(user_manager);
    let at = At::new();
    let slow = Slow::new();
    let start = || at.run(&["--cgroup-parent", &slow.slice]).arg("true").within(30.0).spawn();
    let running = start();
    let unit = eventually(2.0, || slow.waiting()).expect("a scope that waits");
    running.signal(libc::SIGINT);
    let done = running.wait();
    done.exits(130).explained(&["stopped by SIGINT before the payload ran"]);
    forgotten(&[&unit]);

    // systemd hangs up on whom it can't tell of other units any more, and does
    // not read what he has asked for last.
    let units = Units::come_and_go();
    let (mut given_up, mut late) = (0, 0);
    while given_up < 5 {
        let running = start();
        let come = || slow.waiting().or(has_ended(running.pid()).then(String::new));
        let come = eventually(10.0, come).expect("a scope that waits");
        running.signal(libc::SIGINT);
        let done = running.wait();
        // Beside all these it may be asked for longer than it is waited for.
        if done.stderr.contains("no answer within") && late < 5 {
            late += 1;
        } else {
            given_up += 1;
            assert!(!come.is_empty(), "no scope that waits: {}", done.stderr);
            done.exits(130);
        }
        let gone = eventually(20.0, || slow.waiting().is_none().then_some(()));
        assert!(gone.is_some(), "{:?}", slow.waiting());
    }
    drop(units);

    let done = start().wait();
    done.refused(&["no answer within 10s, still waiting for the end of its job"]);
    let gone = eventually(20.0, || known_in(&slow.slice).is_empty().then_some(()));
    assert!(gone.is_some(), "{:?}", known_in(&slow.slice));
}

#[test]
fn a_controller_that_is_not_delegated_is_named_with_the_drop_in() {
    requires!(user_manager);
    let at = At::new();
    let options = ["--cpuset-cpus", "0"];
    let done = at.run(&options).arg("true").run();
    done.refused(&["--cpuset-cpus", "cpuset is not delegated", "delegate.conf", "Delegate=cpu"]);
    let best = at
        .run(&["--limits", "best-effort", "--cpuset-cpus", "0"])
        .args(["grep", "Cpus_allowed_list", "/proc/self/status"])
        .run();
    assert_eq!(best.ok().split_whitespace().last(), Some("0"));
    assert!(
        best.stderr.contains("--cpuset-cpus is its processes' own affinity"),
        "{}",
        best.stderr
    );
}

#[test]
fn a_group_of_ours_is_split_without_asking_anybody() {
    requires!(user_manager, delegated);
    let at = At::new();
    let (uid, _) = caller();
    // The group that this shell is in, as a parent of the container's.
    let script = "own=$(cut -d: -f3 /proc/self/cgroup); sublet=$1; shift 2; \
                  \"$sublet\" run --network none --cgroup-parent \"$own\" \"$@\" && code=0 || code=$?; \
                  ls -d /sys/fs/cgroup$own/sublet-* 2>/dev/null && echo left; \
                  cut -d: -f3 /proc/self/cgroup | sed 's|.*/||'; exit $code";
    let scoped =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let ours = |options: &[&str], words: &[&str]| {
        let program = at.run(options).args(words).within(90.0);
        program.inside(script).under(&scoped).env("XDG_RUNTIME_DIR", format!("/run/user/{uid}"))
    };
    let done = ours(&["-m", "64m", "--cgroups", "direct"], &["cat", "/proc/self/cgroup"]).run();
    assert_eq!(done.ok(), "0::/\nsupervisor");
    let done = ours(&["-m", "64m"], &GREEDY).run();
    done.exits(137);
    assert_eq!(done.stdout(), "supervisor\n");
    assert!(done.stderr.contains("ran out of memory: limit 64 MiB"), "{}", done.stderr);
}

/// To be moved there would take ten times as long.
#[test]
fn a_container_is_born_in_a_group_of_ours() {
    requires!(scopes, delegated, strace);
    let at = At::new();
    let trace = at.scratch.join("trace");
    let script = format!(
        "own=$(sed -n s/^0:://p /proc/self/cgroup); sublet=$1; shift 2; \
         strace -f -qq -y -e trace=clone3,open,openat -o {} \
         \"$sublet\" run --network none --userns single --cgroups direct --cgroup-parent \"$own\" \"$@\"; \
         ! ls -d /sys/fs/cgroup$own/sublet-* 2>/dev/null",
        trace.display()
    );
    let scoped =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let (uid, _) = caller();
    let program = at.run(&[]).args(["grep", "^0:", "/proc/self/cgroup"]).within(90.0);
    let program = program.inside(&script).under(&scoped);
    assert_eq!(program.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).ok(), "0::/");
    let trace = fs::read_to_string(trace).expect("a trace");
    assert!(trace.contains("CLONE_INTO_CGROUP"), "{trace}");
    // Its launcher may be, where controllers are shared out.
    assert!(!trace.contains("payload>, \"cgroup.procs\", O_WRONLY"), "{trace}");
}

/// It is in neither the launcher's group nor the container's.
#[test]
fn the_networks_helper_has_a_leaf_of_its_own() {
    requires!(scopes, delegated, slirp4netns);
    let at = At::new();
    let script = "own=$(sed -n s/^0:://p /proc/self/cgroup); sublet=$1; shift 4; \
         \"$sublet\" run --network slirp4netns --userns single --cgroups direct \
             --cgroup-parent \"$own\" \"$@\" & \
         until cat /sys/fs/cgroup$own/sublet-*/helper/cgroup.procs 2>/dev/null | grep -q .; do \
             sleep 0.1; done; \
         cat /proc/$(cat /sys/fs/cgroup$own/sublet-*/helper/cgroup.procs)/comm; \
         kill $!; wait $! || true; \
         ls -d /sys/fs/cgroup$own/sublet-* 2>/dev/null || echo gone";
    let scoped =
        ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"];
    let (uid, _) = caller();
    let program = at.run(&[]).args(["sleep", "100"]).within(90.0).inside(script).under(&scoped);
    let told = program.env("XDG_RUNTIME_DIR", format!("/run/user/{uid}")).ok();
    assert_eq!(told, "slirp4netns\ngone");
}

#[test]
fn who_makes_the_group_can_be_said() {
    requires!(scopes);
    let at = At::new();
    let own = fs::read_to_string("/proc/self/cgroup").expect("a cgroup");
    let words = ["cat", "/proc/self/cgroup"];
    let said = |options: &[&str]| at.run(options).args(words).within(60.0).ok();
    let own = own.trim();
    assert_eq!(said(&["--cgroups", "disabled", "--cgroupns", "host"]), own);
    assert_eq!(said(&["--cgroupns", "host"]), own, "nobody is asked for nothing");
    for who in ["require", "systemd"] {
        let inside = said(&["--cgroups", who, "--cgroupns", "host"]);
        assert!(inside.ends_with(".scope/payload"), "{who}: {inside}");
    }
    at.run(&["--cgroups", "disabled", "-m", "64m"]).arg("true").run().refused(&["disabled"]);
    at.run(&["--cgroups", "direct"]).arg("true").run().refused(&["--cgroup-parent"]);
}

#[test]
fn where_only_root_can_limit_it_is_said_why() {
    requires!(legacy_cgroups, ordinary_user);
    let at = At::new();
    at.run(&[]).arg("true").ok();
    at.run(&["--cgroups", "disabled"]).arg("true").ok();
    for options in [&["-m", "64m"][..], &["--cgroups", "require"], &["--cgroups", "systemd"]] {
        at.run(options).arg("true").run().refused(&["cgroup v1", "unified_cgroup_hierarchy"]);
    }
    let best = at
        .run(&["--limits", "best-effort", "-m", "64m", "--cpuset-cpus", "0"])
        .args(["grep", "Cpus_allowed_list", "/proc/self/status"])
        .run();
    assert_eq!(best.ok().split_whitespace().last(), Some("0"));
    assert!(best.stderr.contains("not limited: --memory"), "{}", best.stderr);
}

#[test]
fn in_a_container_on_such_a_machine_there_are_groups_but_no_limits() {
    requires!(scopes, bare_cgroups);
    let at = At::new();
    for options in [&["-m", "64m"][..], &["--cgroups", "systemd", "--cpus", "1"]] {
        at.run(options).arg("true").run().refused(&["cgroup v1", "on that host"]);
    }
    let script = "grep ^0: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.max.descendants";
    let done = at.run(&["--cgroups", "require"]).args(["sh", "-c", script]).within(60.0).run();
    assert_eq!(done.ok(), "0::/\n64");
    let best = at.run(&["--limits", "best-effort", "-m", "64m"]).arg("true").within(60.0).run();
    assert!(best.stderr.contains("not limited: --memory"), "{}", best.stderr);
    best.exits(0);
}

#[test]
fn a_time_that_is_over_is_told() {
    requires!();
    let at = At::new();
    let done = at.run(&["--timeout", "1"]).args(["sleep", "600"]).within(30.0).run();
    done.exits(255);
    let told = "sublet: the container's time of 1s was over: it was ended by SIGTERM\n";
    assert!(done.stderr.ends_with(told), "{}", done.stderr);
    at.run(&["--timeout", "600"]).args(["sh", "-c", "exit 3"]).run().exits(3);
    // As sublet stop would: by its signal, and for no longer than it has then.
    // It has that long to trap it.
    let time = patience(2.0).as_secs().to_string();
    let options = ["--timeout", &time, "--stop-signal", "INT", "--stop-timeout", "0"];
    let stubborn = "trap '' INT; while :; do sleep 1; done";
    let began = std::time::Instant::now();
    let done = at.run(&options).args(["sh", "-c", stubborn]).within(30.0).run();
    done.exits(255);
    let told = "it did not end within 0ns of SIGINT and was killed\n";
    assert!(done.stderr.ends_with(told), "{}", done.stderr);
    assert!(began.elapsed() < patience(8.0), "{:?}", began.elapsed());
}
