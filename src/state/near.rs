//! What was meant by a word with a slip in it.

/// Says which of `known` may be meant: those that look like `word`, else as
/// many as can be read at a glance.
pub fn told(word: &str, known: &[String]) -> String {
    const FEW: usize = 5;
    let near: Vec<&String> = known.iter().filter(|name| is_near(word, name)).take(FEW).collect();
    let list = |names: &[&String]| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        names.join(", ")
    };
    match (near.is_empty(), known.len()) {
        (false, _) => format!("there is {}", list(&near)),
        (true, 0) => {
            "none is known: those that are started with --name or with a limit are".to_owned()
        }
        (true, 1..=FEW) => format!("there is {}", list(&known.iter().collect::<Vec<_>>())),
        (true, count) => format!("{count} others are known: sublet ps -a lists them"),
    }
}

/// The one of `known` that is most like `word`, if any is.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().filter(|name| is_near(word, name));
    near.min_by_key(|name| distance(word.as_bytes(), name.as_bytes())).copied()
}

/// Whether one is in the other, or they differ by few slips.
fn is_near(word: &str, name: &str) -> bool {
    let (word, name) = (word.to_lowercase(), name.to_lowercase());
    let within = word.len() >= 2 && name.contains(&word) || name.len() >= 2 && word.contains(&name);
    within || distance(word.as_bytes(), name.as_bytes()) <= 1 + word.len() / 5
}

/// How many letters have to be put in, left out or changed (Levenshtein).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (to, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != wanted);
            diagonal = row[to + 1];
            row[to + 1] = changed.min(row[to] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn slips_are_counted() {
        for (one, other, slips) in
            [("", "", 0), ("web", "web", 0), ("web", "wbe", 2), ("web", "webs", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(one.as_bytes(), other.as_bytes()), slips, "{one} {other}");
        }
    }

    #[test]
    fn what_is_near_is_named() {
        let many = known(&["web", "db", "cache", "queue", "mail", "proxy"]);
        assert_eq!(told("wep", &many), "there is web");
        assert_eq!(told("Cache-1", &many), "there is cache");
        assert_eq!(told("zzzz", &many), "6 others are known: sublet ps -a lists them");
        assert_eq!(told("zzzz", &many[..2]), "there is web, db");
        assert!(told("zzzz", &[]).starts_with("none is known"));
    }
}
