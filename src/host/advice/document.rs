//! docs/troubleshooting.md, made of the table.

use super::entry::{Entry, Topic};
use super::table;

const HEAD: &str = "\
# Troubleshooting

All that sublet knows a machine can lack: the error of a run, `sublet doctor` and this page say the same of it, for they are made of one table ([src/host/advice/table](../src/host/advice/table)). `sublet doctor` tells which of it holds on your machine, with names and paths in the place of `<words>`; `sublet doctor --fix-script` has what root can do about that.
";

/// The page.
fn page() -> String {
    let mut text = HEAD.to_owned();
    for topic in Topic::ALL {
        text.push_str(&format!("\n## {}\n", topic.title()));
        for entry in table::all().filter(|entry| entry.topic == topic) {
            text.push_str(&part(entry));
        }
    }
    text
}

fn part(entry: &Entry) -> String {
    let mut text = format!("\n### {}\n\n> {}\n", entry.id, escaped(entry.cause));
    let lines = |text: &str| text.lines().count();
    if !entry.script.is_empty() {
        text.push_str(&format!("\nAs root, once:\n\n```sh\n{}```\n", entry.script));
    } else if !entry.root.is_empty() {
        match lines(entry.root) {
            1 => text.push_str(&format!("\nAs root, once: {}\n", escaped(entry.root))),
            _ => text.push_str(&format!("\nAs root, once:\n\n```text\n{}\n```\n", entry.root)),
        }
    }
    if !entry.around.is_empty() {
        match lines(entry.around) {
            1 => text.push_str(&format!("\nYourself: {}\n", escaped(entry.around))),
            _ => text.push_str(&format!("\nYourself:\n\n```text\n{}\n```\n", entry.around)),
        }
    }
    text
}

/// What would be a tag or an emphasis.
fn escaped(text: &str) -> String {
    text.replace('<', "\\<").replace('*', "\\*")
}

#[test]
fn golden_of_the_page() {
    crate::golden::compare("docs/troubleshooting.md", &page());
}
