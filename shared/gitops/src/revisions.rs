//! Holds the commits of an Application's sources, written as Argo CD writes them: `revision` for `spec.source`,
//! `revisions` for `spec.sources` (argoproj/argo-cd `pkg/apis/application/v1alpha1/types.go`, SyncStatus).

use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The commits of an Application's sources. A field of this type is flattened into its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revisions {
    /// That of `spec.source`; empty where none is known.
    One(String),
    /// Those of `spec.sources`, in their order; also of those that only lend their files to others.
    PerSource(Vec<String>),
}

impl Default for Revisions {
    fn default() -> Self {
        Self::One(String::new())
    }
}

impl From<&str> for Revisions {
    fn from(commit: &str) -> Self {
        Self::One(commit.to_owned())
    }
}

impl From<String> for Revisions {
    fn from(commit: String) -> Self {
        Self::One(commit)
    }
}

impl Revisions {
    /// One entry for each source.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(commit) => std::slice::from_ref(commit),
            Self::PerSource(commits) => commits,
        }
    }

    /// Whether no commit is known.
    pub fn is_empty(&self) -> bool {
        self.as_slice().iter().all(String::is_empty)
    }

    /// Whether they are of as many sources as `other`, and both of `spec.source` or both of `spec.sources`.
    pub fn has_sources_of(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.as_slice().len() == other.as_slice().len()
    }

    /// The first seven characters of each commit, as messages show them; versions of charts whole.
    pub fn short(&self) -> String {
        self.as_slice().iter().map(|revision| short(revision)).collect::<Vec<_>>().join(", ")
    }

    /// Serializes a result of a sync, which has a `revision` in any case (argoproj/argo-cd, SyncOperationResult).
    pub(crate) fn serialize_result<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::One(commit) => map.serialize_entry("revision", commit)?,
            Self::PerSource(commits) => {
                map.serialize_entry("revision", "")?;
                map.serialize_entry("revisions", commits)?;
            }
        }
        map.end()
    }
}

/// The first seven characters of a commit; a version of a chart, which has others than hex digits, whole.
pub fn short(revision: &str) -> &str {
    let is_commit = revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    revision.get(..7).filter(|_| is_commit).unwrap_or(revision)
}

impl fmt::Display for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_slice().join(","))
    }
}

impl Serialize for Revisions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::One(commit) if commit.is_empty() => {}
            Self::One(commit) => map.serialize_entry("revision", commit)?,
            Self::PerSource(commits) => map.serialize_entry("revisions", commits)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Revisions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            revision: Option<String>,
            revisions: Option<Vec<String>>,
        }
        let Fields { revision, revisions } = Fields::deserialize(deserializer)?;
        let listed = revisions.filter(|commits| !commits.is_empty()).map(Self::PerSource);
        Ok(listed.unwrap_or_else(|| Self::One(revision.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::{Sync, SyncResult};

    fn of(commits: &[&str]) -> Revisions {
        Revisions::PerSource(commits.iter().map(|commit| (*commit).to_owned()).collect())
    }

    #[test]
    fn they_are_written_as_argo_cd_writes_them_and_read_back() {
        for (revisions, written) in [
            (Revisions::default(), json!({})),
            (Revisions::from("abc"), json!({"revision": "abc"})),
            (of(&["abc"]), json!({"revisions": ["abc"]})),
            (of(&["abc", "def"]), json!({"revisions": ["abc", "def"]})),
        ] {
            assert_eq!(json!(revisions), written);
            assert_eq!(serde_json::from_value::<Revisions>(written).unwrap(), revisions);
        }
        let both = json!({"revision": "", "revisions": ["abc", "def"]});
        assert_eq!(serde_json::from_value::<Revisions>(both).unwrap(), of(&["abc", "def"]));
    }

    #[test]
    fn a_status_of_one_source_is_as_it_was_before_there_were_more() {
        let sync = |revisions| json!(Sync { revisions, ..Sync::default() });
        assert_eq!(sync(Revisions::default()), json!({"status": "Unknown"}));
        assert_eq!(sync("abc".into()), json!({"status": "Unknown", "revision": "abc"}));
        let result = |revisions| json!(SyncResult { revisions, ..SyncResult::default() });
        assert_eq!(result(Revisions::default()), json!({"resources": [], "revision": ""}));
        assert_eq!(result("abc".into()), json!({"resources": [], "revision": "abc"}));
        let several = json!({"resources": [], "revision": "", "revisions": ["abc", "def"]});
        assert_eq!(result(of(&["abc", "def"])), several);
        assert_eq!(serde_json::from_value::<SyncResult>(several).unwrap().revisions, of(&["abc", "def"]));
        let unknown: Value = json!({"status": "Synced", "revision": null, "revisions": null});
        assert!(serde_json::from_value::<Sync>(unknown).unwrap().revisions.is_empty());
    }

    #[test]
    fn another_number_of_sources_is_another_application() {
        assert!(of(&["a", "b"]).has_sources_of(&of(&["c", "d"])));
        assert!(!of(&["a", "b"]).has_sources_of(&of(&["c"])));
        assert!(!of(&["a"]).has_sources_of(&"a".into()));
    }

    #[test]
    fn messages_show_each_in_short() {
        assert_eq!(of(&["0123456789", "abc"]).short(), "0123456, abc");
        assert_eq!(Revisions::from("0123456789").short(), "0123456");
        assert_eq!(of(&["1.20.0-rc.1", "feature/x-y-z"]).short(), "1.20.0-rc.1, feature/x-y-z");
        assert_eq!(of(&["a", "b"]).to_string(), "a,b");
    }
}
