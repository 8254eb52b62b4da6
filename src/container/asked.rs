//! What was asked for, under docker's names: what `inspect` tells of the Spec.
//!
//! What sublet has no word for is left out; what docker has and sublet never
//! does, such as `Privileged`, is what it truly is.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use oci_spec::runtime::{LinuxNamespaceType, Mount};
use serde_json::{Map, Value, json};

use crate::spec::health::Health;
use crate::spec::port::{Port, Source};
use crate::spec::{Seccomp, Spec, Stdin, UserName, UserRequest, Userns};

/// `.Config`, but for what the record has.
pub fn config(spec: &Spec) -> Map<String, Value> {
    let process = spec.oci.process().as_ref();
    let env = process.and_then(|process| process.env().clone()).unwrap_or_default();
    let directory = process.map(|process| process.cwd().display().to_string());
    let terminal = process.and_then(|process| process.terminal()).unwrap_or(false);
    let mut config = fields(json!({
        "Hostname": spec.oci.hostname().as_deref().unwrap_or(spec.beside.label()),
        "User": spec.beside.user.as_ref().map(user).unwrap_or_default(),
        "Env": env,
        "WorkingDir": directory,
        "Tty": terminal,
        "OpenStdin": spec.beside.stdin == Stdin::Inherit,
    }));
    config.extend(spec.beside.health.as_ref().map(|it| ("Healthcheck".to_owned(), health(it))));
    config
}

/// Times in nanoseconds, as docker has them; 0 for checks that are not made by
/// themselves.
fn health(health: &Health) -> Value {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(0);
    let command = ["CMD".to_owned()].into_iter().chain(health.command.iter().cloned());
    json!({
        "Test": command.collect::<Vec<_>>(),
        "Interval": nanos(health.interval),
        "Timeout": nanos(health.timeout),
        "StartPeriod": nanos(health.start_period),
        "StartInterval": nanos(health.start_interval),
        "Retries": health.retries,
        "OnFailure": health.on_failure.name(),
    })
}

/// `.HostConfig`, but for what the record has.
pub fn host_config(spec: &Spec) -> Map<String, Value> {
    let root = spec.oci.root().as_ref();
    let process = spec.oci.process().as_ref();
    let adjust = process.and_then(|process| process.oom_score_adj());
    let no_new = process.and_then(|process| process.no_new_privileges()).unwrap_or(false);
    let names = &spec.beside.names;
    let mode = |kind| if spec.shares(kind) { "host" } else { "private" };
    let security = [
        no_new.then(|| "no-new-privileges".to_owned()),
        match &spec.beside.seccomp {
            Seccomp::Default | Seccomp::Profile => None,
            Seccomp::Unconfined => Some("seccomp=unconfined".to_owned()),
            Seccomp::File(path) => Some(format!("seccomp={}", path.display())),
        },
    ];
    fields(json!({
        "Binds": binds(spec),
        "Devices": devices(spec),
        "PortBindings": ports(&spec.beside.ports),
        "ReadonlyRootfs": root.and_then(|root| root.readonly()).unwrap_or(false),
        "Init": spec.beside.init,
        "Privileged": false,
        "PidMode": mode(LinuxNamespaceType::Pid),
        "IpcMode": mode(LinuxNamespaceType::Ipc),
        "UTSMode": mode(LinuxNamespaceType::Uts),
        "CgroupnsMode": mode(LinuxNamespaceType::Cgroup),
        "UsernsMode": userns(&spec.beside.userns),
        "OomScoreAdj": adjust.unwrap_or(0),
        "SecurityOpt": security.into_iter().flatten().collect::<Vec<_>>(),
        "Dns": names.servers,
        "DnsSearch": names.search.clone().unwrap_or_default(),
        "DnsOptions": names.options.clone().unwrap_or_default(),
        "ExtraHosts": names
            .hosts
            .iter()
            .map(|entry| format!("{}:{}", entry.name, entry.address))
            .collect::<Vec<_>>(),
    }))
}

/// `.Mounts`: what was asked for, not what every container has.
pub fn mounts(spec: &Spec) -> Vec<Value> {
    let one = |mount: &Mount| {
        let options = mount.options().clone().unwrap_or_default();
        let has = |word: &str| options.iter().any(|option| option == word);
        let propagation = ["shared", "slave", "private", "rshared", "rslave", "rprivate"];
        json!({
            "Type": mount.typ().as_deref().unwrap_or("bind"),
            "Source": mount.source(),
            "Destination": mount.destination(),
            "Mode": options.join(","),
            "RW": !has("ro") && !has("rro"),
            "Propagation": propagation.into_iter().find(|word| has(word)).unwrap_or_default(),
        })
    };
    shown(spec).filter(|mount| !is_device(spec, mount.destination())).map(one).collect()
}

/// Mounts with a source on the host.
fn shown(spec: &Spec) -> impl Iterator<Item = &Mount> {
    let mounts = spec.oci.mounts().iter().flatten();
    mounts.filter(|mount| matches!(mount.typ().as_deref(), Some("bind" | "overlay")))
}

fn is_device(spec: &Spec, target: &Path) -> bool {
    spec.beside.devices.iter().any(|device| device == target)
}

fn binds(spec: &Spec) -> Vec<String> {
    let volumes = shown(spec).filter(|mount| !is_device(spec, mount.destination()));
    let text = |mount: &Mount| {
        let source = mount.source().as_deref().unwrap_or(Path::new("")).display().to_string();
        let overlay = mount.typ().as_deref() == Some("overlay");
        let options = mount.options().clone().unwrap_or_default();
        let read_only = options.iter().any(|option| option == "ro" || option == "rro");
        let mode = match (overlay, read_only) {
            (true, _) => ":O",
            (false, true) => ":ro",
            (false, false) => "",
        };
        format!("{source}:{}{mode}", mount.destination().display())
    };
    volumes.map(text).collect()
}

fn devices(spec: &Spec) -> Vec<Value> {
    let devices = shown(spec).filter(|mount| is_device(spec, mount.destination()));
    let one = |mount: &Mount| json!({"PathOnHost": mount.source(), "PathInContainer": mount.destination()});
    devices.map(one).collect()
}

/// `{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}`. A port that is
/// any free one has none here.
fn ports(ports: &[Port]) -> BTreeMap<String, Vec<Value>> {
    let mut map: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in ports {
        let at = match &port.source {
            Source::Host(ip, number) => {
                let number = number.map_or_else(String::new, |number| number.to_string());
                json!({"HostIp": ip, "HostPort": number})
            }
            Source::Handed(name) => json!({"HostIp": "", "HostPort": "", "Socket": name}),
        };
        map.entry(format!("{}/{}", port.container, port.protocol)).or_default().push(at);
    }
    map
}

fn userns(userns: &Userns) -> &'static str {
    match userns {
        Userns::Auto => "auto",
        Userns::Single => "single",
        Userns::KeepId { .. } => "keep-id",
        Userns::NoMap => "nomap",
        Userns::Custom => "private",
        Userns::Caller => "host",
    }
}

fn user(user: &UserRequest) -> String {
    let name = match &user.user {
        UserName::Id(uid) => uid.to_string(),
        UserName::Name(name) => name.clone(),
    };
    let group = user.group.as_ref().map(|group| match group {
        crate::spec::GroupName::Id(gid) => format!(":{gid}"),
        crate::spec::GroupName::Name(name) => format!(":{name}"),
    });
    name + &group.unwrap_or_default()
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::asked_words;

    fn asked(words: &[&str]) -> Spec {
        asked_words(&[words, &["host", "true"]].concat()).unwrap().spec
    }

    #[test]
    fn what_was_typed_is_found_under_dockers_names() {
        let spec = asked(&[
            "-p",
            "8080:80",
            "-v",
            "/srv/a:/a:ro",
            "-v",
            "/srv/b:/b",
            "-e",
            "A=b",
            "-w",
            "/tmp",
            "-u",
            "7:8",
            "-h",
            "box",
            "--network",
            "pasta",
            "--pid",
            "host",
            "--read-only",
            "--device",
            "/dev/fuse",
            "--init",
            "--add-host",
            "db:10.0.0.7",
        ]);
        let config = config(&spec);
        assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("7:8"), &json!("/tmp")));
        assert_eq!((&config["Hostname"], &config["Tty"]), (&json!("box"), &json!(false)));
        assert!(config["Env"].as_array().unwrap().contains(&json!("A=b")), "{config:?}");
        let host = host_config(&spec);
        assert_eq!(host["Binds"], json!(["/srv/a:/a:ro", "/srv/b:/b"]));
        let port = json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]});
        assert_eq!(host["PortBindings"], port);
        assert_eq!((&host["PidMode"], &host["IpcMode"]), (&json!("host"), &json!("private")));
        assert_eq!((&host["ReadonlyRootfs"], &host["Init"]), (&json!(true), &json!(true)));
        assert_eq!(host["Devices"][0]["PathOnHost"], "/dev/fuse");
        assert_eq!(host["ExtraHosts"], json!(["db:10.0.0.7"]));
        let mounts = mounts(&spec);
        assert_eq!(mounts.len(), 2, "{mounts:?}");
        assert_eq!((&mounts[0]["Destination"], &mounts[0]["RW"]), (&json!("/a"), &json!(false)));
        assert_eq!((&mounts[1]["Source"], &mounts[1]["RW"]), (&json!("/srv/b"), &json!(true)));
    }
}
