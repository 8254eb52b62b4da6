//! Cells below their titles.

use crate::error::is_harmful;

/// Lines of cells, each column as wide as its widest cell: the last of a line
/// ends it.
pub fn aligned<S: AsRef<str>>(rows: &[Vec<S>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(width).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let begin = text.len();
        let mut gap = 0;
        for (cell, widest) in row.iter().zip(&widths) {
            // By hand: a width of format! has 16 bits, and a command line more.
            text.extend(std::iter::repeat_n(' ', gap));
            text.push_str(cell.as_ref());
            gap = widest - width(cell) + 2;
        }
        text.truncate(begin + text[begin..].trim_end().len());
        text.push('\n');
    }
    text
}

fn width(text: &impl AsRef<str>) -> usize {
    text.as_ref().chars().count()
}

/// What somebody has typed, on one line and without what is harmful to a
/// terminal.
pub fn plain(text: &str) -> String {
    if !text.contains(is_harmful) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_harmful(c) {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

/// Words in lines of at most `width` letters, the first of which begins with
/// `first` and all others with `others`. A word that is longer is on a line of
/// its own.
pub fn wrapped(text: &str, width: usize, first: &str, others: &str) -> String {
    let (mut lines, mut line) = (String::new(), first.to_owned());
    let mut is_begun = false;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = line.chars().count() + usize::from(is_begun) + word.chars().count();
        if is_begun && length > width {
            lines.push_str(&line);
            lines.push('\n');
            line = others.to_owned();
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    lines + line.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_titles() {
        let rows = [vec!["A", "LONG", "C"], vec!["größer", "b", ""], vec!["x"]];
        assert_eq!(aligned(&rows), "A       LONG  C\ngrößer  b\nx\n");
        assert_eq!(aligned::<&str>(&[]), "");
        assert_eq!(aligned(&[vec!["a", ""], vec!["", ""]]), "a\n\n");
    }

    #[test]
    fn a_cell_may_be_longer_than_a_width_of_format() {
        let long = "A".repeat(70_000);
        let table = aligned(&[vec!["PID", "CMD", "X"], vec!["1", &long, "x"]]);
        assert!(table.ends_with(&format!("\n1    {long}  x\n")));
    }

    #[test]
    fn words_stay_whole() {
        assert_eq!(wrapped("aa bb cc", 7, "- ", "  "), "- aa bb\n  cc\n");
        assert_eq!(wrapped("a longest b", 5, "", " "), "a\n longest\n b\n");
        assert_eq!(wrapped("größer  als", usize::MAX, "", ""), "größer als\n");
        assert_eq!(wrapped("", 9, "- ", ""), "-\n");
    }

    #[test]
    fn nothing_typed_reaches_a_terminal_as_it_is() {
        assert_eq!(plain("a\u{1b}[2J\nö\t"), "a\\u{1b}[2J\\nö\\t");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
    }
}
