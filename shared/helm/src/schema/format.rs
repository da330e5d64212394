//! Checks the formats that are asserted (santhosh-tekuri/jsonschema `format.go`). What is wrong is told without the
//! value, which may be a password.

use std::net::Ipv6Addr;

use slipway_gocompat::regexp;
use slipway_gocompat::time::Time;
use slipway_gocompat::url::Url;

type Outcome = Result<(), &'static str>;

/// What checks a format.
pub(super) type Check = fn(&str) -> Outcome;

/// The check of a format; `None` for one that nobody knows, which asserts nothing.
pub(super) fn check_of(name: &str) -> Option<Check> {
    Some(match name {
        "regex" => |text| regexp::compile(text).map(|_| ()).map_err(|_| "not a regular expression of Go"),
        "json-pointer" => json_pointer,
        "relative-json-pointer" => relative_json_pointer,
        "uuid" => uuid,
        "duration" => duration,
        "period" => period,
        "ipv4" => ipv4,
        "ipv6" => ipv6,
        "hostname" => hostname,
        "email" => email,
        "date" => date,
        "time" => time,
        "date-time" => date_time,
        "uri" | "iri" => uri,
        "uri-reference" | "iri-reference" => uri_reference,
        "uri-template" => uri_template,
        "semver" => semver,
        _ => return None,
    })
}

fn ensure(holds: bool, problem: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(problem) }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// The leading digits, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn json_pointer(text: &str) -> Outcome {
    if text.is_empty() {
        return Ok(());
    }
    ensure(text.starts_with('/'), "not starting with /")?;
    let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    ensure(escapes, "~ must be followed by 0 or 1")
}

fn relative_json_pointer(text: &str) -> Outcome {
    let (number, rest) = digits(text);
    ensure(!number.is_empty(), "must start with non-negative integer")?;
    ensure(number.len() == 1 || !number.starts_with('0'), "starts with zero")?;
    if rest == "#" { Ok(()) } else { json_pointer(rest) }
}

fn uuid(text: &str) -> Outcome {
    let lengths = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = text.split('-').collect();
    ensure(groups.len() == lengths.len(), "must have 5 elements")?;
    ensure(groups.iter().zip(lengths).all(|(group, length)| group.len() == length), "an element of another length")?;
    ensure(groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit())), "non-hex character")
}

fn duration(text: &str) -> Outcome {
    let rest = text.strip_prefix('P').ok_or("must start with P")?;
    ensure(!rest.is_empty(), "nothing after P")?;
    if let Some(weeks) = rest.strip_suffix('W') {
        return ensure(!weeks.is_empty() && all_digits(weeks), "invalid week");
    }
    for (index, part) in rest.split('T').enumerate() {
        ensure(index == 0 || !part.is_empty(), "no time elements")?;
        let mut units = ["YMD", "HMS"].get(index).copied().ok_or("more than one T")?;
        let mut part = part;
        while !part.is_empty() {
            let (number, rest) = digits(part);
            ensure(!number.is_empty(), "missing number")?;
            let unit = rest.chars().next().ok_or("missing unit")?;
            let (_, later) = units.split_once(unit).ok_or("invalid unit, or out of order")?;
            units = later;
            part = rest.get(unit.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(())
}

fn ipv4(text: &str) -> Outcome {
    let groups: Vec<&str> = text.split('.').collect();
    ensure(groups.len() == 4, "expected four decimals")?;
    for group in groups {
        ensure(group.len() == 1 || !group.starts_with('0'), "leading zeros")?;
        // Go's reader of integers takes a sign.
        let number = group.strip_prefix('+').unwrap_or(group);
        let number = number.parse::<u32>().ok().filter(|_| all_digits(number)).or((group == "-0").then_some(0));
        ensure(number.is_some_and(|number| number <= 255), "decimal must be between 0 and 255")?;
    }
    Ok(())
}

fn ipv6(text: &str) -> Outcome {
    ensure(text.contains(':'), "missing colon")?;
    ensure(!text.contains('%'), "zone id is not a part of ipv6 address")?;
    ensure(text.parse::<Ipv6Addr>().is_ok(), "unable to parse IP")
}

fn hostname(text: &str) -> Outcome {
    let text = text.strip_suffix('.').unwrap_or(text);
    ensure(text.len() <= 253, "more than 253 characters long")?;
    for label in text.split('.') {
        ensure((1..=63).contains(&label.len()), "label must be 1 to 63 characters long")?;
        ensure(!label.starts_with('-'), "label starts with hyphen")?;
        ensure(!label.ends_with('-'), "label ends with hyphen")?;
        ensure(label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "invalid character")?;
    }
    Ok(())
}

fn email(text: &str) -> Outcome {
    ensure(text.len() <= 254, "more than 255 characters long")?;
    let (local, domain) = text.rsplit_once('@').ok_or("missing @")?;
    ensure(local.len() <= 64, "local part more than 64 characters long")?;
    if local.len() > 1 && local.starts_with('"') {
        // The library looks at the first quote only, and takes the last character off whatever it is.
        let mut inner = local.chars();
        inner.next();
        inner.next_back();
        ensure(!inner.any(|c| c == '\\' || c == '"'), "backslash and quote are not allowed within quoted local part")?;
    } else {
        ensure(!local.starts_with('.'), "starts with dot")?;
        ensure(!local.ends_with('.'), "ends with dot")?;
        ensure(!local.contains(".."), "consecutive dots")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
        ensure(local.chars().all(legal), "invalid character")?;
    }
    if let Some(address) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.strip_prefix("IPv6:").map_or_else(|| ipv4(address), ipv6);
    }
    hostname(domain)
}

fn date(text: &str) -> Outcome {
    Time::parse("2006-01-02", text).map(|_| ()).map_err(|_| "not of the form 2006-01-02")
}

/// One of `hh:mm:ss` as Go's `strconv.Atoi` reads it.
fn number(text: Option<&str>) -> Option<u32> {
    let text = text?;
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if text == "-0" { Some(0) } else { unsigned.parse().ok().filter(|_| all_digits(unsigned)) }
}

fn time(text: &str) -> Outcome {
    ensure(text.len() >= 9, "less than 9 characters long")?;
    let bytes = text.as_bytes();
    let colons = [2, 5].iter().all(|at| bytes.get(*at) == Some(&b':'));
    ensure(colons, "missing colon in correct place")?;
    let part = |from: usize, to: usize| number(text.get(from..to)).ok_or("invalid hour/min/sec");
    let (hour, minute, second) = (part(0, 2)?, part(3, 5)?, part(6, 8)?);
    ensure(hour <= 23 && minute <= 59 && second <= 60, "hour/min/sec out of range")?;
    let mut rest = text.get(8..).ok_or("invalid hour/min/sec")?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let (number, after) = digits(fraction);
        ensure(!number.is_empty(), "no digits in second fraction")?;
        rest = after;
    }
    let mut minutes = i64::from(hour * 60 + minute);
    if rest != "z" && rest != "Z" {
        ensure(rest.len() == 6, "offset must be 6 characters long")?;
        let sign = match rest.as_bytes().first() {
            Some(b'+') => -1,
            Some(b'-') => 1,
            _ => return Err("offset must begin with plus/minus"),
        };
        ensure(rest.as_bytes().get(3) == Some(&b':'), "missing colon in offset in correct place")?;
        let part = |from: usize, to: usize| number(rest.get(from..to)).ok_or("invalid hour/min in offset");
        let (hours, offset_minutes) = (part(1, 3)?, part(4, 6)?);
        ensure(hours <= 23 && offset_minutes <= 59, "hour/min in offset out of range")?;
        minutes += sign * i64::from(hours * 60 + offset_minutes);
        if minutes < 0 {
            minutes += 24 * 60;
        }
    }
    ensure(second < 60 || minutes == 23 * 60 + 59, "invalid leap second")
}

fn date_time(text: &str) -> Outcome {
    ensure(text.len() >= 20, "less than 20 characters long")?;
    let is_marked = matches!(text.as_bytes().get(10), Some(b't' | b'T'));
    ensure(is_marked, "11th character must be t or T")?;
    date(text.get(..10).ok_or("not of the form 2006-01-02")?)?;
    time(text.get(11..).ok_or("missing hour/min/sec")?)
}

fn period(text: &str) -> Outcome {
    let (start, end) = text.split_once('/').ok_or("missing slash")?;
    if start.starts_with('P') {
        duration(start)?;
        return date_time(end);
    }
    date_time(start)?;
    if end.starts_with('P') { duration(end) } else { date_time(end) }
}

fn url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "not a URL")?;
    if url.hostname().contains(':') {
        ensure(url.host.contains('[') && url.host.contains(']'), "ipv6 address not enclosed in brackets")?;
        ipv6(url.hostname())?;
    }
    Ok(url)
}

fn uri(text: &str) -> Outcome {
    ensure(!url(text)?.scheme.is_empty(), "relative url")
}

fn uri_reference(text: &str) -> Outcome {
    ensure(!text.contains('\\'), r"contains \")?;
    url(text).map(|_| ())
}

fn uri_template(text: &str) -> Outcome {
    let url = url(text)?;
    // Without braces the path is written as Go would write it, and nothing is left to look at.
    if !url.raw_path.contains(['{', '}']) {
        return Ok(());
    }
    for segment in url.raw_path.split('/') {
        let segment = path_unescape(segment).ok_or("percent decode failed")?;
        let mut is_open = false;
        for c in segment.chars().filter(|c| matches!(c, '{' | '}')) {
            ensure(is_open == (c == '}'), "nested curly braces")?;
            is_open = !is_open;
        }
        ensure(!is_open, "no matching closing brace")?;
    }
    Ok(())
}

/// Go's `url.PathUnescape`.
pub(super) fn path_unescape(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    // A slash before it, so that nothing in it is taken for a scheme, and no second one, which would begin a host.
    let escaped = text.replace('?', "%3F").replace('/', "%2F");
    Some(Url::parse(&format!("/{}", escaped.replace('#', "%23"))).ok()?.path.get(1..)?.to_owned())
}

fn semver(text: &str) -> Outcome {
    let word = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let number = |id: &str| !id.is_empty() && all_digits(id) && (id.len() == 1 || !id.starts_with('0'));
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    ensure(build.is_none_or(|build| build.split('.').all(word)), "invalid build identifier")?;
    let (core, release) = text.split_once('-').map_or((text, None), |(text, release)| (text, Some(release)));
    let legal = |id: &str| word(id) && (!all_digits(id) || number(id));
    ensure(release.is_none_or(|release| release.split('.').all(legal)), "invalid pre-release identifier")?;
    ensure(core.split('.').count() == 3, "versionCore must have 3 numbers separated by dot")?;
    ensure(core.split('.').all(number), "invalid number")
}
