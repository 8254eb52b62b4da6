//! Which containers `ps` and `prune` are about.

use super::filter::{Filter, pass};
use crate::state::{Life, Listing, Store};

/// Which are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those too that don't run.
    pub all: bool,
    /// That many at most, the newest.
    pub last: Option<usize>,
    /// What they have to pass.
    pub filters: Vec<Filter>,
}

/// Those that are wanted, the newest first.
///
/// # Errors
/// Where the records can't be read.
pub fn list(store: &Store, wanted: &Wanted) -> anyhow::Result<Listing> {
    let mut listing = store.list()?;
    wanted.choose(&mut listing);
    Ok(listing)
}

impl Wanted {
    fn choose(&self, listing: &mut Listing) {
        let all =
            self.all || self.last.is_some() || self.filters.iter().any(Filter::is_about_ended);
        listing.records.retain(|record| {
            (all || matches!(record.life, Life::Running { .. })) && pass(&self.filters, record)
        });
        listing.records.reverse();
        listing.records.truncate(self.last.unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record};
    use super::*;
    use crate::state::End;

    fn chosen(wanted: &Wanted) -> Vec<String> {
        let (one, two) = (record(1, Some("one")), record(2, Some("two")));
        let three = ended(record(3, Some("three")), End::Code(7));
        let mut listing = Listing { records: vec![one, two, three], problems: Vec::new() };
        wanted.choose(&mut listing);
        listing.records.iter().map(|record| record.label().to_owned()).collect()
    }

    #[test]
    fn the_newest_first_and_those_that_run() {
        assert_eq!(chosen(&Wanted::default()), ["two", "one"]);
        assert_eq!(chosen(&Wanted { all: true, ..Wanted::default() }), ["three", "two", "one"]);
        assert_eq!(chosen(&Wanted { last: Some(2), ..Wanted::default() }), ["three", "two"]);
    }

    #[test]
    fn who_filters_for_an_end_means_all() {
        let filtered = |text: &str| {
            chosen(&Wanted { filters: vec![text.parse().unwrap()], ..Wanted::default() })
        };
        assert_eq!(filtered("exited=7"), ["three"]);
        assert_eq!(filtered("status=exited"), ["three"]);
        assert_eq!(filtered("status=running"), ["two", "one"]);
        assert!(filtered("name=three").is_empty());
    }
}
