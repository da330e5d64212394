//! File patterns as gobwas/glob reads them with `/` as separator: `*` and `?` stop at slashes, `**` does not, `{a,b}` are
//! alternatives, `[a-c]` and `[!a-c]` classes.

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern.
const MAX_COMPILED: usize = 1 << 20;

/// A compiled pattern.
pub(crate) struct Glob(Regex);

impl Glob {
    /// Compiles `pattern`; `None` where it can't be read.
    pub(crate) fn new(pattern: &str) -> Option<Self> {
        let mut out = String::from("^(?s:");
        let mut rest = pattern.chars().peekable();
        let mut open = 0usize;
        while let Some(c) = rest.next() {
            match c {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    while rest.next_if_eq(&'*').is_some() {}
                    out.push_str(".*");
                }
                '*' => out.push_str("[^/]*"),
                '?' => out.push_str("[^/]"),
                '{' => {
                    open += 1;
                    out.push_str("(?:");
                }
                '}' if open > 0 => {
                    open -= 1;
                    out.push(')');
                }
                ',' if open > 0 => out.push('|'),
                '[' => {
                    out.push('[');
                    if rest.next_if_eq(&'!').is_some() {
                        out.push('^');
                    }
                    loop {
                        match rest.next()? {
                            ']' => break,
                            '-' => out.push('-'),
                            '\\' => out.push_str(&regex::escape(&rest.next()?.to_string())),
                            c => out.push_str(&regex::escape(&c.to_string())),
                        }
                    }
                    out.push(']');
                }
                '\\' => out.push_str(&regex::escape(&rest.next()?.to_string())),
                c => out.push_str(&regex::escape(&c.to_string())),
            }
        }
        if open > 0 {
            return None;
        }
        out.push_str(")$");
        RegexBuilder::new(&out).size_limit(MAX_COMPILED).build().ok().map(Self)
    }

    /// Whether the path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_charts() {
        for (pattern, path, hit) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "b/a.yaml", false),
            ("**.yaml", "b/a.yaml", true),
            ("**/*.yaml", "a.yaml", false),
            ("{a,b}/?.txt", "b/x.txt", true),
            ("[!a]x", "ax", false),
            (r"\[x\]", "[x]", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(path), hit, "{pattern} {path}");
        }
        assert!(Glob::new("[").is_none() && Glob::new("{a").is_none());
    }
}
