//! html, js and urlquery.

use std::fmt::Write;

use slipway_gocompat::strconv::is_print;

use crate::budget::Budget;
use crate::fmt::sprint;
use crate::func::FuncError;
use crate::value::{Str, Value};

/// The text to escape: as printed, nil as no value.
fn text(budget: &Budget, args: &[Value]) -> Result<Str, FuncError> {
    let args: Vec<Value> = args
        .iter()
        .map(|arg| if matches!(arg, Value::Nil) { Value::literal("<no value>") } else { arg.clone() })
        .collect();
    let text = sprint(budget, &args)?;
    // Whatever escapes makes it at most six times as long.
    budget.bytes(text.len().saturating_mul(6))?;
    Ok(text)
}

pub(super) fn html(budget: &Budget, args: &[Value]) -> Result<Value, FuncError> {
    let text = text(budget, args)?;
    let mut out = Vec::with_capacity(text.len());
    for byte in text.as_bytes() {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            _ => out.push(*byte),
        }
    }
    Ok(Str::from(out).into())
}

pub(super) fn js(budget: &Budget, args: &[Value]) -> Result<Value, FuncError> {
    let text = text(budget, args)?;
    let mut out = String::with_capacity(text.len());
    for chunk in text.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a string can't fail.
            let _ = match c {
                '\\' | '\'' | '"' => write!(out, "\\{c}"),
                '<' | '>' | '&' | '=' => write!(out, "\\u{:04X}", u32::from(c)),
                _ if c < ' ' => write!(out, "\\u{:04X}", u32::from(c)),
                _ if c.is_ascii() || is_print(c) => {
                    out.push(c);
                    Ok(())
                }
                _ => write!(out, "\\u{:04X}", u32::from(c)),
            };
        }
        for _ in chunk.invalid() {
            out.push_str("\\uFFFD");
        }
    }
    Ok(out.into())
}

pub(super) fn urlquery(budget: &Budget, args: &[Value]) -> Result<Value, FuncError> {
    let text = text(budget, args)?;
    let mut out = String::with_capacity(text.len());
    for byte in text.as_bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(*byte)),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    Ok(out.into())
}
