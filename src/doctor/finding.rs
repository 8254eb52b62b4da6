//! One thing that was tried, and what came of it.

use serde::{Serialize, Serializer};

use crate::error::causes;
use crate::host::advice::{Advice, Remedy, Topic, remedies};

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it should be.
    Ok,
    /// Good to know; nothing that sublet does by itself depends on it.
    Info,
    /// Something less is done in its place.
    Degraded,
    /// It can't be had.
    Missing,
}

impl Verdict {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name for programs: lower case, with hyphens.
    pub id: &'static str,
    /// Where it belongs.
    #[serde(serialize_with = "name")]
    pub topic: Topic,
    /// What was tried, for people.
    pub what: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// Whether no container runs without it.
    pub essential: bool,
    /// What was seen.
    pub evidence: String,
    /// What is done in its place.
    pub instead: Option<String>,
    /// The rows of the table that say why, and what helps.
    pub remedies: Vec<Remedy>,
}

fn name<S: Serializer>(topic: &Topic, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(topic.name())
}

impl Finding {
    /// Nothing is known of it yet.
    pub fn new(id: &'static str, topic: Topic, what: &'static str) -> Self {
        Self {
            id,
            topic,
            what,
            verdict: Verdict::Info,
            essential: false,
            evidence: String::new(),
            instead: None,
            remedies: Vec::new(),
        }
    }

    /// Without it nothing runs.
    pub fn essential(self) -> Self {
        Self { essential: true, ..self }
    }

    /// All is well.
    pub fn ok(self, evidence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, evidence: evidence.into(), ..self }
    }

    /// Good to know.
    pub fn info(self, evidence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Info, evidence: evidence.into(), ..self }
    }

    /// Less is done in its place.
    pub fn degraded(self, evidence: impl Into<String>, instead: impl Into<String>) -> Self {
        let (evidence, instead) = (evidence.into(), Some(instead.into()));
        Self { verdict: Verdict::Degraded, evidence, instead, ..self }
    }

    /// It can't be had.
    pub fn missing(self, evidence: impl Into<String>) -> Self {
        Self { verdict: Verdict::Missing, evidence: evidence.into(), ..self }
    }

    /// Why, and what helps. Where nothing was seen but that, it is the evidence.
    pub fn because(mut self, advice: Advice) -> Self {
        if self.evidence.is_empty() {
            self.evidence = advice.cause;
        }
        self.remedies.extend(advice.remedies);
        self
    }

    /// The same, of an error.
    pub fn because_of(mut self, error: &anyhow::Error) -> Self {
        let rows = remedies(error);
        if self.evidence.is_empty() {
            let told: Vec<_> = rows.iter().map(|row| row.cause.as_str()).collect();
            self.evidence = if rows.is_empty() { causes(error) } else { told.join("; ") };
        }
        self.remedies.extend_from_slice(rows);
        self
    }
}
