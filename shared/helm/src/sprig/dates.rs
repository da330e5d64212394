//! Reckons with dates (Masterminds/sprig `date.go`). The clock is the caller's; "Local" is UTC, as on a server.

#![warn(clippy::arithmetic_side_effects)]

use slipway_gocompat::duration;
use slipway_gocompat::time::{self, TimeError, month_name, weekday_name};
use slipway_gotmpl::{Context, FuncError, Function, INT, Kind, Native, Str, Type, Value};

use super::{Outcome, misused, state};

const ONE: &[Type] = &[Type::Any];
const MODIFY: &[Type] = &[Type::String, Type::Named("time.Time")];
const TWO_TEXTS: &[Type] = &[Type::String, Type::String];
const TIME: &[Type] = &[Type::Named("time.Time")];

pub(super) const TABLE: &[Function] = &[
    Function::new("now", &[], |cx, _| Ok(value(now(cx)?))),
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
    Function::new("toDate", TWO_TEXTS, |cx, args| Ok(value(parse(cx, args)?.unwrap_or(time::Time::ZERO)))),
    Function::new("mustToDate", TWO_TEXTS, |cx, args| parse(cx, args)?.map(value).map_err(|e| e.to_string().into())),
    Function::new("duration", ONE, duration_of),
    Function::new("durationRound", ONE, duration_round),
    Function::new("unixEpoch", TIME, |_, args| Ok(own(args)?.instant().0.to_string().into())),
];

const ZONED: &[Type] = &[Type::String, Type::Any, Type::String];
const HTML: Value = Value::literal("2006-01-02");

/// `time.Time` as templates see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Time(pub(crate) time::Time);

impl Native for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn method(&self, name: &str) -> Option<&'static Function> {
        METHODS.iter().find(|method| method.name == name)
    }

    fn text(&self) -> Option<Str> {
        Some(self.0.to_string().into())
    }

    fn json(&self) -> Option<Value> {
        Some(self.0.rfc3339().into())
    }
}

fn value(time: time::Time) -> Value {
    Value::native(Time(time))
}

fn now(cx: &Context<'_>) -> Result<time::Time, FuncError> {
    Ok(state(cx)?.now().into())
}

fn own(args: &[Value]) -> Result<&time::Time, FuncError> {
    args.first().and_then(|value| value.downcast::<Time>()).map_or_else(misused, |time| Ok(&time.0))
}

fn other(args: &[Value]) -> Result<&time::Time, FuncError> {
    own(args.get(1..).unwrap_or_default())
}

const METHODS: &[Function] = &[
    Function::new("Format", &[Type::String], |cx, args| match args {
        [_, Value::Str(format)] => {
            pay_layout(cx, format)?;
            Ok(own(args)?.format(&format.to_text()).into())
        }
        _ => misused(),
    }),
    Function::new("String", &[], |_, args| Ok(own(args)?.to_string().into())),
    Function::new("Unix", &[], |_, args| Ok(Value::int64(own(args)?.instant().0))),
    Function::new("UnixMilli", &[], |_, args| {
        let (seconds, nanos) = own(args)?.instant();
        Ok(Value::int64(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000))))
    }),
    Function::new("UnixNano", &[], |_, args| {
        let (seconds, nanos) = own(args)?.instant();
        Ok(Value::int64(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanos))))
    }),
    Function::new("Year", &[], |_, args| Ok(Value::int(own(args)?.civil().year))),
    Function::new("Month", &[], |_, args| Ok(Value::native(Named::month(own(args)?.civil().month)))),
    Function::new("Day", &[], |_, args| Ok(Value::int(own(args)?.civil().day))),
    Function::new("Hour", &[], |_, args| Ok(Value::int(own(args)?.civil().hour))),
    Function::new("Minute", &[], |_, args| Ok(Value::int(own(args)?.civil().minute))),
    Function::new("Second", &[], |_, args| Ok(Value::int(own(args)?.civil().second))),
    Function::new("Nanosecond", &[], |_, args| Ok(Value::int(own(args)?.instant().1.into()))),
    Function::new("Weekday", &[], |_, args| Ok(Value::native(Named::weekday(own(args)?.civil().weekday)))),
    Function::new("YearDay", &[], |_, args| Ok(Value::int(own(args)?.civil().year_day))),
    Function::new("UTC", &[], |_, args| Ok(value(own(args)?.in_zone("UTC")))),
    Function::new("Local", &[], |_, args| Ok(value(own(args)?.in_zone("UTC")))),
    Function::new("IsZero", &[], |_, args| Ok((own(args)?.instant() == time::Time::ZERO.instant()).into())),
    Function::new("Before", TIME, |_, args| Ok((own(args)?.instant() < other(args)?.instant()).into())),
    Function::new("After", TIME, |_, args| Ok((own(args)?.instant() > other(args)?.instant()).into())),
    Function::new("Equal", TIME, |_, args| Ok((own(args)?.instant() == other(args)?.instant()).into())),
    Function::new("Sub", TIME, |_, args| Ok(Value::native(Named::duration(own(args)?.since(other(args)?))))),
    Function::new("AddDate", &[INT, INT, INT], |_, args| match args {
        [_, Value::Int(_, years), Value::Int(_, months), Value::Int(_, days)] => {
            Ok(value(own(args)?.plus_date(*years, *months, *days)))
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
        Self { type_name: "time.Month", number: Value::int(month), text: month_name(month).into() }
    }

    fn weekday(day: i64) -> Self {
        Self { type_name: "time.Weekday", number: Value::int(day), text: weekday_name(day).into() }
    }

    fn duration(nanos: i64) -> Self {
        Self { type_name: "time.Duration", number: Value::int64(nanos), text: duration::format(nanos).into() }
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
fn moment(cx: &Context<'_>, value: Option<&Value>) -> Result<time::Time, FuncError> {
    match value {
        Some(Value::Int(kind, seconds)) if !matches!(kind.to_string().as_str(), "int8" | "int16") => {
            Ok(time::Time::unix(*seconds))
        }
        Some(value) => match value.downcast::<Time>() {
            Some(time) => Ok(time.0.clone()),
            None => now(cx),
        },
        None => now(cx),
    }
}

fn in_zone(cx: &Context<'_>, format: Option<&Value>, date: Option<&Value>, zone: Option<&Value>) -> Outcome {
    let Some(Value::Str(format)) = format else { return misused() };
    pay_layout(cx, format)?;
    let zone = zone.and_then(Value::as_str).map(Str::to_text).unwrap_or_default();
    Ok(moment(cx, date)?.in_zone(&zone).format(&format.to_text()).into())
}

/// A layout is cut into pieces, some of a byte only, and each is looked up.
fn pay_layout(cx: &Context<'_>, layout: &Str) -> Result<(), FuncError> {
    const PIECE: usize = 64;
    cx.budget().step(layout.len().saturating_mul(8) as u64)?;
    Ok(cx.budget().bytes(layout.len().saturating_mul(PIECE))?)
}

fn modify(args: &[Value], lenient: bool) -> Outcome {
    let [Value::Str(by), date] = args else { return misused() };
    let time = own(std::slice::from_ref(date))?;
    match duration::parse(&by.to_text()) {
        Ok(nanos) => Ok(value(time.plus(nanos))),
        Err(_) if lenient => Ok(date.clone()),
        Err(e) => Err(e.to_string().into()),
    }
}

fn parse(cx: &Context<'_>, args: &[Value]) -> Result<Result<time::Time, TimeError>, FuncError> {
    let [Value::Str(format), Value::Str(text)] = args else { return misused() };
    pay_layout(cx, format)?;
    Ok(time::Time::parse(&format.to_text(), &text.to_text()))
}

fn ago(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    let nanos = now(cx)?.since(&moment(cx, args.first())?);
    // To the nearest second, halves away from zero.
    let rounded = (nanos.saturating_abs().saturating_add(500_000_000) / 1_000_000_000).saturating_mul(1_000_000_000);
    Ok(duration::format(rounded.saturating_mul(nanos.signum())).into())
}

#[allow(clippy::unnecessary_wraps, reason = "the shape of a function in the table")]
fn duration_of(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let seconds = match args {
        [Value::Str(text)] => text.to_text().parse().unwrap_or(0),
        [Value::Int(kind, seconds)] if kind.to_string() == "int64" => *seconds,
        _ => 0,
    };
    Ok(duration::format(seconds.wrapping_mul(1_000_000_000)).into())
}

fn duration_round(cx: &mut Context<'_>, args: &[Value]) -> Outcome {
    const SECOND: u64 = 1_000_000_000;
    const UNITS: [(u64, &str); 6] = [
        (31_536_000 * SECOND, "y"),
        (2_592_000 * SECOND, "mo"),
        (86_400 * SECOND, "d"),
        (3_600 * SECOND, "h"),
        (60 * SECOND, "m"),
        (SECOND, "s"),
    ];
    let nanos = match args {
        [Value::Str(text)] => duration::parse(&text.to_text()).unwrap_or(0),
        [Value::Int(kind, nanos)] if kind.to_string() == "int64" => *nanos,
        [value] => match value.downcast::<Time>() {
            Some(time) => now(cx)?.since(&time.0),
            None => 0,
        },
        _ => return misused(),
    };
    let nanos = nanos.unsigned_abs();
    let fit = UNITS.iter().find(|(unit, _)| nanos > *unit);
    let count = |unit: u64| nanos.checked_div(unit).unwrap_or_default();
    Ok(fit.map_or("0s".to_owned(), |(unit, name)| format!("{}{name}", count(*unit))).into())
}
