//! Evaluates jq expressions of ignoreDifferences to the paths that they match in an object (argoproj/argo-cd
//! `util/argo/normalizers/diff_normalizer.go` deletes them). Pure.
//!
//! Argo CD aborts an expression after a second; a jq that can't be aborted is a denial of service (CVE-2024-32476).
//! Here nothing has to be aborted: functions that may run or grow without bound, and expressions that would cost too
//! much, are refused before they run.

use std::fmt;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::ops::Math;
use jaq_core::path::Part;
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::Val;
use serde_json::{Map, Value};

/// Length of an expression, in bytes: real ones are far shorter.
const MAX_LENGTH: usize = 2_000;
/// Nesting of brackets: the parser recurses.
const MAX_DEPTH: usize = 32;
/// Cost of an expression, as a multiple of walking through the object.
const MAX_COST: u64 = 2_048;
/// Cost of `..`: it visits each value once for each value around it.
const RECURSION: u64 = 32;
/// Repetition counts of a regular expression: they multiply its compiled size.
const MAX_COUNT: u64 = 100;
/// Paths that one expression may match in one object.
const MAX_PATHS: usize = 100_000;

/// Functions that an expression may call: their work is bounded by their input.
const ALLOWED: &[&str] = &[
    "add",
    "all",
    "any",
    "arrays",
    "ascii_downcase",
    "ascii_upcase",
    "booleans",
    "contains",
    "del",
    "empty",
    "endswith",
    "error",
    "false",
    "first",
    "flatten",
    "from_entries",
    "fromjson",
    "getpath",
    "group_by",
    "has",
    "in",
    "index",
    "indices",
    "inside",
    "isempty",
    "iterables",
    "join",
    "keys",
    "keys_unsorted",
    "last",
    "length",
    "ltrim",
    "ltrimstr",
    "map",
    "max",
    "max_by",
    "min",
    "min_by",
    "not",
    "nth",
    "null",
    "nulls",
    "numbers",
    "objects",
    "path",
    "paths",
    "recurse",
    "reverse",
    "rindex",
    "rtrim",
    "rtrimstr",
    "scalars",
    "select",
    "sort",
    "sort_by",
    "split",
    "startswith",
    "strings",
    "to_entries",
    "tojson",
    "tonumber",
    "tostring",
    "trim",
    "true",
    "type",
    "unique",
    "unique_by",
    "utf8bytelength",
    "values",
];

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JqError {
    /// The expression is no valid jq, or calls an unknown function.
    #[error("it is no jq that can be read")]
    Syntax,
    /// The expression is longer or more deeply nested than the limits.
    #[error("it is longer than {MAX_LENGTH} bytes or nests deeper than {MAX_DEPTH}")]
    TooLong,
    /// The expression uses something that may run or grow without bound.
    #[error("it uses `{0}`, which is unknown or may run or grow without bound")]
    Unbounded(String),
    /// The cost grows too fast with the object's size.
    #[error("it would visit each field more than {MAX_COST} times")]
    Costly,
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
    filter: jaq_core::Filter<data::JustLut<Val>>,
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Query").field(&self.text).finish()
    }
}

impl Query {
    /// Parses `text`; refuses invalid and unbounded expressions.
    pub fn new(text: &str) -> Result<Self, JqError> {
        if text.len() > MAX_LENGTH || depth(text) > MAX_DEPTH {
            return Err(JqError::TooLong);
        }
        let term = jaq_core::load::parse(text, |parser| parser.term()).ok_or(JqError::Syntax)?;
        if cost(&term)? > MAX_COST {
            return Err(JqError::Costly);
        }
        let code = format!("path({text})");
        let arena = Arena::default();
        let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let modules =
            Loader::new(defs).load(&arena, File { code: code.as_str(), path: () }).map_err(|_| JqError::Syntax)?;
        let natives = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let filter = Compiler::default().with_funs(natives).compile(modules).map_err(|_| JqError::Syntax)?;
        Ok(Self { text: text.to_owned(), filter })
    }

    /// The paths that the expression matches in `value`, the last first, so that each can be removed in turn. Empty
    /// where the expression fails, as Argo CD then leaves the object unchanged.
    pub fn paths(&self, value: &Value) -> Vec<Vec<PathSegment>> {
        let Ok(value) = serde_json::from_value::<Val>(value.clone()) else { return Vec::new() };
        let context = Ctx::<data::JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        let outputs = self.filter.id.run((context, value)).map(unwrap_valr).take(MAX_PATHS + 1);
        let paths: Option<Vec<Vec<PathSegment>>> = outputs.map(|path| steps(&path.ok()?)).collect();
        let mut paths = paths.filter(|paths| paths.len() <= MAX_PATHS).unwrap_or_default();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        paths.dedup();
        paths
    }
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

/// How often, at most, a term visits the parts of its input: alternatives add up, pipes multiply. `.[]` costs nothing,
/// for its outputs are disjoint parts of its input. `Err` names an unbounded function.
fn cost(term: &Term<&str>) -> Result<u64, JqError> {
    let unbounded = |name: &str| Err(JqError::Unbounded(name.to_owned()));
    let optional = |term: &Option<Box<Term<&str>>>| term.as_ref().map_or(Ok(1), |term| cost(term));
    Ok(match term {
        Term::Id | Term::Num(_) => 1,
        // Of what is bound no more is visited than of the input of a pipe, and what is not bound does not compile.
        Term::Var(name) if *name != "$ENV" => 1,
        Term::Recurse => RECURSION,
        Term::Str(Some(format), _) => return unbounded(format),
        Term::Str(None, parts) => product(parts.iter().filter_map(|part| match part {
            StrPart::Term(term) => Some(term),
            _ => None,
        }))?,
        Term::Arr(inner) => optional(inner)?,
        Term::Obj(fields) => product(fields.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]).flatten())?,
        Term::Neg(inner) => cost(inner)?,
        Term::BinOp(left, op, right) => {
            let (left, right) = (cost(left)?, cost(right)?);
            match op {
                BinaryOp::Comma | BinaryOp::Alt | BinaryOp::Math(Math::Add | Math::Sub) => left.saturating_add(right),
                BinaryOp::Pipe(None | Some(Pattern::Var(_))) | BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_) => {
                    left.saturating_mul(right)
                }
                BinaryOp::Math(_) => return unbounded("* / %"),
                BinaryOp::Pipe(Some(_)) => return unbounded("as"),
                BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                    return unbounded("=");
                }
            }
        }
        Term::TryCatch(inner, catch) => cost(inner)?.saturating_mul(optional(catch)?),
        Term::IfThenElse(branches, last) => {
            let branches = product(branches.iter().flat_map(|(condition, then)| [condition, then]))?;
            branches.saturating_mul(optional(last)?)
        }
        Term::Path(inner, path) => {
            let parts = path.0.iter().flat_map(|(part, _)| match part {
                Part::Index(index) => [Some(index), None],
                Part::Range(from, to) => [from.as_ref(), to.as_ref()],
            });
            cost(inner)?.saturating_mul(product(parts.flatten())?)
        }
        Term::Call("recurse" | "paths", arguments) if arguments.is_empty() => RECURSION,
        Term::Call("recurse", _) => return unbounded("recurse(f)"),
        Term::Call("test", arguments) => pattern_cost(arguments)?,
        Term::Call(name, arguments) if ALLOWED.contains(name) => product(arguments)?,
        Term::Call(name, _) | Term::Fold(name, ..) | Term::Var(name) => return unbounded(name),
        Term::Label(..) | Term::Break(_) => return unbounded("label"),
        Term::Def(..) => return unbounded("def"),
    })
}

/// The cost of a regular expression: its repetition counts multiply its size. One that is computed at run time can't be
/// estimated.
fn pattern_cost(arguments: &[Term<&str>]) -> Result<u64, JqError> {
    let mut cost = 1_u64;
    for argument in arguments {
        let Term::Str(None, parts) = argument else { return Err(JqError::Unbounded("test".to_owned())) };
        for part in parts {
            let StrPart::Str(text) = part else { continue };
            for count in text.split('{').skip(1).flat_map(|rest| rest.split(['}', ','])) {
                cost = cost.saturating_mul(count.parse::<u64>().unwrap_or(1).max(1));
            }
        }
    }
    if cost > MAX_COUNT { Err(JqError::Costly) } else { Ok(1) }
}

fn product<'t, 's: 't>(terms: impl IntoIterator<Item = &'t Term<&'s str>>) -> Result<u64, JqError> {
    terms.into_iter().try_fold(1_u64, |all, term| Ok(all.saturating_mul(cost(term)?)))
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
        for path in Query::new(text).unwrap().paths(&value) {
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
        ];
        for (text, name) in attacks {
            assert_eq!(Query::new(text).unwrap_err(), JqError::Unbounded(name.to_owned()), "{text}");
        }
        let doubled = vec!["(.,.)"; 60].join("|");
        assert_eq!(Query::new(&doubled).unwrap_err(), JqError::Costly);
        let grown = vec![". + ."; 60].join("|");
        assert_eq!(Query::new(&grown).unwrap_err(), JqError::Costly);
        assert_eq!(Query::new("..|..|..|..|.a?").unwrap_err(), JqError::Costly);
        assert_eq!(Query::new(r#".a | select(test("(?:a?){1000}a{1000}"))"#).unwrap_err(), JqError::Costly);
        assert!(matches!(Query::new(".a | select(test(.b))"), Err(JqError::Unbounded(_))));
        assert!(Query::new(r#".a | select(test("^v[0-9]{1,3}$"; "i"))"#).is_ok());
        assert_eq!(Query::new(&"[".repeat(500)).unwrap_err(), JqError::TooLong);
        assert_eq!(Query::new(".a[").unwrap_err(), JqError::Syntax);
        let bound = vec![". + . as $x"; 60].join("|") + "|$x";
        assert_eq!(Query::new(&bound).unwrap_err(), JqError::Costly);
        assert!(matches!(Query::new("nonsense(1)"), Err(JqError::Unbounded(_))));
        assert!(Query::new("$nobody").is_err());
        assert!(Query::new(".[] as [$x] | .a").is_err());
    }
}
