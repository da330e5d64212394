//! Collects the projects of a root.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AppProject, DEFAULT};
use crate::app::settings::Settings;

/// Which projects allow everything though nothing declares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Undeclared {
    /// None.
    Denied,
    /// `default`, as Argo CD is installed with it.
    #[default]
    OnlyDefault,
    /// All of them: they may be declared elsewhere than in Git.
    Open,
}

/// The projects of a root, and the restrictions of its `argocd-cm` for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projects {
    /// Each with the `settings`.
    declared: BTreeMap<String, Arc<AppProject>>,
    /// `default`, as it is where nothing declares it.
    default: Arc<AppProject>,
    settings: Arc<Settings>,
    undeclared: Undeclared,
}

impl Default for Projects {
    fn default() -> Self {
        Self::new(BTreeMap::new(), Settings::default())
    }
}

impl Projects {
    /// Creates it from the `declared` projects, by name.
    pub fn new(declared: BTreeMap<String, AppProject>, settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let with_settings = |project| Arc::new(AppProject { settings: Arc::clone(&settings), ..project });
        Self {
            declared: declared.into_iter().map(|(name, project)| (name, with_settings(project))).collect(),
            default: with_settings(AppProject::allow_all()),
            settings: Arc::clone(&settings),
            undeclared: Undeclared::default(),
        }
    }

    /// The same, with other projects allowing everything undeclared than `default`.
    #[must_use]
    pub fn with_undeclared(self, undeclared: Undeclared) -> Self {
        Self { undeclared, ..self }
    }

    /// The project `name`, declared or one that allows everything undeclared.
    pub fn get(&self, name: &str) -> Option<Arc<AppProject>> {
        let is_open = match self.undeclared {
            Undeclared::Denied => false,
            Undeclared::OnlyDefault => name == DEFAULT,
            Undeclared::Open => true,
        };
        let open = || match name {
            DEFAULT => Arc::clone(&self.default),
            name => Arc::new(AppProject { name: name.to_owned(), ..AppProject::clone(&self.default) }),
        };
        self.declared.get(name).cloned().or_else(|| is_open.then(open))
    }

    /// The projects that there are, by name: the declared ones, and `default`, which always exists.
    pub fn all(&self) -> Vec<Arc<AppProject>> {
        let mut all = self.declared.clone();
        all.entry(DEFAULT.to_owned()).or_insert_with(|| Arc::clone(&self.default));
        all.into_values().collect()
    }

    /// Whether the project `name` is declared, or `default`, which always exists.
    pub fn is_known(&self, name: &str) -> bool {
        name == DEFAULT || self.declared.contains_key(name)
    }

    /// Combines projects of an earlier root with those of `today`: today's settings, and today's project where one of
    /// that name still exists.
    #[must_use]
    pub fn as_of(mut self, today: &Self) -> Self {
        self.declared.extend(today.declared.clone());
        for project in self.declared.values_mut().filter(|project| !Arc::ptr_eq(&project.settings, &today.settings)) {
            Arc::make_mut(project).settings = Arc::clone(&today.settings);
        }
        Self { declared: self.declared, ..today.clone() }
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
        let repos = |projects: &Projects, name: &str| projects.get(name).map(|project| project.source_repos.clone());
        assert_eq!(repos(&today, "default"), Some(vec!["*".to_owned()]));
        assert_eq!(repos(&today, "other"), None);
        let both = once.as_of(&today);
        assert_eq!(repos(&both, "default"), Some(vec!["old".to_owned()]), "what is not declared today opens nothing");
        assert_eq!(repos(&both, "team"), Some(vec!["new".to_owned()]));
        assert_eq!(both.get("team").unwrap().settings.controls.len(), 1);
    }

    #[test]
    fn what_is_not_declared_allows_all_or_nothing() {
        let open = |undeclared, name: &str| Projects::default().with_undeclared(undeclared).get(name).is_some();
        let both = |undeclared| (open(undeclared, "default"), open(undeclared, "team"));
        assert_eq!(both(Undeclared::Denied), (false, false));
        assert_eq!(both(Undeclared::OnlyDefault), (true, false));
        assert_eq!(both(Undeclared::Open), (true, true));
        let team = Projects::default().with_undeclared(Undeclared::Open).get("team").unwrap();
        assert!(team.name == "team" && team.permits_source("https://github.com/acme/x"));
    }
}
