//! The table: every cause that is known, a file a topic.
//!
//! Who finds one takes its row and fills the holes ([`Entry::advice`]); nobody
//! writes such a sentence elsewhere.

pub mod files;
pub mod ids;
pub mod limits;
pub mod network;
pub mod run;

use super::entry::Entry;

/// All rows, topic by topic.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    [run::ALL, ids::ALL, files::ALL, limits::ALL, network::ALL].into_iter().flatten().copied()
}

#[cfg(test)]
mod tests {
    use super::super::entry::Topic;
    use super::*;

    #[test]
    fn rows_keep_the_form_of_errors() {
        let mut ids = Vec::new();
        for entry in all() {
            let id = entry.id;
            assert!(!ids.contains(&id), "{id} twice");
            ids.push(id);
            assert!(id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
            assert!(!entry.cause.is_empty() && !entry.cause.ends_with('.'), "{id}");
            assert!(!entry.cause.contains('\n'), "{id}: a cause is one line");
            assert!(!(entry.root.is_empty() && entry.around.is_empty()), "{id}: nothing helps");
            assert!(entry.script.is_empty() || entry.script.ends_with('\n'), "{id}");
            assert!(entry.script.is_empty() || !entry.root.is_empty(), "{id}: a script of what?");
            for text in entry.texts() {
                assert!(text.trim_end_matches('\n') == text.trim_end(), "{id}: {text:?}");
            }
        }
        for topic in Topic::ALL {
            assert!(all().any(|entry| entry.topic == topic));
        }
    }
}
