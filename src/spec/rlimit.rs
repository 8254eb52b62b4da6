//! `--ulimit`, as typed.

use anyhow::{Context, anyhow, bail, ensure};
use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};

use crate::error::Explain;

/// Reads `NAME=SOFT[:HARD]`, in the units of setrlimit(2); `-1` and
/// `unlimited` are no limit. The hard limit is the soft one where it is left
/// away.
pub fn rlimit(text: &str) -> anyhow::Result<PosixRlimit> {
    let (name, limits) =
        text.split_once('=').with_context(|| format!("{text:?} is not NAME=SOFT:HARD"))?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (limit(soft)?, limit(hard)?);
    ensure!(soft <= hard, "{text:?}: the soft limit is above the hard one");
    Ok(PosixRlimitBuilder::default().typ(resource(name)?).soft(soft).hard(hard).build()?)
}

fn limit(text: &str) -> anyhow::Result<u64> {
    match text {
        "-1" | "unlimited" => Ok(u64::MAX), // RLIM_INFINITY
        _ if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().with_context(|| format!("{text:?} is not a limit"))
        }
        _ => bail!("{text:?} is not a limit: a number, or -1 for none"),
    }
}

fn resource(name: &str) -> anyhow::Result<PosixRlimitType> {
    use PosixRlimitType as Type;
    Ok(match name.to_ascii_lowercase().trim_start_matches("rlimit_") {
        "as" => Type::RlimitAs,
        "core" => Type::RlimitCore,
        "cpu" => Type::RlimitCpu,
        "data" => Type::RlimitData,
        "fsize" => Type::RlimitFsize,
        "locks" => Type::RlimitLocks,
        "memlock" => Type::RlimitMemlock,
        "msgqueue" => Type::RlimitMsgqueue,
        "nice" => Type::RlimitNice,
        "nofile" => Type::RlimitNofile,
        "nproc" => Type::RlimitNproc,
        "rss" => Type::RlimitRss,
        "rtprio" => Type::RlimitRtprio,
        "rttime" => Type::RlimitRttime,
        "sigpending" => Type::RlimitSigpending,
        "stack" => Type::RlimitStack,
        _ => {
            return Err(anyhow!("{name:?} is not a resource")).hint(
                "these are: as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, \
                 nproc, rss, rtprio, rttime, sigpending and stack",
            );
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let told = |text: &str| {
            let limit = rlimit(text).unwrap();
            (limit.typ(), limit.soft(), limit.hard())
        };
        assert_eq!(told("nofile=1024:4096"), (PosixRlimitType::RlimitNofile, 1024, 4096));
        assert_eq!(told("core=0"), (PosixRlimitType::RlimitCore, 0, 0));
        assert_eq!(told("RLIMIT_STACK=5:-1"), (PosixRlimitType::RlimitStack, 5, u64::MAX));
        assert_eq!(told("memlock=unlimited"), (PosixRlimitType::RlimitMemlock, u64::MAX, u64::MAX));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "nofile",
            "nofile=",
            "files=1",
            "=1",
            "nofile=2:1",
            "nofile=-1:5",
            "nofile=-2",
            "nofile=1:2:3",
            "nofile=1k",
            "nofile=99999999999999999999",
            "nofile=+1",
            "nofile=1:",
        ] {
            assert!(rlimit(text).is_err(), "{text:?} was taken");
        }
    }
}
