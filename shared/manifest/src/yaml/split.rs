//! Documents of a manifest file, found as Kubernetes finds them.

use memchr::{memchr_iter, memmem};

/// The documents of `text` with the line each begins on (from 1), as `YAMLReader` of k8s.io/apimachinery
/// (`pkg/util/yaml/decoder.go`) cuts them: at every line that starts with `---` and goes on with nothing but white
/// space or a comment. `--- text` and `...` do not cut. Documents of nothing but white space are left out.
pub fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    let mut line = 1;
    std::iter::from_fn(move || {
        while from < text.len() {
            let (end, next) = separator(text, from).unwrap_or((text.len(), text.len()));
            let (at, document) = (line, text.get(from..end).unwrap_or_default());
            line += memchr_iter(b'\n', text.as_bytes().get(from..next).unwrap_or_default()).count();
            from = next;
            if !document.trim().is_empty() {
                return Some((at, document));
            }
        }
        None
    })
}

/// Where the first separator behind the line start `from` begins, and where the line behind it does.
fn separator(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with("---") {
            let line = rest.split_inclusive('\n').next()?;
            if is_separator(line) {
                return Some((at, at + line.len()));
            }
        }
        at += memmem::find(rest.as_bytes(), b"\n---")? + 1;
    }
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|after| {
        let after = after.trim();
        after.is_empty() || after.starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_cut_and_nothing_else_does() {
        let text = "---\na: 1\n--- # two\n---\r\nb: |\n  ---\n--- c\n...\n---";
        let parts: Vec<_> = split(text).collect();
        assert_eq!(parts, [(2, "a: 1\n"), (5, "b: |\n  ---\n--- c\n...\n")]);
        assert_eq!(split("").count() + split("---\n---\n").count(), 0);
    }
}
