//! Ranges of ids, and how those inside a user namespace relate to those
//! outside of it.
//!
//! Ids go from 0 to 4294967294: 4294967295 is (uid_t) -1. Sums are made in
//! 64 bits so that no input can wrap them.

use std::fmt;

use super::textfile;

/// Successive ids; never empty, never beyond 4294967294.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first id.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    /// One id.
    pub fn one(id: u32) -> Self {
        Self { start: id, count: 1 }
    }

    /// As much of `count` ids from `start` as exists; `None` if nothing does.
    pub fn clipped(start: u64, count: u64) -> Option<Self> {
        let end = start.saturating_add(count).min(u64::from(u32::MAX));
        let count = end.checked_sub(start).filter(|count| *count > 0)?;
        Some(Self { start: u32::try_from(start).ok()?, count: u32::try_from(count).ok()? })
    }

    /// One past the last id.
    pub fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.count)
    }

    /// Whether `id` is one of them.
    pub fn contains(self, id: u32) -> bool {
        id >= self.start && u64::from(id) < self.end()
    }

    /// The ids that are in both.
    pub fn shared(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end().min(other.end());
        Self::clipped(start.into(), end.saturating_sub(start.into()))
    }

    /// What is left when `taken` is gone: nothing, one piece or two.
    pub fn without(self, taken: Self) -> impl Iterator<Item = Self> {
        let before = u64::from(taken.start.max(self.start)).min(self.end());
        let after = taken.end().max(self.start.into()).min(self.end());
        let pieces = match self.shared(taken) {
            None => [Some(self), None],
            Some(_) => [
                Self::clipped(self.start.into(), before - u64::from(self.start)),
                Self::clipped(after, self.end() - after),
            ],
        };
        pieces.into_iter().flatten()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}", self.start),
            _ => write!(f, "{}-{}", self.start, self.end() - 1),
        }
    }
}

/// Removes `taken` from every range of a list; order stays.
pub fn without(ranges: &[Range], taken: Range) -> Vec<Range> {
    ranges.iter().flat_map(|range| range.without(taken)).collect()
}

/// The ranges without what an earlier one of the list already has.
///
/// Two entries for one user that overlap are usual: one by name, one by uid.
pub fn disjoint(ranges: &[Range]) -> Vec<Range> {
    let mut seen: Vec<Range> = Vec::new();
    for range in ranges {
        let fresh = seen.iter().fold(vec![*range], |left, taken| without(&left, *taken));
        seen.extend(fresh);
    }
    seen
}

/// The parts of `ranges` that lie in `fences`, cut where a fence ends.
pub fn cut(ranges: &[Range], fences: &[Range]) -> Vec<Range> {
    let mut fences = fences.to_vec();
    fences.sort_by_key(|fence| fence.start);
    ranges.iter().flat_map(|range| fences.iter().filter_map(|fence| range.shared(*fence))).collect()
}

/// `size` successive ids inside a user namespace, and which they are in its
/// parent. The line format of /proc/PID/uid_map, user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub size: u32,
}

impl Mapping {
    /// One id.
    pub fn one(inside: u32, outside: u32) -> Self {
        Self { inside, outside, size: 1 }
    }

    /// The ids inside.
    pub fn inner(self) -> Range {
        Range { start: self.inside, count: self.size }
    }

    /// The ids outside.
    pub fn outer(self) -> Range {
        Range { start: self.outside, count: self.size }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.inner(), self.outer())
    }
}

/// What `inside` is outside, if it is mapped.
pub fn outside(map: &[Mapping], inside: u32) -> Option<u32> {
    let mapping = map.iter().find(|mapping| mapping.inner().contains(inside))?;
    Some(mapping.outside + (inside - mapping.inside))
}

/// What `outside` is inside, if it is mapped.
pub fn inside(map: &[Mapping], outside: u32) -> Option<u32> {
    let mapping = map.iter().find(|mapping| mapping.outer().contains(outside))?;
    Some(mapping.inside + (outside - mapping.outside))
}

/// Reads a map as the kernel shows it. `None` where it isn't one.
pub fn parse_map(text: &[u8]) -> Option<Vec<Mapping>> {
    textfile::lines(text)
        .filter(|(_, line)| !line.is_empty())
        .map(|(_, line)| {
            let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            let mut next = || u32::try_from(textfile::number(words.next()?)?).ok();
            let mapping = Mapping { inside: next()?, outside: next()?, size: next()? };
            words.next().is_none().then_some(mapping)
        })
        .collect()
}

/// A map as /proc/PID/uid_map takes it: one extent a line, one write.
pub fn map_text(map: &[Mapping]) -> String {
    map.iter()
        .map(|Mapping { inside, outside, size }| format!("{inside} {outside} {size}\n"))
        .collect()
}

/// The same map with extents in order of inside ids and joined where they
/// meet on both sides: the kernel sorts what it is given, and a map is the
/// same however it is cut.
pub fn normal(map: &[Mapping]) -> Vec<Mapping> {
    let mut sorted = map.to_vec();
    sorted.sort_by_key(|mapping| mapping.inside);
    let mut joined: Vec<Mapping> = Vec::new();
    for next in sorted {
        match joined.last_mut() {
            Some(last)
                if last.inner().end() == u64::from(next.inside)
                    && last.outer().end() == u64::from(next.outside) =>
            {
                last.size += next.size;
            }
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, count: u32) -> Range {
        Range { start, count }
    }

    #[test]
    fn a_range_ends_where_ids_end() {
        assert_eq!(Range::clipped(4_294_967_290, 100), Some(range(4_294_967_290, 5)));
        assert_eq!(Range::clipped(4_294_967_295, 1), None);
        assert_eq!(Range::clipped(u64::MAX, u64::MAX), None);
        assert_eq!(Range::clipped(5, 0), None);
    }

    #[test]
    fn taking_away() {
        let left = |taken| without(&[range(10, 10)], taken);
        assert_eq!(left(range(0, 5)), [range(10, 10)]);
        assert_eq!(left(range(30, 5)), [range(10, 10)]);
        assert_eq!(left(range(0, 12)), [range(12, 8)]);
        assert_eq!(left(range(12, 1)), [range(10, 2), range(13, 7)]);
        assert_eq!(left(range(18, 9)), [range(10, 8)]);
        assert_eq!(left(range(0, 50)), []);
    }

    #[test]
    fn what_overlaps_counts_once() {
        assert_eq!(disjoint(&[range(10, 10), range(10, 10)]), [range(10, 10)]);
        assert_eq!(
            disjoint(&[range(10, 10), range(5, 30)]),
            [range(10, 10), range(5, 5), range(20, 15)]
        );
    }

    #[test]
    fn fences_cut() {
        let fences = [range(20, 10), range(0, 20)];
        assert_eq!(cut(&[range(15, 100)], &fences), [range(15, 5), range(20, 10)]);
        assert_eq!(cut(&[range(50, 1)], &fences), []);
    }

    #[test]
    fn maps_are_read_and_compared() {
        let map =
            parse_map(b"         0       1000          1\n         1     100000      65536\n");
        let map = map.unwrap();
        assert_eq!(outside(&map, 5), Some(100_004));
        assert_eq!(inside(&map, 1000), Some(0));
        assert_eq!(inside(&map, 165_536), None);
        assert_eq!(outside(&map, 65_537), None);
        for text in ["0 0", "0 0 0 0", "a b c", "-1 0 1", "0 0 4294967296"] {
            assert_eq!(parse_map(text.as_bytes()), None, "{text:?} was taken");
        }
        assert_eq!(map_text(&map), "0 1000 1\n1 100000 65536\n");
        let pieces = [
            Mapping { inside: 3, outside: 13, size: 7 },
            Mapping { inside: 0, outside: 10, size: 3 },
        ];
        assert_eq!(normal(&pieces), [Mapping { inside: 0, outside: 10, size: 10 }]);
    }
}
