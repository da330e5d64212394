//! Small languages: versions and constraints, globs, regular expressions, quantities, Go's quoting and numbers.

use slipway::image::Allow;
use slipway_gocompat::semver::{Constraint, Version, is_compatible};
use slipway_gocompat::strconv::{format_float, parse_float, parse_int, parse_uint, quote, quote_ascii, unquote};
use slipway_gocompat::{Glob, filepath, quantity, regexp};

use crate::parts;

/// A constraint, and behind it versions, a line each.
pub fn semver(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [constraint, versions] = parts::lines(text);
    let parsed = Constraint::parse(constraint);
    let versions: Vec<Version> = versions.lines().take(20).filter_map(|line| Version::parse(line).ok()).collect();
    for version in &versions {
        let printed = version.to_string();
        let again = Version::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
        assert!(again == *version && again.metadata == version.metadata, "{printed}");
        let has_next = ![version.major, version.minor, version.patch].contains(&u64::MAX);
        assert!(!has_next || (0..3).all(|level| version.next(level) > *version), "{printed}");
        assert!(is_compatible(&format!("={printed}"), &printed), "{printed} is itself");
        let fits = parsed.as_ref().is_ok_and(|constraint| constraint.check(version));
        assert_eq!(fits, is_compatible(constraint, &version.original));
        for other in &versions {
            assert_eq!(version.cmp(other), other.cmp(version).reverse(), "{version} {other}");
            for third in &versions {
                assert!(!(version <= other && other <= third) || version <= third, "{version} {other} {third}");
            }
        }
    }
}

/// A pattern, and behind it texts, a line each.
pub fn glob(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [pattern, texts] = parts::lines(text);
    let (any, paths) = (Glob::new(pattern), Glob::of_paths(pattern));
    for text in texts.lines().take(20) {
        assert!(!paths.matches(text) || any.matches(text), "`{pattern}` and `{text}`: `*` matches more without paths");
        let _ = filepath::matches(pattern, text);
        let escaped: String = text.chars().flat_map(|c| ['\\', c]).collect();
        if text.len() < 1_000 {
            assert!(Glob::new(&escaped).matches(text) && Glob::of_paths(&escaped).matches(text), "{text}");
            assert!(filepath::matches(&escaped, text), "{text}");
        }
    }
    let _ = filepath::is_valid(pattern);
}

/// A pattern of Go's, a template for what it finds, and a text.
pub fn regexp(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [pattern, template, text] = parts::lines(text);
    let _ = Allow::parse(&format!("regexp:{pattern}")).allows(text);
    let _ = regexp::compiled_size(pattern);
    if let Ok(regex) = regexp::compile(pattern) {
        for captures in regex.captures_iter(text).take(100) {
            let mut out = String::new();
            regexp::expand(&mut out, &captures, template);
        }
    }
    if text.len() < 1_000 {
        let quoted = regexp::compile(&regexp::quote_meta(text)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(quoted.find(text).map(|found| found.range()), Some(0..text.len()), "{text}");
    }
}

/// Two quantities, a line each.
pub fn quantity(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [one, other] = parts::lines(text);
    assert_eq!(quantity::is_equal(one, other), quantity::is_equal(other, one));
    for text in [one, other] {
        if let Some(canonical) = quantity::canonical(text) {
            assert!(quantity::is_equal(text, &canonical), "{text} is printed as {canonical}");
            assert_eq!(quantity::canonical(&canonical).as_ref(), Some(&canonical), "{text}");
        }
    }
}

/// Quoted texts and numbers.
pub fn strconv(data: &[u8]) {
    for quoted in [quote(data), quote_ascii(data)] {
        assert_eq!(unquote(&quoted).as_deref(), Some(data), "{quoted}");
    }
    let Some(text) = parts::text(data) else { return };
    let _ = unquote(text);
    let _ = parse_uint(text);
    if let Some(number) = parse_int(text) {
        assert_eq!(parse_int(&number.to_string()), Some(number));
    }
    if let Some(number) = parse_float(text).filter(|number| !number.is_nan()) {
        assert_eq!(parse_float(&format_float(number, 'g', None)), Some(number), "{text}");
        for verb in ['e', 'f', 'g'] {
            let _ = format_float(number, verb, Some(3));
        }
    }
}
