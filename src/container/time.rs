//! Moments as people and programs read them.

use std::time::Duration;

use crate::state::Moment;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// What docker has for a time that has not come.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// RFC 3339, in UTC, to the nanosecond.
pub fn utc(moment: Moment) -> String {
    let (seconds, nanos) = (moment.0 / SECOND, moment.0 % SECOND);
    let (year, month, day) = date(seconds / DAY);
    let of_day = seconds % DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// The date of a day that is so many after the first of 1970.
fn date(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut left) = (1970, days);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

/// The time from `earlier` to `later`, in one unit: `5 minutes`.
pub fn between(earlier: Moment, later: Moment) -> String {
    let seconds = Duration::from_nanos(later.0.saturating_sub(earlier.0)).as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // As `date -u -d @SECONDS +%FT%TZ` has them.
        for (seconds, told) in [
            (0, "1970-01-01T00:00:00"),
            (68_169_599, "1972-02-28T23:59:59"),
            (68_169_600, "1972-02-29T00:00:00"),
            (68_256_000, "1972-03-01T00:00:00"),
            (946_684_799, "1999-12-31T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_795_389_296, "2026-11-22T23:14:56"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(utc(Moment(seconds * SECOND)), format!("{told}.000000000Z"));
        }
        assert!(utc(Moment(SECOND + 5)).ends_with("01.000000005Z"));
    }

    #[test]
    fn stretches() {
        for (seconds, told) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(between(Moment(7), Moment(7 + seconds * SECOND)), told);
        }
        assert_eq!(between(Moment(9), Moment(0)), "0 seconds", "a clock that was set back");
    }
}
