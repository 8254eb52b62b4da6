//! Names and numbers of signals, signal(7).

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};
use nix::libc;

/// A signal that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl Signal {
    /// SIGTERM.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);
}

/// The kernel's real-time signals. A C library keeps the first two or three of
/// them for itself and counts RTMIN behind these: 34 with each of Linux's.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl FromStr for Signal {
    type Err = anyhow::Error;

    /// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-1`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Ok(number) = text.parse::<i32>() {
            if !(1..=RTMAX).contains(&number) {
                bail!("there is no signal {number}: they are 1 to {RTMAX}");
            }
            return Ok(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let real_time = |base: i32, rest: &str| -> Option<i32> {
            let offset = if rest.is_empty() { 0 } else { rest.parse().ok()? };
            Some(base + offset).filter(|number| (RTMIN..=RTMAX).contains(number))
        };
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) => real_time(RTMIN, rest),
            (_, Some(rest)) => real_time(RTMAX, rest),
            _ => format!("SIG{name}").parse::<nix::sys::signal::Signal>().ok().map(|it| it as i32),
        };
        let number = number.with_context(|| {
            format!("there is no signal {text:?}: TERM, SIGHUP, RTMIN+1 or a number are some")
        })?;
        Ok(Self(number))
    }
}

impl fmt::Display for Signal {
    /// `SIGTERM`, `SIGRTMIN+3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (nix::sys::signal::Signal::try_from(self.0), self.0) {
            (Ok(known), _) => f.write_str(known.as_str()),
            (Err(_), RTMIN) => f.write_str("SIGRTMIN"),
            (Err(_), number @ RTMIN..=RTMAX) => write!(f, "SIGRTMIN+{}", number - RTMIN),
            (Err(_), number) => write!(f, "signal {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_taken_as_kill_takes_them() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigkill", 9),
            ("1", 1),
            ("64", 64),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal(number), "{text}");
        }
        for (number, text) in
            [(15, "SIGTERM"), (34, "SIGRTMIN"), (37, "SIGRTMIN+3"), (32, "signal 32")]
        {
            assert_eq!(Signal(number).to_string(), text);
        }
        for text in ["", "0", "65", "-1", "FROB", "SIG", "RTMIN+31", "RTMIN-1", "RTMINx", "1.5"] {
            assert!(text.parse::<Signal>().is_err(), "{text:?}");
        }
    }
}
