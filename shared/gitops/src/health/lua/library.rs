//! Lua's functions of texts that match patterns, with each step paid (Lua 5.1 `lstrlib.c`).

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Error, IntoLuaMulti as _, Lua, LuaString, MultiValue, Table, Value};

use super::Work;
use super::pattern::{Capture, Matcher, is_plain};

/// Length of a text that `gsub` makes.
const MAX_TEXT: usize = 4 << 20;

/// Puts `find`, `match`, `gmatch` and `gsub` into `string`, Lua's library of texts.
pub(super) fn install(lua: &Lua, string: &Table, work: &Rc<Work>) -> mlua::Result<()> {
    type Arguments = (LuaString, LuaString, Option<i64>, Value);
    for (name, is_find) in [("find", true), ("match", false)] {
        let work = Rc::clone(work);
        let function = move |lua: &Lua, (text, pattern, init, plain): Arguments| {
            let is_literal = is_find && !matches!(plain, Value::Nil | Value::Boolean(false));
            find(lua, &text, &pattern, init.unwrap_or(1), (is_find, is_literal), &work)
        };
        string.set(name, lua.create_function(function)?)?;
    }
    let paid = Rc::clone(work);
    let gmatch = move |lua: &Lua, (text, pattern): (LuaString, LuaString)| {
        let (work, next) = (Rc::clone(&paid), Cell::new(0));
        lua.create_function(move |lua, ()| each(lua, &text, &pattern, &next, &work))
    };
    let gmatch = lua.create_function(gmatch)?;
    string.set("gfind", &gmatch)?;
    string.set("gmatch", gmatch)?;
    let work = Rc::clone(work);
    let gsub = move |lua: &Lua, (text, pattern, with, most): (LuaString, LuaString, Value, Option<i64>)| {
        let text = text.as_bytes();
        let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or_default());
        let (changed, count) = replace(lua, &text, &pattern.as_bytes(), &with, most, &work)?;
        (lua.create_string(changed)?, count).into_lua_multi(lua)
    };
    string.set("gsub", lua.create_function(gsub)?)
}

fn find(
    lua: &Lua,
    text: &LuaString,
    pattern: &LuaString,
    init: i64,
    (is_find, is_literal): (bool, bool),
    work: &Work,
) -> mlua::Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (text, pattern): (&[u8], &[u8]) = (&text, &pattern);
    let from = match usize::try_from(init) {
        Ok(init) => init.saturating_sub(1),
        Err(_) => text.len().saturating_sub(usize::try_from(init.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let from = from.min(text.len());
    if is_literal || is_find && is_plain(pattern) {
        let rest = text.get(from..).unwrap_or_default();
        work.take((rest.len() / 16 + 1) as u64)?;
        let found = memchr::memmem::find(rest, pattern).map(|at| from + at);
        return match found {
            Some(at) => (at + 1, at + pattern.len()).into_lua_multi(lua),
            None => Value::Nil.into_lua_multi(lua),
        };
    }
    let (pattern, is_anchored) = pattern.strip_prefix(b"^").map_or((pattern, false), |rest| (rest, true));
    let pay = |steps| work.take(steps);
    let mut matcher = Matcher::new(text, pattern, &pay);
    for start in from..=text.len() {
        if let Some(end) = matcher.at(start)? {
            let captures = matcher.captures(start, end, !is_find)?;
            let mut all = if is_find { (start + 1, end).into_lua_multi(lua)? } else { MultiValue::new() };
            all.extend(values(lua, text, &captures, work)?);
            return Ok(all);
        }
        if is_anchored {
            break;
        }
    }
    Value::Nil.into_lua_multi(lua)
}

/// The next match behind `next`.
fn each(lua: &Lua, text: &LuaString, pattern: &LuaString, next: &Cell<usize>, work: &Work) -> mlua::Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let pay = |steps| work.take(steps);
    let mut matcher = Matcher::new(&text, &pattern, &pay);
    for start in next.get()..=text.len() {
        if let Some(end) = matcher.at(start)? {
            next.set(if end == start { end + 1 } else { end });
            return Ok(values(lua, &text, &matcher.captures(start, end, true)?, work)?.into_iter().collect());
        }
    }
    next.set(text.len() + 1);
    Value::Nil.into_lua_multi(lua)
}

fn values(lua: &Lua, text: &[u8], captures: &[Capture], work: &Work) -> mlua::Result<Vec<Value>> {
    let value = |capture: &Capture| match *capture {
        Capture::Position(at) => Ok(Value::Integer(i64::try_from(at + 1).unwrap_or(i64::MAX))),
        Capture::Text(from, to) => {
            work.take((to.saturating_sub(from) / 16) as u64)?;
            lua.create_string(text.get(from..to).unwrap_or_default()).map(Value::String)
        }
    };
    captures.iter().map(value).collect()
}

/// `text` with what matches replaced, and how often.
fn replace(
    lua: &Lua,
    text: &[u8],
    pattern: &[u8],
    with: &Value,
    most: usize,
    work: &Work,
) -> mlua::Result<(Vec<u8>, usize)> {
    let with_text = match with {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => Some(with.to_string()?.into_bytes()),
        Value::Function(_) | Value::Table(_) => None,
        other => {
            let found = other.type_name();
            return Err(Error::runtime(format!(
                "bad argument #3 to 'gsub' (string/function/table expected, got {found})"
            )));
        }
    };
    let (pattern, is_anchored) = pattern.strip_prefix(b"^").map_or((pattern, false), |rest| (rest, true));
    let pay = |steps| work.take(steps);
    let mut matcher = Matcher::new(text, pattern, &pay);
    let (mut out, mut count, mut at) = (Vec::new(), 0, 0);
    let add = |out: &mut Vec<u8>, bytes: &[u8]| {
        work.take((bytes.len() / 16) as u64)?;
        if out.len() + bytes.len() > MAX_TEXT {
            return Err(Error::runtime("the text would be too long"));
        }
        out.extend_from_slice(bytes);
        Ok(())
    };
    while count < most {
        let end = matcher.at(at)?;
        if let Some(end) = end {
            count += 1;
            let whole = text.get(at..end).unwrap_or_default();
            let captures = matcher.captures(at, end, true)?;
            if let Some(with) = &with_text {
                expand(&mut out, with, whole, text, &captures, &add)?;
            } else {
                let parts = values(lua, text, &captures, work)?;
                let value: Value = match with {
                    Value::Function(function) => function.call(parts.into_iter().collect::<MultiValue>())?,
                    Value::Table(table) => table.get(parts.into_iter().next().unwrap_or_default())?,
                    _ => Value::Nil,
                };
                match value {
                    Value::Nil | Value::Boolean(false) => add(&mut out, whole)?,
                    Value::String(text) => add(&mut out, &text.as_bytes())?,
                    Value::Integer(_) | Value::Number(_) => add(&mut out, value.to_string()?.as_bytes())?,
                    other => {
                        let found = other.type_name();
                        return Err(Error::runtime(format!("invalid replacement value (a {found})")));
                    }
                }
            }
        }
        match end {
            Some(end) if end > at => at = end,
            _ => {
                let Some(byte) = text.get(at) else { break };
                add(&mut out, &[*byte])?;
                at += 1;
            }
        }
        if is_anchored {
            break;
        }
    }
    add(&mut out, text.get(at..).unwrap_or_default())?;
    Ok((out, count))
}

/// Adds bytes to a text.
type Add<'a> = &'a dyn Fn(&mut Vec<u8>, &[u8]) -> mlua::Result<()>;

/// Adds `with`, in which `%1` is what was captured first and `%0` the whole match.
fn expand(
    out: &mut Vec<u8>,
    with: &[u8],
    whole: &[u8],
    text: &[u8],
    captures: &[Capture],
    add: Add<'_>,
) -> mlua::Result<()> {
    let mut bytes = with.iter();
    while let Some(byte) = bytes.next() {
        let digit = match (byte, if *byte == b'%' { bytes.next() } else { None }) {
            (b'%', Some(b'0')) => {
                add(out, whole)?;
                continue;
            }
            (b'%', Some(digit @ b'1'..=b'9')) => usize::from(digit - b'1'),
            (_, other) => {
                add(out, &[*other.unwrap_or(byte)])?;
                continue;
            }
        };
        match captures.get(digit) {
            Some(Capture::Text(from, to)) => add(out, text.get(*from..*to).unwrap_or_default())?,
            Some(Capture::Position(at)) => add(out, (at + 1).to_string().as_bytes())?,
            None => return Err(Error::runtime("invalid capture index")),
        }
    }
    Ok(())
}
