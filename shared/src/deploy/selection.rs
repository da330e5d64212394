//! Selects some of an application's objects: those that `slipway app sync` and `wait` name by `--resource`, in argocd's
//! syntax (argoproj/argo-cd `cmd/argocd/commands/app.go`, parseSelectedResources; `util/argo/argo.go`,
//! IncludeResource). Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use slipway_manifest::ObjectId;

/// Objects that the error lists where a pattern matches none; more would hide the message.
const SHOWN: usize = 20;

/// Why a selection is invalid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartialError {
    /// The pattern has the wrong syntax.
    #[error("write GROUP:KIND:NAME or GROUP:KIND:NAMESPACE/NAME, with `!` before what is to be left out")]
    Malformed,
    /// The pattern matches no object.
    #[error("`{pattern}` matches no object of the application, which has {has}")]
    Unmatched {
        /// The pattern, as given.
        pattern: String,
        /// The objects that exist, in the same syntax.
        has: String,
    },
    /// Every object is excluded.
    #[error("no resource is left: everything is excluded")]
    Empty,
}

/// A pattern that includes or, with `!`, excludes objects: `GROUP:KIND:NAME` or `GROUP:KIND:NAMESPACE/NAME`. `*`
/// matches any; the core group is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    excludes: bool,
    group: String,
    kind: String,
    /// Empty matches any namespace.
    namespace: String,
    name: String,
}

impl FromStr for Pattern {
    type Err = PartialError;

    fn from_str(text: &str) -> Result<Self, PartialError> {
        let (excludes, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let fields: Vec<&str> = rest.split(':').collect();
        let &[group, kind, place] = fields.as_slice() else { return Err(PartialError::Malformed) };
        let (namespace, name) = place.split_once('/').unwrap_or(("", place));
        if name.contains('/') {
            return Err(PartialError::Malformed);
        }
        let owned = str::to_owned;
        Ok(Self { excludes, group: owned(group), kind: owned(kind), namespace: owned(namespace), name: owned(name) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { excludes, group, kind, namespace, name } = self;
        let not = if *excludes { "!" } else { "" };
        let slash = if namespace.is_empty() { "" } else { "/" };
        write!(f, "{not}{group}:{kind}:{namespace}{slash}{name}")
    }
}

impl Pattern {
    /// Creates the pattern of exactly one object.
    pub fn of(id: &ObjectId) -> Self {
        let ObjectId { group, kind, namespace, name, .. } = id.clone();
        Self { excludes: false, group, kind, namespace, name }
    }

    fn fits(&self, id: &ObjectId) -> bool {
        let is = |wanted: &str, found: &str| wanted == "*" || wanted == found;
        is(&self.group, &id.group)
            && is(&self.kind, &id.kind)
            && is(&self.name, &id.name)
            && (self.namespace.is_empty() || is(&self.namespace, &id.namespace))
    }
}

/// Selects from `ids`: objects that any pattern includes, or all where every pattern excludes; less the excluded ones.
///
/// A pattern that matches nothing is an error: a missing part of an application can't be synced.
pub fn choose(patterns: &[Pattern], ids: &BTreeSet<ObjectId>) -> Result<BTreeSet<ObjectId>, PartialError> {
    let (less, meant): (Vec<&Pattern>, Vec<&Pattern>) = patterns.iter().partition(|pattern| pattern.excludes);
    if let Some(idle) = meant.iter().find(|pattern| !ids.iter().any(|id| pattern.fits(id))) {
        let has: Vec<String> = ids.iter().take(SHOWN).map(|id| Pattern::of(id).to_string()).collect();
        return Err(PartialError::Unmatched { pattern: idle.to_string(), has: has.join(", ") });
    }
    let is_meant = |id: &&ObjectId| {
        (meant.is_empty() || meant.iter().any(|one| one.fits(id))) && !less.iter().any(|one| one.fits(id))
    };
    let chosen: BTreeSet<ObjectId> = ids.iter().filter(is_meant).cloned().collect();
    if chosen.is_empty() { Err(PartialError::Empty) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(patterns: &[&str]) -> Result<Vec<String>, PartialError> {
        let ids = [
            ObjectId::new("", "ConfigMap", "shop", "web"),
            ObjectId::new("", "ConfigMap", "other", "web"),
            ObjectId::new("apps", "Deployment", "shop", "web"),
            ObjectId::new("", "Namespace", "", "shop"),
        ];
        let patterns = patterns.iter().map(|text| text.parse()).collect::<Result<Vec<Pattern>, _>>()?;
        Ok(choose(&patterns, &BTreeSet::from(ids))?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_named_is_chosen_less_what_is_excluded() {
        let cases: [(&[&str], &[&str]); 7] = [
            (&["apps:Deployment:web"], &["Deployment/shop/web"]),
            (&[":ConfigMap:web"], &["ConfigMap/other/web", "ConfigMap/shop/web"]),
            (&[":ConfigMap:shop/web"], &["ConfigMap/shop/web"]),
            (&["*:*:web", "!*:*:other/web"], &["ConfigMap/shop/web", "Deployment/shop/web"]),
            (&["!*:*:web"], &["Namespace/shop"]),
            (&[":Namespace:*", "apps:*:*"], &["Namespace/shop", "Deployment/shop/web"]),
            // Exclusion wins.
            (&[":ConfigMap:*", "!:ConfigMap:shop/*"], &["ConfigMap/other/web"]),
        ];
        for (patterns, expected) in cases {
            assert_eq!(chosen(patterns).unwrap(), expected, "{patterns:?}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_there_is() {
        for text in ["web", "Deployment:web", "apps:Deployment:a/b/c", "a:b:c:d", "!"] {
            assert_eq!(text.parse::<Pattern>().unwrap_err(), PartialError::Malformed, "{text}");
        }
        let error = chosen(&["apps:Deployment:web", "apps:Deployment:db"]).unwrap_err().to_string();
        assert!(error.starts_with("`apps:Deployment:db` matches no object"), "{error}");
        assert!(error.contains(":ConfigMap:shop/web") && error.contains("apps:Deployment:shop/web"), "{error}");
        assert_eq!(chosen(&["!*:*:*"]).unwrap_err(), PartialError::Empty);
    }
}
