//! Moments as people and programs read them.

use std::time::Duration;

use anyhow::Context;

use crate::spec::duration::duration;
use crate::state::Moment;
use crate::state::moment::{leap, lengths};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// What docker has for a time that has not come.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// RFC 3339, in UTC, to the nanosecond.
pub fn utc(moment: Moment) -> String {
    moment.utc()
}

/// A moment as people type it: a stretch of time that lies between it and
/// `now` (`10m`), seconds since 1970 (`1795389296.5`), or RFC 3339, of which
/// the time of day and the zone may be left out; without one it is UTC.
///
/// # Errors
/// What is none of these.
pub fn moment(text: &str, now: Moment) -> anyhow::Result<Moment> {
    let wrong = || {
        format!("{text:?} is not a moment: 10m (ago), 2026-01-31T12:00:00Z, or seconds since 1970")
    };
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    if !text.is_empty() && text.chars().all(is_number) {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let nanos = fraction(part).with_context(wrong)?;
        let seconds: u64 = whole.parse().ok().with_context(wrong)?;
        let nanos = seconds.checked_mul(SECOND).and_then(|it| it.checked_add(nanos));
        return nanos.map(Moment).with_context(wrong);
    }
    if let Some(moment) = calendar(text) {
        return Ok(moment);
    }
    let ago = duration(text).ok().and_then(|ago| u64::try_from(ago.as_nanos()).ok());
    Ok(Moment(now.0.saturating_sub(ago.with_context(wrong)?)))
}

/// Nanoseconds, of the digits behind the point.
fn fraction(digits: &str) -> Option<u64> {
    let plain = digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let padded = format!("{digits:0<9}");
    plain.then(|| padded.parse().ok())?
}

/// `2026-01-31`, `2026-01-31T12:00:00`, with `.5` and `Z` or `+02:00` behind it.
fn calendar(text: &str) -> Option<Moment> {
    let (day, rest) = text.split_at_checked(10)?;
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
    let [year, month, day] = <[&str; 3]>::try_from(day.split('-').collect::<Vec<_>>()).ok()?;
    let (year, month, day): (u64, u64, u64) = (number(year)?, number(month)?, number(day)?);
    // Later ones are too many nanoseconds.
    if !(1970..=2553).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let days = (year - 1970) * 365 + (1970..year).filter(|year| leap(*year)).count() as u64;
    let lengths = lengths(year);
    let month = month as usize;
    if day > lengths[month - 1] {
        return None;
    }
    let days = days + lengths[..month - 1].iter().sum::<u64>() + day - 1;
    let Some(clock) = rest.strip_prefix(['T', ' ']) else {
        return rest.is_empty().then_some(Moment(days * DAY * SECOND));
    };
    let ends = clock.find(['Z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at(ends);
    let (clock, part) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':').map(number);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = (days * DAY + hour * 3600 + minute * 60 + second) * SECOND + fraction(part)?;
    let Some(sign) = zone.chars().next().filter(|sign| *sign != 'Z') else {
        return (zone.len() <= 1).then_some(Moment(local));
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let offset = (number(hours)? * 3600 + number(minutes)? * 60) * SECOND;
    let utc = if sign == '+' { local.checked_sub(offset) } else { local.checked_add(offset) };
    utc.map(Moment)
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
    fn moments_are_read_as_they_are_written() {
        let now = Moment(1_795_389_296 * SECOND);
        for (text, seconds) in [
            ("10m", 1_795_389_296 - 600),
            ("1h30m", 1_795_389_296 - 5400),
            ("0", 0),
            ("1795389296", 1_795_389_296),
            ("2026-11-22T23:14:56Z", 1_795_389_296),
            ("2026-11-22T23:14:56", 1_795_389_296),
            ("2026-11-23T01:14:56+02:00", 1_795_389_296),
            ("2026-11-22 18:14:56-05:00", 1_795_389_296),
            ("2026-11-22T23:14Z", 1_795_389_240),
            ("1972-02-29", 68_169_600),
            ("2000-02-29", 951_782_400),
            ("1999-12-31T23:59:59Z", 946_684_799),
        ] {
            assert_eq!(moment(text, now).unwrap(), Moment(seconds * SECOND), "{text}");
        }
        assert_eq!(moment("1.5", now).unwrap(), Moment(SECOND + SECOND / 2));
        let read_back = |nanos| moment(&utc(Moment(nanos)), now).unwrap();
        for nanos in [0, 1, 68_169_599_123_456_789, 4_107_542_400_000_000_005] {
            assert_eq!(read_back(nanos), Moment(nanos));
        }
        for text in [
            "",
            "x",
            "-5m",
            "2026-13-01",
            "2026-02-29",
            "2026-01-00",
            "2026-01-01T24:00:00Z",
            "2554-01-01",
            "2026-01-01T",
            "2026-01-01T1Z",
            "2026-01-01T10:00:00+2",
            "2026-01-01T10:00:00Zx",
            "99999999999999999999",
            "1.0000000001",
            "2026-é1-01",
        ] {
            let read = moment(text, now);
            assert!(read.is_err(), "{text:?} was taken: {read:?}");
        }
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
