//! What is decided about limits, on machines that are told.

use super::*;
use crate::cli::asked_words;
use crate::error::report;
use crate::host::cgroup::{Cgroups as Facts, Version};
use crate::host::made_up;
use crate::state;

const SESSION: &str = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service";
const ALL: &str = "cpuset cpu io memory pids";

/// A desktop whose manager has these controllers.
fn session(controllers: &str) -> Host {
    host(|facts| facts.session_controllers = Controller::list(controllers))
}

/// A unit whose group is ours and has these controllers.
fn unit(controllers: &str) -> Host {
    host(|facts| {
        facts.ours = Some("/sys/fs/cgroup/ci".into());
        facts.controllers = Controller::list(controllers);
    })
}

fn host(change: impl FnOnce(&mut Facts)) -> Host {
    let mut facts = made_up::facts();
    change(&mut facts.cgroups);
    Host::from(facts)
}

fn no_bus() -> Host {
    let mut facts = made_up::facts();
    let (cause, hint) = ("there is no bus".to_owned(), "loginctl enable-linger".to_owned());
    facts.bus = Err(Advice::of_request(cause, hint));
    Host::from(facts)
}

fn noted(words: &str, host: &Host) -> (anyhow::Result<Cgroup>, Vec<String>) {
    let words: Vec<&str> = words.split_whitespace().chain(["host"]).collect();
    let mut notes = Vec::new();
    let asked = asked_words(&words).unwrap();
    (plan(&asked.spec, host, &mut notes), notes)
}

#[track_caller]
fn decided(words: &str, host: &Host) -> Cgroup {
    let (cgroup, notes) = noted(words, host);
    assert!(notes.is_empty(), "{words}: {notes:?}");
    cgroup.unwrap_or_else(|error| panic!("{words}: {}", report(&error)))
}

#[track_caller]
fn refused(words: &str, host: &Host) -> String {
    match noted(words, host) {
        (Ok(cgroup), _) => panic!("{words} was taken: {cgroup}"),
        (Err(error), _) => report(&error),
    }
}

fn is_direct(cgroup: &Cgroup) -> bool {
    matches!(cgroup.manager, Manager::Direct { .. })
}

fn is_systemd(cgroup: &Cgroup) -> bool {
    matches!(cgroup.manager, Manager::Systemd { .. })
}

/// What was asked for is had, or nothing runs.
#[test]
fn only_what_nobody_asked_for_can_be_done_without() {
    let need = |words: &str| decided(words, &unit(ALL)).need;
    for words in ["", "--limits best-effort -m 1g"] {
        assert_eq!(need(words), Need::Wanted, "{words}");
    }
    for words in [
        "-m 1g",
        "--cgroups require",
        "--cgroups direct",
        "--cgroup-delegate",
        "--limits best-effort --cgroup-delegate -m 1g",
        "--limits best-effort --cgroups direct -m 1g",
    ] {
        assert_eq!(need(words), Need::Required, "{words}");
    }
}

#[test]
fn nobody_is_asked_for_nothing() {
    for words in ["", "--cgroups disabled", "--limits best-effort"] {
        assert_eq!(decided(words, &session(ALL)), Cgroup::default(), "{words}");
    }
    for host in [no_bus(), host(|facts| *facts = Facts::default())] {
        assert_eq!(decided("", &host), Cgroup::default());
    }
    assert!(is_direct(&decided("", &unit(ALL))));
    assert_eq!(decided("--cgroups disabled", &unit(ALL)), Cgroup::default());
}

#[test]
fn a_group_of_our_own_comes_before_systemd() {
    assert!(is_direct(&decided("-m 64m", &unit("memory"))));
    assert!(is_systemd(&decided("-m 64m", &session("memory"))));
    assert!(is_systemd(&decided("-m 64m --cgroups systemd", &unit("memory"))));
    assert!(is_systemd(&decided("--cgroups require", &session(""))));
    assert!(is_direct(&decided("--cgroups direct", &unit(""))));
    // Only systemd has the controller.
    assert!(is_systemd(&decided("-m 64m", &unit("pids"))));
    assert!(refused("-m 64m --cgroups direct", &unit("pids")).contains("memory"));
}

/// For root it is the machine's systemd, which has all there is.
#[test]
fn root_has_the_machines_systemd() {
    let mut facts = made_up::facts();
    facts.caller = made_up::root();
    facts.cgroups.session = None;
    let cgroup = decided("--cpuset-cpus 0 -m 64m", &Host::from(facts));
    assert!(is_systemd(&cgroup));
    assert!(cgroup.controllers.contains(&Controller::Cpuset));
}

#[test]
fn parents_choose_the_manager() {
    let scope = decided("--cgroup-parent mine.slice", &unit(ALL));
    let Manager::Systemd { slice, unit: name, .. } = scope.manager else { panic!() };
    assert_eq!(slice.as_deref(), Some("mine.slice"));
    assert_eq!(name, format!("sublet-{}.scope", "ab".repeat(32)));
    for path in ["/a/b", "/sys/fs/cgroup/a/b"] {
        let below = decided(&format!("--cgroup-parent {path} -m 64m"), &session(""));
        let Manager::Direct { parent, .. } = below.manager else { panic!() };
        assert_eq!(parent, PathBuf::from("/sys/fs/cgroup/a/b"));
    }
    assert!(refused("--cgroup-parent /a/c", &session(ALL)).contains("/sys/fs/cgroup/a/c"));
    assert!(refused("--cgroup-parent /a/b --cpus 1", &session(ALL)).contains("controller cpu"));
    for words in [
        "--cgroups systemd --cgroup-parent /a/b",
        "--cgroups direct --cgroup-parent mine.slice",
        "--cgroups disabled --cgroup-parent /a/b",
        "--cgroups disabled --cgroup-delegate",
        "--cgroups disabled -m 64m",
    ] {
        refused(words, &unit(ALL));
    }
}

#[test]
fn limits_are_properties_where_systemd_has_one() {
    let cgroup = decided(
        "-m 64m --memory-swap 96m --cpus 0.2 -c 1024 --cpuset-cpus 0,9 --pids-limit 64 \
         --cgroup-conf memory.high=60M --cgroup-conf memory.zswap.max=0",
        &session(ALL),
    );
    let told: Vec<_> = cgroup.properties.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "MemoryMax=67108864",
            "MemorySwapMax=33554432",
            "CPUWeight=100",
            "CPUQuotaPerSecUSec=200000",
            "AllowedCPUs=0,9",
            "TasksMax=80",
            "MemoryHigh=62914560",
        ]
    );
    let cpus = cgroup.properties.iter().find(|property| property.name == "AllowedCPUs").unwrap();
    assert_eq!(cpus.value, Value::Bytes(vec![1, 2]));
    assert_eq!(cgroup.limits, [Setting::new("memory.zswap.max", 0)]);
    assert_eq!(
        cgroup.payload,
        [
            Setting::new("memory.oom.group", 1),
            Setting::new("pids.max", 64),
            Setting::new("cgroup.max.descendants", 64)
        ]
    );
}

#[test]
fn limits_are_files_where_we_write_them() {
    let cgroup = decided(
        "--cpu-period 50000 --cpu-quota 12345 --memory-reservation 32m --blkio-weight 1000 \
         --device-read-bps /dev/sda:1m --device-write-bps /dev/sda:2m",
        &unit(ALL),
    );
    assert!(cgroup.properties.is_empty());
    assert_eq!(
        cgroup.limits,
        [
            Setting::new("memory.low", 32 << 20),
            Setting::new("cpu.max", "12345 50000"),
            Setting::new("io.weight", "default 10000"),
            Setting::new("io.max", "8:0 rbps=1048576"),
            Setting::new("io.max", "8:0 wbps=2097152"),
            Setting::new("pids.max", 2064),
        ]
    );
    let controllers = [Controller::Cpu, Controller::Io, Controller::Memory, Controller::Pids];
    assert_eq!(cgroup.controllers, controllers);
}

/// systemd may not find the device, and says so to nobody here.
#[test]
fn rates_are_written_in_any_case() {
    let words = "--device-read-iops /dev/sda:5 --device-write-iops /dev/sda:6";
    let cgroup = decided(words, &session(ALL));
    assert!(cgroup.properties.iter().any(|property| property.name == "IOReadIOPSMax"
        && property.value == Value::Rates(vec![("/dev/block/8:0".to_owned(), 5)])));
    assert_eq!(cgroup.limits.len(), 2);
}

#[test]
fn a_period_is_a_property_too() {
    let told = |words| {
        let cgroup = decided(words, &session(ALL));
        let quota = cgroup.properties.into_iter().filter(|one| one.name.starts_with("CPUQuota"));
        quota.map(|property| property.to_string()).collect::<Vec<_>>()
    };
    let third = told("--cpu-period 3000 --cpu-quota 1000");
    assert_eq!(third, ["CPUQuotaPerSecUSec=333334", "CPUQuotaPeriodUSec=3000"]);
    let period = told("--cpu-period 3000");
    assert_eq!(period, ["CPUQuotaPerSecUSec=infinity", "CPUQuotaPeriodUSec=3000"]);
}

#[test]
fn numbers_of_processes() {
    let pids = |words| {
        let cgroup = decided(words, &session(ALL));
        let scope = cgroup.properties.iter().find(|property| property.name == "TasksMax").unwrap();
        let payload = cgroup.payload.iter().find(|setting| setting.file == "pids.max").unwrap();
        (scope.to_string(), payload.content.clone())
    };
    assert_eq!(pids("-m 64m"), ("TasksMax=2064".to_owned(), "2048".to_owned()));
    assert_eq!(pids("--pids-limit 5"), ("TasksMax=21".to_owned(), "5".to_owned()));
    assert_eq!(pids("--pids-limit -1"), ("TasksMax=infinity".to_owned(), "max".to_owned()));
    let without = decided("-m 64m", &session("memory"));
    assert!(without.payload.iter().all(|setting| setting.file != "pids.max"));
    assert_eq!(without.controllers, [Controller::Memory]);
}

#[test]
fn what_is_given_by_its_file_counts() {
    let cgroup = decided("-m 64m --cgroup-conf memory.max=1G", &session(ALL));
    let max: Vec<_> = cgroup.properties.iter().filter(|one| one.name == "MemoryMax").collect();
    assert_eq!(max, [&Property { name: "MemoryMax".to_owned(), value: Value::U64(1 << 30) }]);
    let cgroup = decided("-m 64m --cgroup-conf memory.max=1G", &unit(ALL));
    let max: Vec<_> = cgroup.limits.iter().filter(|one| one.file == "memory.max").collect();
    assert_eq!(max, [&Setting::new("memory.max", "1G")]);
    let odd = decided("--cgroup-conf cpu.max=some --cgroup-conf cgroup.max.depth=2", &session(ALL));
    assert_eq!(odd.limits, [Setting::new("cgroup.max.depth", 2), Setting::new("cpu.max", "some")]);
    assert!(refused("--cgroup-conf rdma.max=1", &session(ALL)).contains("no such controller"));
}

#[test]
fn a_container_that_makes_groups_may_make_many() {
    let cgroup = decided("--cgroup-delegate", &session(ALL));
    assert!(cgroup.payload.contains(&Setting::new("cgroup.max.descendants", 10_000)));
}

#[test]
fn a_missing_controller_is_told_with_the_lines_that_mend_it() {
    assert_eq!(
        refused("--cpuset-cpus 0", &session("cpu memory pids")),
        format!(
            "error: --cpuset-cpus: the controller cpuset is not delegated to your systemd: \
             {SESSION}/cgroup.controllers has cpu memory pids\n \
             hint: as root, once: write to /etc/systemd/system/user@.service.d/delegate.conf:\n       \
             [Service]\n       \
             Delegate=cpu cpuset io memory pids\n       \
             then systemctl daemon-reload, and log out of all sessions and in again\n       \
             or go on without: --limits best-effort"
        )
    );
    let both = refused("-m 64m --cpus 1", &session(""));
    assert!(both.contains("the controllers cpu memory are not delegated"), "{both}");
    assert!(both.contains("cgroup.controllers has nothing"), "{both}");
    let ours = refused("--cpus 1 --cgroups direct", &unit("pids"));
    assert!(ours.contains("/sys/fs/cgroup/ci/cgroup.controllers has pids"), "{ours}");
    assert!(ours.contains("echo '+cpu' > /sys/fs/cgroup/cgroup.subtree_control"), "{ours}");
    let huge = refused("--cgroup-conf hugetlb.2MB.max=0", &session(ALL));
    assert!(huge.contains("Delegate=cpu cpuset io memory pids hugetlb\n"), "{huge}");
}

/// No drop-in gives what the kernel does not have.
#[test]
fn a_controller_that_nobody_has_is_told_as_such() {
    let mut facts = made_up::facts();
    let list = "/sys/fs/cgroup/cgroup.controllers";
    facts.files = crate::host::files::Files::Told(vec![(list.into(), "cpu pids".to_owned())]);
    let told = refused("-m 64m", &{
        facts.cgroups.session_controllers = Controller::list("cpu pids");
        Host::from(facts)
    });
    assert!(told.contains(list) && told.contains("has no memory"), "{told}");
    assert!(told.contains("cgroup_disable=memory") && !told.contains("Delegate"), "{told}");
}

/// A desktop where the files of the manager's group can be seen.
fn with_files(names: &[&str]) -> Host {
    let mut facts = made_up::facts();
    facts.cgroups.session_controllers = Controller::list(ALL);
    let named = names.iter().chain(&["cgroup.type", "cgroup.controllers"]);
    let files = named.map(|name| (PathBuf::from(SESSION).join(name), ALL.to_owned())).collect();
    facts.files = crate::host::files::Files::Told(files);
    Host::from(facts)
}

#[test]
fn a_file_that_the_kernel_lacks_is_told() {
    let told = refused("--cgroup-conf memory.hihg=1", &with_files(&["memory.high"]));
    assert!(told.contains(&format!("{SESSION}/memory.hihg is not there")), "{told}");
    let memory = with_files(&["memory.max"]);
    let without = decided("-m 64m", &memory);
    assert!(without.properties.iter().all(|property| property.name != "MemorySwapMax"));
    let told = refused("-m 64m --memory-swap 65m", &memory);
    assert!(told.starts_with("error: --memory-swap: ") && told.contains("swapaccount"), "{told}");
    let (_, notes) = noted("-m 64m --memory-swap 65m --limits best-effort", &memory);
    assert!(notes[0].starts_with("not limited: --memory-swap: this kernel has no"), "{notes:?}");
}

#[test]
fn weights_of_disks_are_the_schedulers() {
    let direct = format!("--blkio-weight 500 --cgroup-parent {SESSION}");
    assert!(refused(&direct, &with_files(&[])).contains("choose it as root"));
    let bfq = with_files(&["io.bfq.weight"]);
    assert_eq!(decided(&direct, &bfq).limits[0], Setting::new("io.bfq.weight", 500));
    let scope = decided("--blkio-weight 500", &bfq);
    assert_eq!(scope.properties[0].to_string(), "IOWeight=4950");
}

#[test]
fn hosts_without_a_way_say_which() {
    for (version, cause) in [
        (Version::V1, "cgroup v1"),
        (Version::Hybrid, "cgroup v2 beside it"),
        (Version::None, "no cgroup v2 is mounted"),
    ] {
        let host = host(|facts| facts.version = version);
        let told = refused("-m 64m", &host);
        assert!(told.starts_with("error: --memory: ") && told.contains(cause), "{told}");
        assert!(told.ends_with("or go on without: --limits best-effort"), "{told}");
        assert!(refused("--cgroups require", &host).contains(cause));
    }
    let told = refused("-m 64m", &no_bus());
    assert!(told.contains("there is no bus") && told.contains("loginctl enable-linger"), "{told}");
    let told = refused("--cgroups direct", &session(ALL));
    assert!(told.contains("session-1.scope") && !told.contains("best-effort"), "{told}");
    let unseen = host(|facts| facts.session = None);
    assert!(refused("-m 64m", &unseen).contains("can't be seen"));
}

/// A container on a machine with version 1: groups can be made there, and
/// nothing limited.
#[test]
fn without_controllers_there_are_groups_but_no_limits() {
    let bare = host(|facts| {
        facts.version = Version::Bare;
        facts.session_controllers = Vec::new();
    });
    for words in ["--cgroups require", "--cgroups systemd", "--cgroup-delegate"] {
        assert!(is_systemd(&decided(words, &bare)), "{words}");
    }
    for words in ["-m 64m", "--cgroups systemd --cpus 1", "--cgroup-delegate --pids-limit 9"] {
        let told = refused(words, &bare);
        assert!(told.contains("cgroup v1") && told.contains("on that host"), "{told}");
    }
    // Nor would a bus be of use.
    let mut facts = made_up::facts();
    facts.cgroups.version = Version::Bare;
    facts.bus = Err(Advice::of_request("no bus", ""));
    assert!(refused("-m 64m", &Host::from(facts)).contains("cgroup v1"));
}

#[test]
fn the_best_that_can_be_done_is_said() {
    let words = "--limits best-effort -m 64m --cpus 1 --cpuset-cpus 0-1 -c 512";
    let (cgroup, notes) = noted(words, &no_bus());
    let cgroup = cgroup.unwrap();
    assert!(!cgroup.is_own());
    assert_eq!((cgroup.affinity, cgroup.nice), (Some(vec![0, 1]), Some(2)));
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert_eq!(notes[2], "not limited: --memory --cpus: there is no bus");

    // What can be had is had.
    let (cgroup, notes) = noted(words, &session("memory pids"));
    let cgroup = cgroup.unwrap();
    assert!(is_systemd(&cgroup) && cgroup.properties.iter().any(|one| one.name == "MemoryMax"));
    assert_eq!(cgroup.nice, Some(2));
    assert!(notes[2].starts_with("not limited: --cpus: the controllers cpu cpuset"), "{notes:?}");

    let (cgroup, _) = noted("--cgroups disabled --limits best-effort -m 64m", &session(ALL));
    assert!(!cgroup.unwrap().is_own());
    let (_, notes) = noted("--limits best-effort -c 2048", &no_bus());
    assert_eq!(notes, ["not limited: --cpu-shares: there is no bus"]);
    // These are no limits.
    for words in ["--cgroup-delegate", "--cgroup-parent a.slice", "--cgroups require"] {
        refused(&format!("--limits best-effort -m 64m {words}"), &no_bus());
    }
}

/// What `words` change of a container at `place`.
fn changed(words: &str, place: &state::Place, host: &Host) -> anyhow::Result<Cgroup> {
    let words: Vec<&str> = words.split_whitespace().chain(["host"]).collect();
    let asked = asked_words(&words).unwrap();
    anew(
        asked.spec.oci.linux().as_ref().unwrap().resources().as_ref().unwrap(),
        place,
        Whose::Ours,
        host,
    )
}

fn told(cgroup: &Cgroup) -> (Vec<String>, Vec<String>) {
    (cgroup.limits_told(), cgroup.payload_told())
}

#[test]
fn a_scope_is_changed_by_properties() {
    let place = state::Place {
        cgroup: format!("{SESSION}/app.slice/sublet-x.scope").into(),
        unit: Some("sublet-x.scope".to_owned()),
    };
    let cgroup = changed("--cpus 0.5 --pids-limit 9", &place, &session(ALL)).unwrap();
    let Manager::Systemd { unit, .. } = &cgroup.manager else { panic!("{cgroup}") };
    assert_eq!(unit, "sublet-x.scope");
    let limits = ["CPUQuotaPerSecUSec=500000", "TasksMax=25", "CPUQuotaPeriodUSec=100000"];
    assert_eq!(told(&cgroup), (limits.map(str::to_owned).into(), vec!["pids.max = 9".to_owned()]));
    let other = changed("--cpu-period 50000 --cpu-quota 5000", &place, &session(ALL)).unwrap();
    assert_eq!(other.limits_told(), ["CPUQuotaPerSecUSec=100000", "CPUQuotaPeriodUSec=50000"]);
    // Nothing that was not said, as is for a new container.
    assert_eq!(changed("--cpus 1", &place, &session(ALL)).unwrap().payload, []);
    let refused = changed("--cpus 1", &place, &session("memory")).unwrap_err();
    let refused = report(&refused);
    assert!(refused.contains("--cpus: the controller cpu is not delegated"), "{refused}");
    assert!(!refused.contains("best-effort"), "{refused}");
}

#[test]
fn a_group_of_ours_is_changed_by_files() {
    let list = ("/sys/fs/cgroup/ci/cgroup.controllers".into(), "cpu memory pids\n".to_owned());
    let mut facts = made_up::facts();
    facts.files = crate::host::files::Files::Told(vec![list]);
    let host = Host::from(facts);
    let place = state::Place { cgroup: "/sys/fs/cgroup/ci/sublet-x".into(), unit: None };
    let cgroup = changed("-m 64m --cpus 2", &place, &host).unwrap();
    let limits = ["memory.max = 67108864", "memory.swap.max = 67108864", "cpu.max = 200000 100000"];
    assert_eq!(told(&cgroup), (limits.map(str::to_owned).into(), Vec::new()));
    assert_eq!(cgroup.controllers, [Controller::Cpu, Controller::Memory]);
    let refused = report(&changed("--cpuset-cpus 0", &place, &host).unwrap_err());
    assert!(refused.contains("--cpuset-cpus") && refused.contains("cpuset"), "{refused}");
}
