//! Matches Go's `filepath.Match`, the patterns of `ignore-tags` and of a project's kinds: `*` is any text without `/`,
//! `?` one character, `[a-z]` and `[^a-z]` one of a class, `\` makes the next character plain.

/// Whether the whole of `text` matches `pattern`; a pattern that can't be read matches nothing.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    // Where to try again: the last star, and how much of the text it has taken.
    let (mut p, mut t, mut star) = (0, 0, None);
    loop {
        let step = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            (Some(_), Some(c)) => one(pattern.get(p..).unwrap_or_default(), *c),
            _ => Some((false, 0)),
        };
        let Some((same, length)) = step else { return false };
        match (same, star) {
            (true, _) => {
                p += length;
                t += 1;
            }
            (false, Some((at, taken))) if text.get(taken).is_some_and(|c| *c != '/') => {
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
            _ => return false,
        }
    }
}

/// Whether `pattern` can be read.
pub fn is_valid(pattern: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let mut rest = pattern.as_slice();
    while let [first, ..] = rest {
        let length = if *first == '*' { Some(1) } else { one(rest, 'x').map(|(_, length)| length) };
        let Some(next) = length.and_then(|length| rest.get(length..)) else { return false };
        rest = next;
    }
    true
}

/// Whether the pattern's next item matches `c`, and how long the item is; `None` where it can't be read.
fn one(pattern: &[char], c: char) -> Option<(bool, usize)> {
    match pattern {
        ['?', ..] => Some((c != '/', 1)),
        ['\\', plain, ..] => Some((*plain == c, 2)),
        ['\\'] | [] => None,
        ['[', rest @ ..] => class(rest, c),
        [plain, ..] => Some((*plain == c, 1)),
    }
}

fn class(rest: &[char], c: char) -> Option<(bool, usize)> {
    let negated = rest.first() == Some(&'^');
    let mut at = usize::from(negated);
    let mut found = false;
    let mut count = 0;
    while count == 0 || rest.get(at) != Some(&']') {
        let from = member(rest, &mut at)?;
        let to = if rest.get(at) == Some(&'-') {
            at += 1;
            member(rest, &mut at)?
        } else {
            from
        };
        found |= (from..=to).contains(&c);
        count += 1;
    }
    Some((found != negated, at + 2))
}

fn member(rest: &[char], at: &mut usize) -> Option<char> {
    let c = *rest.get(*at)?;
    *at += 1;
    match c {
        '-' | ']' => None,
        '\\' => {
            *at += 1;
            rest.get(*at - 1).copied()
        }
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
