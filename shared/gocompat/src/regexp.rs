//! Compiles regular expressions of Go's RE2 dialect on the `regex` crate, which never blows up in time either. Patterns
//! are translated where the two read differently.

use std::fmt::Write as _;

pub use regex::Regex;
use regex::{Captures, RegexBuilder};

/// Bytes that one compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;
/// Levels of groups and repetitions.
const MAX_NESTING: u32 = 250;
/// Repetitions that Go allows.
const MAX_REPEAT: u32 = 1000;

/// Names of classes as in `[[:alpha:]]`.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Why a pattern can't be compiled; for what Go refuses as well in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}: `{pattern}`")]
pub struct RegexpError {
    /// What is wrong.
    pub reason: String,
    /// The part of the pattern that is wrong, or the whole.
    pub pattern: String,
}

/// Go's `regexp.Compile`.
pub fn compile(pattern: &str) -> Result<Regex, RegexpError> {
    let wrong = |reason: &str| RegexpError { reason: reason.to_owned(), pattern: pattern.to_owned() };
    let translated =
        translate(pattern).map_err(|Refused(reason, part)| RegexpError { reason: reason.to_owned(), pattern: part })?;
    RegexBuilder::new(&translated)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => wrong("expression too large"),
            regex::Error::Syntax(text) => wrong(match text.lines().last().unwrap_or_default() {
                "error: unclosed group" => "missing closing )",
                "error: unopened group" => "unexpected )",
                other => other.trim_start_matches("error: "),
            }),
            _ => wrong("invalid syntax"),
        })
}

/// Bytes that a regular expression may come to, at least what it takes to compile those that are small.
pub fn compiled_size(pattern: &str) -> usize {
    let counts = pattern.split('{').skip(1).map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit() && c != ',').next().unwrap_or_default();
        digits.rsplit(',').find_map(|count| count.parse::<usize>().ok()).unwrap_or(1).max(1)
    });
    let repeated = counts.fold(1, |all: usize, count| all.saturating_mul(count).min(MAX_REPEAT as usize));
    let letters = if pattern.contains("\\p") || pattern.contains("\\P") { 512 } else { 32 };
    (2_000 + pattern.len().saturating_mul(letters).saturating_mul(repeated)).min(MAX_COMPILED)
}

/// Go's `regexp.QuoteMeta`.
pub fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Go's `Regexp.Expand`, added to `out`: `$1`, `$name`, `${name}`, `$$`; what is malformed stays as it is.
pub fn expand(out: &mut String, captures: &Captures<'_>, template: &str) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_name = |c: char| c == '_' || c.is_alphanumeric();
        let (name, after) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) if !name.is_empty() && name.chars().all(is_name) => (name, after),
            Some(_) => ("", rest),
            None => rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len())),
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        let group = match name.parse::<usize>() {
            Ok(index) => captures.get(index),
            Err(_) => captures.name(name),
        };
        out.push_str(group.map_or("", |group| group.as_str()));
        rest = after;
    }
    out.push_str(rest);
}

/// A pattern in Go's syntax as one for the `regex` crate: `\d`, `\w`, `\s` and `\b` are ASCII, brackets in classes and
/// braces that count nothing are themselves, `\Q…\E` is literal, and what only the crate knows is refused.
fn translate(pattern: &str) -> Result<String, Refused> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut names: Vec<&str> = Vec::new();
    // How often what has been read last may be repeated by its own counts, and the most of that in each open group.
    let mut count: u32 = 1;
    let mut groups: Vec<u32> = vec![1];
    // Whether a repetition has just been read: Go allows `?` after one, nothing else.
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        let was_repeated = std::mem::take(&mut repeated);
        let from = pattern.get(pattern.len() - rest.len() - c.len_utf8()..).unwrap_or_default();
        let last = std::mem::replace(&mut count, 1);
        match c {
            '\\' if rest.starts_with('Q') => {
                let literal = rest.get(1..).unwrap_or_default();
                let (literal, after) = literal.split_once(r"\E").unwrap_or((literal, ""));
                out.push_str(&regex::escape(literal));
                rest = after;
            }
            '\\' => rest = escape(&mut out, rest, false)?,
            '[' => rest = class(&mut out, rest)?,
            '(' if rest.starts_with("?)") => {
                // No flag at all, which the crate does not take.
                rest = rest.get(2..).unwrap_or_default();
                (count, repeated) = (last, was_repeated);
            }
            '(' if rest.starts_with('?') => {
                let (after, opens) = special_group(&mut out, from, &mut names)?;
                rest = after;
                if opens {
                    groups.push(1);
                }
            }
            '(' => {
                groups.push(1);
                out.push('(');
            }
            ')' => {
                count = if groups.len() > 1 { groups.pop().unwrap_or(1) } else { 1 };
                if let Some(most) = groups.last_mut() {
                    *most = count.max(*most);
                }
                out.push(')');
            }
            '{' => match repetition(rest) {
                Some((_, length)) if was_repeated => {
                    let part = from.get(..=length).unwrap_or_default();
                    return Err(Refused("invalid nested repetition operator", format!("{}{part}", operator(&out))));
                }
                Some((most, length)) if most.saturating_mul(last) > MAX_REPEAT => {
                    return Err(Refused("invalid repeat count", from.get(..=length).unwrap_or_default().to_owned()));
                }
                Some((most, length)) => {
                    count = most.max(1) * last;
                    if let Some(most) = groups.last_mut() {
                        *most = count.max(*most);
                    }
                    out.push('{');
                    out.push_str(rest.get(..length).unwrap_or_default());
                    rest = lazy(&mut out, rest.get(length..).unwrap_or_default());
                    repeated = true;
                }
                None => out.push_str(r"\{"),
            },
            '}' => out.push_str(r"\}"),
            '*' | '+' | '?' if was_repeated => {
                return Err(Refused("invalid nested repetition operator", format!("{}{c}", operator(&out))));
            }
            '*' | '+' | '?' => {
                count = last;
                out.push(c);
                rest = lazy(&mut out, rest);
                repeated = true;
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// A group that begins with `(?`, as `from` does; gives the rest after that, and whether a group was opened.
fn special_group<'r>(out: &mut String, from: &'r str, names: &mut Vec<&'r str>) -> Result<(&'r str, bool), Refused> {
    let flags = from.get(2..).unwrap_or_default();
    let unsupported =
        |length: usize| Err(Refused("invalid or unsupported Perl syntax", from.chars().take(length).collect()));
    if flags.starts_with(['=', '!']) {
        return unsupported(3);
    }
    if flags.starts_with("<=") || flags.starts_with("<!") {
        return unsupported(4);
    }
    if let Some(named) = flags.strip_prefix("P<").or_else(|| flags.strip_prefix('<')) {
        let Some((name, after)) = named.split_once('>') else {
            return Err(Refused("invalid named capture", from.to_owned()));
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let part = from.get(..from.len() - after.len()).unwrap_or_default();
            return Err(Refused("invalid named capture", part.to_owned()));
        }
        // The crate takes no second group of a name, and no name that begins with a digit.
        if names.contains(&name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push('(');
        } else {
            let _ = write!(out, "(?P<{name}>");
            names.push(name);
        }
        return Ok((after, true));
    }
    let end = flags.find([')', ':']).unwrap_or(flags.len());
    let unknown = flags.chars().take_while(|c| !matches!(c, ')' | ':')).position(|c| !"imsU-".contains(c));
    if let Some(at) = unknown {
        return unsupported(3 + at);
    }
    out.push_str("(?");
    out.push_str(flags.get(..=end).unwrap_or(flags));
    let opens = flags.get(end..).is_some_and(|after| after.starts_with(':'));
    Ok((flags.get(end + 1..).unwrap_or_default(), opens))
}

/// The repetition that `out` ends with.
fn operator(out: &str) -> &str {
    let end = out.strip_suffix('?').filter(|rest| rest.ends_with(['*', '+', '?', '}'])).unwrap_or(out);
    let start = if end.ends_with('}') { end.rfind('{') } else { end.char_indices().last().map(|(at, _)| at) };
    start.and_then(|start| out.get(start..)).unwrap_or_default()
}

/// Why a pattern is refused, and which part of it.
struct Refused(&'static str, String);

fn lazy<'r>(out: &mut String, rest: &'r str) -> &'r str {
    match rest.strip_prefix('?') {
        Some(after) => {
            out.push('?');
            after
        }
        None => rest,
    }
}

/// The largest count of `n}`, `n,}` or `n,m}` and its length.
fn repetition(rest: &str) -> Option<(u32, usize)> {
    let (body, _) = rest.split_once('}')?;
    let (least, most) = body.split_once(',').unwrap_or((body, ""));
    let number = |text: &str| {
        let digits =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        digits.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
    };
    let least = number(least)?;
    let most = if most.is_empty() { 0 } else { number(most)? };
    Some((least.max(most), body.len() + 1))
}

/// What follows a backslash; gives the rest.
fn escape<'r>(out: &mut String, rest: &'r str, in_class: bool) -> Result<&'r str, Refused> {
    let trailing = || Refused("trailing backslash at end of expression", String::new());
    let c = rest.chars().next().ok_or_else(trailing)?;
    let after = rest.get(c.len_utf8()..).unwrap_or_default();
    let refused = |reason, length: usize| Refused(reason, format!("\\{}", rest.get(..length).unwrap_or(rest)));
    let (positive, negative) = match c.to_ascii_lowercase() {
        'd' => ("0-9", "[^0-9]"),
        'w' => ("0-9A-Za-z_", "[^0-9A-Za-z_]"),
        's' => (r"\t\n\f\r ", r"[^\t\n\f\r ]"),
        _ => ("", ""),
    };
    match c {
        'd' | 'w' | 's' if in_class => out.push_str(positive),
        'd' | 'w' | 's' => {
            let _ = write!(out, "[{positive}]");
        }
        'D' | 'W' | 'S' => out.push_str(negative),
        'b' | 'B' if !in_class => {
            let _ = write!(out, r"(?-u:\{c})");
        }
        'A' | 'z' if !in_class => {
            out.push('\\');
            out.push(c);
        }
        'p' | 'P' if after.starts_with('{') => {
            let range = "invalid character class range";
            let end = after.find('}').ok_or_else(|| refused(range, rest.len()))? + 1;
            let name = after.get(1..end - 1).unwrap_or_default();
            let (name, negated) = name.strip_prefix('^').map_or((name, c == 'P'), |name| (name, c == 'p'));
            if name.contains(['=', ':', '!', '^']) {
                return Err(refused(range, end + 1));
            }
            let _ = write!(out, "\\{}{{{name}}}", if negated { 'P' } else { 'p' });
            return Ok(after.get(end..).unwrap_or_default());
        }
        'x' if after.starts_with('{') => {
            let end = after.find('}').ok_or_else(|| refused("invalid escape sequence", rest.len()))? + 1;
            let _ = write!(out, "\\x{}", after.get(..end).unwrap_or_default());
            return Ok(after.get(end..).unwrap_or_default());
        }
        'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'p' | 'P' => {
            out.push('\\');
            out.push(c);
        }
        // An octal code; a single digit would be a back reference, which RE2 lacks.
        '0'..='7' if c == '0' || after.starts_with(|c: char| ('0'..='7').contains(&c)) => {
            let length = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            let code = u32::from_str_radix(rest.get(..length).unwrap_or_default(), 8).unwrap_or(0);
            let _ = write!(out, r"\x{{{code:x}}}");
            return Ok(rest.get(length..).unwrap_or_default());
        }
        c if c.is_ascii_alphanumeric() => return Err(refused("invalid escape sequence", 1)),
        c if c.is_ascii() => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        c => return Err(refused("invalid escape sequence", c.len_utf8())),
    }
    Ok(after)
}

/// A class after its `[`; gives the rest after its `]`.
fn class<'r>(out: &mut String, rest: &'r str) -> Result<&'r str, Refused> {
    let whole = rest;
    out.push('[');
    let mut rest = match rest.strip_prefix('^') {
        Some(after) => {
            out.push('^');
            after
        }
        None => rest,
    };
    let mut first = true;
    // Whether a class of characters has just been read, which no range can begin with.
    let mut is_set = false;
    loop {
        let c = rest.chars().next().ok_or_else(|| Refused("missing closing ]", format!("[{whole}")))?;
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let was_set = std::mem::take(&mut is_set);
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(after);
            }
            '[' if after.starts_with(':') && after.contains(":]") => {
                let (name, next) = after.split_once(":]").unwrap_or_default();
                if !POSIX.contains(&name.trim_start_matches(':').trim_start_matches('^')) {
                    return Err(Refused("invalid character class range", format!("[{name}:]")));
                }
                let _ = write!(out, "[{name}:]");
                rest = next;
                is_set = true;
            }
            '\\' => {
                is_set = after.starts_with(['d', 'D', 'w', 'W', 's', 'S', 'p', 'P']);
                rest = escape(out, after, true)?;
            }
            // These the crate would take for set operations.
            '[' | ']' | '&' | '~' => {
                out.push('\\');
                out.push(c);
                rest = after;
            }
            c => {
                // `--` is a set operation for the crate, too; as the end of a range it is itself.
                if c == '-' && (first || was_set || out.ends_with('-') || after.starts_with(']')) {
                    out.push('\\');
                }
                out.push(c);
                rest = after;
            }
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_go_keep_their_meaning() {
        for (pattern, text, hit) in [
            (r"^\d+$", "١", false),
            (r"[\w.]+", "a.b", true),
            (r"^[\w-.]+$", "main-1.2", true),
            (r"^[\w-.]+$", "a/b", false),
            (r"^[[:digit:]-z]+$", "1-z", true),
            (r"^[[:digit:]-z]+$", "a", false),
            (r"^[^\W]$", "a", true),
            (r"a{,2}", "a{,2}", true),
            (r"\<a\>", "<a>", true),
            (r"[[]", "[", true),
            (r"[]a]", "]", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[+--]$", ",", true),
            (r"\x{e9}", "é", true),
            (r"\101", "A", true),
            (r"[[:alpha:]_]", "_", true),
            (r"x{{", "x{{", true),
            (r"\Qa.b", "a.b", true),
            (r"(?P<1>a)(?P<n>b)(?P<n>c)", "abc", true),
            (r"^\p{^Lu}$", "A", false),
            ("(?)a", "a", true),
            ("(a{30}){30}", "a", false),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), hit, "{pattern} {text}");
        }
        for pattern in ["a**", "a{1001}", r"\8", "(?=a)", "(?<!a)", "[a", r"a\", r"\_a\y"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        for (pattern, words) in [
            ("(", "missing closing ): `(`"),
            ("a)", "unexpected ): `a)`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("(a{30}){40}", "invalid repeat count: `{40}`"),
            ("a**", "invalid nested repetition operator: `**`"),
            (r"x\cA", r"invalid escape sequence: `\c`"),
            ("x[a", "missing closing ]: `[a`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?P<é>a)", "invalid named capture: `(?P<é>`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ] {
            assert_eq!(compile(pattern).unwrap_err().to_string(), format!("error parsing regexp: {words}"));
        }
    }

    #[test]
    fn references_are_expanded_as_in_go() {
        let regex = compile("(?P<first>a)(b)?").unwrap();
        let captures = regex.captures("xab").unwrap();
        let mut out = String::new();
        expand(&mut out, &captures, "${first}$2$$1$x${3}${-}$");
        assert_eq!(out, "ab$1${-}$");
        assert_eq!(quote_meta("a.b[c]"), r"a\.b\[c\]");
    }
}
