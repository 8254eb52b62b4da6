//! Why the service manager did not do what it was asked.

use std::fmt;
use std::time::Duration;

use nix::unistd::geteuid;

use super::wire::Message;
use crate::error::{Explain, printable};

/// What went wrong, and the words for it.
///
/// An error of this module has one in its chain: `downcast_ref` finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of thing.
    pub kind: Kind,
    text: String,
}

/// Kinds of failures, as far as they are dealt with differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A unit of that name is there already.
    UnitExists,
    /// No unit of that name is there.
    NoSuchUnit,
    /// We may not.
    Denied,
    /// It knows no property of that name, or none that can be set so.
    UnknownProperty(String),
    /// Nobody on that bus is a service manager.
    NoManager,
    /// It refuses for another reason.
    Refused,
    /// It took the job and did not do it: how the job ended.
    NotDone(String),
    /// There was no answer in time.
    Late,
    /// What answers there does not speak the protocol, or hung up.
    Broken,
    /// No connection could be made.
    Unreachable,
}

impl Failure {
    pub(super) fn unreachable(why: impl fmt::Display) -> Self {
        Self { kind: Kind::Unreachable, text: format!("connect: {why}") }
    }

    pub(super) fn broken(what: impl fmt::Display) -> Self {
        Self { kind: Kind::Broken, text: printable(&what.to_string()) }
    }

    pub(super) fn late(waiting_for: &str, patience: Duration) -> Self {
        let text = format!("no answer within {patience:?}, still waiting for {waiting_for}");
        Self { kind: Kind::Late, text }
    }

    pub(super) fn not_done(result: &str) -> Self {
        let result = printable(result);
        Self { text: format!("its job ended with {result:?}"), kind: Kind::NotDone(result) }
    }

    /// What an answer that is an error says. `properties` are the names that
    /// were to be set: systemd tells only in its words which of them is wrong.
    pub(super) fn refused(method: &str, answer: &Message, properties: &[String]) -> Self {
        let name = answer.error.as_deref().unwrap_or("an error without a name");
        let words = answer.text().unwrap_or_default();
        let text = printable(&format!("{method}: {name}: {words}"));
        Self { kind: kind_of(name, &words, properties), text }
    }

    /// What would help.
    pub(super) fn hint(&self, unit: &str) -> String {
        let uid = geteuid();
        let (user, service) = match uid.is_root() {
            true => ("", "systemd".to_owned()),
            false => (" --user", format!("user@{uid}.service")),
        };
        match &self.kind {
            Kind::UnitExists => format!(
                "another container has that name: give another one, or end it: \
                 systemctl{user} stop {unit}"
            ),
            Kind::NoSuchUnit => {
                format!("see what is there: systemctl{user} list-units --type=scope")
            }
            Kind::Denied => "use a session of your own: log in by ssh, at the console or with \
                             `machinectl shell USER@`, in place of su or sudo"
                .to_owned(),
            Kind::UnknownProperty(name) => format!(
                "do without the limit that is set as {name}, or use a newer systemd: \
                 systemctl --version"
            ),
            Kind::NoManager => format!(
                "see whether systemd serves you: systemctl{user} is-system-running; if not, log \
                 in anew, or as root: systemctl restart {service}"
            ),
            Kind::Refused | Kind::NotDone(_) => {
                format!("see what it says: journalctl{user} -n 20; and: journalctl -n 20 _PID=1")
            }
            Kind::Late | Kind::Unreachable => format!(
                "see whether it answers: systemctl{user} is-system-running; without limits, \
                 --cgroups disabled asks nobody"
            ),
            Kind::Broken => "see who listens there: ss -xlp (as root, ss shows all)".to_owned(),
        }
    }
}

fn kind_of(name: &str, words: &str, properties: &[String]) -> Kind {
    let Some((domain, last)) = name.rsplit_once('.') else { return Kind::Refused };
    match (domain, last) {
        ("org.freedesktop.systemd1", "UnitExists") => Kind::UnitExists,
        ("org.freedesktop.systemd1", "NoSuchUnit") => Kind::NoSuchUnit,
        ("org.freedesktop.DBus.Error", last) => match last {
            "AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired" => Kind::Denied,
            "ServiceUnknown" | "NameHasNoOwner" => Kind::NoManager,
            "PropertyReadOnly" | "UnknownProperty" => {
                let word = |c: char| !c.is_ascii_alphanumeric();
                let named =
                    words.split(word).find(|word| properties.iter().any(|name| name == word));
                named.map_or(Kind::Refused, |name| Kind::UnknownProperty(name.to_owned()))
            }
            _ => Kind::Refused,
        },
        _ => Kind::Refused,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// The error that says what was tried, and carries the hint.
pub(super) fn explain(failure: Failure, task: String, unit: &str) -> anyhow::Error {
    let hint = failure.hint(unit);
    Err::<(), _>(anyhow::Error::new(failure).context(task)).hint(hint).unwrap_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties() -> [String; 2] {
        ["MemoryMax", "MemoryZSwapMax"].map(str::to_owned)
    }

    #[test]
    fn the_names_of_errors_are_told_apart() {
        let kind = |name: &str| kind_of(name, "", &properties());
        assert_eq!(kind("org.freedesktop.systemd1.UnitExists"), Kind::UnitExists);
        assert_eq!(kind("org.freedesktop.systemd1.NoSuchUnit"), Kind::NoSuchUnit);
        assert_eq!(kind("org.freedesktop.DBus.Error.AccessDenied"), Kind::Denied);
        let interactive = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";
        assert_eq!(kind(interactive), Kind::Denied);
        assert_eq!(kind("org.freedesktop.DBus.Error.ServiceUnknown"), Kind::NoManager);
        for other in ["x", "", "com.example.UnitExists", "org.freedesktop.DBus.Error.NoReply"] {
            assert_eq!(kind(other), Kind::Refused, "{other}");
        }
    }

    #[test]
    fn an_unknown_property_is_one_that_was_asked_for() {
        let name = "org.freedesktop.DBus.Error.PropertyReadOnly";
        let kind = |words: &str| kind_of(name, words, &properties());
        assert_eq!(
            kind("Cannot set property MemoryZSwapMax, or unknown property."),
            Kind::UnknownProperty("MemoryZSwapMax".to_owned())
        );
        assert_eq!(kind("Cannot set property MemoryZSwapMaxX."), Kind::Refused);
    }

    #[test]
    fn words_of_a_stranger_move_no_cursor() {
        let text = printable("a\x1b[2Jb\n\u{9b}c é");
        assert_eq!(text, "a\\u{1b}[2Jb\\n\\u{9b}c é");
        assert_eq!(printable(&"x".repeat(10_000)).len(), 500);
    }
}
