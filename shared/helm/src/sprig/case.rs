//! Letters of texts: upper, lower, title, and words joined in some fashion (Masterminds/sprig `strings.go`,
//! huandu/xstrings).

use slipway_gotmpl::{Function, Type};

use super::strings::on_text;

const TEXT: &[Type] = &[Type::String];

pub(super) const TABLE: &[Function] = &[
    Function::new("upper", TEXT, |_, args| on_text(args, |s| s.chars().map(upper).collect())).costing(32),
    Function::new("lower", TEXT, |_, args| on_text(args, |s| s.chars().map(lower).collect())).costing(32),
    Function::new("title", TEXT, |_, args| on_text(args, title)).costing(32),
    Function::new("untitle", TEXT, |_, args| on_text(args, untitle)).costing(32),
    Function::new("swapcase", TEXT, |_, args| on_text(args, swap_case)).costing(32),
    Function::new("snakecase", TEXT, |_, args| on_text(args, |s| words(s, '_'))).costing(48),
    Function::new("kebabcase", TEXT, |_, args| on_text(args, |s| words(s, '-'))).costing(48),
    Function::new("camelcase", TEXT, |_, args| on_text(args, pascal_case)).costing(32),
];

/// Go's `unicode.ToUpper`: one character for one.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    if upper.len() == 1 { upper.next().unwrap_or(c) } else { c }
}

/// Go's `unicode.ToLower`.
fn lower(c: char) -> char {
    if c == 'İ' { 'i' } else { c.to_lowercase().next().unwrap_or(c) }
}

/// Go's `unicode.ToTitle`: upper case but for the letters that are two.
fn title_case(c: char) -> char {
    match c {
        'Ǆ'..='ǆ' => 'ǅ',
        'Ǉ'..='ǉ' => 'ǈ',
        'Ǌ'..='ǌ' => 'ǋ',
        'Ǳ'..='ǳ' => 'ǲ',
        c => upper(c),
    }
}

/// Go's `strings.Title`.
fn title(s: &str) -> String {
    let is_separator = |c: char| if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() };
    let mut start = true;
    s.chars()
        .map(|c| {
            let cased = if start { title_case(c) } else { c };
            start = is_separator(c);
            cased
        })
        .collect()
}

fn untitle(s: &str) -> String {
    let mut start = true;
    s.chars()
        .map(|c| {
            if c.is_whitespace() {
                start = true;
                return c;
            }
            if std::mem::take(&mut start) { lower(c) } else { c }
        })
        .collect()
}

fn swap_case(s: &str) -> String {
    let mut start = true;
    s.chars()
        .map(|c| {
            if c.is_uppercase() {
                start = false;
                lower(c)
            } else if c.is_lowercase() {
                start = false;
                upper(c)
            } else {
                start = c.is_whitespace();
                c
            }
        })
        .collect()
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// xstrings' `ToPascalCase`.
fn pascal_case(s: &str) -> String {
    let mut out = String::new();
    let mut rest = s.chars();
    let mut current = None;
    let mut first_upper = false;
    for c in rest.by_ref() {
        if !is_connector(c) {
            first_upper = c.is_uppercase();
            current = Some(upper(c));
            break;
        }
        out.push(c);
    }
    let Some(mut current) = current else {
        // xstrings writes the last of nothing but connectors twice.
        out.extend(s.chars().last());
        return out;
    };
    for next in rest {
        let mut cased = next;
        if is_connector(next) && is_connector(current) {
            out.push(current);
            continue;
        }
        if is_connector(current) {
            first_upper = next.is_uppercase();
            cased = upper(next);
        } else {
            if first_upper {
                if next.is_uppercase() {
                    cased = lower(next);
                } else {
                    first_upper = false;
                }
            }
            out.push(current);
        }
        current = cased;
    }
    out.push(current);
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Number,
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c)
    } else {
        matches!(c, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}')
            || matches!(c, '\u{2010}'..='\u{2027}' | '\u{3001}'..='\u{3003}' | '\u{ff01}'..='\u{ff0f}')
    }
}

/// The next word of `s` as xstrings cuts it: "HTTPServer" is "HTTP" and "Server".
fn next_word(s: &str) -> Option<(Word, &str, &str)> {
    let first = s.chars().next()?;
    // xstrings' alphabet are letters that have a case.
    let is_letter = |c: char| c.is_alphabetic() && (c.is_lowercase() || c.is_uppercase());
    let run = |keep: &dyn Fn(char) -> bool| s.find(|c| !keep(c)).unwrap_or(s.len());
    let (word, end) = if is_connector(first) {
        (Word::Connector, run(&is_connector))
    } else if is_punctuation(first) {
        (Word::Punctuation, run(&is_punctuation))
    } else if first.is_uppercase() {
        let uppers = run(&|c| c.is_uppercase());
        let after = s.get(uppers..).and_then(|rest| rest.chars().next());
        let last_upper = s.get(..uppers).and_then(|part| part.char_indices().next_back()).map_or(0, |(at, _)| at);
        let end = match after {
            // Several capitals before small letters: the last one belongs to the next word.
            Some(c) if last_upper > 0 && is_letter(c) => last_upper,
            Some(c) if last_upper == 0 && is_letter(c) => {
                let small = |c: char| is_letter(c) && !c.is_uppercase();
                let tail = s.get(uppers..).unwrap_or_default();
                uppers + tail.find(|c| !small(c)).unwrap_or(tail.len())
            }
            _ => uppers,
        };
        (Word::Upper, end)
    } else if is_letter(first) {
        (Word::Letters, run(&|c| is_letter(c) && !c.is_uppercase()))
    } else if first.is_numeric() {
        (Word::Number, run(&char::is_numeric))
    } else {
        let other = |c: char| !is_connector(c) && !is_letter(c) && !c.is_numeric() && !is_punctuation(c);
        (Word::Other, run(&other).max(first.len_utf8()))
    };
    Some((word, s.get(..end)?, s.get(end..)?))
}

/// xstrings' `ToSnakeCase` and `ToKebabCase`.
fn words(s: &str, connector: char) -> String {
    let mut out = String::new();
    let write = |out: &mut String, word: Word, text: &str| {
        if word != Word::Upper && word != Word::Connector {
            out.push_str(text);
            return;
        }
        out.extend(text.chars().map(|c| {
            if is_connector(c) {
                connector
            } else if c.is_uppercase() {
                lower(c)
            } else {
                c
            }
        }));
    };
    let joins = |word: Option<Word>| word.is_some_and(|word| word != Word::Connector && word != Word::Punctuation);
    let mut next = next_word(s);
    while let Some((word, text, rest)) = next {
        if rest.is_empty() {
            write(&mut out, word, text);
            break;
        }
        if word != Word::Connector {
            write(&mut out, word, text);
        }
        next = next_word(rest);
        match word {
            Word::Number => {
                next = write_run(&mut out, next, &write);
                if joins(next.map(|n| n.0)) {
                    out.push(connector);
                }
            }
            Word::Connector => write(&mut out, word, text),
            Word::Punctuation => {}
            Word::Upper | Word::Letters | Word::Other => {
                let Some((Word::Number, number, after)) = next else {
                    if joins(next.map(|n| n.0)) {
                        out.push(connector);
                    }
                    continue;
                };
                if after.is_empty() {
                    continue;
                }
                next = next_word(after);
                if next.is_some_and(|n| n.0 == Word::Letters) {
                    // Small letters follow: the number begins a word ("HTTP2xx" is "http_2xx").
                    out.push(connector);
                    write(&mut out, Word::Number, number);
                    next = write_run(&mut out, next, &write);
                    if joins(next.map(|n| n.0)) {
                        out.push(connector);
                    }
                } else {
                    // Else it ends one ("Bld4Floor" is "bld4_floor").
                    write(&mut out, Word::Number, number);
                    if joins(next.map(|n| n.0)) {
                        out.push(connector);
                    }
                }
            }
        }
    }
    out
}

/// Writes small letters and numbers as they follow each other; gives the word after them.
fn write_run<'s>(
    out: &mut String,
    mut next: Option<(Word, &'s str, &'s str)>,
    write: &dyn Fn(&mut String, Word, &str),
) -> Option<(Word, &'s str, &'s str)> {
    while let Some((word @ (Word::Letters | Word::Number), text, rest)) = next {
        write(out, word, text);
        next = next_word(rest);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_as_xstrings_writes_them() {
        for (text, snake) in [
            ("FirstName", "first_name"),
            ("HTTPServer", "http_server"),
            ("NoHTTPS", "no_https"),
            ("GO_PATH", "go_path"),
            ("GO PATH", "go_path"),
            ("http2xx", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("Duration2m3s", "duration_2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd"),
            ("", ""),
        ] {
            assert_eq!(words(text, '_'), snake, "{text}");
        }
        for (text, pascal) in [
            ("some_words", "SomeWords"),
            ("_complex__case_", "_Complex_Case_"),
            ("GOLANG_IS_GREAT", "GolangIsGreat"),
            ("_", "__"),
        ] {
            assert_eq!(pascal_case(text), pascal, "{text}");
        }
    }
}
