//! Which containers `ps` and `prune` are about.

use super::filter::{Filter, pass};
use crate::state::{Life, Listing, Store};

/// Which are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those too that neither run nor are about to run again, which docker
    /// counts as running.
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
            let runs = matches!(record.life, Life::Running { .. } | Life::Restarting { .. });
            (all || runs) && pass(&self.filters, record)
        });
        listing.records.reverse();
        listing.records.truncate(self.last.unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{ended, record};
    use super::*;
    use crate::state::{End, Identity};

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
    fn one_that_crashes_again_and_again_is_not_hidden() {
        let mut crashing = ended(record(1, Some("web")), End::Code(1));
        let Life::Exited(exit) = crashing.life else { panic!("it has not ended") };
        let launcher = Identity { boot: String::new(), pid: 7, start: 1 };
        crashing.life = Life::Restarting { launcher, exit };
        let mut listing = Listing { records: vec![crashing], problems: Vec::new() };
        Wanted::default().choose(&mut listing);
        assert_eq!(listing.records.len(), 1);
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
