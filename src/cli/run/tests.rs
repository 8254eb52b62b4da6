//! Whole command lines, and what is meant by them.

use std::ffi::OsString;
use std::time::Duration;

use super::super::{Cli, Verb};
use super::{Asked, Caller};
use crate::error::report;
use crate::spec::resources::control::{Cgroups, Limits, Parent};
use crate::spec::{Root, Seccomp, Stdin, Userns};
use serde_json::{Value, json};

/// What the words after `sublet run --network none` ask for: without a network
/// that no machine has to have.
pub(crate) fn asked_words(words: &[&str]) -> anyhow::Result<Asked> {
    asked_alone(&[&["--network", "none"], words].concat())
}

/// What the words after `sublet run` ask for.
pub(crate) fn asked_alone(words: &[&str]) -> anyhow::Result<Asked> {
    let line = ["sublet", "run"].iter().chain(words).map(OsString::from);
    let Cli { verb: Verb::Run(args), .. } = super::super::parse(line)? else {
        panic!("it is no run");
    };
    args.into_spec(&Caller::for_tests())
}

fn asked(line: &str) -> anyhow::Result<Asked> {
    asked_words(&line.split_whitespace().collect::<Vec<_>>())
}

fn oci(line: &str) -> Value {
    let asked = asked(line).unwrap();
    serde_json::from_str(&super::telling::oci(&asked.spec).unwrap()).unwrap()
}

fn refused(line: &str) -> String {
    match asked(line) {
        Ok(_) => panic!("{line:?} was taken"),
        Err(error) => report(&error),
    }
}

fn targets(oci: &Value) -> Vec<&str> {
    let mounts = oci["mounts"].as_array().unwrap();
    mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect()
}

#[test]
fn nothing_said_is_the_default_container() {
    let Asked { spec, warnings, .. } = asked("host").unwrap();
    assert!(warnings.is_empty());
    assert_eq!(spec.beside.root, Root::Host);
    assert_eq!(spec.beside.userns, Userns::Auto);
    assert_eq!(spec.beside.stdin, Stdin::Null);
    assert!(matches!(spec.beside.seccomp, Seccomp::Default));

    let oci = oci("host");
    assert_eq!(oci["ociVersion"], "1.2.0");
    assert_eq!(oci["hostname"], "abababababab");
    assert_eq!(oci["process"]["args"], json!([]));
    assert_eq!(
        oci["process"]["env"],
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=abababababab",
            "container=sublet"
        ])
    );
    assert_eq!(oci["process"]["noNewPrivileges"], true);
    assert_eq!(oci["process"]["rlimits"], json!([{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]));
    assert_eq!(oci["process"]["user"]["umask"], 0o22);
    let capabilities = &oci["process"]["capabilities"];
    assert_eq!(capabilities["bounding"].as_array().unwrap().len(), 11);
    assert_eq!(capabilities["effective"], capabilities["permitted"]);
    assert_eq!((&capabilities["inheritable"], &capabilities["ambient"]), (&json!([]), &json!([])));
    assert_eq!(oci["linux"]["namespaces"].as_array().unwrap().len(), 7);
    assert_eq!(
        targets(&oci),
        ["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"]
    );
}

#[test]
fn after_root_everything_is_the_commands() {
    for line in
        ["-u 5 host ls -u 7 --help", "-u 5 host -- ls -u 7 --help", "-u 5 -- host ls -u 7 --help"]
    {
        assert_eq!(oci(line)["process"]["args"], json!(["ls", "-u", "7", "--help"]), "{line}");
    }
    assert_eq!(oci("--entrypoint sh host -c -it")["process"]["args"], json!(["sh", "-c", "-it"]));
    assert_eq!(
        oci(r#"--entrypoint ["sh","-c"] host ls"#)["process"]["args"],
        json!(["sh", "-c", "ls"])
    );
}

#[test]
fn options_behind_root_are_no_program() {
    for (line, word) in [("host -it sh", "-it"), ("host -- -x", "-x"), ("host -- -- x", "--")] {
        let told = refused(line);
        let error =
            format!("error: {word:?} is no program\n hint: options of sublet come before ROOT");
        assert_eq!(told, error, "{line}");
    }
}

#[test]
fn switches_cluster_and_take_values() {
    let Asked { spec, .. } = asked("-itv /a:/b --init=true --rm=false host").unwrap();
    assert_eq!(spec.beside.stdin, Stdin::Inherit);
    assert!(spec.beside.init);
    let oci = oci("-it host");
    assert_eq!(oci["process"]["terminal"], true);
    assert!(oci["process"]["env"].as_array().unwrap().contains(&json!("TERM=vt100")));
    assert_eq!(self::oci("-i=false -t=false host")["process"]["terminal"], false);
}

#[test]
fn the_last_of_a_single_flag_holds() {
    assert_eq!(oci("-w /a -w /b host")["process"]["cwd"], "/b");
}

#[test]
fn variables_and_where_they_come_from() {
    let env = oci("-e A=1 -e LANG -e GONE -e A=2 -e PATH=/x -e container= host");
    assert_eq!(
        env["process"]["env"],
        json!(["PATH=/x", "HOSTNAME=abababababab", "container=", "A=2", "LANG=C"])
    );
}

#[test]
fn namespaces_of_the_host_are_absent() {
    let oci = oci("--pid host --net=host --uts=host --cgroupns host --ipc host host");
    let namespaces = oci["linux"]["namespaces"].as_array().unwrap();
    let names: Vec<_> = namespaces.iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["user", "mount"]);
    assert_eq!(oci["hostname"], Value::Null);
    let shm = oci["mounts"].as_array().unwrap().iter().find(|one| one["destination"] == "/dev/shm");
    assert_eq!(shm.unwrap()["source"], "/dev/shm");
}

#[test]
fn identity() {
    let Asked { spec, .. } = asked("-u www:5 --group-add 7 --group-add staff host").unwrap();
    assert_eq!(spec.beside.groups.len(), 2);
    assert!(spec.beside.user.is_some());
    let Asked { spec, .. } = asked("--group-add keep-groups --userns=keep-id host").unwrap();
    assert!(spec.beside.keep_groups && spec.beside.groups.is_empty());
    let Asked { spec, .. } = asked("--uidmap 0:1000:1 --uidmap 1:5:9 host").unwrap();
    assert_eq!(spec.beside.userns, Userns::Custom);
    let oci = oci("--uidmap 0:1000:1 host");
    assert_eq!(oci["linux"]["uidMappings"], oci["linux"]["gidMappings"]);
}

#[test]
fn a_name_is_the_id_and_the_host_name() {
    assert_eq!(oci("--name postgres-primary host")["hostname"], "postgres-primary");
    assert_eq!(oci("--name web -h db host")["hostname"], "db");
}

#[test]
fn files() {
    let oci = oci("--read-only -v /a:/tmp --tmpfs /z/y --device /dev/fuse --shm-size 1m host");
    assert_eq!(oci["root"], json!({"path": "/", "readonly": true}));
    assert_eq!(
        targets(&oci),
        [
            "/proc",
            "/sys",
            "/dev",
            "/run",
            "/tmp",
            "/dev/pts",
            "/dev/shm",
            "/dev/mqueue",
            "/var/tmp",
            "/z/y",
            "/dev/fuse",
            "/sys/fs/cgroup"
        ]
    );
    assert!(targets(&self::oci("--read-only --read-only-tmpfs=false /r")).len() == 7);
}

#[test]
fn confinement() {
    let oci = oci("--cap-drop all --cap-add net_raw --security-opt unmask=ALL host");
    assert_eq!(oci["process"]["capabilities"]["bounding"], json!(["CAP_NET_RAW"]));
    assert_eq!(oci["linux"]["maskedPaths"], json!([]));
    let Asked { spec, .. } = asked("--security-opt seccomp=/p.json host").unwrap();
    assert_eq!(spec.beside.seccomp, Seccomp::File("/p.json".into()));
    let nested = self::oci("--nested host");
    assert_eq!(nested["process"]["noNewPrivileges"], false);
    assert_eq!(nested["linux"]["readonlyPaths"], json!([]));
}

#[test]
fn limits() {
    let oci =
        oci("-m 64m --memory-reservation 32m --cpus 0.5 -c 512 --cpuset-cpus 0-1 --cpuset-mems 0 \
         --pids-limit 64 --blkio-weight 500 --device-read-bps /dev/sda:1m --device-write-iops \
         /dev/sda:7 --cgroup-conf memory.high=60M host");
    assert_eq!(
        oci["linux"]["resources"],
        json!({
            "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 64},
            "blockIO": {
                "weight": 500,
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1 << 20}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}],
            },
            "unified": {"memory.high": "60M"},
        })
    );
    assert_eq!(self::oci("-m 0 --cpus 0 -c 0 host")["linux"]["resources"], Value::Null);
    assert_eq!(self::oci("--pids-limit -1 host")["linux"]["resources"]["pids"]["limit"], -1);
    let Asked { spec, .. } =
        asked("--cgroups=enabled --cgroup-parent a.slice --limits best-effort --timeout 90 host")
            .unwrap();
    let control = spec.beside.control;
    assert_eq!((control.cgroups, control.limits), (Cgroups::Auto, Limits::BestEffort));
    assert_eq!(control.parent, Some(Parent::Slice("a.slice".to_owned())));
    assert_eq!(spec.beside.timeout, Some(Duration::from_secs(90)));
    assert_eq!(asked("--timeout 0 host").unwrap().spec.beside.timeout, None);
}

#[test]
fn delegated_groups_are_writable() {
    let options = |words: &str| {
        let oci = oci(words);
        let mounts = oci["mounts"].as_array().unwrap().clone();
        let tree = mounts.into_iter().find(|one| one["destination"] == "/sys/fs/cgroup").unwrap();
        tree["options"].as_array().unwrap().contains(&json!("ro"))
    };
    assert!(options("host"));
    assert!(!options("--cgroup-delegate host"));
    assert!(refused("--cgroup-delegate --cgroupns host host").contains("host's groups"));
}

#[test]
fn an_error_names_the_flag_and_the_value() {
    assert_eq!(refused("-w src host"), r#"error: --workdir "src": "src" is not absolute"#);
    assert!(refused("-v data:/x host").contains("\n hint: if a directory is meant, write ./data"));
    assert!(refused("-u -1 host").contains("not a user"));
    assert!(refused("alpine").starts_with(r#"error: ROOT "alpine""#));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for line in [
        "--user 4294967296 host",
        "--user -1 host",
        "--user 0x0 host",
        "--user 1000: host",
        "--user= host",
        "--name a/b host",
        "--name= host",
        "--hostname a/b host",
        "--hostname x --uts host host",
        "-e =x host",
        "-e= host",
        "--env-file /nonexistent host",
        "--env-file /dev/zero host",
        "--userns single --uidmap 0:0:1 host",
        "--group-add keep-groups --group-add 5 host",
        "--ipc host --shm-size 1m host",
        "--network bridge host",
        "--net host:x host",
        "--pid container:x host",
        "-v /a:/b --tmpfs /b host",
        "--preserve-fds -1 host",
        "-m 512 host",
        "-m 64m --memory-swap 32m host",
        "--memory-swap 64m host",
        "--cpus 1 --cpu-quota 1000 host",
        "--cpu-shares 1 host",
        "--cpuset-cpus 1-0 host",
        "--pids-limit many host",
        "--blkio-weight 5 host",
        "--device-read-bps /dev/null:1m host",
        "--cgroup-conf cgroup.procs=1 host",
        "--cgroup-parent ../x host",
        "--cgroups maybe host",
        "--limits lax host",
        "--timeout soon host",
        "--oom-score-adj 2000 host",
        "--ulimit nofile host",
        "--security-opt apparmor=x host",
        "--cap-add NOTHING host",
        "--dry-run=xml host",
        "--privileged host",
    ] {
        refused(line);
    }
    assert!(asked_words(&["--hostname", &"x".repeat(300), "host"]).is_err());
    assert!(asked_words(&["--name", "a\u{1b}", "host"]).is_err());
    assert!(asked_words(&["-e", "A\nB=c", "host"]).is_err());
}

#[test]
fn negative_numbers_are_values_where_they_can_be() {
    assert_eq!(oci("--oom-score-adj -500 host")["process"]["oomScoreAdj"], -500);
    assert_eq!(oci("--ulimit core=-1 host")["process"]["rlimits"][0]["soft"], u64::MAX);
}

#[test]
fn what_others_are_to_know() {
    let words =
        ["--name", "web", "--replace", "--rm", "-l", "a=b=c", "--label", "d", "--cidfile", "id"];
    let spec = asked_words(&[&words[..], &["host"]].concat()).unwrap().spec;
    let known = &spec.beside.known;
    assert!(known.remove && known.replace && known.is_asked());
    assert_eq!(known.cidfile, Some(std::env::current_dir().unwrap().join("id")));
    let labels: Vec<_> = known.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("a", "b=c"), ("d", "")]);
    assert!(!asked("host").unwrap().spec.beside.known.is_asked());
    assert!(refused("--replace host").contains("--replace without --name"));
    assert!(refused("--label =x host").contains("--label"));
}
