//! What a jq expression costs at most, told from the expression itself: functions that may run or grow without bound
//! are refused by name.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::ops::Math;
use jaq_core::path::Part;
use slipway_gocompat::regexp;

use super::JqError;

/// Cost of `..`: it visits each value once for each value around it.
const RECURSION: u64 = 32;
/// Cost of a function that sorts.
const SORTED: u64 = 16;
/// Cost of writing as JSON: a control character takes six bytes, and each quote twice what it took.
const WRITTEN: u64 = 6;
/// Cost of cutting a text: each piece is a value.
const CUT: u64 = 32;
/// Bytes of a compiled regular expression: it is compiled at each evaluation.
pub(super) const MAX_PATTERN: usize = 20 << 10;

/// Functions that sort or compare all.
const SORTING: &[&str] = &["group_by", "max", "max_by", "min", "min_by", "sort", "sort_by", "unique", "unique_by"];

/// Functions that an expression may call, besides those of [`call`]: their work is bounded by their input.
const ALLOWED: &[&str] = &[
    "add",
    "all",
    "any",
    "arrays",
    "ascii_downcase",
    "ascii_upcase",
    "booleans",
    "empty",
    "endswith",
    "error",
    "false",
    "first",
    "flatten",
    "from_entries",
    "getpath",
    "has",
    "in",
    "isempty",
    "iterables",
    "keys",
    "keys_unsorted",
    "last",
    "length",
    "ltrim",
    "ltrimstr",
    "map",
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
    "rtrim",
    "rtrimstr",
    "scalars",
    "select",
    "startswith",
    "strings",
    "to_entries",
    "tonumber",
    "trim",
    "true",
    "type",
    "utf8bytelength",
    "values",
];

/// What a term takes and gives at most, for an input of so many bytes: `visits * bytes ^ degree`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) visits: u64,
    pub(super) degree: u32,
    /// Whether there may be several outputs for one input.
    many: bool,
    /// Whether variables are used: then it is not its input that it works on.
    bound: bool,
}

impl Cost {
    const ONE: Self = Self { visits: 1, degree: 1, many: false, bound: false };

    fn of(visits: u64) -> Self {
        Self { visits, ..Self::ONE }
    }

    fn many(self) -> Self {
        Self { many: true, ..self }
    }

    /// Of work that multiplies the input with itself.
    fn squared(self) -> Self {
        Self { degree: self.degree.saturating_add(1), ..self }
    }

    /// Both, one beside the other.
    fn plus(self, other: Self) -> Self {
        Self {
            visits: self.visits.saturating_add(other.visits),
            degree: self.degree.max(other.degree),
            many: self.many || other.many,
            bound: self.bound || other.bound,
        }
    }

    /// The other for each output of this one, both on the same input.
    fn times(self, other: Self) -> Self {
        let degree = if self.many && other.many {
            self.degree.saturating_add(other.degree)
        } else {
            self.degree.max(other.degree)
        };
        Self { visits: self.visits.saturating_mul(other.visits), degree, ..self.plus(other) }
    }

    /// The other on the outputs of this one. Without variables those of one input are its disjoint parts.
    fn then(self, other: Self) -> Self {
        let piped = Self {
            visits: self.visits.saturating_pow(other.degree).saturating_mul(other.visits),
            degree: self.degree.saturating_mul(other.degree),
            ..self.plus(other)
        };
        if !other.bound || !self.many {
            return piped;
        }
        Self { degree: piped.degree.max(self.degree.saturating_add(other.degree)), ..piped }
    }
}

fn unbounded<T>(name: &str) -> Result<T, JqError> {
    Err(JqError::Unbounded(name.to_owned()))
}

/// How often, at most, a term visits the parts of its input: alternatives add up, pipes multiply. `.[]` costs nothing,
/// for its outputs are disjoint parts of its input. `Err` names an unbounded function.
pub(super) fn cost(term: &Term<&str>) -> Result<Cost, JqError> {
    let optional = |term: &Option<Box<Term<&str>>>| term.as_ref().map_or(Ok(Cost::ONE), |term| cost(term));
    Ok(match term {
        Term::Id | Term::Num(_) => Cost::ONE,
        // What is not bound does not compile.
        Term::Var(name) if *name != "$ENV" => Cost { bound: true, ..Cost::ONE },
        Term::Recurse => Cost::of(RECURSION).many(),
        Term::Str(Some(format), _) => return unbounded(format),
        Term::Str(None, _) if literal(term).is_some() => Cost::ONE,
        Term::Str(None, parts) => {
            let parts = parts.iter().filter_map(|part| match part {
                StrPart::Term(term) => Some(term),
                _ => None,
            });
            // Values in texts are written as JSON, one behind the other.
            together(parts)?.then(Cost::of(WRITTEN))
        }
        Term::Arr(inner) => Cost { many: false, ..optional(inner)? },
        Term::Obj(fields) => together(fields.iter().flat_map(|(key, value)| [Some(key), value.as_ref()]).flatten())?,
        Term::Neg(inner) => cost(inner)?,
        Term::BinOp(left, op, right) => {
            let (left, right) = (cost(left)?, cost(right)?);
            match op {
                BinaryOp::Comma => left.plus(right).many(),
                BinaryOp::Alt => left.plus(right),
                BinaryOp::Math(Math::Add | Math::Sub) => left.times(right).times(Cost::of(2)),
                BinaryOp::Pipe(None) => left.then(right),
                // What is bound stands for the outputs of the left.
                BinaryOp::Pipe(Some(Pattern::Var(_))) | BinaryOp::Or | BinaryOp::And | BinaryOp::Cmp(_) => {
                    left.times(right)
                }
                BinaryOp::Math(_) => return unbounded("* / %"),
                BinaryOp::Pipe(Some(_)) => return unbounded("as"),
                BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                    return unbounded("=");
                }
            }
        }
        Term::TryCatch(inner, catch) => cost(inner)?.times(optional(catch)?),
        Term::IfThenElse(branches, last) => {
            let branches = product(branches.iter().flat_map(|(condition, then)| [condition, then]))?;
            branches.times(optional(last)?)
        }
        Term::Path(inner, path) => {
            let mut all = cost(inner)?;
            for (part, _) in &path.0 {
                let (bounds, iterates) = match part {
                    Part::Index(index) => ([Some(index), None], false),
                    Part::Range(from, to) => ([from.as_ref(), to.as_ref()], from.is_none() && to.is_none()),
                };
                for bound in bounds.into_iter().flatten() {
                    let bound_cost = cost(bound)?;
                    // A list is looked for in a list.
                    let computed = if literal(bound).is_some() { bound_cost } else { bound_cost.squared() };
                    all = all.times(computed);
                }
                all.many |= iterates;
            }
            all
        }
        Term::Call(name, arguments) => call(name, arguments)?,
        Term::Fold(name, ..) | Term::Var(name) => return unbounded(name),
        Term::Label(..) | Term::Break(_) => return unbounded("label"),
        Term::Def(..) => return unbounded("def"),
    })
}

/// The cost of a function.
fn call(name: &str, arguments: &[Term<&str>]) -> Result<Cost, JqError> {
    let all = product(arguments)?;
    let known = |factor: fn(u64) -> u64| match arguments {
        [one] => Ok::<_, JqError>(match literal(one) {
            Some(length) => all.then(Cost::of(factor(length))),
            None => all.then(Cost::of(CUT)).squared(),
        }),
        _ => unbounded(name),
    };
    match name {
        "recurse" | "paths" if arguments.is_empty() => Ok(Cost::of(RECURSION).many()),
        "recurse" => unbounded("recurse(f)"),
        "test" => {
            pattern(arguments)?;
            Ok(all)
        }
        "tojson" | "tostring" => Ok(all.then(Cost::of(WRITTEN))),
        "split" => known(|_| CUT),
        "contains" | "inside" => known(|length| 1 + length / 8),
        "index" | "indices" | "rindex" | "join" => known(|length| WRITTEN + length),
        // What is bound is not a part of the item.
        "all" | "any" | "map" if all.bound => Ok(all.squared()),
        name if SORTING.contains(&name) => {
            let sorted = all.then(Cost::of(SORTED));
            Ok(if all.bound { sorted.squared() } else { sorted })
        }
        "paths" => Ok(all.times(Cost::of(RECURSION)).many()),
        name if ALLOWED.contains(&name) => Ok(all),
        name => unbounded(name),
    }
}

/// The length of what the term is, whatever its input.
fn literal(term: &Term<&str>) -> Option<u64> {
    match term {
        Term::Num(_) => Some(1),
        Term::Str(None, parts) => parts.iter().try_fold(1, |sum, part| match part {
            StrPart::Str(text) => Some(sum + text.len() as u64),
            StrPart::Char(_) => Some(sum + 1),
            StrPart::Term(_) => None,
        }),
        Term::Neg(inner) => literal(inner),
        Term::Arr(inner) => inner.as_ref().map_or(Some(1), |inner| literal(inner)),
        Term::BinOp(left, BinaryOp::Comma, right) => Some(literal(left)? + literal(right)?),
        Term::Obj(fields) => fields
            .iter()
            .flat_map(|(key, value)| [Some(key), value.as_ref()])
            .flatten()
            .try_fold(0, |sum, term| Some(sum + literal(term)?)),
        _ => None,
    }
}

/// Refuses a large regular expression, and one that is computed at run time.
fn pattern(arguments: &[Term<&str>]) -> Result<(), JqError> {
    for argument in arguments {
        let Term::Str(None, parts) = argument else { return unbounded("test") };
        let mut pattern = String::new();
        for part in parts {
            match part {
                StrPart::Str(text) => pattern.push_str(text),
                StrPart::Char(c) => pattern.push(*c),
                StrPart::Term(_) => return unbounded("test"),
            }
        }
        if regexp::compiled_size(&pattern) > MAX_PATTERN {
            return Err(JqError::Costly);
        }
    }
    Ok(())
}

fn product<'t, 's: 't>(terms: impl IntoIterator<Item = &'t Term<&'s str>>) -> Result<Cost, JqError> {
    terms.into_iter().try_fold(Cost::ONE, |all, term| Ok(all.times(cost(term)?)))
}

/// The cost of what is made of all parts.
fn together<'t, 's: 't>(parts: impl IntoIterator<Item = &'t Term<&'s str>>) -> Result<Cost, JqError> {
    let mut count = 0;
    let all = product(parts.into_iter().inspect(|_| count += 1))?;
    Ok(all.times(Cost::of(count.max(1))))
}
