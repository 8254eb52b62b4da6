//! Sets of capabilities to and from the OCI runtime specification's type.
#![forbid(unsafe_code)]

use std::collections::HashSet;

use anyhow::{Context, Result};
use oci_spec::runtime::Capability;

use super::caps::CapSet;

impl CapSet {
    /// A set of `process.capabilities`.
    pub fn from_oci(caps: &HashSet<Capability>) -> Result<Self> {
        caps.iter().map(|cap| cap.to_string().parse()).collect()
    }

    /// For `process.capabilities`. Errs on capabilities that the
    /// specification has no name for: those of a kernel newer than it.
    pub fn to_oci(self) -> Result<HashSet<Capability>> {
        let name = |cap: super::caps::Cap| {
            let name = cap.to_string();
            let bare = name.strip_prefix("CAP_").unwrap_or(&name);
            bare.parse().with_context(|| format!("{name} has no name in the OCI specification"))
        };
        self.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_capability_goes_there_and_back() {
        let all = CapSet::up_to(40);
        assert_eq!(CapSet::from_oci(&all.to_oci().unwrap()).unwrap(), all);
        assert!(CapSet::up_to(41).to_oci().is_err());
    }
}
