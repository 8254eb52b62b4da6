use serde_json::{Value, json};

use super::*;
use crate::spec::masks::Masks;

/// A bundle that asks for little.
fn little() -> Value {
    json!({
        "ociVersion": "1.0.2-dev",
        "process": {
            "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
            "args": ["true"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}]},
    })
}

/// The same with one value more, at a path such as `/linux/sysctl`.
fn with(path: &str, value: Value) -> Value {
    let mut config = little();
    let (parent, name) = path.rsplit_once('/').unwrap();
    let mut at = &mut config;
    for part in parent.split('/').skip(1) {
        at = &mut at[part];
    }
    at[name] = value;
    config
}

fn read(config: &Value) -> anyhow::Result<Spec> {
    let id = "web".parse().unwrap();
    super::read(config.to_string().as_bytes(), Path::new("/bundle"), id, Engine::default())
}

/// All that a refusal says, in a line.
fn refusal(config: &Value) -> String {
    crate::error::report(&read(config).expect_err(&config.to_string()))
}

#[test]
fn a_bundle_is_read_as_it_stands() {
    let spec = read(&little()).unwrap();
    let beside = &spec.beside;
    assert_eq!(beside.root, Root::Directory("/bundle/rootfs".into()));
    assert_eq!((beside.userns.clone(), beside.lifetime), (Userns::Caller, Lifetime::Own));
    assert!(beside.exact_capabilities && !beside.etc_files);
    assert_eq!(beside.seccomp, Seccomp::Unconfined);
    let user = beside.user.as_ref().unwrap();
    assert_eq!((&user.user, &user.group), (&UserName::Id(1), &Some(GroupName::Id(2))));
    assert_eq!(beside.groups, [GroupName::Id(3)]);
    let mounts = spec.oci.mounts().as_deref().unwrap();
    assert_eq!(mounts.len(), 1, "a /dev is added");
    assert_eq!(mounts[0].destination(), Path::new("/dev"));
}

#[test]
fn a_map_of_ids_goes_with_a_user_namespace() {
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    let namespaces = json!([{"type": "mount"}, {"type": "user"}]);
    let mut config = with("/linux/namespaces", namespaces);
    assert!(refusal(&config).contains("linux.uidMappings"));
    config["linux"]["uidMappings"] = map.clone();
    assert!(refusal(&config).contains("linux.gidMappings"));
    config["linux"]["gidMappings"] = map.clone();
    assert_eq!(read(&config).unwrap().beside.userns, Userns::Custom);
    assert!(refusal(&with("/linux/uidMappings", map)).contains("user namespace"));
}

#[test]
fn mounts_lie_in_the_bundle_and_below_the_root() {
    let mounts = json!([
        {"destination": "mnt/../data", "source": "here", "options": ["rbind", "ro"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/x", "type": "none", "source": "/y", "options": ["bind"]},
    ]);
    let spec = read(&with("/mounts", mounts)).unwrap();
    let told: Vec<_> = spec.oci.mounts().as_deref().unwrap().iter().collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0].destination(), Path::new("/data"));
    assert_eq!(told[0].source().as_deref(), Some(Path::new("/bundle/here")));
    assert_eq!(told[2].typ().as_deref(), Some("bind"));
}

#[test]
fn a_device_directory_comes_before_what_is_mounted_in_it() {
    let mounts = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
    ]);
    let spec = read(&with("/mounts", mounts)).unwrap();
    let targets: Vec<_> =
        spec.oci.mounts().iter().flatten().map(|it| it.destination().to_owned()).collect();
    assert_eq!(targets, ["/proc", "/dev", "/dev/shm"].map(PathBuf::from));
}

#[test]
fn annotations_change_nothing() {
    let hostile = [
        "run.oci.keep_original_groups",
        "run.oci.systemd.subgroup",
        "run.oci.delegate-cgroup",
        "run.oci.hooks.stdout",
        "run.oci.seccomp.receiver",
        "run.oci.handler",
        "org.systemd.property.ExecStartPost",
        "io.podman.annotations.privileged",
        "io.kubernetes.cri-o.userns-mode",
        "cdi.k8s.io/gpu",
        "krun.ram_mib",
        "org.criu.config",
        "sublet.anything",
    ];
    let annotations: Value = hostile
        .iter()
        .map(|name| ((*name).to_owned(), json!("/../../etc")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut spec = read(&with("/annotations", annotations)).unwrap();
    let plain = read(&little()).unwrap();
    assert_eq!(format!("{:?}", spec.beside), format!("{:?}", plain.beside));
    spec.oci.set_annotations(None);
    assert_eq!(spec.oci, plain.oci);
}

#[test]
fn versions_of_the_first_kind_are_spoken() {
    for version in ["1.0.2", "1.0.2-dev", "1.1.0+dev", "1.3.0", "1.9.0"] {
        assert!(read(&with("/ociVersion", json!(version))).is_ok(), "{version}");
    }
    for version in ["", "2.0.0", "0.9.0", "1", "1.x.2", "latest"] {
        assert!(read(&with("/ociVersion", json!(version))).is_err(), "{version}");
    }
}

/// Every field that is refused, with a value and what its refusal names. The
/// others are seen to be effective by the end-to-end tests.
#[test]
fn what_can_not_be_honoured_is_refused_by_its_name() {
    let bind = |options: Value| json!([{"destination": "/m", "type": "bind", "source": "/", "options": options}]);
    let resources = |field: &str, value: Value| with("/linux/resources", json!({ field: value }));
    let affinity =
        |field: &str, list: &str| with("/process/execCPUAffinity", json!({ field: list }));
    let policy = |nodes: &str| json!({"mode": "MPOL_BIND", "nodes": nodes});
    for (config, words) in [
        (with("/surprise", json!(1)), "surprise"),
        (with("/linux/surprise", json!(1)), "linux.surprise"),
        (with("/process/surprise", json!({})), "process.surprise"),
        (with("/windows", json!({"layerFolders": ["c:"]})), "windows"),
        (with("/process/args", json!([])), "process.args"),
        (with("/process/args", json!([""])), "process.args"),
        (with("/process/cwd", json!("tmp")), "process.cwd"),
        (with("/process/commandLine", json!("x")), "process.commandLine"),
        (with("/process/user/username", json!("x")), "process.user.username"),
        (with("/process/apparmorProfile", json!("strict")), "process.apparmorProfile"),
        (with("/process/selinuxLabel", json!("a:b:c")), "process.selinuxLabel"),
        (with("/process/oomScoreAdj", json!(1001)), "process.oomScoreAdj"),
        (
            with("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8})),
            "process.ioPriority",
        ),
        (with("/process/scheduler", json!({"policy": "SCHED_DEADLINE"})), "SCHED_DEADLINE"),
        (with("/process/scheduler", json!({"policy": "SCHED_ISO"})), "process.scheduler.policy"),
        (
            with("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 20})),
            "process.scheduler.nice",
        ),
        (
            with("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 100})),
            "process.scheduler.priority",
        ),
        (
            with("/process/scheduler", json!({"policy": "SCHED_BATCH", "period": 1})),
            "process.scheduler",
        ),
        (
            with(
                "/process/scheduler",
                json!({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RECLAIM"]}),
            ),
            "process.scheduler.flags",
        ),
        (
            with(
                "/process/scheduler",
                json!({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"]}),
            ),
            "process.scheduler.flags",
        ),
        (affinity("initial", "0-"), "execCPUAffinity"),
        (affinity("initial", "3-1"), "process.execCPUAffinity.initial"),
        (affinity("final", "9999"), "process.execCPUAffinity.final"),
        (
            with("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}])),
            "process.rlimits",
        ),
        (
            with(
                "/process/rlimits",
                json!([
                    {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 1, "hard": 1},
                ]),
            ),
            "process.rlimits",
        ),
        (
            with("/hooks", json!({"createContainer": [{"path": "/a"}, {"path": "b"}]})),
            "hooks.createContainer[1].path",
        ),
        (
            with("/hooks", json!({"startContainer": [{"path": "/a", "timeout": 0}]})),
            "hooks.startContainer[0].timeout",
        ),
        (with("/linux/mountLabel", json!("a:b:c")), "linux.mountLabel"),
        (with("/linux/intelRdt", json!({"closID": "x"})), "linux.intelRdt"),
        (with("/linux/memoryPolicy", policy("0,x")), "linux.memoryPolicy.nodes"),
        (
            with("/linux/personality", json!({"domain": "LINUX32", "flags": ["X"]})),
            "linux.personality.flags",
        ),
        (
            with("/linux/timeOffsets", json!({"realtime": {"secs": 1}})),
            "linux.timeOffsets.realtime",
        ),
        (
            with("/linux/timeOffsets", json!({"boottime": {"nanosecs": 1_000_000_000}})),
            "linux.timeOffsets.boottime.nanosecs",
        ),
        (with("/linux/netDevices", json!({"eth0": {"name": "eth1"}})), "linux.netDevices"),
        (
            with("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "s"})),
            "linux.seccomp.listenerPath",
        ),
        (
            with(
                "/linux/seccomp",
                json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "s"}),
            ),
            "linux.seccomp.listenerMetadata",
        ),
        (resources("hugepageLimits", json!([{"pageSize": "2MB", "limit": 1}])), "hugepageLimits"),
        (resources("network", json!({"classID": 1})), "resources.network"),
        (resources("rdma", json!({"x": {"hcaHandles": 1}})), "rdma"),
        (resources("memory", json!({"kernel": 1})), "memory.kernel"),
        (resources("memory", json!({"kernelTCP": 1})), "memory.kernelTCP"),
        (resources("memory", json!({"swappiness": 1})), "memory.swappiness"),
        (resources("memory", json!({"disableOOMKiller": true})), "disableOOMKiller"),
        (resources("cpu", json!({"realtimePeriod": 1})), "realtimePeriod"),
        (resources("blockIO", json!({"leafWeight": 10})), "leafWeight"),
        (
            resources("blockIO", json!({"weightDevice": [{"major": 1, "minor": 1, "weight": 10}]})),
            "weightDevice",
        ),
        (
            resources("devices", json!([{"allow": false, "type": "c", "major": 1, "minor": 3}])),
            "resources.devices",
        ),
        (with("/mounts", bind(json!(["rbind", "idmap"]))), "idmap"),
        (with("/mounts", bind(json!(["rbind", "ridmap"]))), "ridmap"),
        (with("/mounts", bind(json!(["rbind", "remount"]))), "remount"),
        (with("/mounts", bind(json!(["rbind", "sync"]))), "sync"),
        (with("/mounts", json!([{"destination": "/m", "source": "/"}])), "/m"),
        (
            with("/mounts", json!([{"destination": "/", "type": "tmpfs", "source": "x"}])),
            "the root itself",
        ),
        (
            with("/mounts", json!([{"destination": "/m", "type": "overlay", "source": "x"}])),
            "overlay",
        ),
    ] {
        let told = refusal(&config);
        assert!(told.contains(words), "{words} is not named by: {told}");
    }
    let mut config = with("/hostname", json!("web"));
    assert!(read(&config).is_ok());
    config["linux"]["namespaces"] = json!([{"type": "mount"}]);
    assert!(refusal(&config).contains("hostname"));
}

#[test]
fn a_group_is_a_path_or_a_scope() {
    use crate::spec::resources::control::{Cgroups, Parent};
    let control = |path: &str, cgroups| {
        let engine = Engine { cgroups, ..Engine::default() };
        let config = with("/linux/cgroupsPath", json!(path)).to_string();
        super::read(config.as_bytes(), Path::new("/bundle"), "web".parse().unwrap(), engine)
            .map(|spec| spec.beside.control)
            .map(|control| (control.parent, control.engine.unwrap()))
    };
    let path = |path: &str| Some(Parent::Path(path.into()));
    let below = |path: &str| Some(Parent::Below(path.into()));
    let slice = |name: &str| Some(Parent::Slice(name.into()));
    for (text, parent, name) in [
        ("/a/b/c", path("/a/b"), "c"),
        ("/a", path("/"), "a"),
        ("a/b", below("a"), "b"),
        ("a", below(""), "a"),
    ] {
        assert_eq!(control(text, Cgroups::Direct).unwrap(), (parent, name.to_owned()), "{text}");
    }
    for (text, parent, name) in [
        ("user.slice:libpod:1f", slice("user.slice"), "libpod-1f"),
        ("a-b.slice:cri:x.scope", slice("a-b.slice"), "cri-x"),
        (":libpod:1f", None, "libpod-1f"),
        ("user.slice::1f", slice("user.slice"), "1f"),
    ] {
        assert_eq!(control(text, Cgroups::Systemd).unwrap(), (parent, name.to_owned()), "{text}");
    }
    for text in ["/", "/a/..", "..", "a/../b", "a:b:c"] {
        assert!(control(text, Cgroups::Direct).is_err(), "{text}");
    }
    for text in ["/a", "a:b", "a:b:c:d", "a:b:c", "/a:b:c", "a.slice:b:", "a.slice:b:c d"] {
        assert!(control(text, Cgroups::Systemd).is_err(), "{text}");
    }
}

#[test]
fn zeros_of_older_engines_say_nothing() {
    let resources = json!({
        "memory": {"limit": 0, "swap": 0, "reservation": 7},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "0"},
        "pids": {"limit": 0},
    });
    let spec = read(&with("/linux/resources", resources)).unwrap();
    let resources = spec.oci.linux().as_ref().unwrap().resources().as_ref().unwrap();
    let memory = resources.memory().unwrap();
    assert_eq!((memory.limit(), memory.swap(), memory.reservation()), (None, None, Some(7)));
    let cpu = resources.cpu().as_ref().unwrap();
    assert_eq!((cpu.shares(), cpu.quota(), cpu.period(), cpu.cpus()), (None, None, None, &None));
    assert_eq!(cpu.mems().as_deref(), Some("0"));
    assert!(resources.pids().is_none());
    let mut said = serde_json::from_value(json!({"pids": {"limit": 0}})).unwrap();
    check_resources(&mut said).unwrap();
    assert_eq!(said.pids().map(|pids| pids.limit()), Some(-1), "of an update");
}

#[test]
fn what_is_so_anyway_is_taken() {
    let devices = json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3}]);
    let resources = json!({"devices": devices, "cpu": {"shares": 1024}});
    let spec = read(&with("/linux/resources", resources)).unwrap();
    let resources = spec.oci.linux().as_ref().unwrap().resources().as_ref().unwrap();
    assert!(resources.devices().is_none());
    assert_eq!(resources.cpu().as_ref().unwrap().shares(), None, "every new group has that");
    for (path, value) in [
        ("/process/apparmorProfile", json!("unconfined")),
        ("/process/apparmorProfile", json!("")),
        ("/linux/mountLabel", json!("")),
        ("/linux/cgroupsPath", json!("")),
        ("/linux/maskedPaths", json!(Masks::default().masked)),
        ("/linux/intelRdt", Value::Null),
    ] {
        assert!(read(&with(path, value)).is_ok(), "{path}");
    }
}
