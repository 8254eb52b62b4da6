//! What a container in the background does with its output, and how it is to
//! be stopped.

use std::str::FromStr;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::size;
use crate::error::Explain;

/// How long a payload has between its stop signal and SIGKILL, in seconds.
pub const STOP_TIMEOUT: u32 = 10;

/// Where the output of a container in the background goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// To files.
    File(Rotation),
    /// Nowhere, but to those who are attached.
    None,
}

/// How much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How large a file becomes, in bytes.
    pub max_size: u64,
    /// How many files there are, the one that is written to among them.
    pub max_file: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self::File(Rotation { max_size: 10 << 20, max_file: 3 })
    }
}

/// Less than one long line does not fit into a file.
const SMALLEST: u64 = 64 << 10;

impl Rotation {
    /// Reads `--log-max-size`: a size of at least 64 KiB.
    ///
    /// # Errors
    /// What is none.
    pub fn set_max_size(&mut self, text: &str) -> anyhow::Result<()> {
        let size = size::bytes(text)?;
        ensure!(size >= SMALLEST, "a file of a log holds at least 64k");
        self.max_size = size;
        Ok(())
    }

    /// Reads `--log-max-file`: 1 to 1000.
    ///
    /// # Errors
    /// What is not.
    pub fn set_max_file(&mut self, text: &str) -> anyhow::Result<()> {
        let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
        self.max_file = number.with_context(|| format!("{text:?} is not 1 to 1000"))?;
        Ok(())
    }
}

impl Log {
    /// Reads `--log-driver`: docker's and podman's words for a file mean the
    /// same one.
    ///
    /// # Errors
    /// What is none, with what there is.
    pub fn driver(text: &str) -> anyhow::Result<Self> {
        match text {
            "json-file" | "k8s-file" | "local" => Ok(Self::default()),
            "none" => Ok(Self::None),
            "journald" | "passthrough" | "passthrough-tty" | "syslog" => {
                Err(anyhow!("{text} is not in sublet yet"))
                    .hint("k8s-file, which sublet logs reads, and none are")
            }
            _ => Err(anyhow!("there is no such driver")).hint("k8s-file and none are"),
        }
    }

    /// Reads one `--log-opt`: `max-size=SIZE` or `max-file=N`.
    ///
    /// # Errors
    /// What is neither, and what can't be.
    pub fn option(&mut self, text: &str) -> anyhow::Result<()> {
        let (key, value) = text.split_once('=').context("it is not KEY=VALUE")?;
        let Self::File(rotation) = self else { bail!("there is no log, with --log-driver none") };
        match key {
            "max-size" => rotation.set_max_size(value),
            "max-file" => rotation.set_max_file(value),
            _ => Err(anyhow!("there is no such option")).hint("max-size and max-file are"),
        }
    }
}

/// How a container is asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The signal, where it is not SIGTERM.
    pub signal: Option<i32>,
    /// How long it has then, in seconds, where it is not [`STOP_TIMEOUT`].
    pub timeout: Option<u32>,
}

/// Who tells the service manager that has started us, by NOTIFY_SOCKET, that
/// the service is ready (sd_notify(3)). The words are podman's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// The program in the container.
    Container,
    /// We, once the program runs.
    Conmon,
    /// We, once a health check has said so.
    Healthy,
    /// Nobody.
    #[default]
    Ignore,
}

impl FromStr for Notify {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "container" => Ok(Self::Container),
            "conmon" => Ok(Self::Conmon),
            "ignore" => Ok(Self::Ignore),
            "healthy" => Ok(Self::Healthy),
            _ => bail!("it is not container, conmon, healthy or ignore"),
        }
    }
}

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// If it ended with another code than 0; at most so often, where it says.
    OnFailure(Option<u32>),
    /// However it ended, unless somebody stopped it.
    Always,
    /// The same: nothing starts containers when the machine does.
    UnlessStopped,
}

impl Restart {
    /// docker's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// Whether one that ended with `code`, and was started again `count` times
    /// already, is started once more.
    pub fn wants(self, code: u8, count: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(most) => code != 0 && most.is_none_or(|most| count < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

impl FromStr for Restart {
    type Err = anyhow::Error;

    /// Reads `no`, `on-failure[:N]`, `always` or `unless-stopped`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            None => match text {
                "no" | "never" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(None)),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => bail!("it is not no, on-failure[:N], always or unless-stopped"),
            },
            Some(("on-failure", most)) => {
                let digits = most.bytes().all(|byte| byte.is_ascii_digit());
                let most = most.parse().ok().filter(|_| digits);
                // docker's 0 means without an end.
                most.map(|most| Self::OnFailure((most > 0).then_some(most)))
                    .context("on-failure:N takes a number")
            }
            Some(_) => bail!("only on-failure takes a number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::report;

    #[test]
    fn words_of_docker_and_podman_for_logs() {
        for driver in ["json-file", "k8s-file", "local"] {
            assert_eq!(Log::driver(driver).unwrap(), Log::default());
        }
        assert_eq!(Log::driver("none").unwrap(), Log::None);
        assert!(report(&Log::driver("journald").unwrap_err()).contains("not in sublet yet"));
        assert!(Log::driver("fluentd").is_err());
        let mut log = Log::default();
        log.option("max-size=1m").unwrap();
        log.option("max-file=5").unwrap();
        assert_eq!(log, Log::File(Rotation { max_size: 1 << 20, max_file: 5 }));
        for text in ["max-size", "max-size=1", "max-size=x", "max-file=0", "max-file=-1", "a=b"] {
            assert!(log.option(text).is_err(), "{text:?} was taken");
        }
        assert!(Log::None.option("max-file=5").is_err());
    }

    #[test]
    fn policies() {
        let read = |text: &str| text.parse::<Restart>();
        assert_eq!(read("no").unwrap(), Restart::No);
        assert_eq!(read("on-failure").unwrap(), Restart::OnFailure(None));
        assert_eq!(read("on-failure:3").unwrap(), Restart::OnFailure(Some(3)));
        assert_eq!(read("on-failure:0").unwrap(), Restart::OnFailure(None));
        for text in ["", "yes", "always:3", "on-failure:", "on-failure:-1", "on-failure:+1"] {
            assert!(read(text).is_err(), "{text:?} was taken");
        }
        let failure = Restart::OnFailure(Some(2));
        assert!(failure.wants(1, 0) && failure.wants(137, 1) && !failure.wants(1, 2));
        assert!(!failure.wants(0, 0) && !Restart::No.wants(1, 0));
        assert!(Restart::Always.wants(0, 99));
    }
}
