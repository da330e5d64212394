//! Takes slash-separated paths apart and puts them together (Go's `path`; `path/filepath` is the same on Linux).

/// Go's `path.Base`: the last element; `.` of an empty path, `/` of nothing but slashes.
pub fn base(path: &str) -> &str {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match (last, path) {
        ("", "") => ".",
        ("", _) => "/",
        (last, _) => last,
    }
}

/// Go's `path.Dir`: all but the last element, cleaned.
pub fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or_default())
}

/// Go's `path.Ext`: the last element's last dot and what follows it.
pub fn ext(path: &str) -> &str {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rfind('.').and_then(|dot| last.get(dot..)).unwrap_or_default()
}

/// Go's `path.IsAbs`.
pub fn is_abs(path: &str) -> bool {
    path.starts_with('/')
}

/// Go's `path.Clean`: the shortest path to the same place, judged by its text alone.
pub fn clean(path: &str) -> String {
    let rooted = is_abs(path);
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Go's `path.Join`: the elements that are not empty as one cleaned path; empty where all are.
pub fn join(elements: &[&str]) -> String {
    let parts: Vec<&str> = elements.iter().copied().filter(|element| !element.is_empty()).collect();
    if parts.is_empty() { String::new() } else { clean(&parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (path, cleaned) in [
            ("", "."),
            ("a//b/./c", "a/b/c"),
            ("a/../b", "b"),
            ("../a/..", ".."),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!(
            (join(&["", "a", "../b", ""]), join(&["", ""]), join(&["a", ".."])),
            ("b".into(), String::new(), ".".into())
        );
    }

    #[test]
    fn elements_are_those_of_go() {
        for (path, last, folder, extension) in [
            ("a/b.tar.gz", "b.tar.gz", "a", ".gz"),
            ("a/", "a", "a", ""),
            ("", ".", ".", ""),
            ("//", "/", "/", ""),
            ("a.b/c", "c", "a.b", ""),
        ] {
            assert_eq!((base(path), dir(path).as_str(), ext(path)), (last, folder, extension), "{path}");
        }
    }
}
