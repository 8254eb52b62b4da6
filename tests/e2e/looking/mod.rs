//! The commands that look at containers and tell of them.

mod diff;
mod events;
mod ns;
mod ps;
mod rename;
mod why;

/// Says that it is ready, then waits to be ended.
const SLEEP: &str = "echo ready; exec sleep 600";

/// What nobody wants on his terminal: a title, a clipboard, a cleared screen.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}]52;c;eA==\u{7}\u{1b}[2J\r\n";

/// Insists that nothing of the kind got through.
#[track_caller]
fn harmless(text: &str) {
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}
