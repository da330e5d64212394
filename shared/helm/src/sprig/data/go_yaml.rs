//! The words of go-yaml v2 for what is wrong with a YAML text. Charts can see them: `fromYaml` puts them under `Error`.
//! Lines are counted as go-yaml does: the first is not named, and its parser names the line before.

use slipway_manifest::{YamlError, YamlErrorKind};

enum Part {
    Scanner,
    Parser,
}

/// Our words and go-yaml's.
const WORDS: &[(&str, &str, Part)] = &[
    ("found a character that can't start", "found character that cannot start any token", Part::Scanner),
    ("a list item (`- `) is not", "block sequence entries are not allowed in this context", Part::Scanner),
    ("a mapping key (`? `) is not", "mapping keys are not allowed in this context", Part::Scanner),
    ("a mapping value (`: `) is not", "mapping values are not allowed in this context", Part::Scanner),
    ("an anchor's name", "did not find expected alphabetic or numeric character", Part::Scanner),
    ("found incompatible YAML document", "found incompatible YAML document", Part::Parser),
    ("found an unknown directive", "found unknown directive name", Part::Scanner),
    ("found undefined tag handle", "found undefined tag handle", Part::Parser),
    ("could not find expected `:`", "could not find expected ':'", Part::Scanner),
    ("found a tab where spaces", "found a tab character that violates indentation", Part::Scanner),
    ("found a document's end", "found unexpected document indicator", Part::Scanner),
    ("found no end of a quoted", "found unexpected end of stream", Part::Scanner),
    ("found an unknown escape", "found unknown escape character", Part::Scanner),
    ("found an invalid Unicode", "found invalid Unicode character escape code", Part::Scanner),
    ("did not find a comment", "did not find expected comment or line break", Part::Scanner),
    ("did not find the expected `---`", "did not find expected <document start>", Part::Parser),
    ("did not find a value", "did not find expected node content", Part::Parser),
    ("did not find the next list item", "did not find expected '-' indicator", Part::Parser),
    ("did not find the next key", "did not find expected key", Part::Parser),
    ("did not find expected `,` or `]`", "did not find expected ',' or ']'", Part::Parser),
    ("did not find expected `,` or `}`", "did not find expected ',' or '}'", Part::Parser),
];

/// What sigs.k8s.io/yaml says of `text`.
pub(super) fn message(text: &str, error: &YamlError) -> String {
    let words = match &error.kind {
        YamlErrorKind::NotFinite(number) => {
            let name = if number.to_lowercase().ends_with("nan") {
                "NaN"
            } else if number.starts_with('-') {
                "-Inf"
            } else {
                "+Inf"
            };
            return format!("error converting YAML to JSON: json: unsupported value: {name}");
        }
        YamlErrorKind::ControlCharacter(_) => "control characters are not allowed".to_owned(),
        YamlErrorKind::BadTag { tag, .. } if tag == "!!binary" => {
            "!!binary value contains invalid base64 data".to_owned()
        }
        YamlErrorKind::BadTag { tag, text } => format!("cannot decode !!str `{text}` as a {tag}"),
        YamlErrorKind::UnknownAnchor => anchor(text, error.line),
        YamlErrorKind::Syntax(own) => match WORDS.iter().find(|(start, ..)| own.starts_with(start)) {
            Some((_, words, part)) => {
                let line = match part {
                    Part::Scanner if error.line > 1 => error.line,
                    Part::Scanner => 0,
                    Part::Parser => error.line - 1 + usize::from(at_end(text, error.line, words)),
                };
                if line == 0 { (*words).to_owned() } else { format!("line {line}: {words}") }
            }
            None => error.to_string(),
        },
        _ => error.to_string(),
    };
    format!("error converting YAML to JSON: yaml: {words}")
}

/// Whether the text ended where something was expected: go-yaml's scanner counts a line more there.
fn at_end(text: &str, line: usize, words: &str) -> bool {
    let open = words.contains("node content") || words.contains("','");
    open && text.lines().skip(line).all(|rest| rest.trim().is_empty()) && !text.trim_end().ends_with([']', '}'])
}

/// An alias to nothing, or inside of what it names.
fn anchor(text: &str, line: usize) -> String {
    let on_line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let name: String = on_line
        .split_once('*')
        .map(|(_, rest)| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect())
        .unwrap_or_default();
    if on_line.contains(&format!("&{name} ")) {
        return format!("anchor '{name}' value contains itself");
    }
    format!("unknown anchor '{name}' referenced")
}
