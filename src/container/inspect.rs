//! `sublet inspect`: all that is known of a container.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::time::{NEVER, utc};
use super::view::pid;
use super::{asked, pause, port};
use crate::spec::background::{Restart, STOP_TIMEOUT};
use crate::spec::{Name, Spec};
use crate::state::{Afterwards, Exit, Health, Life, Moment, Record};

/// All of it, under docker's names where docker has it. What is nowhere but
/// here is `Root`, `CgroupPath`, `Unit` and `Usage`. Without the Spec, that is
/// null which it alone tells.
pub fn inspect(record: &Record, spec: Option<&Spec>) -> Value {
    let command = &record.asked.command;
    let with = |own: Value, asked: Option<Map<String, Value>>| match own {
        Value::Object(mut map) => {
            map.extend(asked.unwrap_or_default());
            Value::Object(map)
        }
        own => own,
    };
    let config = json!({
        "Cmd": command,
        "Labels": record.asked.labels,
        "StopSignal": record.upkeep.stop_signal.unwrap_or(nix::libc::SIGTERM),
        "StopTimeout": record.upkeep.stop_timeout.unwrap_or(STOP_TIMEOUT),
    });
    json!({
        "Id": record.id,
        "Name": record.name.as_ref().map_or("", Name::as_str),
        "Created": utc(record.created),
        "Path": command.first(),
        "Args": command.get(1..).unwrap_or_default(),
        "Root": record.asked.root,
        "State": state(record),
        "RestartCount": record.upkeep.restarts,
        "LogPath": record.upkeep.log.as_deref().unwrap_or("".as_ref()),
        "Config": with(config, spec.map(asked::config)),
        "HostConfig": with(host_config(record), spec.map(asked::host_config)),
        "NetworkSettings": network(record),
        "Mounts": spec.map(asked::mounts),
        "CgroupPath": record.place.as_ref().map(|place| &place.cgroup),
        "Unit": record.place.as_ref().and_then(|place| place.unit.as_ref()),
        "Usage": ended(record).map(usage),
    })
}

fn ended(record: &Record) -> Option<&Exit> {
    match &record.life {
        Life::Exited(exit) => Some(exit),
        _ => None,
    }
}

/// While it runs its code is 0, as docker has it; where nobody knows it, null.
fn state(record: &Record) -> Value {
    let life = &record.life;
    let status = pause::status(record);
    let time = |moment: Option<Moment>| moment.map_or_else(|| NEVER.to_owned(), utc);
    let (started, finished, code, killed) = match life {
        Life::Created { .. } => {
            let code = record.failed.as_ref().map_or(0, |failed| failed.code);
            (None, None, Some(code), false)
        }
        Life::Running { started, .. } => (Some(*started), None, Some(0), false),
        Life::Restarting { exit, .. } | Life::Exited(exit) => {
            (exit.started, Some(exit.finished), exit.end.code(), exit.usage.oom_killed)
        }
    };
    let mut state = json!({
        "Status": status,
        "Running": matches!(life, Life::Running { .. }),
        "Paused": status == "paused",
        "Restarting": matches!(life, Life::Restarting { .. }),
        "Pid": pid(life).unwrap_or(0),
        "ExitCode": code,
        "OOMKilled": killed,
        "StartedAt": time(started),
        "FinishedAt": time(finished),
        "Error": record.failed.as_ref().map_or("", |failed| failed.error.as_str()),
    });
    if let Some(known) = &record.health {
        state["Health"] = health(known);
    }
    state
}

/// There where it is asked for, as docker has it.
fn health(health: &Health) -> Value {
    let checks = health.log.iter().map(|checked| {
        json!({
            "Start": utc(checked.start),
            "End": utc(checked.end),
            "ExitCode": checked.code,
            "Output": checked.output,
        })
    });
    json!({
        "Status": health.status,
        "FailingStreak": health.streak,
        "Log": checks.collect::<Vec<_>>(),
    })
}

/// What has no limit is 0, as docker has it.
fn host_config(record: &Record) -> Value {
    let limits = record.asked.limits.clone().unwrap_or_default();
    let memory = limits.memory().as_ref();
    let cpu = limits.cpu().as_ref();
    let bytes = |value: Option<i64>| value.unwrap_or(0);
    let list = |value: Option<&String>| value.cloned().unwrap_or_default();
    json!({
        "NetworkMode": record.network.as_ref().map_or("", |network| &network.mode),
        "RestartPolicy": restart_policy(record),
        "AutoRemove": record.afterwards == Afterwards::Remove,
        "Memory": bytes(memory.and_then(|memory| memory.limit())),
        "MemoryReservation": bytes(memory.and_then(|memory| memory.reservation())),
        "MemorySwap": bytes(memory.and_then(|memory| memory.swap())),
        "CpuShares": cpu.and_then(|cpu| cpu.shares()).unwrap_or(0),
        "CpuPeriod": cpu.and_then(|cpu| cpu.period()).unwrap_or(0),
        "CpuQuota": cpu.and_then(|cpu| cpu.quota()).unwrap_or(0),
        "CpusetCpus": list(cpu.and_then(|cpu| cpu.cpus().as_ref())),
        "CpusetMems": list(cpu.and_then(|cpu| cpu.mems().as_ref())),
        "PidsLimit": limits.pids().map_or(0, |pids| pids.limit()),
    })
}

/// Addresses are docker's fields, empty where there is none; `State` is ours:
/// null where nothing has to run for the network.
fn network(record: &Record) -> Value {
    let network = record.network.as_ref();
    let text = |address: Option<Ipv4Addr>| address.map_or_else(String::new, |it| it.to_string());
    let address = text(network.and_then(|network| network.address));
    let gateway = text(network.and_then(|network| network.gateway));
    let one = |network: &crate::state::Network| {
        (network.mode.clone(), json!({"IPAddress": address, "Gateway": gateway}))
    };
    json!({
        "State": network.and_then(|network| network.link),
        "IPAddress": address,
        "Gateway": gateway,
        "Ports": port::docker(record),
        "Networks": network.into_iter().map(one).collect::<Map<_, _>>(),
    })
}

fn restart_policy(record: &Record) -> Value {
    let restart = record.upkeep.restart;
    let most = match restart {
        Restart::OnFailure(most) => most.unwrap_or(0),
        _ => 0,
    };
    json!({"Name": restart.name(), "MaximumRetryCount": most})
}

/// What it has used until its end, with the unit in each name; null is what
/// its control group did not tell.
fn usage(exit: &Exit) -> Value {
    let used = &exit.usage;
    json!({
        "MemoryPeakBytes": used.memory_peak,
        "MemoryLimitBytes": used.memory_limit,
        "OOMKills": used.oom_kills,
        "OOMProcess": used.oom_process,
        "CPUMicroseconds": used.cpu_usec,
        "CPUUserMicroseconds": used.cpu_user_usec,
        "CPUSystemMicroseconds": used.cpu_system_usec,
        "ThrottledMicroseconds": used.throttled_usec,
    })
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record};
    use super::*;
    use crate::cli::asked_words;
    use crate::state::{End, Link, Network};

    #[test]
    fn one_that_runs() {
        let mut record = record(0xab, Some("web"));
        let words = ["-m", "64m", "--cpu-quota", "10000", "--pids-limit", "9", "host"];
        let spec = asked_words(&words).unwrap().spec;
        record.asked.limits = spec.oci.linux().as_ref().unwrap().resources().clone();
        let told = inspect(&record, Some(&spec));
        assert_eq!((&told["Name"], &told["Path"]), (&json!("web"), &json!("sleep")));
        assert_eq!(
            (&told["Args"], &told["Config"]["Cmd"]),
            (&json!(["600"]), &json!(["sleep", "600"]))
        );
        assert_eq!(
            told["State"],
            json!({
                "Status": "running", "Running": true, "Paused": false, "Restarting": false, "Pid": 7, "ExitCode": 0,
                "OOMKilled": false, "StartedAt": "1970-01-01T00:00:00.000000000Z",
                "FinishedAt": NEVER, "Error": "",
            })
        );
        let config = &told["HostConfig"];
        assert_eq!((&config["Memory"], &config["CpuQuota"]), (&json!(64 << 20), &json!(10000)));
        assert_eq!((&config["PidsLimit"], &config["CpuShares"]), (&json!(9), &json!(0)));
        assert_eq!((&config["PidMode"], &told["Mounts"]), (&json!("private"), &json!([])));
        assert_eq!((&config["AutoRemove"], &told["Usage"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn a_network_that_is_down() {
        let mut record = record(1, None);
        let none =
            json!({"State": null, "IPAddress": "", "Gateway": "", "Ports": {}, "Networks": {}});
        assert_eq!(inspect(&record, None)["NetworkSettings"], none);
        record.network = Some(Network {
            mode: "slirp4netns".to_owned(),
            link: Some(Link::Down),
            address: Some(Ipv4Addr::new(10, 0, 2, 100)),
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
        });
        let told = inspect(&record, None);
        let addresses = json!({"IPAddress": "10.0.2.100", "Gateway": "10.0.2.2"});
        let mut down = addresses.clone();
        down["State"] = json!("down");
        down["Ports"] = json!({});
        down["Networks"] = json!({"slirp4netns": addresses});
        assert_eq!(told["NetworkSettings"], down);
        assert_eq!(told["HostConfig"]["NetworkMode"], "slirp4netns");
    }

    #[test]
    fn one_that_has_ended() {
        let mut killed = ended(record(1, None), End::Signal(9));
        let Life::Exited(exit) = &mut killed.life else { unreachable!() };
        exit.usage.oom_killed = true;
        exit.usage.oom_process = Some("python3".to_owned());
        exit.usage.memory_peak = Some(64 << 20);
        let told = inspect(&killed, None);
        let state = &told["State"];
        assert_eq!((&told["Mounts"], &told["Config"].get("Env")), (&Value::Null, &None));
        assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(137)));
        assert_eq!((&state["Running"], &state["OOMKilled"]), (&json!(false), &json!(true)));
        assert_eq!((&state["Pid"], &told["Name"]), (&json!(0), &json!("")));
        let usage = &told["Usage"];
        assert_eq!(
            (&usage["OOMProcess"], &usage["MemoryPeakBytes"]),
            (&json!("python3"), &json!(64 << 20))
        );
        assert_eq!(usage["ThrottledMicroseconds"], Value::Null);
    }

    #[test]
    fn a_code_that_nobody_knows_is_none() {
        let state = |end| inspect(&ended(record(1, None), end), None)["State"].clone();
        for (end, status) in [(End::SupervisorLost, "supervisor-lost"), (End::Reboot, "reboot")] {
            assert_eq!(
                (&state(end)["Status"], &state(end)["ExitCode"]),
                (&json!(status), &Value::Null)
            );
        }
    }
}
