//! Evaluates jq expressions of ignoreDifferences to the paths that they match in an object (argoproj/argo-cd
//! `util/argo/normalizers/diff_normalizer.go` deletes them). Pure.
//!
//! Argo CD aborts an expression after a second; a jq that can't be aborted is a denial of service (CVE-2024-32476).
//! Here nothing has to be aborted: functions that may run or grow without bound, and expressions that would cost too
//! much for an object of this size, are refused before they run, and what they cost is paid.

mod cost;

use std::cell::Cell;
use std::fmt;

use jaq_core::data::{DataT, HasLut};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Compiler, Ctx, Cv, Error, Lut, Vars, unwrap_valr};
use jaq_json::Val;
use serde_json::{Map, Value};
use slipway_budget::{Budget, Exceeded};

use cost::{Cost, MAX_PATTERN, cost};

/// Length of an expression, in bytes: real ones are far shorter.
const MAX_LENGTH: usize = 2_000;
/// Nesting of brackets: the parser recurses.
const MAX_DEPTH: usize = 32;
/// Words and signs of an expression: `. | . | …` nests without brackets, and everything that walks it recurses.
const MAX_WORDS: usize = 200;
/// Cost of an expression, as a multiple of walking through the object.
const MAX_COST: u64 = 2_048;
/// Evaluations of a regular expression in one object.
const MAX_TESTS: usize = 10_000;
/// Length of a text that is read as a number.
const MAX_NUMBER: usize = 400;
/// Bytes that an expression may come to in one object.
const MAX_SIZE: u64 = 64 << 20;
/// Bytes of a value, without its text.
const VALUE: u64 = 32;
/// Paths that one expression may match in one object.
const MAX_PATHS: usize = 100_000;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JqError {
    /// The expression is no valid jq, or calls an unknown function.
    #[error("it is no jq that can be read")]
    Syntax,
    /// The expression is longer or more deeply nested than the limits.
    #[error("it is longer than {MAX_LENGTH} bytes or {MAX_WORDS} words and signs, or nests deeper than {MAX_DEPTH}")]
    TooLong,
    /// The expression uses something that may run or grow without bound.
    #[error("it uses `{0}`, which is unknown or may run or grow without bound")]
    Unbounded(String),
    /// The cost grows too fast with the object's size.
    #[error("it would visit each field more than {MAX_COST} times, or has too large a regular expression")]
    Costly,
    /// The object is so large that the expression would take too much time or memory.
    #[error("the object is too large for it")]
    TooLarge,
    /// All expressions of the application together cost too much.
    #[error("with the other expressions it costs too much: {0}")]
    Exceeded(#[from] Exceeded),
}

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathSegment {
    /// A range of a list.
    Slice(Option<i64>, Option<i64>),
    /// An item of a list, from the end if negative.
    Index(i64),
    /// A field, by name.
    Field(String),
}

/// An expression that is safe to run.
pub struct Query {
    text: String,
    cost: Cost,
    filter: jaq_core::Filter<Counted>,
}

/// Values of jq, with a count of what a run has tested.
struct Counted;

impl DataT for Counted {
    type V<'a> = Val;
    type Data<'a> = Counts<'a>;
}

#[derive(Clone)]
struct Counts<'a> {
    lut: &'a Lut<Counted>,
    tests: &'a Cell<usize>,
}

impl<'a> HasLut<'a, Counted> for Counts<'a> {
    fn lut(&self) -> &'a Lut<Counted> {
        self.lut
    }
}

/// jq's own functions, but that they count or refuse a value first.
const COUNTED: &str = "def test(re; flags): counted | matches(re; flags) | any; def test(re): test(re; \"\"); \
                       def number: tonumber; def tonumber: short | number; ";

/// `counted`: gives its input, or an error once there were too many; `short`: an error for a long text.
fn counting() -> [Fun<Counted>; 2] {
    let counted = run(("counted", v(0), |(cx, value): Cv<'_, Counted>| {
        let tests = cx.data().tests;
        tests.set(tests.get() + 1);
        bome(if tests.get() > MAX_TESTS { Err(Error::str("too many tests")) } else { Ok(value) })
    }));
    let short = run(("short", v(0), |(_, value): Cv<'_, Counted>| {
        let is_long = matches!(&value, Val::TStr(text) if text.len() > MAX_NUMBER);
        bome(if is_long { Err(Error::str("too long for a number")) } else { Ok(value) })
    }));
    [counted, short]
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.text).finish()
    }
}

impl Query {
    /// Parses `text`; refuses invalid and unbounded expressions.
    pub fn new(text: &str) -> Result<Self, JqError> {
        if text.len() > MAX_LENGTH || words(text) > MAX_WORDS || depth(text) > MAX_DEPTH {
            return Err(JqError::TooLong);
        }
        let term = jaq_core::load::parse(text, |parser| parser.term()).ok_or(JqError::Syntax)?;
        let cost = cost(&term)?;
        if cost.visits > MAX_COST {
            return Err(JqError::Costly);
        }
        let code = format!("{COUNTED}path({text})");
        let arena = Arena::default();
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let modules =
            Loader::new(defs).load(&arena, File { code: code.as_str(), path: () }).map_err(|_| JqError::Syntax)?;
        let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs()).chain(counting());
        let filter = Compiler::default().with_funs(natives).compile(modules).map_err(|_| JqError::Syntax)?;
        Ok(Self { text: text.to_owned(), cost, filter })
    }

    /// The expression as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The paths that the expression matches in `value`, the last first, so that each can be removed in turn. Empty
    /// where the expression fails, as Argo CD then leaves the object unchanged. An error where `value` is too large for
    /// it, or the `budget` is used up.
    pub fn paths(&self, value: &Value, budget: &Budget) -> Result<Vec<Vec<PathSegment>>, JqError> {
        let weight = weight(value);
        let size = self.cost.visits.saturating_mul(weight.saturating_pow(self.cost.degree));
        if size > MAX_SIZE {
            return Err(JqError::TooLarge);
        }
        budget.step((weight + size) / 8)?;
        let Ok(value) = serde_json::from_value::<Val>(value.clone()) else { return Ok(Vec::new()) };
        let tests = Cell::new(0);
        let context = Ctx::<Counted>::new(Counts { lut: &self.filter.lut, tests: &tests }, Vars::new([]));
        let outputs = self.filter.id.run((context, value)).map(unwrap_valr).take(MAX_PATHS + 1);
        let paths: Option<Vec<Vec<PathSegment>>> = outputs.map(|path| steps(&path.ok()?)).collect();
        if tests.get() > MAX_TESTS {
            return Err(JqError::TooLarge);
        }
        budget.step((tests.get() * (MAX_PATTERN / 8)) as u64)?;
        let mut paths = paths.filter(|paths| paths.len() <= MAX_PATHS).unwrap_or_default();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        paths.dedup();
        Ok(paths)
    }
}

/// Bytes of `value`.
fn weight(value: &Value) -> u64 {
    VALUE
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len() as u64,
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(fields) => fields.iter().map(|(key, value)| key.len() as u64 + weight(value)).sum(),
        }
}

/// How many words and signs there are, also in texts.
fn words(text: &str) -> usize {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = std::iter::once(b' ').chain(text.bytes());
    let begins = |(before, byte): &(u8, u8)| !(byte.is_ascii_whitespace() || is_word(*before) && is_word(*byte));
    before.zip(text.bytes()).filter(begins).count()
}

/// The nesting depth of brackets of any kind.
fn depth(text: &str) -> usize {
    let (mut deepest, mut now) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

/// A path as jq prints it: `["spec",0,{"start":1,"end":null}]`.
fn steps(path: &Val) -> Option<Vec<PathSegment>> {
    let path: Vec<Value> = serde_json::from_str(&path.to_string()).ok()?;
    let step = |step: Value| match step {
        Value::String(name) => Some(PathSegment::Field(name)),
        Value::Number(index) => Some(PathSegment::Index(index.as_i64()?)),
        Value::Object(range) => {
            let bound = |key: &str| range.get(key).and_then(Value::as_i64);
            Some(PathSegment::Slice(bound("start"), bound("end")))
        }
        _ => None,
    };
    path.into_iter().map(step).collect()
}

/// Removes the value at `path`, if there is one.
pub fn remove(value: &mut Value, path: &[PathSegment]) {
    let Some((first, rest)) = path.split_first() else { return };
    match (value, first) {
        (Value::Object(fields), PathSegment::Field(name)) => remove_field(fields, name, rest),
        (Value::Array(items), PathSegment::Index(index)) => {
            let Some(index) = place(*index, items.len()).filter(|index| *index < items.len()) else { return };
            if rest.is_empty() {
                items.remove(index);
            } else if let Some(item) = items.get_mut(index) {
                remove(item, rest);
            }
        }
        (Value::Array(items), PathSegment::Slice(from, to)) => {
            let bound = |bound: Option<i64>, or: usize| {
                bound.map_or(or, |bound| place(bound, items.len()).unwrap_or_default().min(items.len()))
            };
            let (from, to) = (bound(*from, 0), bound(*to, items.len()));
            if rest.is_empty() && from < to {
                items.drain(from..to);
            } else if let Some(part) = items.get_mut(from..to) {
                // The segments after a slice count from its start.
                let mut inner = Value::Array(part.iter_mut().map(Value::take).collect());
                remove(&mut inner, rest);
                if let Value::Array(inner) = inner {
                    items.splice(from..to, inner);
                }
            }
        }
        _ => {}
    }
}

fn remove_field(fields: &mut Map<String, Value>, name: &str, rest: &[PathSegment]) {
    if rest.is_empty() {
        fields.shift_remove(name);
    } else if let Some(child) = fields.get_mut(name) {
        remove(child, rest);
    }
}

/// The position of an index, from the end if negative, in a list of this length.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn left(text: &str, mut value: Value) -> Value {
        for path in Query::new(text).unwrap().paths(&value, &Budget::default()).unwrap() {
            remove(&mut value, &path);
        }
        value
    }

    #[test]
    fn what_an_expression_names_is_removed_wherever_it_stands() {
        let list = json!({"a": [{"n": 1}, {"n": 2}, {"n": 3}], "b": 1});
        assert_eq!(left(".a[0], .a[1]", list.clone()), json!({"a": [{"n": 3}], "b": 1}));
        assert_eq!(left(".a[] | select(.n > 1)", list.clone()), json!({"a": [{"n": 1}], "b": 1}));
        assert_eq!(left(".a[1:]", list.clone()), json!({"a": [{"n": 1}], "b": 1}));
        assert_eq!(left(".. | .n?", list.clone()), json!({"a": [{}, {}, {}], "b": 1}));
        assert_eq!(left(".a | map(.n)", list.clone()), list, "no path, and so no effect");
    }

    #[test]
    fn what_may_not_end_or_may_grow_is_refused_by_name() {
        let attacks = [
            ("repeat(.)", "repeat"),
            ("range(1e12)", "range"),
            ("[limit(1e9; .)]", "limit"),
            ("until(false; .)", "until"),
            ("while(true; .)", "while"),
            ("recurse(.)", "recurse(f)"),
            ("def f: f; f", "def"),
            (r#"("a" * 1000000000) as $x | ."#, "* / %"),
            ("input", "input"),
            ("env", "env"),
            ("$ENV", "$ENV"),
            ("now", "now"),
            ("reduce .[] as $x (0; .)", "reduce"),
            ("label $x | break $x", "label"),
            ("combinations(9)", "combinations"),
            (".a = 1", "="),
            ("del(.a)", "del"),
            (".a | fromjson", "fromjson"),
            ("@json", "@json"),
            ("test(.a)", "test"),
        ];
        for (text, name) in attacks {
            assert_eq!(Query::new(text).unwrap_err(), JqError::Unbounded(name.to_owned()), "{text}");
        }
        let doubled = vec!["(.,.)"; 30].join("|");
        assert_eq!(Query::new(&doubled).unwrap_err(), JqError::Costly);
        let grown = vec![". + ."; 40].join("|");
        assert_eq!(Query::new(&grown).unwrap_err(), JqError::Costly);
        assert_eq!(Query::new("..|..|..|..|.a?").unwrap_err(), JqError::Costly);
        assert_eq!(Query::new(r#".a | select(test("(?:a?){1000}a{1000}"))"#).unwrap_err(), JqError::Costly);
        assert!(matches!(Query::new(".a | select(test(.b))"), Err(JqError::Unbounded(_))));
        assert!(Query::new(r#".a | select(test("^v[0-9]{1,3}$"; "i"))"#).is_ok());
        assert_eq!(Query::new(&"[".repeat(500)).unwrap_err(), JqError::TooLong);
        assert_eq!(Query::new(".a[").unwrap_err(), JqError::Syntax);
        let bound = vec![". + . as $x"; 20].join("|") + "|$x";
        assert_eq!(Query::new(&bound).unwrap_err(), JqError::Costly);
        assert!(matches!(Query::new("nonsense(1)"), Err(JqError::Unbounded(_))));
        assert!(Query::new("$nobody").is_err());
        assert!(Query::new(".[] as [$x] | .a").is_err());
    }

    /// Attack 15: what nests without brackets, on the stack of a thread.
    #[test]
    fn what_nests_without_brackets_overflows_no_stack() {
        let value = json!({"a": [[[1]]]});
        let end = vec![" end"; 90].concat();
        let (mut refused, mut run) = (0, 0);
        for (step, last) in [
            (".|", "."),
            ("[.]|", "."),
            ("{a:.}|", "."),
            (".,", "."),
            (".//", "."),
            (".-", "."),
            ("-", "."),
            (". as $x|", "."),
            (". and ", "."),
            (".==", "."),
            ("map(.)|", "."),
            ("try ", "."),
            ("if . then . elif ", "."),
            ("if . then ", end.as_str()),
            (".a", ""),
            ("..|", "."),
            ("not|", "."),
            ("first|", "."),
        ] {
            for count in 1..500 {
                let text = format!("{}{last}", step.repeat(count));
                if words(&text) > MAX_WORDS {
                    assert_eq!(Query::new(&text).unwrap_err(), JqError::TooLong);
                    refused += 1;
                    break;
                }
                if count % 20 == 0 || words(&format!("{text}{step}")) > MAX_WORDS {
                    run += usize::from(
                        Query::new(&text).is_ok_and(|query| query.paths(&value, &Budget::default()).is_ok()),
                    );
                }
            }
        }
        for (first, step) in [(".", "?"), (".a", "[0]"), (".a", "[0]?"), (".a", "[]?"), (".a", "[1:]"), (".", ".a?")] {
            let fits = (1..).take_while(|count| words(&format!("{first}{}", step.repeat(*count))) <= MAX_WORDS);
            let text = format!("{first}{}", step.repeat(fits.last().unwrap()));
            run += usize::from(Query::new(&text).is_ok_and(|query| query.paths(&value, &Budget::default()).is_ok()));
        }
        assert!(refused >= 16 && run > 40, "{refused} {run}");
    }

    /// Attack 15: what doubles, or multiplies the object with itself, is refused when it is read, or for an object that
    /// is too large for it.
    #[test]
    fn what_grows_ends_before_it_runs() {
        let piped = |step: &str, count: usize| vec![step; count].join("|");
        let costly = [
            piped("tojson", 40),
            piped("tostring", 40),
            piped("[.]|tostring", 20),
            piped("\"\\(.)\\(.)\"", 15),
            piped("\"\\([.])\"", 20),
            piped("{a:.,b:.}", 15),
            piped("[.,.]", 20),
            piped("[.]+[.]", 20),
            piped("(. as $x|[$x,$x])", 12),
            piped("join(\"0123456789\")", 9),
            format!(".. | select(test(\"{}\"))", "[a-z]{90}".repeat(20)),
            ".a | select(test(\"\\\\pL{90}\"))".to_owned(),
        ];
        for text in &costly {
            assert_eq!(Query::new(text).unwrap_err(), JqError::Costly, "{text}");
        }
        let long = "\\\"\u{1}".repeat(7_000);
        let list: Vec<Value> = (0..2_000).map(|n| json!({"n": n, "s": format!("{n}")})).collect();
        let object = json!({"s": long, "l": list, "m": list});
        let large = [
            ".s | split(\"\") | join(tojson)",
            ".s | split(\"\") as $x | $x | join($x[0])",
            ".s | tojson | tojson | tojson | tojson | length",
            "select(.l[] == .m[])",
            "[.l[], .m[]] | select(.[] == .[])",
            ". as $x | .l[] | $x.m[] | .n",
            ". as $x | .l | map($x.m)",
            "select(.l as $l | .m | contains($l))",
            "select(.l | inside(.m))",
            "select(.s | indices(.[1:]))",
            ".l[.m]",
            "{a: .l[], b: .m[]}",
            "\"\\(.l[])\\(.m[])\"",
            ".. | .. | tojson",
            ". as $x | .l | sort_by($x.m)",
        ];
        let mut wrong = Vec::new();
        for text in large {
            match Query::new(text).and_then(|query| query.paths(&object, &Budget::default())) {
                Err(JqError::TooLarge | JqError::Costly) => {}
                other => wrong.push(format!("{text}: {other:?}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // Evaluations of a pattern are counted as they come.
        let tested = Query::new(".l[] | .s | select(test(\"^1\"))").unwrap();
        assert!(tested.paths(&object, &Budget::default()).unwrap().len() > 1_000);
        let many: Vec<Value> = (0..=MAX_TESTS).map(|n| json!({"s": format!("{n}")})).collect();
        assert_eq!(tested.paths(&json!({"l": many}), &Budget::default()), Err(JqError::TooLarge));
        // All expressions of an application draw from one budget.
        let budget = Budget::new(slipway_budget::Limits { steps: 200_000, ..slipway_budget::Limits::default() });
        let query = Query::new(".l[] | select(.n == 3)").unwrap();
        let ends = std::iter::repeat_with(|| query.paths(&object, &budget)).take(100).find_map(Result::err);
        assert!(matches!(ends, Some(JqError::Exceeded(_))));
    }

    #[test]
    fn what_people_write_is_run_on_objects_of_all_sizes() {
        let containers: Vec<Value> = (0..300)
            .map(|n| {
                let env = json!([{"name": "A", "value": "x".repeat(500)}]);
                json!({"name": format!("c{n}"), "image": format!("r.io/team/app:{n}"), "env": env})
            })
            .collect();
        let metadata = json!({"name": "d", "annotations": {"a/b": "c"}, "labels": {"app": "x"}});
        let spec = json!({"replicas": 3, "template": {"spec": {"containers": containers}}});
        let object = json!({"kind": "Deployment", "metadata": metadata, "spec": spec});
        for (text, count) in [
            (".spec.replicas", 1),
            (".metadata.annotations[\"a/b\"]", 1),
            (".spec.template.spec.containers[] | select(.name == \"c7\") | .image", 1),
            (".spec.template.spec.containers[] | select(.name | test(\"^c1[0-9]$\")) | .env", 10),
            (".spec.template.spec.containers[] | select((.name|startswith(\"c\")) and (.image|contains(\":7\")))", 11),
            (".spec.template.spec.containers[].env[] | select(.name == \"A\").value", 300),
            (".spec.template.spec.containers[] | select(.image | split(\":\")[1] == \"7\")", 1),
            (".spec.template.spec.containers[] | select([.name] | index(\"c7\"))", 1),
            (".spec.template.spec.containers[] | select(.image | split(\":\")[1] | tonumber > 297)", 2),
            (".. | .image?", 607),
            (".metadata | .labels, .annotations", 2),
            (".spec | to_entries[] | select(.key == \"replicas\")", 0),
        ] {
            let paths = Query::new(text).and_then(|query| query.paths(&object, &Budget::default()));
            assert_eq!(paths.map(|paths| paths.len()), Ok(count), "{text}");
        }
    }
}
