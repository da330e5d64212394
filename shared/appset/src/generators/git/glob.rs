//! The patterns of files: git's pathspecs (`wildmatch.c`), and bmatcuk/doublestar's globs.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};
use slipway_gocompat::path::clean;

/// Bytes that a compiled pattern may take.
const MAX_SIZE: usize = 1 << 20;

/// A compiled pattern of paths.
#[derive(Debug)]
pub(super) struct Glob {
    /// The path of a file, or of a directory above it, without special characters.
    literal: Option<String>,
    pattern: Option<Regex>,
}

impl Glob {
    /// A pathspec: a path with all that is below it, or a pattern in which `*` and `?` match slashes as well. Fails for
    /// what git refuses, and for the magic that starts with `:`.
    pub(super) fn pathspec(pattern: &str) -> Result<Self, &'static str> {
        if pattern.starts_with(':') {
            return Err("pathspecs with magic are not supported");
        }
        if pattern.starts_with('/') {
            return Err("it is outside of the repository: paths start at the repository's root, without `/`");
        }
        // git makes the path plain, but keeps a slash at the end.
        let mut plain = clean(pattern);
        if plain == ".." || plain.starts_with("../") {
            return Err("it is outside of the repository");
        }
        if plain == "." {
            plain.clear();
        } else if pattern.ends_with('/') {
            plain.push('/');
        }
        let is_pattern = plain.contains(['*', '?', '[', '\\']);
        let pattern = if is_pattern { wildmatch(&plain).map(|text| compile(&text)).transpose()? } else { None };
        Ok(Self { literal: Some(plain), pattern })
    }

    /// A glob with `**` for any folders and `{a,b}` for alternatives, in which `*` and `?` stop at slashes. Fails for
    /// one that can't be read.
    pub(super) fn doublestar(pattern: &str) -> Result<Self, &'static str> {
        let plain = clean(&format!("/{pattern}"));
        if plain == "/" {
            return Err("it names the repository's root, which is no file");
        }
        let text = doublestar(plain.trim_start_matches('/')).ok_or("it ends within a class or alternatives")?;
        Ok(Self { literal: None, pattern: Some(compile(&text)?) })
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        let is_at_or_below = |literal: &str| match path.strip_prefix(literal) {
            Some(rest) => literal.is_empty() || literal.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        self.literal.as_deref().is_some_and(is_at_or_below)
            || self.pattern.as_ref().is_some_and(|regex| regex.is_match(path))
    }
}

fn compile(text: &str) -> Result<Regex, &'static str> {
    let built = RegexBuilder::new(text).size_limit(MAX_SIZE).dot_matches_new_line(true).build();
    built.map_err(|_| "it is too long")
}

/// git's wildmatch without `WM_PATHNAME`; `None` for one that can't match.
fn wildmatch(pattern: &str) -> Option<String> {
    let mut out = String::from("^");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => push_plain(&mut out, chars.next()?),
            '[' => class(&mut out, &mut chars, ".")?,
            c => push_plain(&mut out, c),
        }
    }
    out.push('$');
    Some(out)
}

fn doublestar(pattern: &str) -> Option<String> {
    let mut out = String::from("^");
    let mut depth = 0_usize;
    let mut chars = pattern.chars().peekable();
    let mut starts_segment = true;
    while let Some(c) = chars.next() {
        let started = std::mem::take(&mut starts_segment);
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => match chars.peek() {
                Some('/') if started => {
                    chars.next();
                    out.push_str("(?:[^/]+/)*");
                    starts_segment = true;
                }
                // `a/**` is `a`, too.
                None if started => match out.strip_suffix('/') {
                    Some(folder) => out = format!("{folder}(?:/.*)?"),
                    None => out.push_str(".*"),
                },
                _ => out.push_str("[^/]*"),
            },
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '\\' => push_plain(&mut out, chars.next()?),
            '[' => class(&mut out, &mut chars, "[^/]")?,
            '{' => {
                depth += 1;
                out.push_str("(?:");
                starts_segment = started;
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '/' => {
                out.push('/');
                starts_segment = true;
            }
            c => push_plain(&mut out, c),
        }
    }
    out.push('$');
    (depth == 0).then_some(out)
}

fn push_plain(out: &mut String, c: char) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// A class of characters; `any` is what one that starts with `!` or `^` may match at all.
fn class(out: &mut String, chars: &mut Peekable<Chars<'_>>, any: &str) -> Option<()> {
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut members = String::new();
    let mut is_first = true;
    loop {
        let c = match chars.next()? {
            // A bracket that comes first is a member.
            ']' if !is_first => break,
            '[' if chars.next_if_eq(&':').is_some() => {
                let name: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_alphabetic)).collect();
                if chars.next() != Some(':') || chars.next() != Some(']') {
                    return None;
                }
                write!(members, "[:{name}:]").ok()?;
                is_first = false;
                continue;
            }
            '\\' => chars.next()?,
            c => c,
        };
        is_first = false;
        push_member(&mut members, c);
        let mut ahead = chars.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
            chars.next();
            let end = match chars.next()? {
                '\\' => chars.next()?,
                end => end,
            };
            if end < c {
                // Nothing is in such a range.
                members.truncate(members.len() - member(c).len());
                continue;
            }
            members.push('-');
            push_member(&mut members, end);
        }
    }
    match (negated, members.is_empty()) {
        (false, true) => out.push_str("[^\\s\\S]"),
        (true, true) => out.push_str(any),
        // `[^/]` and what is not in the class.
        (true, false) if any != "." => write!(out, "[[^/]&&[^{members}]]").ok()?,
        (true, false) => write!(out, "[^{members}]").ok()?,
        (false, false) if any != "." => write!(out, "[[^/]&&[{members}]]").ok()?,
        (false, false) => write!(out, "[{members}]").ok()?,
    }
    Some(())
}

fn push_member(members: &mut String, c: char) {
    members.push_str(&member(c));
}

fn member(c: char) -> String {
    format!("\\u{{{:x}}}", u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pathspecs_match_as_in_git() {
        for (pattern, yes, no) in [
            ("envs", "envs/a/b.yaml", "envs2/a"),
            ("envs/", "envs/a", "envs"),
            ("./envs/../a", "a/b", "envs/a"),
            ("", "x", "-"),
            (".", "a/b", "-"),
            ("*/config.json", "a/b/config.json", "config.json"),
            ("**/config.*", "a/config.yaml", "config.yaml"),
            ("envs/*/config.json", "envs/a/b/config.json", "envs/config.json"),
            ("envs/?/x", "envs/a/x", "envs/ab/x"),
            ("a?b", "a/b", "ab"),
            ("[ab].yaml", "a.yaml", "c.yaml"),
            ("[!ab].yaml", "c.yaml", "a.yaml"),
            ("[^a-c].yaml", "d.yaml", "b.yaml"),
            ("[[:digit:]].yaml", "1.yaml", "a.yaml"),
            ("[]a].yaml", "].yaml", "b.yaml"),
            ("[b-a]x", "[b-a]x", "bx"),
            ("a\\*", "a*", "ab"),
            ("{a,b}", "{a,b}/c", "a"),
            ("a[", "a[/b", "a"),
        ] {
            let glob = Glob::pathspec(pattern).unwrap();
            assert!(glob.matches(yes), "{pattern} {yes}");
            assert!(no == "-" || !glob.matches(no), "{pattern} {no}");
        }
        for wrong in [":(glob)a", "/a", "../a", "a/../.."] {
            assert!(Glob::pathspec(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn globs_match_as_in_doublestar() {
        for (pattern, yes, no) in [
            ("envs/*/config.json", "envs/a/config.json", "envs/a/b/config.json"),
            ("**/config.*", "config.yaml", "a/config"),
            ("**/config.*", "a/b/config.yaml", "a/bconfig.yaml/x"),
            ("a/**/b", "a/b", "a/xb"),
            ("a/**", "a", "ab"),
            ("a/**", "a/b/c", "b/a"),
            ("a/**.yaml", "a/b.yaml", "a/b/c.yaml"),
            ("x**/y", "xa/y", "xa/b/y"),
            ("envs/{dev,prod*}/c", "envs/prod-1/c", "envs/qa/c"),
            ("{a,b/{c,d}}/e", "b/d/e", "b/e"),
            ("{**/a,b}/c", "x/y/a/c", "x/b/c"),
            ("a?b", "acb", "a/b"),
            ("a[!b]c", "axc", "a/c"),
            ("[a-c]", "b", "d"),
            ("/a", "a", "b"),
            ("a/./b/../c", "a/c", "a/b/c"),
            ("a\\{b", "a{b", "ab"),
        ] {
            let glob = Glob::doublestar(pattern).unwrap();
            assert!(glob.matches(yes), "{pattern} {yes}");
            assert!(!glob.matches(no), "{pattern} {no}");
        }
        for wrong in ["{a", "[a", "a\\", "", ".", "a/.."] {
            assert!(Glob::doublestar(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_too_much_is_refused() {
        assert!(Glob::doublestar(&"[a-zα-ω]".repeat(100_000)).is_err());
        assert!(Glob::doublestar(&format!("{}{}", "{".repeat(10_000), "}".repeat(10_000))).is_err());
    }
}
