//! Matches globs as Argo CD and Helm have them (gobwas/glob): `*` and `**` match any text, `?` any character, `[a-z]`
//! and `[!a-z]` one of a class, `{a,b}` alternatives. In globs of paths `*` and `?` stop at slashes.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

/// A compiled glob; one that can't be read matches nothing, as in Argo CD.
#[derive(Debug)]
pub struct Glob(Form);

#[derive(Debug)]
enum Form {
    /// Most patterns are names.
    Name(String),
    Pattern(Regex),
    Unreadable,
}

/// Bytes that a compiled glob may take.
const MAX_SIZE: usize = 1 << 20;

impl Glob {
    /// A glob in which `*` matches `/` too.
    pub fn new(pattern: &str) -> Self {
        Self::build(pattern, ".")
    }

    /// A glob in which only `**` matches `/`.
    pub fn of_paths(pattern: &str) -> Self {
        Self::build(pattern, "[^/]")
    }

    fn build(pattern: &str, one: &str) -> Self {
        if !pattern.contains(['*', '?', '[', '{', '\\']) {
            return Self(Form::Name(pattern.to_owned()));
        }
        let regex = expression(pattern, one)
            .and_then(|text| RegexBuilder::new(&text).size_limit(MAX_SIZE).dot_matches_new_line(true).build().ok());
        Self(regex.map_or(Form::Unreadable, Form::Pattern))
    }

    /// Whether the pattern could be read.
    pub fn is_valid(&self) -> bool {
        !matches!(self.0, Form::Unreadable)
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Form::Name(name) => name == text,
            Form::Pattern(regex) => regex.is_match(text),
            Form::Unreadable => false,
        }
    }
}

/// The regular expression; `one` is what `?` matches.
fn expression(pattern: &str, one: &str) -> Option<String> {
    let mut out = String::from("^");
    let mut depth = 0_usize;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => out.push_str(".*"),
            '*' => {
                out.push_str(one);
                out.push('*');
            }
            '?' => out.push_str(one),
            '\\' => out.push_str(&regex::escape(&chars.next()?.to_string())),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '[' => class(&mut chars, &mut out)?,
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    (depth == 0).then_some(out)
}

fn class(chars: &mut Peekable<Chars<'_>>, out: &mut String) -> Option<()> {
    let mut body = String::new();
    loop {
        match chars.next()? {
            ']' if !body.is_empty() && body != "!" => break,
            '\\' => body.push(chars.next()?),
            other => body.push(other),
        }
    }
    let (not, body) = body.strip_prefix('!').map_or(("", body.as_str()), |rest| ("^", rest));
    let items: Vec<char> = body.chars().collect();
    let escape = |c: char| format!("\\u{{{:x}}}", u32::from(c));
    match items.as_slice() {
        [from, '-', to] if from <= to => write!(out, "[{not}{}-{}]", escape(*from), escape(*to)).ok(),
        list => write!(out, "[{not}{}]", list.iter().copied().map(escape).collect::<String>()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn globs_match_as_in_argo_cd() {
        for (pattern, yes, no) in [
            ("*.yaml", "a/b.yaml", "b.yml"),
            ("**/*.yaml", "a/b.yaml", "b.yaml"),
            ("{a,b/*}.yaml", "b/c.yaml", "c.yaml"),
            ("{*.yml,*.yaml}", "x.yml", "x.json"),
            ("config-?.yaml", "config-1.yaml", "config-10.yaml"),
            ("[a-c].yaml", "b.yaml", "d.yaml"),
            ("[!ab].yaml", "c.yaml", "a.yaml"),
            ("[ab].yaml", "a.yaml", "c.yaml"),
            ("a\\*.yaml", "a*.yaml", "ab.yaml"),
            ("a.yaml", "a.yaml", "axyaml"),
        ] {
            assert!(Glob::new(pattern).matches(yes), "{pattern} {yes}");
            assert!(!Glob::new(pattern).matches(no), "{pattern} {no}");
        }
        for (pattern, yes, no) in [
            ("a/*/c", "a/b/c", "a/b/b/c"),
            ("a/**", "a/b/c", "b"),
            ("a?c", "abc", "a/c"),
            ("*.yaml", "a.yaml", "b/a.yaml"),
            ("***.yaml", "b/a.yaml", "b"),
            ("**/*.yaml", "b/a.yaml", "a.yaml"),
            ("{a,b}/?.txt", "b/x.txt", "c/x.txt"),
            ("[!a]x", "bx", "ax"),
            (r"\[x\]", "[x]", "x"),
        ] {
            assert!(Glob::of_paths(pattern).matches(yes), "{pattern} {yes}");
            assert!(!Glob::of_paths(pattern).matches(no), "{pattern} {no}");
        }
        for broken in ["{a", "[a", "[", "a\\"] {
            assert!(!Glob::new(broken).is_valid() && !Glob::new(broken).matches(broken), "{broken}");
        }
        assert!(!Glob::new(&"[a-z]".repeat(50_000)).matches("a"), "too large to compile");
    }
}
