//! Kubernetes' JSONPath templates (kubernetes/client-go `util/jsonpath`), which the modifier `jsonPath` takes: fields,
//! indices, slices, unions, wildcards, descent, filters and ranges. No error quotes a value.
//!
//! Otherwise than there, numbers compare with numbers however they are written, and print as they are written.

use serde_json::Value;

/// Bytes of a result: Kubernetes takes no larger Secret.
const MAX_BYTES: usize = 4 << 20;
/// Values that are looked at.
const MAX_VISITS: usize = 200_000;
/// Ranges and brackets within each other, and levels of a descent.
const MAX_DEPTH: usize = 64;

/// What `template` makes of `value`, such as `{.users[?(@.name=="ann")].age}{':'}{.password}`.
pub(super) fn fill(template: &str, value: &Value) -> Result<String, String> {
    let mut run = Run { made: String::new(), visits: 0 };
    let mut parts = parts(template)?.into_iter();
    run.print(&body(&mut parts, 0, false)?, value, value)?;
    Ok(run.made)
}

/// A text, or what stands between braces.
enum Part {
    Text(String),
    Action(String),
}

/// A part of a template with its meaning.
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

/// A step on the way to values.
enum Step {
    /// The whole value.
    Root,
    Field(String),
    Wildcard,
    Descent,
    /// From, to and by how many; one index where there is no `to`.
    Slice(Option<i64>, Option<i64>, i64),
    Index(i64),
    Union(Vec<Vec<Step>>),
    Filter(Operand, Option<(String, Operand)>),
}

/// One side of a comparison.
enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

fn parts(template: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut text, mut action) = (Vec::new(), String::new(), None::<String>);
    let (mut quote, mut is_escaped) = (None, false);
    for char in template.chars() {
        match &mut action {
            None if char == '{' => {
                parts.push(Part::Text(std::mem::take(&mut text)));
                action = Some(String::new());
            }
            None => text.push(char),
            Some(inner) if char == '}' && quote.is_none() => {
                parts.push(Part::Action(std::mem::take(inner).trim().to_owned()));
                action = None;
            }
            Some(inner) => {
                inner.push(char);
                match quote {
                    Some(open) if char == open && !is_escaped => quote = None,
                    None if matches!(char, '\'' | '"') => quote = Some(char),
                    _ => {}
                }
                is_escaped = char == '\\' && !is_escaped;
            }
        }
    }
    if action.is_some() {
        return Err("`jsonPath` has a `{` without its `}`".to_owned());
    }
    parts.push(Part::Text(text));
    Ok(parts)
}

/// The nodes up to the end of the template, or of the range.
fn body(parts: &mut impl Iterator<Item = Part>, depth: usize, is_range: bool) -> Result<Vec<Node>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("`jsonPath` has more than {MAX_DEPTH} ranges within each other"));
    }
    let mut nodes = Vec::new();
    while let Some(part) = parts.next() {
        nodes.push(match part {
            Part::Text(text) => Node::Text(text),
            Part::Action(action) if action == "end" && is_range => return Ok(nodes),
            Part::Action(action) if action == "end" => return Err("`jsonPath` has an `{end}` of no range".to_owned()),
            Part::Action(action) => match (action.strip_prefix("range "), quoted(&action)) {
                (Some(path), _) => Node::Range(path_of(path.trim())?, body(parts, depth.saturating_add(1), true)?),
                (None, Some(text)) => Node::Text(text),
                (None, None) => Node::Path(path_of(&action)?),
            },
        });
    }
    if is_range { Err("`jsonPath` has a `{range}` without its `{end}`".to_owned()) } else { Ok(nodes) }
}

/// The text between quotes, where `text` is that.
fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let (mut plain, mut chars) = (String::new(), inner.chars());
    while let Some(char) = chars.next() {
        if char == quote {
            return None;
        }
        plain.push(match char {
            '\\' => match chars.next()? {
                'n' => '\n',
                't' => '\t',
                other => other,
            },
            char => char,
        });
    }
    Some(plain)
}

fn unknown(path: &str) -> String {
    format!("`jsonPath {{{path}}}` can't be read: see Kubernetes' JSONPath")
}

fn path_of(path: &str) -> Result<Vec<Step>, String> {
    path_at(path, 0)
}

fn path_at(path: &str, depth: usize) -> Result<Vec<Step>, String> {
    let bad = || unknown(path);
    if depth > MAX_DEPTH {
        return Err(bad());
    }
    let (mut steps, mut rest) = (Vec::new(), path);
    if let Some(after) = path.strip_prefix('$') {
        steps.push(Step::Root);
        rest = after;
    } else if let Some(after) = path.strip_prefix('@') {
        rest = after;
    }
    while !rest.is_empty() && rest != "." {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after).ok_or_else(bad)?;
            let (inner, after) = after.split_at_checked(end).ok_or_else(bad)?;
            steps.push(bracket(inner, depth.saturating_add(1)).ok_or_else(bad)?);
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        let mut after = rest.strip_prefix('.').ok_or_else(bad)?;
        if let Some(below) = after.strip_prefix('.') {
            steps.push(Step::Descent);
            after = below;
            if after.starts_with('[') {
                rest = after;
                continue;
            }
        }
        // A dot in a name is written behind a backslash.
        let mut is_escaped = false;
        let end = after.char_indices().find(|(_, char)| {
            let is_end = matches!(char, '.' | '[') && !is_escaped;
            is_escaped = *char == '\\';
            is_end
        });
        let (name, after) = after.split_at_checked(end.map_or(after.len(), |(at, _)| at)).ok_or_else(bad)?;
        let is_name =
            !name.is_empty() && !name.contains(|char: char| char.is_whitespace() || "*?()|&@'\"".contains(char));
        steps.push(match name {
            "*" => Step::Wildcard,
            _ if is_name => Step::Field(name.replace("\\.", ".")),
            _ => return Err(bad()),
        });
        rest = after;
    }
    Ok(steps)
}

/// Where the bracket closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, char) in text.char_indices() {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (None, '\'' | '"') => quote = Some(char),
            (None, '[') => depth = depth.saturating_add(1),
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str, depth: usize) -> Option<Step> {
    if inner == "*" {
        return Some(Step::Wildcard);
    }
    if let Some(text) = quoted(inner) {
        return Some(Step::Field(text));
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return self::filter(filter, depth);
    }
    if inner.contains(',') {
        let one = |part: &str| Some(vec![bracket(part.trim(), depth)?]);
        return inner.split(',').map(one).collect::<Option<_>>().map(Step::Union);
    }
    if let Ok(index) = inner.parse() {
        return Some(Step::Index(index));
    }
    let mut numbers = inner.splitn(3, ':').map(|number| (!number.is_empty()).then(|| number.parse().ok()));
    let (from, to, by) = (numbers.next()?, numbers.next()?, numbers.next().flatten());
    let known = |number: Option<Option<i64>>| match number {
        Some(None) => None,
        Some(number) => Some(number),
        None => Some(None),
    };
    let by = known(by)?.unwrap_or(1);
    (by > 0).then_some(Step::Slice(known(from)?, known(to)?, by))
}

fn filter(text: &str, depth: usize) -> Option<Step> {
    let mut quote = None;
    let operator = text.char_indices().find_map(|(at, char)| {
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (None, '\'' | '"') => quote = Some(char),
            _ => {}
        }
        let rest = text.get(at..).filter(|_| quote.is_none())?;
        ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|operator| rest.starts_with(operator)).map(|one| (at, one))
    });
    let operand = |text: &str| {
        let text = text.trim();
        match quoted(text) {
            Some(text) => Some(Operand::Literal(text.into())),
            None if text.starts_with(['@', '.', '$', '[']) => path_at(text, depth).ok().map(Operand::Path),
            None => serde_json::from_str(text).ok().map(Operand::Literal),
        }
    };
    let Some((at, operator)) = operator else { return Some(Step::Filter(operand(text)?, None)) };
    let right = text.get(at.checked_add(operator.len())?..)?;
    Some(Step::Filter(operand(text.get(..at)?)?, Some((operator.to_owned(), operand(right)?))))
}

/// One use of a template.
struct Run {
    made: String,
    visits: usize,
}

impl Run {
    fn print(&mut self, nodes: &[Node], root: &Value, value: &Value) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.made.push_str(text),
                Node::Path(steps) => {
                    let found = self.find(steps, root, value)?;
                    let texts: Vec<String> = found.into_iter().map(text).collect();
                    self.made.push_str(&texts.join(" "));
                }
                Node::Range(steps, body) => {
                    for one in self.find(steps, root, value)? {
                        self.print(body, root, one)?;
                    }
                }
            }
            if self.made.len() > MAX_BYTES {
                return Err("what `jsonPath` makes is too large".to_owned());
            }
        }
        Ok(())
    }

    /// The values that `steps` lead to from `value`.
    fn find<'v>(&mut self, steps: &[Step], root: &'v Value, value: &'v Value) -> Result<Vec<&'v Value>, String> {
        let mut found = vec![value];
        for step in steps {
            let before = std::mem::take(&mut found);
            let was_any = !before.is_empty();
            for one in before {
                self.take(step, root, one, &mut found)?;
                self.visits = self.visits.saturating_add(found.len()).saturating_add(1);
                if self.visits > MAX_VISITS {
                    return Err("`jsonPath` looks at too many values".to_owned());
                }
            }
            if let (Step::Field(name), true, true) = (step, was_any, found.is_empty()) {
                return Err(format!("the value has no field `{name}`"));
            }
        }
        Ok(found)
    }

    fn take<'v>(
        &mut self,
        step: &Step,
        root: &'v Value,
        value: &'v Value,
        found: &mut Vec<&'v Value>,
    ) -> Result<(), String> {
        match step {
            Step::Root => found.push(root),
            Step::Field(name) => found.extend(value.as_object().and_then(|map| map.get(name))),
            Step::Wildcard => found.extend(children(value)),
            Step::Descent => descend(value, found, MAX_DEPTH),
            Step::Union(all) => {
                for steps in all {
                    found.extend(self.find(steps, root, value)?);
                }
            }
            Step::Index(index) => {
                let list = value.as_array().ok_or_else(|| format!("the value at `[{index}]` is no list"))?;
                let item = place(*index, list.len()).and_then(|at| list.get(at));
                found.push(item.ok_or_else(|| format!("the value has nothing at `[{index}]`"))?);
            }
            Step::Slice(from, to, by) => {
                let list = value.as_array().ok_or("the value of a slice is no list")?;
                let from = from.map_or(Some(0), |from| place(from, list.len()));
                let from = from.filter(|from| *from < list.len().max(1)).ok_or("a slice begins outside of its list")?;
                let to =
                    to.map_or(Some(list.len()), |to| place(to, list.len())).ok_or("a slice ends before its list")?;
                if to < from {
                    return Err("a slice ends before it begins".to_owned());
                }
                let by = usize::try_from(*by).unwrap_or(usize::MAX);
                found.extend(list.iter().take(to).skip(from).step_by(by));
            }
            Step::Filter(left, comparison) => {
                for item in value.as_array().into_iter().flatten() {
                    if self.selects(left, comparison.as_ref(), root, item)? {
                        found.push(item);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a filter selects `item`; not where what it compares is not there.
    fn selects(
        &mut self,
        left: &Operand,
        comparison: Option<&(String, Operand)>,
        root: &Value,
        item: &Value,
    ) -> Result<bool, String> {
        let Some(left) = self.operand(left, root, item)? else { return Ok(false) };
        let Some((operator, right)) = comparison else { return Ok(true) };
        let Some(right) = self.operand(right, root, item)? else { return Ok(false) };
        let order = match (&left, &right) {
            (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (left, right) if left == right => Some(std::cmp::Ordering::Equal),
            (Value::Bool(_), Value::Bool(_)) if matches!(operator.as_str(), "==" | "!=") => None,
            _ => return Err("a filter of `jsonPath` compares values of different types".to_owned()),
        };
        Ok(match operator.as_str() {
            "==" => order.is_some_and(std::cmp::Ordering::is_eq),
            "!=" => order.is_none_or(std::cmp::Ordering::is_ne),
            "<" => order.is_some_and(std::cmp::Ordering::is_lt),
            "<=" => order.is_some_and(std::cmp::Ordering::is_le),
            ">" => order.is_some_and(std::cmp::Ordering::is_gt),
            _ => order.is_some_and(std::cmp::Ordering::is_ge),
        })
    }

    fn operand(&mut self, operand: &Operand, root: &Value, item: &Value) -> Result<Option<Value>, String> {
        let steps = match operand {
            Operand::Literal(value) => return Ok(Some(value.clone())),
            Operand::Path(steps) => steps,
        };
        // A missing field selects nothing.
        let found = self.find(steps, root, item).unwrap_or_default();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((*one).clone())),
            _ => Err("a filter of `jsonPath` compares one value at a time".to_owned()),
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

/// `value` and all below it.
fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>, depth: usize) {
    let Some(depth) = depth.checked_sub(1).filter(|_| found.len() < MAX_VISITS) else { return };
    found.push(value);
    for child in children(value) {
        descend(child, found, depth);
    }
}

/// The place of an index, which counts from the end where it is negative.
fn place(index: i64, length: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(place) => Some(place),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => {
            let mut other = other.clone();
            other.sort_all_objects();
            other.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value() -> Value {
        json!({"users": [
                {"name": "ann", "age": 3, "tags": ["a", "b"]},
                {"name": "bob", "age": 41.5, "tags": []},
                {"name": "eve", "age": 1_000_000}],
            "a.b": {"n": 3}, "n": null, "t": true, "m": {"y": "two", "x": 1}, "s": "a b"})
    }

    /// As kubectl 1.35 prints them, but for the comparisons of numbers.
    #[test]
    fn templates_print_what_kubectl_prints() {
        for (template, expected) in [
            ("{.users[*].name}", "ann bob eve"),
            ("{.users[0:2].name}", "ann bob"),
            ("{.users[-1].name}", "eve"),
            ("{.users[-1:].name}", "eve"),
            ("{.users[::2].name}", "ann eve"),
            ("{.users[:2].name}", "ann bob"),
            ("{.users[1:1]}", ""),
            ("{.users[0,2].name}", "ann eve"),
            ("{..name}", "ann bob eve"),
            ("{..x}", "1"),
            ("{.users[?(@.name==\"bob\")].age}", "41.5"),
            ("{.users[?(@.name=='bob')].age}", "41.5"),
            ("{.users[?(@.name!=\"bob\")].name}", "ann eve"),
            ("{.users[?(@.name<\"c\")].name}", "ann bob"),
            ("{.users[?(@.tags)].name}", "ann bob"),
            ("{.users[?(@)].name}", "ann bob eve"),
            ("{.users[?(@.nope==\"x\")]}", ""),
            ("{.users[?(@.age>3)].name}", "bob eve"),
            ("{.users[?(@.age<=3.0)].name}", "ann"),
            ("{range .users[*]}{.name}{\"\\n\"}{end}", "ann\nbob\neve\n"),
            ("{range .users[0:2]}{range .tags[*]}{@}{end};{end}", "ab;;"),
            ("{range .users[*]}{@.name},{end}", "ann,bob,eve,"),
            ("{.m.*}", "two 1"),
            ("{.m}", "{\"x\":1,\"y\":\"two\"}"),
            ("{.m['x','y']}", "1 two"),
            ("{.users[0]}", "{\"age\":3,\"name\":\"ann\",\"tags\":[\"a\",\"b\"]}"),
            ("{.users[0:2].tags[*]}", "a b"),
            ("{.n}", "null"),
            ("{.t}", "true"),
            ("x{.s}y", "xa by"),
            ("{\"a}b\"}", "a}b"),
            ("{.m.x}{.m.y}", "1two"),
            ("{$.s}{@.s}{ .s }", "a ba ba b"),
            ("{.a\\.b.n}{$['a.b']['n']}", "33"),
            ("no braces", "no braces"),
        ] {
            assert_eq!(fill(template, &value()).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        for (template, problem) in [
            ("{.users[9]}", "nothing at `[9]`"),
            ("{.users[-4]}", "nothing at `[-4]`"),
            ("{.users[5:9]}", "begins outside"),
            ("{.users[2:0]}", "before it begins"),
            ("{.users[2:0:-1]}", "can't be read"),
            ("{.m[0]}", "is no list"),
            ("{.nope}", "no field `nope`"),
            ("{.users.name}", "no field `name`"),
            ("{s}", "can't be read"),
            ("{.users[?(@.name==\"a\" || @.name==\"b\")]}", "can't be read"),
            ("{.users[?(@.name==3)]}", "different types"),
            ("{.users[ 1 ]}", "can't be read"),
            ("{.s", "without its `}`"),
            ("{range .users[*]}", "without its `{end}`"),
            ("{end}", "of no range"),
        ] {
            let error = fill(template, &value()).unwrap_err();
            assert!(error.contains(problem) && !error.contains("ann"), "{template}: {error}");
        }
    }

    #[test]
    fn a_template_is_bounded() {
        let wide = json!({"a": (0..1_000).collect::<Vec<_>>()});
        let all = "{range $.a[*]}".repeat(4) + "x" + &"{end}".repeat(4);
        assert!(fill(&all, &wide).unwrap_err().contains("too"));
        assert!(fill(&"{range .a}".repeat(1_000), &wide).unwrap_err().contains("ranges"));
        assert!(fill(&format!("{{.a{}}}", "[?(@".repeat(1_000)), &wide).is_err());
    }
}
