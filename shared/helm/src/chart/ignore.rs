//! `.helmignore` (helm/helm `pkg/ignore`): shell patterns, not those of git. A pattern without a slash looks at the
//! last part of a path only; a `!` line ignores everything that it does not match.

use slipway_gocompat::filepath;

use super::LoadError;

/// The rules of one `.helmignore`.
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    /// Matches nothing where cutting the line to the pattern broke it.
    pattern: String,
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
            if !filepath::is_valid(line) {
                return refuse("syntax error in pattern");
            }
            let negated = line.starts_with('!');
            let rule = if negated { line.get(1..).unwrap_or_default() } else { line };
            let folders_only = rule.ends_with('/');
            let rule = rule.strip_suffix('/').unwrap_or(rule);
            let anchored = rule.strip_prefix('/');
            rules.push(Rule {
                whole_path: anchored.is_some() || rule.contains('/'),
                pattern: anchored.unwrap_or(rule).to_owned(),
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
            let hit = || filepath::matches(&rule.pattern, subject);
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

#[cfg(test)]
mod tests {
    use super::*;

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
        // Go 1.26's `filepath.Match` calls the last ones malformed.
        for broken in ["a/**", "[", "[]a]", "[a-]", "\\"] {
            assert!(Rules::parse(broken).is_err(), "{broken}");
        }
    }
}
