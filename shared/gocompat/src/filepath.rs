//! Matches Go's `filepath.Match`, the patterns of `ignore-tags` and of a project's kinds: `*` is any text without `/`,
//! `?` one character, `[a-z]` and `[^a-z]` one of a class, `\` makes the next character plain.

use std::str::Chars;

/// Whether the whole of `text` matches `pattern`; a pattern that can't be read matches nothing.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to try again: what follows the last star, and what the star has not taken of the text.
    let mut star: Option<(&str, &str)> = None;
    loop {
        if let Some(after) = pattern.strip_prefix('*') {
            star = Some((after, text));
            pattern = after;
            continue;
        }
        let mut rest = text.chars();
        let step = match (pattern.is_empty(), rest.next()) {
            (true, None) => return true,
            (false, Some(c)) => one(pattern, c),
            _ => Some((false, pattern)),
        };
        let Some((same, behind)) = step else { return false };
        if same {
            (pattern, text) = (behind, rest.as_str());
            continue;
        }
        let Some((after, left)) = star else { return false };
        let mut left = left.chars();
        if left.next().is_none_or(|taken| taken == '/') {
            return false;
        }
        (pattern, text) = (after, left.as_str());
        star = Some((after, text));
    }
}

/// Whether `pattern` can be read.
pub fn is_valid(pattern: &str) -> bool {
    let mut pattern = pattern;
    while !pattern.is_empty() {
        let rest = pattern.strip_prefix('*').or_else(|| one(pattern, 'x').map(|(_, rest)| rest));
        let Some(rest) = rest else { return false };
        pattern = rest;
    }
    true
}

/// Whether the pattern's next item matches `c`, and the pattern behind it; `None` where the item can't be read.
fn one(pattern: &str, c: char) -> Option<(bool, &str)> {
    let mut rest = pattern.chars();
    let same = match rest.next()? {
        '?' => c != '/',
        '\\' => rest.next()? == c,
        '[' => class(&mut rest, c)?,
        plain => plain == c,
    };
    Some((same, rest.as_str()))
}

/// Whether the class that `rest` begins with has `c`; takes it with its bracket.
fn class(rest: &mut Chars<'_>, c: char) -> Option<bool> {
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut found = false;
    loop {
        let from = member(rest)?;
        let mut to = from;
        if rest.as_str().starts_with('-') {
            rest.next();
            to = member(rest)?;
        }
        found |= (from..=to).contains(&c);
        if rest.as_str().starts_with(']') {
            rest.next();
            return Some(found != negated);
        }
    }
}

fn member(rest: &mut Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("*", "anything", "a/b"),
            ("*-rc*", "1.0-rc.1", "1.0"),
            ("1.?.0", "1.2.0", "1.22.0"),
            ("[0-9]*", "1x", "x1"),
            ("[^0-9]*", "x1", "1x"),
            ("a\\*", "a*", "ab"),
            ("*a*b", "xaxbab", "ba"),
            ("", "", "x"),
            ("*.md", "README.md", "a/README.md"),
            ("a/*/c", "a/b/c", "a/b/b/c"),
            ("[a-c]?", "bx", "dx"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
        for broken in ["[", "[a", "[]a]", "[a-]", "\\"] {
            assert!(!matches(broken, "a"), "{broken}");
        }
        assert!(!matches(&"*a".repeat(5_000), &"a".repeat(4_000)), "takes quadratic time at most");
    }
}
