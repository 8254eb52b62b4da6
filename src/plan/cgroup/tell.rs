//! A control group in words.

use std::fmt;

use super::{Cgroup, Manager, Setting};

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd { bus, unit, slice } => {
                write!(f, "{unit}")?;
                if let Some(slice) = slice {
                    write!(f, " in {slice}")?;
                }
                write!(f, ", made by your systemd, asked at {}", bus.path.display())
            }
            Self::Direct { parent, name } => {
                write!(f, "{}, made by sublet", parent.join(name).display())
            }
            Self::None => f.write_str("the one that it is started in"),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.file, self.content)
    }
}

impl Cgroup {
    /// What limits the container: properties, and files of the group above the
    /// payload's.
    pub fn limits_told(&self) -> Vec<String> {
        let properties = self.properties.iter().map(ToString::to_string);
        properties.chain(self.limits.iter().map(ToString::to_string)).collect()
    }

    /// What holds for the payload alone.
    pub fn payload_told(&self) -> Vec<String> {
        let mut told: Vec<_> = self.payload.iter().map(ToString::to_string).collect();
        if let Some(cpus) = &self.affinity {
            let cpus: Vec<_> = cpus.iter().map(ToString::to_string).collect();
            told.push(format!("affinity = {}", cpus.join(",")));
        }
        told.extend(self.nice.map(|nice| format!("nice = {nice}")));
        told
    }

    /// The names of its controllers.
    pub fn controllers_told(&self) -> Vec<String> {
        self.controllers.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control group: {}", self.manager)?;
        if !self.controllers.is_empty() {
            write!(f, ", with {}", self.controllers_told().join(" "))?;
        }
        for limit in self.limits_told() {
            write!(f, "\n  limit {limit}")?;
        }
        for setting in self.payload_told() {
            write!(f, "\n  payload {setting}")?;
        }
        Ok(())
    }
}
