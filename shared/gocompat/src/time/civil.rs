//! Turns instants into dates on the Gregorian calendar and back.
//!
//! jiff knows the calendar for the years of four digits, Go for all that 64 bits of seconds reach. The calendar repeats
//! itself every 400 years, so every instant is moved by whole cycles into the one that begins in 1970.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

const DAY: i64 = 86_400;
/// Years after which the calendar repeats itself, and their seconds, which are whole weeks.
const CYCLE: i64 = 400;
const CYCLE_SECONDS: i64 = 146_097 * DAY;
const FIRST: i64 = 1970;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The English name of a month from 1; empty for others.
pub fn month_name(month: i64) -> &'static str {
    usize::try_from(month.saturating_sub(1)).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or_default()
}

/// The English name of a day of the week, Sunday being 0; empty for others.
pub fn weekday_name(day: i64) -> &'static str {
    usize::try_from(day).ok().and_then(|index| WEEKDAYS.get(index)).copied().unwrap_or_default()
}

/// Date and time of day on the proleptic Gregorian calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Civil {
    /// The year; the one before the year 1 is 0.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// Of the month, from 1.
    pub day: i64,
    /// Of 24.
    pub hour: i64,
    /// Of the hour.
    pub minute: i64,
    /// Of the minute.
    pub second: i64,
    /// Of the week, Sunday being 0.
    pub weekday: i64,
    /// Of the year, from 1.
    pub year_day: i64,
}

impl Civil {
    /// Of seconds since 1970.
    pub fn new(seconds: i64) -> Self {
        let within = Timestamp::from_second(seconds.rem_euclid(CYCLE_SECONDS)).unwrap_or_default();
        let local = Offset::UTC.to_datetime(within);
        Self {
            year: CYCLE.saturating_mul(seconds.div_euclid(CYCLE_SECONDS)).saturating_add(local.year().into()),
            month: local.month().into(),
            day: local.day().into(),
            hour: local.hour().into(),
            minute: local.minute().into(),
            second: local.second().into(),
            weekday: local.weekday().to_sunday_zero_offset().into(),
            year_day: local.day_of_year().into(),
        }
    }

    /// After so many years, months and days; days beyond a month's end go on into the next.
    #[must_use]
    pub fn plus(&self, years: i64, months: i64, days: i64) -> Self {
        let months = months.saturating_add(self.month).saturating_sub(1);
        let year = self.year.saturating_add(years).saturating_add(months.div_euclid(12));
        let first = seconds_of(year, months.rem_euclid(12).saturating_add(1));
        Self::new(of_day(first, days.saturating_add(self.day)).saturating_add(self.seconds().rem_euclid(DAY)))
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        of_day(seconds_of(self.year, self.month), self.day).saturating_add(of_time(self.hour, self.minute, self.second))
    }
}

/// When a day, from 1, begins, of what begins at `first`.
pub(super) fn of_day(first: i64, day: i64) -> i64 {
    first.saturating_add(day.saturating_sub(1).saturating_mul(DAY))
}

/// The seconds of a day that have passed at a time of it.
pub(super) fn of_time(hour: i64, minute: i64, second: i64) -> i64 {
    hour.saturating_mul(60).saturating_add(minute).saturating_mul(60).saturating_add(second)
}

/// The first of a month in jiff's calendar, and how many cycles it was moved.
fn month_within(year: i64, month: i64) -> (Date, i64) {
    let since = year.saturating_sub(FIRST);
    let year = i16::try_from(FIRST.saturating_add(since.rem_euclid(CYCLE))).unwrap_or_default();
    let month = i8::try_from(month).unwrap_or_default();
    (Date::new(year, month, 1).unwrap_or_default(), since.div_euclid(CYCLE))
}

/// When a month, from 1, begins.
pub(super) fn seconds_of(year: i64, month: i64) -> i64 {
    let (first, cycles) = month_within(year, month);
    let within = Offset::UTC.to_timestamp(first.at(0, 0, 0, 0)).map(Timestamp::as_second).unwrap_or_default();
    cycles.saturating_mul(CYCLE_SECONDS).saturating_add(within)
}

/// The days of a month, from 1.
pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    month_within(year, month).0.days_in_month().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar_in_any_year() {
        for (seconds, date) in [
            (0, (1970, 1, 1, 4, 1)),
            (-1, (1969, 12, 31, 3, 365)),
            (951_782_400, (2000, 2, 29, 2, 60)),
            (-62_135_596_800, (1, 1, 1, 1, 1)),
            (-62_167_219_201, (-1, 12, 31, 5, 365)),
            (253_402_300_800, (10_000, 1, 1, 6, 1)),
            (99_999_999_999_999, (3_170_843, 11, 7, 6, 311)),
        ] {
            let civil = Civil::new(seconds);
            assert_eq!((civil.year, civil.month, civil.day, civil.weekday, civil.year_day), date, "{seconds}");
            assert_eq!(civil.seconds(), seconds);
        }
        assert_eq!((days_in_month(2100, 2), days_in_month(2000, 2), days_in_month(-4, 2)), (28, 29, 29));
    }
}
