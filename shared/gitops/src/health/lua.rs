//! Runs a team's Lua health checks for Argo CD (`resource.customizations.health.<group>_<Kind>` in `argocd-cm`)
//! unchanged.
//!
//! As in argoproj/argo-cd `util/lua/lua.go`: `obj` is the live object, the result is a table with `status` and
//! `message`. The sandbox is closed: base, table, string and math without functions that load code or catch errors, of
//! `os` only the time, which is given. The script's length, memory, instructions and time are bounded; what runs in C,
//! where no instructions are counted, is paid by the size of what it works on.

mod library;
mod pattern;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use mlua::chunk::ChunkMode;
use mlua::{HookTriggers, Lua, LuaOptions, StdLib, Table, Value as LuaValue, Variadic, VmState};
use serde_json::Value;
use slipway_manifest::Object;

use super::{Clock, Health, HealthStatus};

/// Length of a script, in bytes: `argocd-cm` holds 1 MiB in all.
const MAX_SCRIPT: usize = 256 * 1024;
/// Memory of a check, in bytes.
const MAX_MEMORY: usize = 32 * 1024 * 1024;
/// Instructions of a check, or what takes as long in a function of the library: about a tenth of a second.
const MAX_INSTRUCTIONS: u64 = 5_000_000;
/// Time of a check.
const MAX_TIME: Duration = Duration::from_millis(500);
/// Instructions between two looks at the limits: one may copy a text of megabytes.
const COUNTED: u32 = 10;
/// Length of a format for a time.
const MAX_FORMAT: usize = 256;
/// Length of a message that is kept.
const MAX_MESSAGE: usize = 4_096;

/// Closes the sandbox, and lets functions in C pay for the size of what they work on: its argument takes instructions.
const SANDBOX: &str = r#"
local work = ...
for _, name in ipairs({"dofile", "loadfile", "load", "loadstring", "pcall", "xpcall", "collectgarbage", "coroutine",
                       "newproxy", "print", "getfenv", "setfenv", "module", "gcinfo"}) do
  _G[name] = nil
end
string.dump = nil
for _, name in ipairs({"byte", "lower", "reverse", "sub", "upper"}) do
  local inner = string[name]
  string[name] = function(text, ...)
    work(#tostring(text) / 16)
    return inner(text, ...)
  end
end
local format, rep = string.format, string.rep
function string.format(...)
  local text = format(...)
  work(#text / 16)
  return text
end
function string.rep(text, times)
  local length = #tostring(text) * times
  if length > 1e6 then error("the text would be too long") end
  work(length / 16)
  return rep(text, times)
end
local concat, insert, remove, sort = table.concat, table.insert, table.remove, table.sort
function table.concat(list, ...)
  work(#list)
  local text = concat(list, ...)
  work(#text / 16)
  return text
end
function table.insert(list, ...)
  if select('#', ...) > 1 then work(#list) end
  return insert(list, ...)
end
function table.remove(list, ...)
  if select('#', ...) > 0 then work(#list) end
  return remove(list, ...)
end
-- Comparisons in Lua are counted.
local function less(a, b) return a < b end
function table.sort(list, before)
  work(#list)
  return sort(list, before or less)
end
local number = tonumber
function tonumber(text, ...)
  if type(text) == "string" and #text > 1000 then error("the number is too long") end
  return number(text, ...)
end
function require(name)
  local library = ({os = os, string = string, table = table, math = math})[name]
  if library == nil then error("there is no module " .. tostring(name)) end
  return library
end
"#;

/// What a check did so far.
struct Work {
    done: Cell<u64>,
    looked: Cell<u64>,
    clock: Option<Clock>,
    started: Duration,
}

impl Work {
    fn new(clock: Option<Clock>) -> Self {
        Self { done: Cell::new(0), looked: Cell::new(0), clock, started: clock.map(|now| now()).unwrap_or_default() }
    }

    /// Takes so many instructions.
    fn take(&self, count: u64) -> mlua::Result<()> {
        self.done.set(self.done.get().saturating_add(count));
        if self.done.get() > MAX_INSTRUCTIONS {
            return Err(mlua::Error::runtime(format!("it ran more than {MAX_INSTRUCTIONS} instructions")));
        }
        if self.done.get() - self.looked.get() > 50_000 { self.look() } else { Ok(()) }
    }

    /// Looks at the clock.
    fn look(&self) -> mlua::Result<()> {
        self.looked.set(self.done.get());
        match self.clock {
            Some(now) if now().saturating_sub(self.started) > MAX_TIME => {
                Err(mlua::Error::runtime(format!("it ran longer than {} ms", MAX_TIME.as_millis())))
            }
            _ => Ok(()),
        }
    }
}

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum LuaError {
    /// The script is too long.
    #[error("the script is longer than {MAX_SCRIPT} bytes")]
    TooLong,
    /// The script failed, or exceeded a limit.
    #[error("the script failed: {0}")]
    Failed(String),
    /// The checks of all objects took too long.
    #[error("it was not run, as the checks of this application took more than {} s in all", .0.as_secs())]
    AllTooLong(Duration),
    /// The script returned something other than a table.
    #[error("the script gave {0} instead of a table")]
    Answer(&'static str),
}

impl From<mlua::Error> for LuaError {
    fn from(error: mlua::Error) -> Self {
        // Only the first line: the rest is the interpreter's stack.
        Self::Failed(error.to_string().lines().next().unwrap_or_default().chars().take(MAX_MESSAGE).collect())
    }
}

/// The result of `script` for `object` at the time `now`. `None` where the script returns nothing, as for kinds without
/// health. The `clock` bounds its time.
pub(super) fn health(
    script: &str,
    object: &Object,
    now: Timestamp,
    clock: Option<Clock>,
) -> Result<Option<HealthStatus>, LuaError> {
    if script.len() > MAX_SCRIPT {
        return Err(LuaError::TooLong);
    }
    let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::default())?;
    let work = Rc::new(Work::new(clock));
    let globals = lua.globals();
    globals.set("os", time_library(&lua, now)?)?;
    library::install(&lua, &globals.get("string")?, &work)?;
    let paid = Rc::clone(&work);
    // What is not a number of instructions is too many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is cast to the nearest number"
    )]
    let pay = lua.create_function(move |_, count: f64| paid.take(count as u64))?;
    lua.load(SANDBOX).set_name("=library").set_mode(ChunkMode::Text).call::<()>(pay)?;
    lua.set_memory_limit(MAX_MEMORY)?;
    globals.set("obj", to_lua(&lua, &object.to_value())?)?;
    lua.set_hook(HookTriggers::new().every_nth_instruction(COUNTED), move |_, _| {
        work.take(COUNTED.into())?;
        work.look()?;
        Ok(VmState::Continue)
    })?;
    let answer: LuaValue = lua.load(script).set_name("=health.lua").set_mode(ChunkMode::Text).eval()?;
    match answer {
        LuaValue::Nil => Ok(None),
        LuaValue::Table(answer) => Ok(Some(verdict(&answer)?)),
        other => Err(LuaError::Answer(other.type_name())),
    }
}

fn verdict(answer: &Table) -> Result<HealthStatus, LuaError> {
    let text = |key: &str| match answer.get::<LuaValue>(key) {
        Ok(LuaValue::String(text)) => Ok(text.to_string_lossy()),
        Ok(_) => Ok(String::new()),
        Err(error) => Err(LuaError::from(error)),
    };
    let message: String = text("message")?.chars().take(MAX_MESSAGE).collect();
    Ok(match text("status")?.parse::<Health>() {
        Ok(health) => HealthStatus::new(health, message),
        Err(()) => HealthStatus::new(Health::Unknown, "Lua returned an invalid health status"),
    })
}

fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Null => LuaValue::Nil,
        Value::Bool(flag) => LuaValue::Boolean(*flag),
        Value::Number(number) => LuaValue::Number(number.as_f64().unwrap_or_default()),
        Value::String(text) => LuaValue::String(lua.create_string(text)?),
        Value::Array(items) => {
            let items: Vec<LuaValue> = items.iter().map(|item| to_lua(lua, item)).collect::<Result<_, _>>()?;
            LuaValue::Table(lua.create_sequence_from(items)?)
        }
        Value::Object(fields) => {
            let table = lua.create_table()?;
            for (key, value) in fields {
                table.set(key.as_str(), to_lua(lua, value)?)?;
            }
            LuaValue::Table(table)
        }
    })
}

/// `os.time` and `os.date`, in UTC.
fn time_library(lua: &Lua, now: Timestamp) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    let time = move |_: &Lua, when: Option<Table>| {
        let Some(when) = when else { return Ok(now.as_second()) };
        let field = |key: &str, default: i64| Ok::<_, mlua::Error>(when.get::<Option<i64>>(key)?.unwrap_or(default));
        let since = |key: &str, first: i64| Ok::<_, mlua::Error>(field(key, first)?.saturating_sub(first));
        let (years, months, days) = (since("year", 1970)?, since("month", 1)?, since("day", 1)?);
        let (hours, minutes, seconds) = (field("hour", 12)?, field("min", 0)?, field("sec", 0)?);
        let moment = jiff::Span::new()
            .try_years(years)
            .and_then(|span| span.try_months(months)?.try_days(days)?.try_hours(hours))
            .and_then(|span| span.try_minutes(minutes)?.try_seconds(seconds))
            .and_then(|span| jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(span))
            .and_then(|moment| moment.to_zoned(jiff::tz::TimeZone::UTC));
        Ok(moment.map_err(mlua::Error::external)?.timestamp().as_second())
    };
    library.set("time", lua.create_function(time)?)?;
    let date = move |lua: &Lua, (format, when): (Option<String>, Option<f64>)| {
        let when = when.map_or(Ok(now), |seconds| {
            Timestamp::from_duration(jiff::SignedDuration::try_from_secs_f64(seconds).map_err(mlua::Error::external)?)
                .map_err(mlua::Error::external)
        })?;
        let format = format.unwrap_or_else(|| "%c".to_owned());
        if format.len() > MAX_FORMAT {
            return Err(mlua::Error::runtime("the format is too long"));
        }
        let format = format.trim_start_matches('!');
        let zoned = when.to_zoned(jiff::tz::TimeZone::UTC);
        if !format.starts_with("*t") {
            let text = jiff::fmt::strtime::format(format, &zoned).map_err(mlua::Error::external)?;
            return Ok(LuaValue::String(lua.create_string(text)?));
        }
        let table = lua.create_table()?;
        let fields = [
            ("year", i32::from(zoned.year())),
            ("month", i32::from(zoned.month())),
            ("day", i32::from(zoned.day())),
            ("hour", i32::from(zoned.hour())),
            ("min", i32::from(zoned.minute())),
            ("sec", i32::from(zoned.second())),
            ("yday", i32::from(zoned.day_of_year())),
        ];
        for (name, value) in fields {
            table.set(name, value)?;
        }
        Ok(LuaValue::Table(table))
    };
    library.set("date", lua.create_function(date)?)?;
    let difference = |_: &Lua, times: Variadic<f64>| {
        Ok(times.first().copied().unwrap_or_default() - times.get(1).copied().unwrap_or_default())
    };
    library.set("difftime", lua.create_function(difference)?)?;
    Ok(library)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use mlua::LuaString;

    use super::*;

    fn run(script: &str) -> Result<Option<HealthStatus>, LuaError> {
        let object = Object::from_value(json!({"apiVersion": "a.io/v1", "kind": "Widget", "metadata": {"name": "w"},
            "spec": {"n": 3}, "status": {"conditions": [{"type": "Ready", "status": "True", "message": "done 5/5"}],
                "none": null}}))
        .unwrap();
        health(script, &object, Timestamp::from_second(1_000_000_000).unwrap(), None)
    }

    #[test]
    fn a_check_as_people_write_them_is_run_as_it_is() {
        let script = r#"
            local os = require("os")
            hs = {}
            hs.status = "Progressing"
            hs.message = "Waiting"
            if obj.status ~= nil and obj.status.none == nil then
              for i, condition in ipairs(obj.status.conditions) do
                if condition.type == "Ready" and condition.status == "True" then
                  local done, all = string.match(condition.message, "(%d+)/(%d+)")
                  hs.status = done == all and "Healthy" or "Degraded"
                  local at = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time())
                  hs.message = condition.message .. " of " .. obj.spec.n .. " at " .. at
                end
              end
            end
            return hs"#;
        let verdict = run(script).unwrap().unwrap();
        assert_eq!(
            (verdict.health, verdict.message.as_str()),
            (Health::Healthy, "done 5/5 of 3 at 2001-09-09T01:46:40Z")
        );
        assert_eq!(run("return nil").unwrap(), None);
        assert_eq!(run("return {status = 'Odd'}").unwrap().unwrap().health, Health::Unknown);
        assert_eq!(
            run("return os.time({year=2001, month=9, day=9, hour=1}) == 999997200 and {status='Healthy'}")
                .unwrap()
                .unwrap()
                .health,
            Health::Healthy
        );
        assert!(matches!(run("return 1"), Err(LuaError::Answer(_))));
    }

    #[test]
    fn a_check_can_neither_run_for_ever_nor_get_out() {
        let attacks = [
            ("while true do end", "instructions"),
            ("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", "memory"),
            ("return ('x'):rep(1e9)", "too long"),
            ("local s = ('a'):rep(50000) return s:find('.-.-.-.-b')", "instructions"),
            ("while true do pcall(function() while true do end end) end", "pcall"),
            ("io.open('/etc/passwd')", "io"),
            ("os.execute('id')", "execute"),
            ("loadstring('return 1')()", "loadstring"),
            ("string.dump(function() end)", "dump"),
            ("require('ffi')", "no module"),
            ("coroutine.wrap(function() end)()", "coroutine"),
            ("local function f() return f() + 1 end return f()", "stack overflow"),
            ("return {", "unexpected"),
            ("error('no')", "no"),
            ("return os.time({year = -9223372036854775807 - 1, month = 9223372036854775807, day = 0})", "out of range"),
            ("return os.date('%c', 1e400)", "e"),
            ("return os.date('%c', -1e18)", "range"),
        ];
        for (script, word) in attacks {
            let error = run(script).unwrap_err().to_string();
            assert!(error.contains(word), "{script}: {error}");
        }
        assert!(matches!(run(&"-".repeat(MAX_SCRIPT + 1)), Err(LuaError::TooLong)));
    }

    /// Beside Lua's own functions.
    #[test]
    fn patterns_match_as_in_lua() {
        let script = r#"
            local cases = {
              {"|", string.find("hello world", "o w")}, {"|", string.find("hello", "l+")},
              {"|", string.find("a.b", ".", 1, true)}, {"|", string.find("abc", "b", -2)},
              {"|", string.find("abc", "", 10)}, {"|", string.find("  x = 1", "^%s*(%w+)%s*=%s*(%d+)$")},
              {"|", string.match("key=val", "(%w+)=(%w+)")}, {"|", string.match("2024-01-02", "%d+-%d+")},
              {"|", string.match("f(a(b)c)d", "%b()")}, {"|", string.match("THE (quick) fox", "%((%a+)%)")},
              {"|", string.match("abc", "()b()")}, {"|", string.match("aXbX", "(.-)X")},
              {"|", string.match("x-y", "[%a-]+")}, {"|", string.match("x]y", "[]y]+")},
              {"|", string.match("x^", "[^x]")},
              {"|", string.match("abab", "(ab)%1")}, {"|", string.match("THE END", "%f[%a]%a+%f[%A]")},
              {"|", string.match("a\0b", "%z")}, {"|", string.match("hello", ".", -1)},
              {"|", string.match("1.5", "^%d+%.?%d*$")},
              {"|", string.gsub("hello world", "o", "0")}, {"|", string.gsub("hello", "", "-")},
              {"|", string.gsub("abc", "%w", "%0%0", 2)}, {"|", string.gsub("hello world", "(%w+) (%w+)", "%2 %1")},
              {"|", string.gsub("$name is $age", "%$(%w+)", {name = "x"})},
              {"|", string.gsub("abc", "b", function(c) return c:upper() end)}, {"|", string.gsub("abc", "^a", "%%")},
              {"|", string.gsub("a,b", "()", "%1")}, {"|", string.gsub("x", "x", 5)},
            }
            local out = {}
            for _, case in ipairs(cases) do
              for i = 1, #case do out[#out + 1] = tostring(case[i]) end
            end
            for a, b in string.gmatch("a=1, b=2", "(%w+)=(%w+)") do out[#out + 1] = a .. b end
            for w in string.gmatch("one  two", "%a*") do out[#out + 1] = "<" .. w .. ">" end
            return {status = "Healthy", message = table.concat(out, " ")}"#;
        let message = run(script).unwrap().unwrap().message.replace('\0', "NUL");
        let theirs = Lua::new_with(StdLib::TABLE | StdLib::STRING, LuaOptions::default()).unwrap();
        let wanted: Table = theirs.load(script).eval().unwrap();
        let wanted: LuaString = wanted.get("message").unwrap();
        let wanted = wanted.to_string_lossy().replace('\0', "NUL");
        assert!(wanted.starts_with("| 5 7 | 3 4 |") && wanted.ends_with("a1 b2 <one> <> <> <two> <>"), "{wanted}");
        assert_eq!(message, wanted);
        for (script, word) in [
            ("return ('a'):find('[a')", "missing `]`"),
            ("return ('a'):find('%')", "ends with `%`"),
            ("return ('a'):find('(a')", "unfinished capture"),
            ("return ('a'):match('a)')", "invalid pattern capture"),
            ("return ('a'):find('%1')", "invalid capture index"),
            ("return ('a'):gsub('a', '%2')", "invalid capture index"),
            ("return ('a'):gsub('a', true)", "string/function/table expected"),
            ("return ('a'):find('%b')", "unbalanced pattern"),
            ("return ('a'):find('%fa')", "missing `[`"),
        ] {
            let error = run(script).unwrap_err().to_string();
            assert!(error.contains(word), "{script}: {error}");
        }
    }
}
