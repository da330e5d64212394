//! Reads and prints times by Go's layouts (`src/time/format.go`): a date is described by how the reference time, Monday
//! January 2nd 2006 at 15:04:05 seven hours west of Greenwich, would look.

use std::fmt::Write as _;

use super::civil::{Civil, MONTHS, WEEKDAYS, days_in_month, month_name, of_day, of_time, seconds_of, weekday_name};
use super::{Time, quote};

/// Why a text is no time of a layout, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeError {
    /// A part of the text does not fit the layout.
    #[error("parsing time {} as {}: cannot parse {} as {}", quote(text), quote(layout), quote(rest), quote(piece))]
    Piece {
        /// The text.
        text: String,
        /// The layout.
        layout: String,
        /// What is left of the text there.
        rest: String,
        /// The piece of the layout.
        piece: String,
    },
    /// The text goes on behind the layout's end.
    #[error("parsing time {}: extra text: {}", quote(text), quote(rest))]
    Extra {
        /// The text.
        text: String,
        /// What is too much.
        rest: String,
    },
    /// A month 13, a 30th of February …
    #[error("parsing time {}: {part} out of range", quote(text))]
    Range {
        /// The text.
        text: String,
        /// The part of the date.
        part: &'static str,
    },
}

/// A piece of a layout.
#[derive(Clone, Copy, PartialEq)]
enum Piece<'l> {
    Literal(&'l str),
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour24,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// Digits of hours, minutes, seconds; whether colons stand between, whether UTC is `Z`.
    Offset {
        parts: usize,
        colon: bool,
        iso: bool,
    },
    /// `.000` or `,999`: the separator, the digits, whether zeros at the end go.
    Fraction {
        separator: char,
        digits: usize,
        trim: bool,
    },
}

/// The table of what may stand in a layout; of two that fit the first counts.
const PIECES: &[(&str, Piece<'static>)] = &[
    ("January", Piece::LongMonth),
    ("Jan", Piece::Month),
    ("Monday", Piece::LongWeekday),
    ("Mon", Piece::Weekday),
    ("MST", Piece::ZoneName),
    ("002", Piece::ZeroYearDay),
    ("01", Piece::ZeroMonth),
    ("02", Piece::ZeroDay),
    ("03", Piece::ZeroHour12),
    ("04", Piece::ZeroMinute),
    ("05", Piece::ZeroSecond),
    ("06", Piece::Year),
    ("15", Piece::Hour24),
    ("1", Piece::NumMonth),
    ("2006", Piece::LongYear),
    ("2", Piece::Day),
    ("__2", Piece::UnderYearDay),
    ("_2006", Piece::Literal("_")),
    ("_2", Piece::UnderDay),
    ("3", Piece::Hour12),
    ("4", Piece::Minute),
    ("5", Piece::Second),
    ("PM", Piece::UpperPm),
    ("pm", Piece::LowerPm),
    ("-07:00:00", Piece::Offset { parts: 3, colon: true, iso: false }),
    ("-070000", Piece::Offset { parts: 3, colon: false, iso: false }),
    ("-07:00", Piece::Offset { parts: 2, colon: true, iso: false }),
    ("-0700", Piece::Offset { parts: 2, colon: false, iso: false }),
    ("-07", Piece::Offset { parts: 1, colon: false, iso: false }),
    ("Z07:00:00", Piece::Offset { parts: 3, colon: true, iso: true }),
    ("Z070000", Piece::Offset { parts: 3, colon: false, iso: true }),
    ("Z07:00", Piece::Offset { parts: 2, colon: true, iso: true }),
    ("Z0700", Piece::Offset { parts: 2, colon: false, iso: true }),
    ("Z07", Piece::Offset { parts: 1, colon: false, iso: true }),
];

/// The pieces of `layout`, with the text of each.
fn pieces(layout: &str) -> Vec<(&str, Piece<'_>)> {
    let mut pieces = Vec::new();
    let (mut rest, mut literal) = (layout, 0_usize);
    let flush = |pieces: &mut Vec<_>, rest: &str, literal: usize| {
        let end = layout.len().saturating_sub(rest.len());
        if let Some(text) = layout.get(end.saturating_sub(literal)..end).filter(|text| !text.is_empty()) {
            pieces.push((text, Piece::Literal(text)));
        }
    };
    while let Some(c) = rest.chars().next() {
        let known = fraction(rest).or_else(|| {
            let (text, piece) = PIECES.iter().find(|(text, _)| rest.starts_with(text))?;
            // "Janet" and "Month" begin with no abbreviation.
            let lower = |from: usize| rest.get(from..).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_lowercase()));
            let abbreviation = matches!(piece, Piece::Month | Piece::Weekday);
            (!abbreviation || !lower(3)).then_some((text.len(), *piece))
        });
        match known {
            Some((_, Piece::Literal(_))) | None => {
                let length = if known.is_some() { 1 } else { c.len_utf8() };
                literal = literal.saturating_add(length);
                rest = rest.get(length..).unwrap_or_default();
            }
            Some((length, piece)) => {
                flush(&mut pieces, rest, literal);
                literal = 0;
                pieces.push((rest.get(..length).unwrap_or_default(), piece));
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
    flush(&mut pieces, rest, literal);
    pieces
}

fn fraction(rest: &str) -> Option<(usize, Piece<'_>)> {
    let separator = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = rest.chars().nth(1).filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest.chars().skip(1).take_while(|c| *c == digit).count();
    let length = digits.saturating_add(1);
    let next_is_digit = rest.chars().nth(length).is_some_and(|c| c.is_ascii_digit());
    (!next_is_digit).then_some((length, Piece::Fraction { separator, digits, trim: digit == '9' }))
}

/// `time` by `layout`.
pub(super) fn format(time: &Time, layout: &str) -> String {
    let mut out = String::new();
    let civil = time.civil();
    let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    for (_, piece) in pieces(layout) {
        let _ = match piece {
            Piece::Literal(text) => write!(out, "{text}"),
            Piece::LongYear => write!(out, "{:04}", civil.year),
            Piece::Year => write!(out, "{:02}", civil.year.rem_euclid(100)),
            Piece::LongMonth => write!(out, "{}", month_name(civil.month)),
            Piece::Month => write!(out, "{:.3}", month_name(civil.month)),
            Piece::NumMonth => write!(out, "{}", civil.month),
            Piece::ZeroMonth => write!(out, "{:02}", civil.month),
            Piece::LongWeekday => write!(out, "{}", weekday_name(civil.weekday)),
            Piece::Weekday => write!(out, "{:.3}", weekday_name(civil.weekday)),
            Piece::Day => write!(out, "{}", civil.day),
            Piece::UnderDay => write!(out, "{:2}", civil.day),
            Piece::ZeroDay => write!(out, "{:02}", civil.day),
            Piece::UnderYearDay => write!(out, "{:3}", civil.year_day),
            Piece::ZeroYearDay => write!(out, "{:03}", civil.year_day),
            Piece::Hour24 => write!(out, "{:02}", civil.hour),
            Piece::Hour12 => write!(out, "{hour12}"),
            Piece::ZeroHour12 => write!(out, "{hour12:02}"),
            Piece::Minute => write!(out, "{}", civil.minute),
            Piece::ZeroMinute => write!(out, "{:02}", civil.minute),
            Piece::Second => write!(out, "{}", civil.second),
            Piece::ZeroSecond => write!(out, "{:02}", civil.second),
            Piece::UpperPm => write!(out, "{}", if civil.hour >= 12 { "PM" } else { "AM" }),
            Piece::LowerPm => write!(out, "{}", if civil.hour >= 12 { "pm" } else { "am" }),
            Piece::ZoneName if time.zone.is_empty() && time.offset == 0 => write!(out, "UTC"),
            Piece::ZoneName if time.zone.is_empty() => write!(out, "{}", offset(time.offset, 2, false)),
            Piece::ZoneName => write!(out, "{}", time.zone),
            Piece::Offset { iso: true, .. } if time.offset == 0 => write!(out, "Z"),
            Piece::Offset { parts, colon, .. } => write!(out, "{}", offset(time.offset, parts, colon)),
            Piece::Fraction { separator, digits, trim } => {
                let digits_all = format!("{:09}", time.nanos);
                let mut shown = digits_all.get(..digits.min(9)).unwrap_or_default().to_owned();
                shown.extend(std::iter::repeat_n('0', digits.saturating_sub(9)));
                let shown = if trim { shown.trim_end_matches('0') } else { &shown };
                if shown.is_empty() { Ok(()) } else { write!(out, "{separator}{shown}") }
            }
        };
    }
    out
}

fn offset(seconds: i32, parts: usize, colon: bool) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let numbers = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    let texts: Vec<String> = numbers.iter().take(parts).map(|n| format!("{n:02}")).collect();
    format!("{sign}{}", texts.join(if colon { ":" } else { "" }))
}

/// The parts of an offset: their seconds, the most that Go takes, and their names in its errors.
const OFFSET: [(i32, i64, &str); 3] =
    [(3600, 24, "time zone offset hour"), (60, 60, "time zone offset minute"), (1, 60, "time zone offset second")];

/// What is read from a text.
struct Read {
    year: i64,
    month: i64,
    day: i64,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    pm: Option<bool>,
    offset: Option<i32>,
    zone: Option<String>,
    /// A part of the offset that is too large.
    out_of_range: Option<&'static str>,
}

/// Go's `time.ParseInLocation(layout, text, time.UTC)`; the error is Go's text.
pub(super) fn parse(layout: &str, text: &str) -> Result<Time, TimeError> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        pm: None,
        offset: None,
        zone: None,
        out_of_range: None,
    };
    let mut rest = text;
    for (piece_text, piece) in pieces(layout) {
        let fail = || TimeError::Piece {
            text: text.to_owned(),
            layout: layout.to_owned(),
            rest: rest.to_owned(),
            piece: piece_text.to_owned(),
        };
        rest = read.take(rest, piece).ok_or_else(fail)?;
        if matches!(piece, Piece::Second | Piece::ZeroSecond) {
            // A fraction may follow the seconds even if the layout has none.
            let follows_in_layout =
                layout.split_once(piece_text).is_some_and(|(_, after)| after.starts_with(['.', ',']));
            if !follows_in_layout && let Some((nanos, after)) = read_fraction(rest) {
                read.nanos = nanos;
                rest = after;
            }
        }
    }
    if !rest.is_empty() {
        return Err(TimeError::Extra { text: text.to_owned(), rest: rest.to_owned() });
    }
    read.finish().map_err(|part| TimeError::Range { text: text.to_owned(), part })
}

fn read_fraction(rest: &str) -> Option<(u32, &str)> {
    let body = rest.strip_prefix(['.', ','])?;
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let shown: String = body.chars().take(digits.min(9)).chain(std::iter::repeat('0')).take(9).collect();
    Some((shown.parse().ok()?, body.get(digits..)?))
}

/// A number of `least` to `most` digits.
fn digits(rest: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    Some((rest.get(..count)?.parse().ok()?, rest.get(count..)?))
}

fn named<'t>(rest: &'t str, names: &[&str], short: bool) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if short { name.get(..3)? } else { name };
        let start = rest.get(..name.len())?;
        start.eq_ignore_ascii_case(name).then_some((index, rest.get(name.len()..)?))
    })
}

impl Read {
    fn take<'t>(&mut self, rest: &'t str, piece: Piece<'_>) -> Option<&'t str> {
        let into = |slot: &mut i64, read: Option<(i64, &'t str)>| {
            read.map(|(number, rest)| {
                *slot = number;
                rest
            })
        };
        match piece {
            Piece::Literal(text) => {
                if text.trim().is_empty() && !text.is_empty() {
                    return Some(rest.trim_start_matches(' '));
                }
                rest.strip_prefix(text)
            }
            Piece::LongYear => into(&mut self.year, digits(rest, 4, 4)),
            Piece::Year => {
                let (year, rest) = digits(rest, 2, 2)?;
                self.year = year.saturating_add(if year >= 69 { 1900 } else { 2000 });
                Some(rest)
            }
            Piece::LongMonth | Piece::Month => {
                let (index, rest) = named(rest, &MONTHS, piece == Piece::Month)?;
                self.month = i64::try_from(index).ok()?.saturating_add(1);
                Some(rest)
            }
            Piece::LongWeekday | Piece::Weekday => {
                named(rest, &WEEKDAYS, piece == Piece::Weekday).map(|(_, rest)| rest)
            }
            Piece::NumMonth => into(&mut self.month, digits(rest, 1, 2)),
            Piece::ZeroMonth => into(&mut self.month, digits(rest, 2, 2)),
            Piece::Day | Piece::UnderDay => into(&mut self.day, digits(rest.strip_prefix(' ').unwrap_or(rest), 1, 2)),
            Piece::ZeroDay => into(&mut self.day, digits(rest, 2, 2)),
            Piece::UnderYearDay | Piece::ZeroYearDay => {
                let (day, rest) = digits(rest.trim_start_matches(' '), 1, 3)?;
                self.year_day = Some(day);
                Some(rest)
            }
            Piece::Hour24 | Piece::ZeroHour12 => into(&mut self.hour, digits(rest, 2, 2)),
            Piece::Hour12 => into(&mut self.hour, digits(rest, 1, 2)),
            Piece::Minute => into(&mut self.minute, digits(rest, 1, 2)),
            Piece::ZeroMinute => into(&mut self.minute, digits(rest, 2, 2)),
            Piece::Second => into(&mut self.second, digits(rest, 1, 2)),
            Piece::ZeroSecond => into(&mut self.second, digits(rest, 2, 2)),
            Piece::UpperPm | Piece::LowerPm => {
                let mark = rest.get(..2)?;
                let marks = if piece == Piece::UpperPm { ["AM", "PM"] } else { ["am", "pm"] };
                self.pm = Some(marks.iter().position(|own| *own == mark)? == 1);
                rest.get(2..)
            }
            Piece::ZoneName => {
                let length = zone_length(rest)?;
                self.zone = rest.get(..length).map(str::to_owned);
                rest.get(length..)
            }
            Piece::Offset { iso: true, .. } if rest.starts_with('Z') => {
                self.offset = Some(0);
                self.zone = Some("UTC".to_owned());
                rest.get(1..)
            }
            Piece::Offset { parts, colon, .. } => {
                let is_west = rest.starts_with('-');
                let mut rest = rest.strip_prefix(['-', '+'])?;
                let mut seconds = 0_i32;
                for part in 0..parts {
                    if colon && part > 0 {
                        rest = rest.strip_prefix(':')?;
                    }
                    let (number, after) = digits(rest, 2, 2)?;
                    let (unit, most, name) = OFFSET.get(part).copied()?;
                    if number > most {
                        self.out_of_range = Some(name);
                    }
                    seconds = seconds.saturating_add(i32::try_from(number).ok()?.saturating_mul(unit));
                    rest = after;
                }
                self.offset = Some(if is_west { seconds.saturating_neg() } else { seconds });
                Some(rest)
            }
            Piece::Fraction { trim, digits, .. } => match read_fraction(rest) {
                Some((nanos, after)) if trim || rest.len().saturating_sub(after.len()) == digits.saturating_add(1) => {
                    self.nanos = nanos;
                    Some(after)
                }
                None if trim => Some(rest),
                _ => None,
            },
        }
    }

    fn finish(self) -> Result<Time, &'static str> {
        if let Some(part) = self.out_of_range {
            return Err(part);
        }
        let (mut month, mut day) = (self.month, self.day);
        if let Some(year_day) = self.year_day {
            let civil = Civil::new(of_day(seconds_of(self.year, 1), year_day));
            if civil.year != self.year {
                return Err("day-of-year");
            }
            (month, day) = (civil.month, civil.day);
        }
        let hour = match self.pm {
            Some(true) if self.hour < 12 => self.hour.saturating_add(12),
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        if !(1..=12).contains(&month) {
            return Err("month");
        }
        if !(1..=days_in_month(self.year, month)).contains(&day) {
            return Err("day");
        }
        for (value, limit, what) in [(hour, 24, "hour"), (self.minute, 60, "minute"), (self.second, 60, "second")] {
            if value >= limit {
                return Err(what);
            }
        }
        let local = of_day(seconds_of(self.year, month), day).saturating_add(of_time(hour, self.minute, self.second));
        // A zone known by name only has no offset: Go invents one of zero.
        let offset = self.offset.unwrap_or(0);
        let zone = match (self.zone, self.offset) {
            (Some(zone), _) => zone,
            (None, Some(seconds)) if seconds != 0 => String::new(),
            (None, _) => "UTC".to_owned(),
        };
        Ok(Time { seconds: local.saturating_sub(i64::from(offset)), nanos: self.nanos, offset, zone })
    }
}

/// How long a zone's abbreviation at the start of `rest` is (`parseTimeZone`).
fn zone_length(rest: &str) -> Option<usize> {
    if rest.starts_with("ChST") || rest.starts_with("MeST") {
        return Some(4);
    }
    match rest.bytes().take(6).take_while(u8::is_ascii_uppercase).count() {
        length @ (3 | 5) => Some(length),
        4 if rest.as_bytes().get(3) == Some(&b'T') || rest.starts_with("WITA") => Some(4),
        _ => None,
    }
}
