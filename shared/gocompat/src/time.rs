//! Holds instants as Go's `time.Time` does, with the zone they are shown in, and reads and prints them by Go's layouts.

#![warn(clippy::arithmetic_side_effects)]

mod civil;
mod layout;

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use civil::{Civil, month_name, weekday_name};
pub use layout::TimeError;

/// `time.Time`: an instant, and the offset and name of the zone it is shown in. "Local" is UTC, as on a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Time {
    seconds: i64,
    nanos: u32,
    offset: i32,
    zone: String,
}

impl Time {
    /// Go's zero time, the beginning of the year 1.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, offset: 0, zone: String::new() };

    /// `time.Unix`, in UTC.
    pub fn unix(seconds: i64) -> Self {
        Self { seconds, nanos: 0, offset: 0, zone: "UTC".to_owned() }
    }

    /// Go's `time.ParseInLocation` in UTC.
    pub fn parse(layout: &str, text: &str) -> Result<Self, TimeError> {
        layout::parse(layout, text)
    }

    /// Seconds since 1970, and nanoseconds after that: what instants are compared by.
    pub fn instant(&self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    /// In the zone `name`; UTC where there is none of that name.
    #[must_use]
    pub fn in_zone(&self, name: &str) -> Self {
        let zone = match name {
            "" | "UTC" | "Local" => None,
            name => TimeZone::get(name).ok(),
        };
        let info = zone.zip(Timestamp::from_second(self.seconds).ok()).map(|(zone, at)| {
            let info = zone.to_offset_info(at);
            (info.offset().seconds(), info.abbreviation().to_owned())
        });
        let (offset, zone) = info.unwrap_or((0, "UTC".to_owned()));
        Self { offset, zone, ..self.clone() }
    }

    /// `Time.Add`, by nanoseconds.
    #[must_use]
    pub fn plus(&self, nanos: i64) -> Self {
        let sum = nanos.rem_euclid(1_000_000_000).saturating_add(self.nanos.into());
        Self {
            seconds: self
                .seconds
                .saturating_add(nanos.div_euclid(1_000_000_000))
                .saturating_add(sum.div_euclid(1_000_000_000)),
            nanos: u32::try_from(sum.rem_euclid(1_000_000_000)).unwrap_or_default(),
            ..self.clone()
        }
    }

    /// `Time.AddDate`; days beyond a month's end go on into the next.
    #[must_use]
    pub fn plus_date(&self, years: i64, months: i64, days: i64) -> Self {
        let local = self.civil().plus(years, months, days).seconds();
        Self { seconds: local.saturating_sub(i64::from(self.offset)), ..self.clone() }
    }

    /// `Time.Sub`: the nanoseconds since `earlier`, as many as 64 bits hold.
    pub fn since(&self, earlier: &Self) -> i64 {
        let all =
            |time: &Self| i128::from(time.seconds).saturating_mul(1_000_000_000).saturating_add(time.nanos.into());
        let nanos = all(self).saturating_sub(all(earlier));
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// Date and time of day in the time's zone.
    pub fn civil(&self) -> Civil {
        Civil::new(self.seconds.saturating_add(i64::from(self.offset)))
    }

    /// `Time.Format`.
    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }

    /// As Go writes a time in JSON.
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
        Self { nanos, ..Self::unix(at.as_second()) }
    }
}

/// `Time.String`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

/// How the package `time` quotes a text in its errors, which is not how `strconv` does.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=0x7f => out.push(char::from(byte)),
            // Writing to a string can't fail.
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_reckoned_with_as_in_go() {
        let time = Time::parse("2006-01-02T15:04:05Z07:00", "2024-01-31T23:30:00.25+02:00").unwrap();
        assert_eq!(time.to_string(), "2024-01-31 23:30:00.25 +0200 +0200");
        assert_eq!(time.plus_date(0, 1, 0).rfc3339(), "2024-03-02T23:30:00.25+02:00");
        assert_eq!(time.plus(-500_000_000).since(&time), -500_000_000);
        assert_eq!(time.in_zone("America/New_York").to_string(), "2024-01-31 16:30:00.25 -0500 EST");
        assert_eq!(Time::ZERO.to_string(), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(time.since(&Time::unix(i64::MIN)), i64::MAX);
    }

    #[test]
    fn offsets_are_bounded_as_in_go() {
        let error = |text| Time::parse("15:04 -07:00:00", text).unwrap_err().to_string();
        for (text, part) in [("12:00 +25:00:00", "hour"), ("12:00 -24:61:00", "minute"), ("12:00 +24:60:61", "second")]
        {
            assert_eq!(error(text), format!("parsing time \"{text}\": time zone offset {part} out of range"));
        }
        assert!(Time::parse("-0700", "+2460").is_ok());
    }
}
