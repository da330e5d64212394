//! Parses cron schedules of five fields as robfig/cron v3 does (`parser.go`, `spec.go`): Sunday is 0 and 7 is an error,
//! no descriptors (`@daily`), names of months and days in any case; a day matches if day of month *or* day of week
//! matches, unless one of them is a star. The time is seconds since 1970 in the caller's time zone.

#![warn(clippy::arithmetic_side_effects)]

use jiff::Span;
use jiff::civil::Date;

/// Years that are searched for the next time: as in robfig/cron.
const YEARS: i16 = 5;
/// Length of a schedule: enough for every value of every field.
const MAX_LENGTH: usize = 1_000;

/// The lowest and highest value of each field, and their names from the lowest on.
const FIELDS: [(u32, u32, &[&str]); 5] = [
    (0, 59, &[]),
    (0, 23, &[]),
    (1, 31, &[]),
    (1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    (0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// A schedule: for each field one bit per value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether day of month or day of week is a star, so that both have to match.
    both: bool,
}

impl Schedule {
    /// Parses `text`; the error names the mistake.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("more than {MAX_LENGTH} characters"));
        }
        if text.starts_with('@') {
            return Err(format!("descriptors are not accepted: {text}"));
        }
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            return Err("a zone in the schedule is not accepted: set `timeZone`".to_owned());
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(format!("expected 5 fields, found {}", parts.len()));
        };
        let [in_minute, in_hour, in_day, in_month, in_weekday] = FIELDS;
        let (days, any_day) = field(days, in_day)?;
        let (weekdays, any_weekday) = field(weekdays, in_weekday)?;
        Ok(Self {
            minutes: field(minutes, in_minute)?.0,
            hours: field(hours, in_hour)?.0,
            days,
            months: field(months, in_month)?.0,
            weekdays,
            both: any_day || any_weekday,
        })
    }

    /// The first time after `seconds`; `None` where there is none within five years.
    pub(super) fn next(&self, seconds: i64) -> Option<i64> {
        let epoch = jiff::civil::date(1970, 1, 1);
        // The first whole minute after `seconds`.
        let first = seconds.div_euclid(60).checked_add(1)?;
        let mut date = epoch.checked_add(Span::new().try_days(first.div_euclid(1_440)).ok()?).ok()?;
        let last = date.year().checked_add(YEARS)?;
        let mut from = u32::try_from(first.rem_euclid(1_440)).ok()?;
        while date.year() <= last {
            if self.fits(date)
                && let Some(minute) = (from..1_440).find(|m| has(self.hours, m / 60) && has(self.minutes, m % 60))
            {
                let days = i64::from(epoch.until(date).ok()?.get_days());
                return days.checked_mul(1_440)?.checked_add(i64::from(minute))?.checked_mul(60);
            }
            from = 0;
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn fits(&self, date: Date) -> bool {
        let number = |n: i8| u32::try_from(n).unwrap_or_default();
        let day = has(self.days, number(date.day()));
        let weekday = has(self.weekdays, number(date.weekday().to_sunday_zero_offset()));
        has(self.months, number(date.month())) && if self.both { day && weekday } else { day || weekday }
    }
}

fn has(bits: u64, bit: u32) -> bool {
    bits.checked_shr(bit).is_some_and(|bits| bits & 1 == 1)
}

type Bounds = (u32, u32, &'static [&'static str]);

/// The bits of a field, and whether one of its ranges is a star.
fn field(text: &str, bounds: Bounds) -> Result<(u64, bool), String> {
    let mut bits = (0, false);
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (more, star) = one_range(range, bounds)?;
        bits = (bits.0 | more, bits.1 || star);
    }
    Ok(bits)
}

fn one_range(text: &str, (min, max, names): Bounds) -> Result<(u64, bool), String> {
    let value = |text: &str| {
        let by_name = names.iter().zip(min..).find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| value);
        by_name.map_or_else(|| text.parse::<u32>().map_err(|_| format!("`{text}` is no number")), Ok)
    };
    let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
    let step =
        step.map(|step| step.parse::<u32>().map_err(|_| format!("step of `{text}` is no number"))).transpose()?;
    let star = matches!(range, "*" | "?");
    let (from, to) = match range.split_once('-') {
        _ if star => (min, max),
        Some((from, to)) => (value(from)?, value(to)?),
        None if step.is_some() => (value(range)?, max),
        None => (value(range)?, value(range)?),
    };
    if from < min || to > max {
        return Err(format!("`{text}` is outside {min} to {max}"));
    }
    if from > to {
        return Err(format!("`{text}` begins after its end"));
    }
    if step == Some(0) {
        return Err(format!("step of `{text}` must be positive"));
    }
    let step = step.unwrap_or(1);
    let bits = (from..=to)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .fold(0, |bits, bit| bits | 1_u64.checked_shl(bit).unwrap_or_default());
    Ok((bits, star && step == 1))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Schedule;

    #[test]
    fn the_next_time_is_found() {
        for (schedule, after, next) in [
            ("* * * * *", "2024-03-05T10:00:00Z", "2024-03-05T10:01:00Z"),
            ("0 10 * * *", "2024-03-05T10:00:00Z", "2024-03-06T10:00:00Z"),
            ("0 10 * * *", "2024-03-05T09:59:59.5Z", "2024-03-05T10:00:00Z"),
            ("*/15 8-18/2 * * MON-fri", "2024-03-08T18:45:00Z", "2024-03-11T08:00:00Z"),
            ("0 0 29 2 *", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 13 * 5", "2024-03-05T00:00:00Z", "2024-03-08T00:00:00Z"),
            ("0 0 1 * *", "2023-12-31T23:59:00Z", "2024-01-01T00:00:00Z"),
            ("30 5/6 * * *", "2024-03-05T06:00:00Z", "2024-03-05T11:30:00Z"),
        ] {
            let seconds = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
            assert_eq!(Schedule::parse(schedule).unwrap().next(seconds(after)), Some(seconds(next)), "{schedule}");
        }
        assert_eq!(Schedule::parse("0 0 31 2 *").unwrap().next(0), None);
    }

    #[test]
    fn no_moment_is_too_far() {
        let schedule = Schedule::parse("* * * * *").unwrap();
        for seconds in [i64::MIN, i64::MAX, 7_304_484 * 86_400, -7_304_485 * 86_400] {
            assert_eq!(schedule.next(seconds), None, "{seconds}");
        }
        for moment in [Timestamp::MIN, Timestamp::MAX] {
            let seconds = moment.as_second();
            let next = schedule.next(seconds).unwrap();
            assert!(next > seconds && next <= seconds + 60 && next % 60 == 0, "{next}");
        }
    }

    #[test]
    fn what_cron_refuses_is_refused() {
        for broken in [
            "",
            "* * * *",
            "* * * * * *",
            "61 * * * *",
            "* * * * 7",
            "@daily",
            "5-1 * * * *",
            "*/0 * * * *",
            "x * * * *",
        ] {
            assert!(Schedule::parse(broken).is_err(), "{broken}");
        }
    }
}
