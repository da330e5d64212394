//! From values to text, in the form that sigs.k8s.io/yaml writes (go-yaml v2 `emitterc.go`, `encode.go`): block style,
//! lists not indented, strings quoted where a reader with Go's rules would take them for something else.

use serde_json::{Map, Number, Value};
use slipway_gocompat::strconv::format_float;

use super::natural;
use super::resolve::{Resolved, is_timestamp, resolve};

/// A key of more bytes than this is written with `? `.
const SIMPLE_KEY: usize = 128;

/// The column after which go-yaml v2 folds.
const WIDTH: usize = 80;

/// `value` as one YAML document with a final line break; keys in the order they have, no line folded.
pub fn to_string(value: &Value) -> String {
    Emitter { out: String::new(), column: 0, width: usize::MAX, sorted: false, pretty: false }.document(value)
}

/// `value` as sigs.k8s.io/yaml.Marshal writes it, which is Helm's `toYaml`: keys in go-yaml's natural order (`a9`
/// before `a10`), scalars folded after 80 columns, final line break.
pub fn to_string_go(value: &Value) -> String {
    Emitter { out: String::new(), column: 0, width: WIDTH, sorted: true, pretty: false }.document(value)
}

/// `value` as go-yaml v3 writes it with an indentation of two, which is Helm's `toYamlPretty`: lists indented, no line
/// folded, floats as Go prints them.
pub fn to_string_pretty(value: &Value) -> String {
    Emitter { out: String::new(), column: 0, width: usize::MAX, sorted: true, pretty: true }.document(value)
}

struct Emitter {
    out: String,
    column: usize,
    width: usize,
    sorted: bool,
    /// As go-yaml v3.
    pretty: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Emitter {
    fn document(mut self, value: &Value) -> String {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, 0, true),
            Value::Array(list) if !list.is_empty() => self.sequence(list, 0, true),
            other => self.scalar(other, 2),
        }
        self.out.push('\n');
        self.out
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_str(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self, indent: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn mapping(&mut self, map: &Map<String, Value>, indent: usize, mut inline: bool) {
        let entries = if self.sorted { natural::sorted(map) } else { map.iter().collect() };
        for (key, value) in entries {
            if !std::mem::take(&mut inline) {
                self.line(indent);
            }
            if key.len() <= SIMPLE_KEY && !key.contains(is_break) {
                self.text(key, indent, false);
                self.put(':');
                self.value(value, indent);
            } else {
                self.put_str("? ");
                self.text(key, indent + 2, true);
                self.line(indent);
                self.put(':');
                self.item(value, indent);
            }
        }
    }

    /// What stands behind `key:`.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(inner) if !inner.is_empty() => self.mapping(inner, indent + 2, false),
            Value::Array(list) if !list.is_empty() => {
                self.sequence(list, if self.pretty { indent + 2 } else { indent }, false);
            }
            other => {
                self.put(' ');
                self.scalar(other, indent + 2);
            }
        }
    }

    fn sequence(&mut self, list: &[Value], indent: usize, mut inline: bool) {
        for item in list {
            if !std::mem::take(&mut inline) {
                self.line(indent);
            }
            self.put('-');
            self.item(item, indent);
        }
    }

    /// What stands behind `-`, or behind the `:` of a long key.
    fn item(&mut self, value: &Value, indent: usize) {
        self.put(' ');
        match value {
            Value::Object(inner) if !inner.is_empty() => self.mapping(inner, indent + 2, true),
            Value::Array(inner) if !inner.is_empty() => self.sequence(inner, indent + 2, true),
            other => self.scalar(other, indent + 2),
        }
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.put_str("null"),
            Value::Bool(true) => self.put_str("true"),
            Value::Bool(false) => self.put_str("false"),
            Value::Number(n) if self.pretty && n.is_f64() => {
                self.put_str(&format_float(n.as_f64().unwrap_or_default(), 'g', None));
            }
            Value::Number(n) => self.put_str(&number(n)),
            Value::String(s) => self.text(s, indent, true),
            Value::Array(_) => self.put_str("[]"),
            Value::Object(_) => self.put_str("{}"),
        }
    }

    /// A string; `breaks` where it may go over several lines, which a simple key may not.
    fn text(&mut self, s: &str, indent: usize, breaks: bool) {
        match style(s) {
            // go-yaml writes a merge key and odd line breaks by mistake; we do so only where the bytes have to be its
            // own.
            Style::Plain if s == "<<" && !self.sorted => self.double(s, indent, breaks),
            Style::Single if s.contains(is_break) && !self.sorted => self.double(s, indent, breaks),
            Style::Plain => self.plain(s, indent, breaks),
            Style::Single => self.single(s, indent, breaks),
            Style::Double => self.double(s, indent, breaks),
            Style::Literal => self.literal(s, indent),
        }
    }

    fn folds(&self, breaks: bool, spaces: bool) -> bool {
        breaks && !spaces && self.column > self.width
    }

    fn plain(&mut self, s: &str, indent: usize, breaks: bool) {
        let mut spaces = false;
        let mut chars = s.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' && self.folds(breaks, spaces) && chars.peek() != Some(&' ') {
                self.line(indent);
            } else {
                self.put(c);
            }
            spaces = c == ' ';
        }
    }

    fn single(&mut self, s: &str, indent: usize, breaks: bool) {
        self.put('\'');
        let (mut spaces, mut after_break) = (false, false);
        let mut chars = s.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            if c == ' ' {
                let inner = !first && chars.peek().is_some_and(|next| *next != ' ');
                if self.folds(breaks, spaces) && inner {
                    self.line(indent);
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                self.out.push(c);
                self.column = 0;
                after_break = true;
            } else {
                if std::mem::take(&mut after_break) {
                    self.out.extend(std::iter::repeat_n(' ', indent));
                    self.column = indent;
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                spaces = false;
            }
            first = false;
        }
        self.put('\'');
    }

    fn double(&mut self, s: &str, indent: usize, breaks: bool) {
        self.put('"');
        let mut spaces = false;
        let mut chars = s.chars().peekable();
        let mut first = true;
        while let Some(c) = chars.next() {
            if !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') {
                self.escape(c);
                spaces = false;
            } else if c == ' ' {
                if !first && chars.peek().is_some() && self.folds(breaks, spaces) {
                    self.line(indent);
                    if chars.peek() == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
            first = false;
        }
        self.put('"');
    }

    fn escape(&mut self, c: char) {
        self.put('\\');
        let short = match c {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' => '"',
            '\\' => '\\',
            '\u{85}' => 'N',
            '\u{a0}' => '_',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ => {
                let code = u32::from(c);
                return match code {
                    0..=0xff => self.put_str(&format!("x{code:02X}")),
                    0x100..=0xffff => self.put_str(&format!("u{code:04X}")),
                    _ => self.put_str(&format!("U{code:08X}")),
                };
            }
        };
        self.put(short);
    }

    fn literal(&mut self, s: &str, indent: usize) {
        self.put('|');
        if s.starts_with(|c| c == ' ' || is_break(c)) {
            self.put('2');
        }
        let mut end = s.chars().rev();
        match (end.next().is_some_and(is_break), end.next().is_none_or(is_break)) {
            (false, _) => self.put('-'),
            (true, true) => self.put('+'),
            (true, false) => {}
        }
        self.out.push('\n');
        let mut breaks = true;
        for c in s.chars() {
            if is_break(c) {
                self.out.push(c);
                breaks = true;
            } else {
                if std::mem::take(&mut breaks) {
                    self.out.extend(std::iter::repeat_n(' ', indent));
                }
                self.out.push(c);
            }
        }
        // The caller breaks the line: the text's own last line break is that one.
        if self.out.ends_with('\n') {
            self.out.pop();
        }
    }
}

fn number(n: &Number) -> String {
    match n.as_f64() {
        Some(float) if n.is_f64() => {
            // Below 10^21 Go's JSON writes no exponent, so what fits 64 bits is read back as an integer.
            let digits = float.to_string();
            let integer = digits != "-0" && (digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok());
            if integer { digits } else { format_float(float, 'g', None) }
        }
        _ => n.to_string(),
    }
}

/// Whether go-yaml quotes a string because it, or another reader of YAML 1.1, would take it for something else.
pub(crate) fn is_quoted_by_go(s: &str) -> bool {
    !matches!(resolve(s), Resolved::Text) || is_timestamp(s) || is_base_60(s)
}

/// How a string has to be written so that it is read back.
fn style(s: &str) -> Style {
    let text = Text::of(s);
    let ambiguous = is_quoted_by_go(s);
    if s.contains('\n') {
        return if text.block { Style::Literal } else { Style::Double };
    }
    match (ambiguous, text.plain, text.single) {
        (true, ..) | (false, false, false) => Style::Double,
        (false, true, _) => Style::Plain,
        (false, false, true) => Style::Single,
    }
}

/// Which styles a text's characters allow (`yaml_emitter_analyze_scalar`).
struct Text {
    plain: bool,
    single: bool,
    block: bool,
}

impl Text {
    fn of(s: &str) -> Self {
        let mut indicators = s.starts_with("---") || s.starts_with("...");
        let (mut breaks, mut special) = (false, false);
        let (mut break_space, mut space_break) = (false, false);
        let mut previous = None;
        let mut chars = s.chars().peekable();
        while let Some(c) = chars.next() {
            let blank_next = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            indicators |= match (previous, c) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
                ) => true,
                (None, '?' | '-') | (_, ':') => blank_next,
                (Some(before), '#') => matches!(before, ' ' | '\t') || is_break(before),
                _ => false,
            };
            special |= !is_printable(c);
            breaks |= is_break(c);
            break_space |= c == ' ' && previous.is_some_and(is_break);
            space_break |= is_break(c) && previous == Some(' ');
            previous = Some(c);
        }
        let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let trailing_space = s.ends_with(' ');
        Self {
            plain: !(indicators || special || breaks || edge(s.chars().next()) || edge(previous)),
            single: !(break_space || space_break || special),
            block: !(trailing_space || space_break || special),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What go-yaml writes as it is; everything beyond 16 bits is escaped, emoji among it.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// Numbers to base 60 (`12:30:45`), which other readers of YAML 1.1 know and go-yaml quotes for them.
fn is_base_60(s: &str) -> bool {
    let body = s.strip_prefix(['+', '-']).unwrap_or(s);
    let body = body.split_once('.').map_or(body, |(whole, fraction)| {
        if fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_') { whole } else { "" }
    });
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let sixtieth = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => matches!(ten, b'0'..=b'5') && one.is_ascii_digit(),
        _ => false,
    };
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && !rest.is_empty()
        && rest.into_iter().all(sixtieth)
}
