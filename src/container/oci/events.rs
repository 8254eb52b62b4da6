//! `events`: what a container uses, and that it ran out of memory, in runc's
//! words.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use super::status::{Status, look};
use super::{Runtime, group};
use crate::cgroup::Directory;
use crate::cgroup::usage::{Stall, Usage};
use crate::launch::patience;
use crate::spec::ContainerId;
use crate::sys::Errno;

/// What was told before.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many processes had been killed for memory.
    kills: Option<u64>,
}

impl Runtime {
    /// The events since `seen`, each an object; nothing more once it is over.
    ///
    /// # Errors
    /// Where it is over from the beginning, or has no group of its own.
    pub fn events(&self, id: &ContainerId, seen: &mut Seen) -> anyhow::Result<Option<Vec<Value>>> {
        let found = self.find(id)?;
        if look(&found)?.0 == Status::Stopped {
            match seen.kills {
                None => bail!("container {id} is stopped, and uses nothing"),
                Some(_) => return Ok(None),
            }
        }
        let limited = Directory::open(&group::of(&found.bundle)?.cgroup)?;
        let usage = Usage::read(&limited);
        let mut events = Vec::new();
        let kills = usage.memory.and_then(|memory| memory.oom_kills).unwrap_or(0);
        if seen.kills.is_some_and(|before| before < kills) {
            events.push(json!({"type": "oom", "id": id.as_str()}));
        }
        seen.kills = Some(kills);
        events.push(json!({"type": "stats", "id": id.as_str(), "data": figures(&usage)}));
        Ok(Some(events))
    }

    /// Waits for that time, or for the container's end: whether it goes on.
    ///
    /// # Errors
    /// Where it can't be waited for.
    pub fn lasts(&self, id: &ContainerId, time: Duration) -> anyhow::Result<bool> {
        let Some(found) = self.bundles.seek(id)? else { return Ok(false) };
        let (_, Some(payload)) = look(&found)? else { return Ok(false) };
        let until = Instant::now().checked_add(time);
        loop {
            let mut polled = [PollFd::new(payload.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, patience(until)) {
                Ok(0) if until.is_some_and(|until| until <= Instant::now()) => return Ok(true),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(false),
                Err(errno) => return Err(errno).with_context(|| format!("wait for {id}")),
            }
        }
    }
}

/// Times are nanoseconds there. What is not known is left out.
fn figures(usage: &Usage) -> Value {
    let nano = |micro: Option<u64>| micro.map(|micro| micro.saturating_mul(1000));
    let stall = |stall: &Option<Stall>| {
        let share = |share: &crate::cgroup::usage::Share| {
            json!({
                "avg10": share.avg10_percent,
                "avg60": share.avg60_percent,
                "avg300": share.avg300_percent,
                "total": share.total_microseconds,
            })
        };
        stall
            .as_ref()
            .map(|it| json!({"some": share(&it.some), "full": it.full.as_ref().map(share)}))
    };
    let pressure = &usage.pressure;
    let mut all = json!({
        "cpu": usage.cpu.map(|cpu| json!({
            "usage": {
                "total": nano(Some(cpu.usage_microseconds)),
                "kernel": nano(cpu.system_microseconds),
                "user": nano(cpu.user_microseconds),
            },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": nano(cpu.throttled_microseconds),
            },
            "psi": stall(&pressure.cpu),
        })),
        "memory": usage.memory.map(|memory| json!({
            "cache": memory.file_bytes,
            "usage": {
                "usage": memory.current_bytes,
                // No limit is the greatest number there.
                "limit": memory.limit_bytes.unwrap_or(u64::MAX),
                "max": memory.peak_bytes,
                "failcnt": memory.ooms,
            },
            "swap": {"usage": memory.swap_bytes},
            "raw": {"anon": memory.anon_bytes, "file": memory.file_bytes, "kernel": memory.kernel_bytes},
            "psi": stall(&pressure.memory),
        })),
        "pids": usage.pids.map(|pids| json!({"current": pids.current, "limit": pids.limit.unwrap_or(0)})),
        "blkio": usage.io.map(|io| json!({
            "ioServiceBytesRecursive": [
                {"op": "Read", "value": io.read_bytes}, {"op": "Write", "value": io.written_bytes},
            ],
            "ioServicedRecursive": [
                {"op": "Read", "value": io.reads}, {"op": "Write", "value": io.writes},
            ],
            "psi": stall(&pressure.io),
        })),
    });
    leave_out_null(&mut all);
    all
}

fn leave_out_null(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(leave_out_null);
    }
}
