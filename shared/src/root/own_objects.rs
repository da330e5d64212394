//! Deploys what a root holds besides declarations (Namespaces, ConfigMaps …): each place that has such objects is an
//! Application itself, as the root application of an app of apps is in Argo CD.

use super::tree::ApplicationTree;
use crate::app::{self, Application, Source};

/// The Applications of places.
#[derive(Debug, Default)]
pub(super) struct OwnObjects {
    /// One for each place with other objects than declarations.
    pub(super) applications: Vec<Application>,
    /// Why a place has none, one line each.
    pub(super) problems: Vec<String>,
}

/// The Applications that deploy the other objects of `places`. A place has none where an Application of the tree
/// deploys its very sources: a root application is often declared in its own folder.
pub(super) fn applications(tree: &ApplicationTree, places: &[Application]) -> OwnObjects {
    let mut own = OwnObjects::default();
    for (index, place) in places.iter().enumerate() {
        let Some((_, object)) = tree.others.iter().find(|(at, _)| *at == index) else { continue };
        let declared = || tree.applications.iter().filter_map(|one| one.app.as_ref().ok());
        let is_same = |one: &Source, other: &Source| {
            app::same_repository(&one.repo_url, &other.repo_url) && one.folder().ok() == other.folder().ok()
        };
        let is_deployed_by = |app: &Application| {
            place.all_sources().iter().all(|own| app.all_sources().iter().any(|source| is_same(source, own)))
        };
        if declared().any(is_deployed_by) {
            continue;
        }
        let (namespace, name) = app::identity(&place.object);
        if tree.applications.iter().any(|one| one.identity == (namespace.clone(), name.clone())) {
            own.problems.push(format!(
                "{} and what else stands at the root are not deployed: an Application is called {namespace}/{name}, \
                 as the root is; rename it, or give the root a name by SLIPWAY_ROOT_APPLICATION",
                object.id()
            ));
            continue;
        }
        own.applications.push(place.clone());
    }
    own
}
