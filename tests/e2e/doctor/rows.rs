//! Each row of the table is broken by a test.

/// The page that the table is written down on.
const PAGE: &str = include_str!("../../../docs/troubleshooting.md");

/// The tests that break things: a row that is named here is proven.
const TESTS: &[&str] = &[
    include_str!("../doctor.rs"),
    include_str!("../hosts.rs"),
    include_str!("files.rs"),
    include_str!("groups.rs"),
    include_str!("ids.rs"),
    include_str!("kernel.rs"),
];

/// The names of all rows.
fn rows() -> impl Iterator<Item = &'static str> {
    PAGE.lines().filter_map(|line| line.strip_prefix("### "))
}

#[test]
fn every_row_is_proven() {
    let proven = |row: &&str| TESTS.iter().any(|text| text.contains(&format!("{row:?}")));
    let unproven: Vec<_> = rows().filter(|row| !proven(row)).collect();
    assert!(unproven.is_empty(), "no test breaks {unproven:?}");
    assert!(rows().count() > 50, "the page is read wrongly");
}

/// Insists that an error has all that the page has in a row, with its holes
/// filled: for what only a run is asked for, and doctor isn't.
#[track_caller]
pub fn says_as_the_page(told: &str, row: &str, holes: &[(&str, &str)]) {
    let heading = format!("\n### {row}\n");
    let (_, rest) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("no {row} on the page"));
    let part = rest.split("\n## ").next().and_then(|part| part.split("\n### ").next());
    for line in part.expect("a part").lines() {
        let marks = ["> ", "As root, once: ", "Yourself: "];
        let words = marks.iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
        let is_form = words.starts_with("```") || words == line && line.ends_with(':');
        let words = words.replace("\\<", "<").replace("\\*", "*");
        let filled = holes
            .iter()
            .fold(words, |text, (name, value)| text.replace(&format!("<{name}>"), value));
        assert!(is_form || told.contains(&filled), "{row}: no {filled:?} in {told}");
    }
}
