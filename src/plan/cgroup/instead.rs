//! `--limits best-effort`: what is done where a limit can't be had.

use super::limit::Limit;
use super::{Cgroup, weight};
use crate::spec::resources::list;

/// Does what comes near to the limits, and says so of each. It is done to the
/// child, of whom the payload and all its children inherit it.
pub fn instead(limits: &[Limit], cause: &str, cgroup: &mut Cgroup, notes: &mut Vec<String>) {
    let mut without: Vec<&str> = Vec::new();
    for limit in limits {
        let asked = limit.asked;
        match limit.file.as_str() {
            "cpuset.cpus" if let Ok(cpus) = list::numbers(&limit.content) => {
                cgroup.affinity = Some(cpus.into_iter().collect());
                notes.push(format!(
                    "{asked} is its processes' own affinity, which they can change: {cause}"
                ));
            }
            "cpu.weight" if let Some(nice) = limit.content.parse().ok().and_then(weight::nice) => {
                cgroup.nice = Some(nice);
                notes.push(format!("{asked} is a nice value of {nice}: {cause}"));
            }
            _ if limit.implied || without.contains(&asked) => {}
            _ => without.push(asked),
        }
    }
    if !without.is_empty() {
        notes.push(format!("not limited: {}: {cause}", without.join(" ")));
    }
}
