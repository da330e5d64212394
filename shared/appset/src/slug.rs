//! Names out of any text (argoproj/argo-cd `SanitizeName`, gosimple/slug).

use deunicode::deunicode_char;

/// The longest name of DNS.
const MAX_NAME: usize = 253;

/// Lower-case letters, digits, `-` and `.`, neither of which is at an end; whatever else is `-`.
pub(crate) fn sanitize_name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    // All are ASCII: so many characters are so many bytes.
    let lower = name.to_lowercase();
    let plain = lower.chars().map(|c| if is_plain(c) { c } else { '-' });
    plain.take(MAX_NAME).collect::<String>().trim_matches(['-', '.']).to_owned()
}

/// The branch of a pull request as a part of a name, of at most 50 characters.
pub(crate) fn branch_slug(branch: &str) -> String {
    slug(&branch.trim().replace('_', "-"), 50, true)
}

/// Letters, digits, `-` and `_`. `smart`: what is too long ends with a whole word.
pub(crate) fn slug(text: &str, length: usize, smart: bool) -> String {
    let mut ascii = String::new();
    for c in text.trim().chars() {
        match c {
            '&' => ascii.push_str("and"),
            '@' => ascii.push_str("at"),
            '"' | '\'' | '\u{2019}' => {}
            '\u{2012}'..='\u{2015}' => ascii.push('-'),
            c if c.is_ascii() => ascii.push(c),
            c if c > '\u{ffff}' => {}
            c => ascii.push_str(deunicode_char(c).unwrap_or_default()),
        }
    }
    ascii.make_ascii_lowercase();
    if !smart {
        ascii.truncate(length);
    }
    let mut slug = String::new();
    for c in ascii.chars() {
        let c = if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        if !(c == '-' && slug.ends_with('-')) {
            slug.push(c);
        }
    }
    let slug = slug.trim_matches(['-', '_']);
    if !smart || length == 0 || slug.len() <= length {
        return slug.to_owned();
    }
    // The last word that still fits, or else the beginning of the first.
    let last = slug.get(..=length).and_then(|start| start.rfind('-')).unwrap_or(length);
    slug.get(..last).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sanitized_as_in_argo_cd() {
        for (name, expected) in [
            ("Odd_Name.X/1", "odd-name.x-1"),
            ("-.a.-", "a"),
            ("Ä b", "b"),
            ("", ""),
            ("https://1.2.3.4:6443", "https---1.2.3.4-6443"),
        ] {
            assert_eq!(sanitize_name(name), expected, "{name:?}");
        }
        assert_eq!(sanitize_name(&format!("{}--", "a".repeat(300))).len(), 253);
    }

    #[test]
    fn slugs_end_with_a_whole_word() {
        for (text, length, smart, expected) in [
            ("Feat/Add_this & that", 50, true, "feat-add_this-and-that"),
            ("very-long-branch-name", 10, true, "very-long"),
            ("very-long-branch-name", 9, true, "very-long"),
            ("verylongbranchname", 10, true, "verylongbr"),
            ("very-long-branch-name", 10, false, "very-long"),
            ("very-long-branch-name", 12, false, "very-long-br"),
            ("über 'quoted' — dash", 50, true, "uber-quoted-dash"),
            ("a😀b", 50, true, "ab"),
            ("-_-", 50, true, ""),
            ("abc", 0, true, "abc"),
        ] {
            assert_eq!(slug(text, length, smart), expected, "{text:?} {length} {smart}");
        }
        assert_eq!(
            branch_slug(" feat/areally+long_pull_request_name_to_test_argo_slugification_and_branch_name "),
            "feat-areally-long-pull-request-name-to-test-argo"
        );
    }
}
