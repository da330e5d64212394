//! A GraphQL operation as text to a tree of selections: the part of the language that clients of GitHub use
//! (operations with variables, fields with aliases and arguments, inline fragments).

use serde_json::{Map, Value, json};

/// Selections nest at most this deep.
const DEPTH_LIMIT: usize = 30;

/// A selected field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection {
    /// The key in the answer: alias or name.
    pub key: String,
    /// The field.
    pub name: String,
    /// Arguments with variables put in.
    pub arguments: Map<String, Value>,
    /// What is selected below; inline fragments are merged in, each with its type.
    pub fields: Vec<Selection>,
    /// `Some("Commit")` below `... on Commit`.
    pub on: Option<String>,
}

/// The operation's root: `Query` or `Mutation`, and its fields. Gives GitHub's words for a text that can't be parsed.
pub(super) fn parse(text: &str, variables: &Map<String, Value>) -> Result<(bool, Vec<Selection>), String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, variables };
    let mut is_mutation = false;
    if let Some(word) = parser.peek().filter(|token| token.is_name()).map(|token| token.0.clone()) {
        if word == "fragment" || word == "subscription" {
            return Err(format!("Parse error: `{word}` is not supported here"));
        }
        is_mutation = word == "mutation";
        while parser.peek().is_some_and(|token| token.0 != "{") {
            if parser.peek().is_some_and(|token| token.0 == "(") {
                parser.skip_parentheses()?;
            } else {
                parser.next()?;
            }
        }
    }
    let fields = parser.selections(None, 0)?;
    match parser.peek() {
        None => Ok((is_mutation, fields)),
        Some(token) => Err(format!("Expected one operation, actual: `{}`", token.0)),
    }
}

/// A token; a string carries a leading quote and its value.
#[derive(Debug, Clone, PartialEq)]
struct Token(String);

impl Token {
    fn is_name(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '\u{feff}');
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let length = if first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        } else if first == '"' {
            let end = string_end(rest).ok_or("Parse error: a string has no end")?;
            let (string, tail) = rest.split_at(end);
            let value: String = serde_json::from_str(string).map_err(|error| format!("Parse error: {error}"))?;
            found.push(Token(format!("\"{value}")));
            rest = tail;
            continue;
        } else if rest.starts_with("...") {
            3
        } else if first.is_ascii_alphanumeric() || first == '_' || first == '-' {
            rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.+".contains(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        found.push(Token(token.to_owned()));
        rest = tail;
    }
}

fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    variables: &'a Map<String, Value>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<String, String> {
        let token = self.tokens.get(self.at).ok_or("Parse error: unexpected end of the document")?;
        self.at += 1;
        Ok(token.0.clone())
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.0 == wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let found = self.next()?;
        if found == wanted { Ok(()) } else { Err(format!("Expected `{wanted}`, actual: `{found}`")) }
    }

    fn skip_parentheses(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            match self.next()?.as_str() {
                "(" => depth += 1,
                ")" if depth == 1 => return Ok(()),
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn selections(&mut self, on: Option<&str>, depth: usize) -> Result<Vec<Selection>, String> {
        if depth > DEPTH_LIMIT {
            return Err(format!("Query has depth over {DEPTH_LIMIT}"));
        }
        self.expect("{")?;
        let mut fields = Vec::new();
        while !self.take("}") {
            if self.take("...") {
                self.expect("on")?;
                let name = self.next()?;
                fields.extend(self.selections(Some(&name), depth + 1)?);
                continue;
            }
            let key = self.next()?;
            let name = if self.take(":") { self.next()? } else { key.clone() };
            let mut arguments = Map::new();
            if self.take("(") {
                while !self.take(")") {
                    let argument = self.next()?;
                    self.expect(":")?;
                    arguments.insert(argument, self.value(0)?);
                }
            }
            let below = self.peek().is_some_and(|token| token.0 == "{");
            let inner = if below { self.selections(None, depth + 1)? } else { Vec::new() };
            fields.push(Selection { key, name, arguments, fields: inner, on: on.map(str::to_owned) });
        }
        Ok(fields)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_LIMIT {
            return Err(format!("Query has depth over {DEPTH_LIMIT}"));
        }
        let token = self.next()?;
        Ok(match token.as_str() {
            "$" => {
                let name = self.next()?;
                self.variables.get(&name).cloned().unwrap_or(Value::Null)
            }
            "{" => {
                let mut map = Map::new();
                while !self.take("}") {
                    let key = self.next()?;
                    self.expect(":")?;
                    map.insert(key, self.value(depth + 1)?);
                }
                Value::Object(map)
            }
            "[" => {
                let mut list = Vec::new();
                while !self.take("]") {
                    list.push(self.value(depth + 1)?);
                }
                Value::Array(list)
            }
            string if string.starts_with('"') => json!(string.strip_prefix('"')),
            // Numbers, booleans and null are JSON already; what else is bare is an enum value.
            other => serde_json::from_str(other).unwrap_or_else(|_| json!(other)),
        })
    }
}

/// Cuts `value` to what is selected: `__typename` of an object decides about fragments, a field that the value lacks
/// is an error in GitHub's words.
pub(super) fn select(value: &Value, fields: &[Selection]) -> Result<Value, String> {
    if fields.is_empty() {
        return Ok(value.clone());
    }
    match value {
        Value::Array(items) => items.iter().map(|item| select(item, fields)).collect(),
        Value::Object(map) => {
            let kind = map.get("__typename").and_then(Value::as_str).unwrap_or_default();
            let mut out = Map::new();
            for field in fields.iter().filter(|field| field.on.as_deref().is_none_or(|on| on == kind)) {
                let inner = map
                    .get(&field.key)
                    .or_else(|| map.get(&field.name))
                    .ok_or_else(|| format!("Field '{}' doesn't exist on type '{kind}'", field.name))?;
                out.insert(field.key.clone(), select(inner, &field.fields)?);
            }
            Ok(Value::Object(out))
        }
        scalar => Ok(scalar.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_with_aliases_variables_and_fragments() {
        let variables = json!({"o": "acme"});
        let text = r#"query($o: String!) { # who
            r: repository(owner: $o, name: "a\"b") {
              ref(qualifiedName: "main") { target { ... on Commit { oid } } } } }"#;
        let (mutation, fields) = parse(text, variables.as_object().unwrap()).unwrap();
        assert!(!mutation);
        assert_eq!(fields[0].key, "r");
        assert_eq!(Value::Object(fields[0].arguments.clone()), json!({"owner": "acme", "name": "a\"b"}));
        let value = json!({"__typename": "Repository", "ref": {"__typename": "Ref",
            "target": {"__typename": "Commit", "oid": "1", "message": "no"}}});
        assert_eq!(select(&value, &fields[0].fields).unwrap(), json!({"ref": {"target": {"oid": "1"}}}));
        assert!(parse("{ a", &Map::new()).is_err());
    }
}
