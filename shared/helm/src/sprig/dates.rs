//! Dates (Masterminds/sprig `date.go`, Go's `time`). The clock is the caller's; "Local" is UTC, as on a server.

mod layout;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use slipway_gotmpl::{Context, FuncError, Function, INT, Kind, Native, Str, Type, Value};
use slipway_manifest::duration_go;

use super::{Outcome, misused, state};

const ONE: &[Type] = &[Type::Any];
const MODIFY: &[Type] = &[Type::String, Type::Named("time.Time")];
const TWO_TEXTS: &[Type] = &[Type::String, Type::String];
const TIME: &[Type] = &[Type::Named("time.Time")];

pub(super) const TABLE: &[Function] = &[
    Function::new("now", &[], |cx, _| Ok(Value::native(Time::utc(state(cx)?.now())))),
    Function::new("ago", ONE, ago),
    Function::new("date", &[Type::String, Type::Any], |cx, args| in_zone(cx, args.first(), args.get(1), None)),
    Function::new("htmlDate", ONE, |cx, args| in_zone(cx, Some(&HTML), args.first(), None)),
    Function::new("htmlDateInZone", &[Type::Any, Type::String], |cx, args| {
        in_zone(cx, Some(&HTML), args.first(), args.get(1))
    }),
    Function::new("dateInZone", ZONED, |cx, args| in_zone(cx, args.first(), args.get(1), args.get(2))),
    Function::new("date_in_zone", ZONED, |cx, args| in_zone(cx, args.first(), args.get(1), args.get(2))),
    Function::new("dateModify", MODIFY, |_, args| modify(args, true)),
    Function::new("date_modify", MODIFY, |_, args| modify(args, true)),
    Function::new("mustDateModify", MODIFY, |_, args| modify(args, false)),
    Function::new("must_date_modify", MODIFY, |_, args| modify(args, false)),
    Function::new("toDate", TWO_TEXTS, |_, args| Ok(Value::native(parse(args)?.unwrap_or(Time::ZERO)))),
    Function::new("mustToDate", TWO_TEXTS, |_, args| Ok(Value::native(parse(args)?.map_err(FuncError::from)?))),
    Function::new("duration", ONE, duration),
    Function::new("durationRound", ONE, duration_round),
    Function::new("unixEpoch", TIME, |_, args| Ok(own(args)?.seconds.to_string().into())),
];

const ZONED: &[Type] = &[Type::String, Type::Any, Type::String];
const HTML: Value = Value::literal("2006-01-02");

/// `time.Time`: an instant, and the offset and name of the zone it is shown in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Time {
    seconds: i64,
    nanos: u32,
    offset: i32,
    zone: String,
}

/// The year 1, Go's zero time.
const YEAR_ONE: i64 = -62_135_596_800;

impl Time {
    const ZERO: Self = Self { seconds: YEAR_ONE, nanos: 0, offset: 0, zone: String::new() };

    fn utc(at: Timestamp) -> Self {
        let nanos = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
        Self { seconds: at.as_second(), nanos, offset: 0, zone: "UTC".to_owned() }
    }

    fn from_unix(seconds: i64) -> Self {
        Self { seconds, nanos: 0, offset: 0, zone: "UTC".to_owned() }
    }

    /// As Go writes a time in JSON.
    pub(crate) fn rfc3339(&self) -> String {
        layout::format(self, "2006-01-02T15:04:05.999999999Z07:00")
    }

    /// In the zone `name`; UTC where there is none of that name.
    fn in_zone(&self, name: &str) -> Self {
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

    fn plus(&self, duration: SignedDuration) -> Self {
        let nanos = i64::from(self.nanos) + i64::from(duration.subsec_nanos());
        let carry = nanos.div_euclid(1_000_000_000);
        Self {
            seconds: self.seconds.saturating_add(duration.as_secs()).saturating_add(carry),
            nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or_default(),
            ..self.clone()
        }
    }

    fn since(&self, earlier: &Self) -> SignedDuration {
        let nanos = i32::try_from(i64::from(self.nanos) - i64::from(earlier.nanos)).unwrap_or_default();
        SignedDuration::new(self.seconds.saturating_sub(earlier.seconds), 0)
            .checked_add(SignedDuration::from_nanos(i64::from(nanos)))
            .unwrap_or_default()
    }

    fn civil(&self) -> layout::Civil {
        layout::Civil::new(self.seconds.saturating_add(i64::from(self.offset)))
    }

    fn to_text(&self) -> String {
        layout::format(self, "2006-01-02 15:04:05.999999999 -0700 MST")
    }
}

impl Native for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(self.to_text().into())
    }
}

fn own(args: &[Value]) -> Result<&Time, FuncError> {
    args.first().and_then(|value| value.downcast::<Time>()).map_or_else(misused, Ok)
}

fn other(args: &[Value]) -> Result<&Time, FuncError> {
    own(args.get(1..).unwrap_or_default())
}

fn instant(time: &Time) -> (i64, u32) {
    (time.seconds, time.nanos)
}

const METHODS: &[Function] = &[
    Function::new("Format", &[Type::String], |_, args| match args {
        [_, Value::Str(format)] => Ok(layout::format(own(args)?, &format.to_text()).into()),
        _ => misused(),
    }),
    Function::new("String", &[], |_, args| Ok(own(args)?.to_text().into())),
    Function::new("Unix", &[], |_, args| Ok(Value::int64(own(args)?.seconds))),
    Function::new("UnixMilli", &[], |_, args| {
        let time = own(args)?;
        Ok(Value::int64(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))))
    }),
    Function::new("UnixNano", &[], |_, args| {
        let time = own(args)?;
        Ok(Value::int64(time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos))))
    }),
    Function::new("Year", &[], |_, args| Ok(Value::int(own(args)?.civil().year))),
    Function::new("Month", &[], |_, args| Ok(Value::native(Named::month(own(args)?.civil().month)))),
    Function::new("Day", &[], |_, args| Ok(Value::int(own(args)?.civil().day))),
    Function::new("Hour", &[], |_, args| Ok(Value::int(own(args)?.civil().hour))),
    Function::new("Minute", &[], |_, args| Ok(Value::int(own(args)?.civil().minute))),
    Function::new("Second", &[], |_, args| Ok(Value::int(own(args)?.civil().second))),
    Function::new("Nanosecond", &[], |_, args| Ok(Value::int(i64::from(own(args)?.nanos)))),
    Function::new("Weekday", &[], |_, args| Ok(Value::native(Named::weekday(own(args)?.civil().weekday)))),
    Function::new("YearDay", &[], |_, args| Ok(Value::int(own(args)?.civil().year_day))),
    Function::new("UTC", &[], |_, args| Ok(Value::native(own(args)?.in_zone("UTC")))),
    Function::new("Local", &[], |_, args| Ok(Value::native(own(args)?.in_zone("UTC")))),
    Function::new("IsZero", &[], |_, args| Ok((instant(own(args)?) == (YEAR_ONE, 0)).into())),
    Function::new("Before", TIME, |_, args| Ok((instant(own(args)?) < instant(other(args)?)).into())),
    Function::new("After", TIME, |_, args| Ok((instant(own(args)?) > instant(other(args)?)).into())),
    Function::new("Equal", TIME, |_, args| Ok((instant(own(args)?) == instant(other(args)?)).into())),
    Function::new("Sub", TIME, |_, args| Ok(Value::native(Named::duration(own(args)?.since(other(args)?))))),
    Function::new("AddDate", &[INT, INT, INT], |_, args| match args {
        [_, Value::Int(_, years), Value::Int(_, months), Value::Int(_, days)] => {
            let time = own(args)?;
            let local = time.civil().add(*years, *months, *days);
            Ok(Value::native(Time { seconds: local.saturating_sub(i64::from(time.offset)), ..time.clone() }))
        }
        _ => misused(),
    }),
];

/// A number with a name of its own type: a month, a weekday, a duration.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: Value,
    text: Str,
}

impl Named {
    fn month(month: i64) -> Self {
        Self { type_name: "time.Month", number: Value::int(month), text: layout::month_name(month).into() }
    }

    fn weekday(day: i64) -> Self {
        Self { type_name: "time.Weekday", number: Value::int(day), text: layout::weekday_name(day).into() }
    }

    fn duration(duration: SignedDuration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self { type_name: "time.Duration", number: Value::int64(nanos), text: layout::duration(nanos).into() }
    }
}

impl Native for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> Kind {
        self.number.kind()
    }

    fn text(&self) -> Option<Str> {
        Some(self.text.clone())
    }

    fn plain(&self) -> Option<Value> {
        Some(self.number.clone())
    }
}

/// sprig takes a time, or an int, int32 or int64 as Unix seconds; everything else silently means now.
fn moment(cx: &Context<'_>, value: Option<&Value>) -> Result<Time, FuncError> {
    Ok(match value {
        Some(Value::Int(kind, seconds)) if !matches!(kind.to_string().as_str(), "int8" | "int16") => {
            Time::from_unix(*seconds)
        }
        Some(value) => match value.downcast::<Time>() {
            Some(time) => time.clone(),
            None => Time::utc(state(cx)?.now()),
        },
        None => Time::utc(state(cx)?.now()),
    })
}

fn in_zone(cx: &Context<'_>, format: Option<&Value>, date: Option<&Value>, zone: Option<&Value>) -> Outcome {
    let Some(Value::Str(format)) = format else { return misused() };
    let zone = zone.and_then(Value::as_str).map(Str::to_text).unwrap_or_default();
    Ok(layout::format(&moment(cx, date)?.in_zone(&zone), &format.to_text()).into())
}

fn modify(args: &[Value], lenient: bool) -> Outcome {
    let [Value::Str(by), date] = args else { return misused() };
    let time = own(std::slice::from_ref(date))?;
    match duration_go::parse(&by.to_text()) {
        Ok(nanos) => Ok(Value::native(time.plus(SignedDuration::from_nanos(nanos)))),
        Err(_) if lenient => Ok(date.clone()),
        Err(message) => Err(message.into()),
    }
}

fn parse(args: &[Value]) -> Result<Result<Time, String>, FuncError> {
    let [Value::Str(format), Value::Str(text)] = args else { return misused() };
    Ok(layout::parse(&format.to_text(), &text.to_text()))
}

fn ago(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let now = Time::utc(state(cx)?.now());
    let since = now.since(&moment(cx, args.first())?);
    let nanos = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    // To the nearest second, halves away from zero.
    let rounded = (nanos.abs().saturating_add(500_000_000) / 1_000_000_000).saturating_mul(1_000_000_000);
    Ok(layout::duration(rounded * nanos.signum()).into())
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of a function in the table")]
fn duration(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let seconds = match args {
        [Value::Str(text)] => text.to_text().parse().unwrap_or(0),
        [Value::Int(kind, seconds)] if kind.to_string() == "int64" => *seconds,
        _ => 0,
    };
    Ok(layout::duration(seconds.wrapping_mul(1_000_000_000)).into())
}

fn duration_round(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    const UNITS: [(u64, &str); 6] =
        [(31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let nanos = match args {
        [Value::Str(text)] => duration_go::parse(&text.to_text()).unwrap_or(0),
        [Value::Int(kind, nanos)] if kind.to_string() == "int64" => *nanos,
        [value] => match value.downcast::<Time>() {
            Some(time) => i64::try_from(Time::utc(state(cx)?.now()).since(time).as_nanos()).unwrap_or(i64::MAX),
            None => 0,
        },
        _ => return misused(),
    };
    let nanos = nanos.unsigned_abs();
    let fit = UNITS.iter().find(|(seconds, _)| nanos > seconds * 1_000_000_000);
    Ok(fit.map_or("0s".to_owned(), |(seconds, unit)| format!("{}{unit}", nanos / (seconds * 1_000_000_000))).into())
}
