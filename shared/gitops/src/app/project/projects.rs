//! Collects the projects of a root.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AppProject, DEFAULT};
use crate::app::settings::Settings;

/// The projects of a root, and the restrictions of its `argocd-cm` for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projects {
    declared: BTreeMap<String, AppProject>,
    settings: Arc<Settings>,
}

impl Projects {
    /// Creates it from the `declared` projects, by name.
    pub fn new(declared: BTreeMap<String, AppProject>, settings: Settings) -> Self {
        Self { declared, settings: Arc::new(settings) }
    }

    /// The project `name`; an undeclared `default` allows everything.
    pub fn get(&self, name: &str) -> Option<AppProject> {
        let declared = self.declared.get(name).cloned();
        let project = declared.or_else(|| (name == DEFAULT).then(AppProject::allow_all))?;
        Some(AppProject { settings: Arc::clone(&self.settings), ..project })
    }

    /// Combines projects of an earlier root with those of `today`: today's settings, and today's project where one of
    /// that name still exists.
    #[must_use]
    pub fn as_of(mut self, today: &Self) -> Self {
        self.declared.extend(today.declared.clone());
        Self { declared: self.declared, settings: Arc::clone(&today.settings) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_old_root_is_judged_by_what_is_declared_today() {
        let project = |name: &str, repo: &str| {
            let project =
                AppProject { name: name.to_owned(), source_repos: vec![repo.to_owned()], ..AppProject::default() };
            (name.to_owned(), project)
        };
        let settings = |value: &str| Settings::from_config_map(json!({"globalProjects": value}).as_object().unwrap());
        let once = Projects::new([project("default", "old"), project("team", "old")].into(), settings(""));
        let today = Projects::new([project("team", "new")].into(), settings("- projectName: x"));
        let repos = |projects: &Projects, name: &str| projects.get(name).map(|project| project.source_repos);
        assert_eq!(repos(&today, "default"), Some(vec!["*".to_owned()]));
        assert_eq!(repos(&today, "other"), None);
        let both = once.as_of(&today);
        assert_eq!(repos(&both, "default"), Some(vec!["old".to_owned()]), "what is not declared today opens nothing");
        assert_eq!(repos(&both, "team"), Some(vec!["new".to_owned()]));
        assert_eq!(both.get("team").unwrap().settings.controls.len(), 1);
    }
}
