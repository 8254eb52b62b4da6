//! The commands that look at containers and tell of them.

mod diff;
mod events;
mod ns;
mod ps;
mod rename;
mod why;

/// Says that it is ready, then waits to be ended.
const SLEEP: &str = "echo ready; exec sleep 600";

/// What nobody wants on his terminal: a title, a clipboard, a cleared screen, and
/// a line that is read from its end.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}]52;c;eA==\u{7}\u{1b}[2J\u{202e}\u{2066}\r\n";

/// Insists that nothing of the kind got through.
#[track_caller]
fn harmless(text: &str) {
    let turns = |c: char| ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
    assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || turns(c))), "{text:?}");
}
