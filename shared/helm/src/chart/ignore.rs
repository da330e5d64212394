//! `.helmignore` (helm/helm `pkg/ignore`): shell patterns, not those of git. A pattern without a slash looks at the
//! last part of a path only; a `!` line ignores everything that it does not match.

use super::LoadError;

/// The rules of one `.helmignore`.
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    /// `None`, which matches nothing, where cutting the line to the pattern broke it.
    pattern: Option<Pattern>,
    negated: bool,
    folders_only: bool,
    whole_path: bool,
}

impl Rules {
    /// Reads a `.helmignore`; the rule that hides `templates/.*` is always there.
    pub(super) fn parse(text: &str) -> Result<Self, LoadError> {
        let mut rules = Vec::new();
        for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines().chain(["templates/.?*"]) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |reason| Err(LoadError::Ignore { line: line.to_owned(), reason });
            if line.contains("**") {
                return refuse("double-star (**) syntax is not supported");
            }
            if Pattern::parse(line).is_none() {
                return refuse("syntax error in pattern");
            }
            let negated = line.starts_with('!');
            let rule = if negated { line.get(1..).unwrap_or_default() } else { line };
            let folders_only = rule.ends_with('/');
            let rule = rule.strip_suffix('/').unwrap_or(rule);
            let anchored = rule.strip_prefix('/');
            rules.push(Rule {
                whole_path: anchored.is_some() || rule.contains('/'),
                pattern: Pattern::parse(anchored.unwrap_or(rule)),
                negated,
                folders_only,
            });
        }
        Ok(Self(rules))
    }

    /// Whether the file or folder `path` is left out.
    pub(super) fn ignore(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.0 {
            let subject = if rule.whole_path { path } else { path.rsplit('/').next().unwrap_or(path) };
            let hit = || rule.pattern.as_ref().is_some_and(|pattern| pattern.matches(subject));
            if rule.negated {
                if rule.folders_only && !is_folder || !hit() {
                    return true;
                }
            } else if (!rule.folders_only || is_folder) && hit() {
                return true;
            }
        }
        false
    }
}

/// A pattern of Go's `filepath.Match`: `*` and `?` stop at slashes, `[a-z]` and `[^a-z]` are classes, a backslash takes
/// the next character as it is.
struct Pattern(Vec<Token>);

impl Pattern {
    /// `None` for a malformed pattern.
    fn parse(pattern: &str) -> Option<Self> {
        tokens(pattern).map(Self)
    }

    fn matches(&self, name: &str) -> bool {
        let char_at = |at: usize| name.get(at..).and_then(|rest| rest.chars().next());
        // The classic two-pointer walk: only the last star is ever tried again, so it never blows up.
        let (mut t, mut n) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while n < name.len() || t < self.0.len() {
            match (self.0.get(t), char_at(n)) {
                (Some(Token::Star), _) => {
                    last_star = Some((t, n));
                    t += 1;
                    continue;
                }
                (Some(token), Some(c)) if token.takes(c) => {
                    t += 1;
                    n += c.len_utf8();
                    continue;
                }
                _ => {}
            }
            match last_star.map(|(star, from)| (star, from, char_at(from))) {
                Some((star, from, Some(c))) if c != '/' => {
                    n = from + c.len_utf8();
                    last_star = Some((star, n));
                    t = star + 1;
                }
                _ => return false,
            }
        }
        true
    }
}

enum Token {
    Star,
    Any,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::Char(own) => c == *own,
            Self::Class { negated, ranges } => ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&c)) != *negated,
        }
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::Char(rest.next()?),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    let mut bound = || match rest.next()? {
                        '\\' => rest.next(),
                        '-' => None,
                        c => Some(c),
                    };
                    let lo = bound()?;
                    if lo == ']' && !ranges.is_empty() {
                        break;
                    }
                    let hi = if rest.next_if_eq(&'-').is_some() {
                        match rest.next()? {
                            '\\' => rest.next()?,
                            ']' | '-' => return None,
                            c => c,
                        }
                    } else {
                        lo
                    };
                    ranges.push((lo, hi));
                }
                Token::Class { negated, ranges }
            }
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_go_reads_them() {
        for (pattern, name, hit) in [
            ("*.md", "README.md", Some(true)),
            ("*.md", "a/README.md", Some(false)),
            ("a/*/c", "a/b/c", Some(true)),
            ("a*b*c", "axxbxxc", Some(true)),
            ("[a-c]?", "bx", Some(true)),
            ("[^a]", "a", Some(false)),
            ("[", "abc", None),
            ("*", "", Some(true)),
        ] {
            assert_eq!(Pattern::parse(pattern).map(|pattern| pattern.matches(name)), hit, "{pattern} {name}");
        }
    }

    #[test]
    fn rules_in_order() {
        let rules = Rules::parse("# note\n.git/\n*.swp\n/top\nsub/x\n").unwrap();
        for (path, folder, ignored) in [
            (".git", true, true),
            (".git", false, false),
            ("a/b.swp", false, true),
            ("top", false, true),
            ("a/top", false, false),
            ("sub/x", false, true),
            ("templates/.hidden", false, true),
            ("templates/a", false, false),
        ] {
            assert_eq!(rules.ignore(path, folder), ignored, "{path}");
        }
        assert!(Rules::parse("!keep").unwrap().ignore("Chart.yaml", false));
        assert!(Rules::parse("a/**").is_err());
    }
}
