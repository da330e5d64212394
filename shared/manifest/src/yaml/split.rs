//! Documents of a manifest file, found as Kubernetes finds them.

/// The documents of `text` with the line each begins on (from 1), as `YAMLReader` of k8s.io/apimachinery
/// (`pkg/util/yaml/decoder.go`) cuts them: at every line that starts with `---` and goes on with nothing but white space or a
/// comment. `--- text` and `...` do not cut. Documents of nothing but white space are left out.
pub fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    let mut line = 1;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (at, mut end, mut lines) = (line, 0, 0);
            let mut next = rest.len();
            for one in rest.split_inclusive('\n') {
                lines += 1;
                if is_separator(one) {
                    next = end + one.len();
                    break;
                }
                end += one.len();
            }
            let document = rest.get(..end).unwrap_or_default();
            rest = rest.get(next..).unwrap_or_default();
            line += lines;
            if !document.trim().is_empty() {
                return Some((at, document));
            }
        }
        None
    })
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
