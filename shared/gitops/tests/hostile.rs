//! Lua checks and jq expressions of a team that would take the time or the memory of a whole worker (attack 15): each
//! ends at a bound. Measured, so that all are one test: in the profile of the functions (`--release`) each has a second
//! of processor time, in a build for tests thirty, and 200 MB.

#![allow(clippy::unwrap_used, reason = "a test may stop by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use slipway_budget::Budget;
use slipway_gitops::argocd_cm::Overrides;
use slipway_gitops::health::{Checks, HealthStatus};
use slipway_gitops::normalize::jq::Query;
use slipway_manifest::Object;

/// Processor time of each row.
const MAX_TIME: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 1 });
/// Kilobytes of each row.
const MAX_MEMORY: u64 = 200_000;

/// Processor time of this thread.
fn processor_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Kilobytes that this process holds, or has held at most since that was reset.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// What `work` gave, and the time and the memory that it took beyond what was held.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration, u64) {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let (held, began) = (memory("VmRSS:"), processor_time());
    let given = black_box(work());
    (given, processor_time().saturating_sub(began), memory("VmHWM:").saturating_sub(held))
}

fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn checks(script: &str) -> Checks {
    let key = "resource.customizations.health.a.io_Widget".to_owned();
    let overrides = Overrides::from_config_map(&Map::from_iter([(key, json!(script))]));
    assert!(overrides.problems.is_empty(), "{:?}", overrides.problems);
    Checks::new(Arc::new(overrides)).with_clock(clock)
}

/// Scripts, most of which do something again and again that runs in C, where no instructions are counted.
fn scripts() -> Vec<String> {
    let big = "local s = ('a'):rep(900000) ";
    let list = "local t = {} for i = 1, 300000 do t[i] = 'x' end ";
    vec![
        "local s = ('a'):rep(34) return s:find(('a?'):rep(34) .. s .. 'b')".to_owned(),
        "local s = ('a'):rep(3000) return s:match(('a?'):rep(190) .. 'b')".to_owned(),
        format!("{big} return s:find('a*a*a*b')"),
        format!("{big} return s:find('(a-)%1b')"),
        format!("{big} return s:match('(.*)%1%1b')"),
        format!("{big} return s:gsub('a*b', '')"),
        format!("{big} for x in s:gmatch('a*b') do end"),
        format!("{big} return s:gsub('a', s)"),
        format!("{big} return s:gsub('a', function() return s end)"),
        format!("{big} return s:gsub('a', {{a = s}})"),
        "local s = ('('):rep(900000) return s:find('%b()')".to_owned(),
        format!("{big} return s:find('[' .. ('x'):rep(90000) .. ']*y')"),
        "return ('a'):rep(300):find(('a?'):rep(300))".to_owned(),
        format!("{big} while true do s:find('b', 1, true) end"),
        format!("{big} while true do s:find('b') end"),
        format!("{big} while true do local x = s:upper() end"),
        format!("{big} while true do local x = s:sub(2) end"),
        format!("{big} while true do local x = s:byte(5) end"),
        format!("{big} while true do local x = s:reverse() end"),
        format!("{big} while true do local x = s:rep(1) end"),
        format!("{big} while true do local x = ('%s'):format(s) end"),
        format!("{big} while true do local x = s .. 'b' end"),
        format!("{big} while true do s = s .. s end"),
        format!("{big} local u = s .. '' while true do local x = s < u .. 'b' end"),
        "local t = {} while true do table.insert(t, 1, 0) end".to_owned(),
        format!("{list} while true do table.insert(t, 1, 0) end"),
        format!("{list} while #t > 0 do table.remove(t, 1) end"),
        format!("{list} while true do table.concat(t) end"),
        format!("{list} while true do table.sort(t) end"),
        format!("{list} while true do table.sort(t, function(a, b) return false end) end"),
        format!("{list} for i = 1, #t do t[i] = nil end while true do next(t) end"),
        "local s = ('1'):rep(900000) while true do local x = s + 1 end".to_owned(),
        "local s = ('1'):rep(900000) while true do tonumber(s) end".to_owned(),
        "while true do os.date(('%c'):rep(200)) end".to_owned(),
        "while true do end".to_owned(),
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end".to_owned(),
        "local t = {} while true do t = {t, t} end".to_owned(),
        "local s = 'a' while true do s = s:gsub('a', 'aa') end".to_owned(),
        format!("{big} local t = {{}} while true do t[#t + 1] = s:upper() end"),
        format!("{list} while true do local x = {{unpack(t, 1, 7000)}} end"),
        format!("{list} while true do for k, v in pairs(t) do t[k] = nil t[k .. ''] = v end end"),
        "local s = '' while true do s = s .. 'x' end".to_owned(),
        "local function f(n) return n < 2 and n or f(n - 1) + f(n - 2) end return f(60)".to_owned(),
        "local m = {__lt = function() return true end} local a = setmetatable({}, m) while a < a do end".to_owned(),
        "while true do math.floor(('1'):rep(999)) end".to_owned(),
        "while true do tostring({}) end".to_owned(),
        format!("{big} while true do s = s .. 'x' if obj.spec[s] then break end end"),
        "while true do os.time({year = 2000, month = 1, day = 1}) end".to_owned(),
        "while true do select('#', unpack({}, 1, 7000)) end".to_owned(),
        format!("{big} while true do s:gmatch('(a*)(a*)(a*)b')() end"),
        "while true do ('%99.99f'):format(1) end".to_owned(),
        "while true do ('x'):rep(99999) end".to_owned(),
    ]
}

/// Expressions that can be read, or that only their size refuses, and an object that is as large as etcd takes.
fn expressions() -> (Vec<String>, Value) {
    let list: Vec<Value> = (0..9_000).map(|n| json!({"n": n, "s": format!("{n}"), "t": {"a": [n]}})).collect();
    let long = "ab\u{1}".repeat(200_000);
    let deep = (0..50).fold(json!(1), |inner, _| json!({"d": [inner]}));
    let object = json!({"l": list, "m": list, "long": long, "deep": deep, "texts": vec!["x".repeat(99); 2_000]});
    let mut texts: Vec<String> = [
        "..",
        ".. | .n?",
        ".. | .. | .n?",
        "[..] | length",
        "[.. | .. | numbers]",
        r#".l[] | select(.s | test("^(1|2|3)+$"))"#,
        r#".long | select(test("(a|b)*c$"))"#,
        r#".. | strings | select(test("[a-z]{50}"))"#,
        r#".long | split("")"#,
        r#".long | split("") | sort"#,
        ".long | ascii_downcase | explode | implode",
        ".long | tojson | tojson | tojson",
        "[.l[], .m[]] | sort_by(.s)",
        "[.l[], .m[]] | group_by(.n)",
        "[.l[], .m[]] | unique_by(.t)",
        "(.l + .m) - .l",
        ".l | index(.[8000])",
        "select(.l == .m)",
        "select(.l[] == .m[])",
        "select(.l | contains([.[0]]))",
        ".l | map(select(.n > 1)) | reverse | flatten",
        r#".l | map(tojson) | join(",")"#,
        r#".texts | join("-") | split("-")"#,
        "paths",
        r#"[paths(type == "number")]"#,
        "to_entries[] | .value[]? | to_entries? | from_entries?",
        ". as $x | .l[] | $x.m[.n]",
        "[.l[].s | tonumber] | add",
        ".l | min_by(.s), max_by(.s)",
        ".deep | .. | .d?",
        ". * {}",
        "[.l[] | .s * 2]",
        r#""\(.)""#,
        ".l | tostring | tostring | tostring",
        "first(..), last(..)",
        "any(..; . == 1), all(..; . == 1)",
        r#"getpath(["l", 8000, "t", "a"])"#,
        ".l[1:][1:][1:]",
        ".l | .[2000:] + .[:7000]",
        ".l[] | select(.t.a[0] as $n | .n == $n)",
    ]
    .map(str::to_owned)
    .into();
    for (step, count) in [("..", 2), (". + .", 8), ("[.]", 400), ("(.,.)", 9), ("map(.)", 200), (". as $x | $x", 100)] {
        texts.push(vec![step; count].join("|"));
    }
    texts.push(format!(".l{}", "[0]?".repeat(400)));
    texts.push(vec![".l[]"; 200].join(","));
    (texts, object)
}

#[test]
fn what_a_team_writes_takes_neither_the_time_nor_the_memory() {
    const BOUNDS: [&str; 6] =
        ["instructions", "longer than 500 ms", "memory", "too long", "too complex", "stack overflow"];
    let mut wrong = String::new();
    let mut judge = |name: &str, time: Duration, memory: u64| {
        println!("{:6} ms {:4} MB  {name:.90}", time.as_millis(), memory / 1_000);
        if time > MAX_TIME || memory > MAX_MEMORY {
            writeln!(wrong, "{name:.300} took {time:?} and {memory} kB").unwrap();
        }
    };
    let object = json!({"apiVersion": "a.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"n": 3}});
    let object = Object::from_value(object).unwrap();
    let mut unbounded = Vec::new();
    for script in scripts() {
        let checks = checks(&script);
        let (verdict, time, memory) = measured(|| checks.of(&object, Timestamp::UNIX_EPOCH));
        let message = verdict.map(|verdict: HealthStatus| verdict.message).unwrap_or_default();
        if !BOUNDS.iter().any(|bound| message.contains(bound)) {
            unbounded.push(format!("{script}: {message}"));
        }
        judge(&script, time, memory);
    }
    let (texts, object) = expressions();
    let mut run = 0;
    for text in texts {
        let (ended, time, memory) = measured(|| {
            Query::new(&text).and_then(|query| query.paths(&object, &Budget::default()).map(|all| all.len()))
        });
        run += usize::from(ended.is_ok());
        judge(&text, time, memory);
    }
    assert!(run >= 10, "only {run} expressions are run");
    assert!(unbounded.is_empty(), "{}", unbounded.join("\n"));
    assert!(wrong.is_empty(), "{wrong}");
}
