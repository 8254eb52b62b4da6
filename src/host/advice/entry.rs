//! A row of the table of what a machine can lack: one text for the error of a
//! run, for `sublet doctor` and for docs/troubleshooting.md.

use std::fmt::Display;

use super::{Advice, Remedy};

/// What somebody wants who meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// To run anything at all.
    Run,
    /// To have more ids than one.
    Ids,
    /// To have files and file systems.
    Files,
    /// To limit what a container uses.
    Limits,
    /// To reach the world, and be reached.
    Network,
}

impl Topic {
    /// All of them, in the order in which they matter.
    pub const ALL: [Self; 5] = [Self::Run, Self::Ids, Self::Files, Self::Limits, Self::Network];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Ids => "ids",
            Self::Files => "files",
            Self::Limits => "limits",
            Self::Network => "network",
        }
    }

    /// What it is about, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Run => "Run anything at all",
            Self::Ids => "Have more ids than one",
            Self::Files => "Files and file systems",
            Self::Limits => "Limit memory, CPU and processes",
            Self::Network => "Reach the world, and be reached",
        }
    }
}

/// One cause. Its texts have holes, `<path>`, for what differs from machine to
/// machine; an empty text is none.
#[derive(Debug)]
pub struct Entry {
    /// Its name: lower case, with hyphens. Never changes.
    pub id: &'static str,
    /// Where it belongs.
    pub topic: Topic,
    /// The cause: lower case, no full stop.
    pub cause: &'static str,
    /// What root can do about it, once: words and commands.
    pub root: &'static str,
    /// The same as lines of a shell script that may be run twice.
    pub script: &'static str,
    /// What helps without root, or leads around it.
    pub around: &'static str,
}

/// A name of a hole, and what fills it.
pub type Hole<'a> = (&'a str, &'a dyn Display);

impl Entry {
    /// What it says on this machine.
    pub fn advice(&'static self, holes: &[Hole<'_>]) -> Advice {
        let cause = fill(self.cause, holes);
        let remedy = Remedy {
            id: self.id,
            cause: cause.clone(),
            root: fill(self.root, holes),
            script: fill_script(self.script, holes),
            around: fill(self.around, holes),
        };
        Advice { cause, hint: remedy.hint(), remedies: vec![remedy] }
    }

    /// All texts of the row, with their holes.
    #[cfg(test)]
    pub fn texts(&self) -> [&'static str; 4] {
        [self.cause, self.root, self.script, self.around]
    }
}

fn fill(text: &str, holes: &[Hole<'_>]) -> String {
    holes.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("<{name}>"), &value.to_string())
    })
}

/// Values are words of a shell there. But for the program: it stands in a
/// profile, and has been looked at for that.
fn fill_script(text: &str, holes: &[Hole<'_>]) -> String {
    holes.iter().fold(text.to_owned(), |text, (name, value)| {
        let value = value.to_string();
        let value = if *name == "program" { value } else { word(&value) };
        text.replace(&format!("<{name}>"), &value)
    })
}

/// A word of a POSIX shell that means `text`.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-,:=@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Rows of one topic, each under a name of its own, and all of them as `ALL`.
macro_rules! entries {
    ($topic:ident; $($name:ident $id:literal {
        cause: $cause:expr,
        root: $root:expr,
        script: $script:expr,
        around: $around:expr $(,)?
    })*) => {
        $(
            #[doc = concat!("`", $id, "`")]
            pub static $name: $crate::host::advice::entry::Entry =
                $crate::host::advice::entry::Entry {
                    id: $id,
                    topic: $crate::host::advice::entry::Topic::$topic,
                    cause: $cause,
                    root: $root,
                    script: $script,
                    around: $around,
                };
        )*

        /// Those of this topic.
        pub static ALL: &[&$crate::host::advice::entry::Entry] = &[$(&$name),*];
    };
}
pub(super) use entries;

#[cfg(test)]
mod tests {
    use super::*;

    static ENTRY: Entry = Entry {
        id: "x",
        topic: Topic::Run,
        cause: "<path> is not there",
        root: "touch <path>",
        script: "touch <path>\n",
        around: "choose another than <path>",
    };

    #[test]
    fn holes_are_filled_and_scripts_take_words() {
        let advice = ENTRY.advice(&[("path", &"/a b'; reboot")]);
        assert_eq!(advice.cause, "/a b'; reboot is not there");
        assert_eq!(
            advice.hint,
            "as root, once: touch /a b'; reboot\nchoose another than /a b'; reboot"
        );
        assert_eq!(advice.remedies[0].script, "touch '/a b'\\''; reboot'\n");
        assert_eq!(ENTRY.advice(&[("path", &"/a")]).remedies[0].script, "touch /a\n");
    }
}
