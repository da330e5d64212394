//! From values to text, in the form that sigs.k8s.io/yaml writes: block style, lists not indented, strings quoted
//! where a reader with Go's rules would take them for something else.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::resolve_plain;

/// `value` as one YAML document with a final line break; keys in the order they have.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, false),
        Value::Array(list) if !list.is_empty() => sequence(&mut out, list, 0, false),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, by: usize) {
    out.extend(std::iter::repeat_n(' ', by));
}

fn mapping(out: &mut String, map: &Map<String, Value>, by: usize, mut in_line: bool) {
    for (key, value) in map {
        if !std::mem::take(&mut in_line) {
            indent(out, by);
        }
        text(out, key, by);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, inner, by + 2, false);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                sequence(out, list, by, false);
            }
            other => {
                out.push(' ');
                scalar(out, other, by + 2);
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, list: &[Value], by: usize, mut in_line: bool) {
    for item in list {
        if !std::mem::take(&mut in_line) {
            indent(out, by);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => mapping(out, inner, by + 2, true),
            Value::Array(inner) if !inner.is_empty() => sequence(out, inner, by + 2, true),
            other => {
                scalar(out, other, by + 2);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value, by: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => {
            let _ = write!(out, "{n}");
        }
        Value::String(s) => text(out, s, by),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

fn text(out: &mut String, s: &str, by: usize) {
    if s.contains('\n') && !s.chars().any(|c| c.is_control() && c != '\n' && c != '\t') && !s.starts_with(['\n', ' ', '\t']) {
        return literal(out, s, by);
    }
    if is_plain(s) {
        out.push_str(s);
    } else if s.chars().any(char::is_control) {
        let _ = write!(out, "{}", Value::String(s.to_owned()));
    } else {
        out.push('\'');
        out.push_str(&s.replace('\'', "''"));
        out.push('\'');
    }
}

fn literal(out: &mut String, s: &str, by: usize) {
    let body = s.trim_end_matches('\n');
    let chomp = match s.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    out.push_str(chomp);
    for line in s.strip_suffix('\n').unwrap_or(s).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, by);
            out.push_str(line);
        }
    }
}

fn is_plain(s: &str) -> bool {
    let special_start = |c: char| "!&*-?|>@`\"'%#{}[],: \t".contains(c);
    matches!(resolve_plain(s), Value::String(_))
        && !s.starts_with(special_start)
        && !s.ends_with([' ', ':', '\t'])
        && !s.contains(": ")
        && !s.contains(" #")
        && !s.chars().any(char::is_control)
        && s != "<<"
        && s != "="
}
