//! A plan in words, and as JSON.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::idmap::Mapping;
use super::network::service;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.outline.idmap)?;
        writeln!(f, "new namespaces: {}", self.outline.namespaces)?;
        writeln!(f, "network: {}", self.network)?;
        writeln!(f, "{}", self.outline.cgroup)?;
        if let Some(timeout) = self.outline.timeout {
            writeln!(f, "time limit: {timeout:?}")?;
        }
        for port in &self.outline.ports {
            writeln!(f, "published port: {port}")?;
        }
        for service in &self.outline.services {
            writeln!(f, "service of the host: {service}, at {}", service::ADDRESS)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(f, "steps of the child:")?;
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{at:>4}  {step}")?;
        }
        Ok(())
    }
}

/// The shape that `--dry-run=json` prints.
#[derive(Serialize)]
struct Told<'a> {
    id_map: Ids,
    namespaces: Vec<&'static str>,
    network: String,
    cgroup: Group,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    host_services: Vec<String>,
    notes: &'a [String],
    steps: Vec<String>,
}

#[derive(Serialize)]
struct Ids {
    rung: String,
    writer: String,
    setgroups: String,
    uids: Vec<Extent>,
    gids: Vec<Extent>,
}

#[derive(Serialize)]
struct Group {
    place: String,
    controllers: Vec<String>,
    limits: Vec<String>,
    payload: Vec<String>,
}

#[derive(Serialize)]
struct Extent {
    container_id: u32,
    host_id: u32,
    size: u32,
}

impl Plan {
    /// The plan as JSON: `id_map` (extents with the field names of the OCI
    /// specification in snake case), `namespaces`, `network`, `cgroup` (settings as they
    /// are written), `timeout_seconds`, `ports`, `host_services`, `notes`, and `steps` in the words of the table
    /// that errors are told from.
    pub fn to_json(&self) -> serde_json::Result<String> {
        let extents = |map: &[Mapping]| {
            let extent =
                |m: &Mapping| Extent { container_id: m.inside, host_id: m.outside, size: m.size };
            map.iter().map(extent).collect()
        };
        let told = Told {
            id_map: Ids {
                rung: self.outline.idmap.rung.to_string(),
                writer: self.outline.idmap.writer.to_string(),
                setgroups: self.outline.idmap.setgroups.to_string(),
                uids: extents(&self.outline.idmap.uids),
                gids: extents(&self.outline.idmap.gids),
            },
            namespaces: self.outline.namespaces.names(),
            network: self.network.to_string(),
            cgroup: Group {
                place: self.outline.cgroup.manager.to_string(),
                controllers: self.outline.cgroup.controllers_told(),
                limits: self.outline.cgroup.limits_told(),
                payload: self.outline.cgroup.payload_told(),
            },
            timeout_seconds: self.outline.timeout.map(|timeout| timeout.as_secs()),
            ports: self.outline.ports.iter().map(ToString::to_string).collect(),
            host_services: self.outline.services.iter().map(ToString::to_string).collect(),
            notes: &self.notes,
            steps: self.steps.iter().map(ToString::to_string).collect(),
        };
        serde_json::to_string_pretty(&told)
    }
}
