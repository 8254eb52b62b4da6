//! What was asked for, as it is kept beside the record: so that a container
//! can be started again, and entered as it was meant.
//!
//! Written once, before the record is there, and never changed; what commands
//! change afterwards, the name and the limits, the record says.

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::record::Record;
use super::seal;
use crate::spec::Spec;

/// The version that is written. One that a program of this version would
/// misunderstand gets a higher one.
const VERSION: u32 = 1;

/// The file, its version first.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    #[serde(flatten)]
    spec: &'a Spec,
}

/// What all versions have.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// The bytes of the file.
///
/// # Errors
/// A path of the host that is not UTF-8: JSON has no other.
pub fn to_bytes(spec: &Spec) -> anyhow::Result<Vec<u8>> {
    let text = serde_json::to_vec(&Written { version: VERSION, spec });
    Ok(seal::seal(text.context("write what was asked for as JSON")?))
}

/// What was asked for, from the bytes of the file beside `record`.
///
/// # Errors
/// What is not as it was written, and what another program has written.
pub fn from_bytes(bytes: &[u8], record: &Record) -> anyhow::Result<Spec> {
    let text = seal::unseal(bytes)
        .ok_or_else(|| anyhow!("it is not as it was written: its checksum differs"))?;
    let Versioned { version, rest } = serde_json::from_slice(text)?;
    if version != VERSION {
        bail!("it is of version {version}: another sublet wrote it");
    }
    let mut spec: Spec = serde_json::from_value(rest.into())?;
    if spec.beside.id != record.id {
        bail!("it is that of container {}", spec.beside.id);
    }
    spec.beside.name = record.name.clone();
    if let Some(linux) = spec.oci.linux_mut() {
        linux.set_resources(record.asked.limits.clone());
    }
    Ok(spec)
}
