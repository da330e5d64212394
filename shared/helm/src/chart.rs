//! A chart in memory: what `Chart.yaml` says, its values, templates, other files and the charts below `charts/`
//! (helm/helm `pkg/chart/v2`).

pub(crate) mod archive;
mod ignore;
mod load;
pub(crate) mod metadata;

use std::rc::Rc;
use std::sync::Arc;

use slipway_gotmpl::Map;

use crate::error::MissingDependency;

pub use load::LoadError;
pub(crate) use load::{load, parse_values};
pub use metadata::MetadataError;
pub(crate) use metadata::{Dependency, Metadata};

/// A file of a chart; the name is relative to the chart.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) data: Arc<[u8]>,
}

/// What never changes after loading, so that aliases of one chart share it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) schema: Option<Arc<[u8]>>,
    pub(crate) templates: Vec<File>,
    pub(crate) files: Vec<File>,
}

/// A chart and the charts it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) metadata: Metadata,
    /// The defaults: those of `values.yaml`, later with what is imported from below.
    pub(crate) values: Map,
    pub(crate) content: Rc<Content>,
    pub(crate) dependencies: Vec<Chart>,
}

impl Chart {
    pub(crate) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// How many charts these are: this one and all below it.
    pub(crate) fn count(&self) -> usize {
        self.dependencies.iter().map(Self::count).fold(1, usize::saturating_add)
    }

    /// Files below `crds/` of this chart and those below it, each with the path that `helm template` prints.
    pub(crate) fn crds<'a>(&'a self, path: &str, out: &mut Vec<(String, &'a File)>) {
        for file in &self.content.files {
            let extension = file.name.rsplit_once('.').map_or("", |(_, e)| e);
            if file.name.starts_with("crds/")
                && ["yaml", "yml", "json"].iter().any(|e| extension.eq_ignore_ascii_case(e))
            {
                out.push((format!("{path}/{}", file.name), file));
            }
        }
        for dependency in &self.dependencies {
            dependency.crds(&format!("{path}/charts/{}", dependency.name()), out);
        }
    }

    /// Dependencies that `Chart.yaml` wants and `charts/` does not have (helm/helm `pkg/action/install.go`).
    pub(crate) fn missing(&self) -> Vec<MissingDependency> {
        let wanted = self.metadata.dependencies.iter();
        let missing = wanted.filter(|wanted| !self.dependencies.iter().any(|have| have.name() == wanted.name));
        missing
            .map(|wanted| MissingDependency {
                name: wanted.name.clone(),
                version: wanted.version.clone(),
                repository: wanted.repository.clone(),
            })
            .collect()
    }
}
