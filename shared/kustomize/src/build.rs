//! A build: resources are accumulated depth first, generated, patched and transformed folder by folder; names,
//! references and variables are settled once, at the end (kustomize `api/internal/target`, `api/krusty`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use slipway_budget::Budget;
use slipway_manifest::Object;

use crate::Rendered;
use crate::config::Config;
use crate::configure;
use crate::context::Context;
use crate::cost;
use crate::error::Error;
use crate::fieldspec::FieldSpec;
use crate::kustomization::{COMPONENT, Kustomization, Var};
use crate::load::{Files, Root};
use crate::node::parse;
use crate::origin::{self, Origin};
use crate::resmap::Identities;
use crate::resource::Resource;
use crate::transform::{Transformer, reference, variable};
use crate::{generate, order, overrides, plugin, remote, resmap};

/// Objects of one render, over all bases.
const MAX_OBJECTS: usize = 200_000;
/// The version that `managedByLabel` names.
const MANAGED_BY: &str = "kustomize-v5.7.1";

/// Resources so far, with the configuration and the variables of the folders that they came from.
#[derive(Default)]
pub(crate) struct Accumulated {
    pub(crate) resources: Vec<Resource>,
    config: Option<Cow<'static, Config>>,
    vars: BTreeMap<String, Var>,
}

impl Accumulated {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Cow<'static, Config> {
        self.config.clone().unwrap_or(Cow::Borrowed(Config::default_config()))
    }

    /// Merges another configuration; the defaults are in every one of them.
    fn merge_config(&mut self, other: Option<Cow<'static, Config>>, budget: &Budget) -> Result<(), Error> {
        match (&mut self.config, other) {
            (_, None) | (Some(_), Some(Cow::Borrowed(_))) => {}
            (None, Some(Cow::Borrowed(defaults))) => self.config = Some(Cow::Borrowed(defaults)),
            // The order of specs counts: a list merged into nothing is not the list.
            (config, Some(Cow::Owned(other))) => {
                config.get_or_insert_default().to_mut().merge(other, budget)?;
            }
        }
        Ok(())
    }

    /// Takes `configurations` and `crds`.
    fn configure(&mut self, root: &Root<'_>, kustomization: &Kustomization) -> Result<(), Error> {
        let files = list(kustomization.configurations.as_deref());
        let budget = root.budget();
        if files.is_empty() {
            self.merge_config(Some(Cow::Borrowed(Config::default_config())), budget)?;
        } else {
            let mut given = Config::default();
            for path in files {
                let invalid = |problem| Error::Kustomization { path: display(root, path), problem };
                let config = Config::from_settings(settings(root, path)?).map_err(invalid)?;
                given.merge(config, budget).map_err(|e| e.within(format!("merging configuration `{path}`")))?;
            }
            let mut whole = Config::table().clone();
            whole.merge(given, budget)?;
            self.merge_config(Some(Cow::Owned(whole)), budget)?;
        }
        for path in list(kustomization.crds.as_deref()) {
            let document = settings(root, path)?;
            let definitions = document.as_object().ok_or_else(|| {
                Error::refused(format!("unable to parse open API definitions from `{path}`: a mapping is wanted"))
            })?;
            let config =
                Config::from_crds(definitions, budget).map_err(|e| e.within(format!("loading CRDs `{path}`")))?;
            self.merge_config(Some(Cow::Owned(config)), budget)
                .map_err(|e| e.within(format!("merging CRDs `{path}`")))?;
        }
        Ok(())
    }

    fn merge(&mut self, other: Self, identities: &mut Identities, cx: &Context) -> Result<(), Error> {
        if self.resources.is_empty() {
            self.resources = other.resources;
        } else {
            identities.append(&mut self.resources, other.resources, cx)?;
        }
        self.merge_config(other.config, &cx.budget)?;
        variable::merge(&mut self.vars, other.vars.into_values())
    }
}

/// A folder that is built: where it lies, what its kustomization says and in which file, and where it came from if that
/// is to be noted.
#[derive(Clone, Copy)]
struct Folder<'a> {
    root: &'a Root<'a>,
    kustomization: &'a Kustomization,
    file: &'a str,
    origin: Option<&'a Origin>,
}

impl Folder<'_> {
    /// The origin of what a built-in generator or transformer made.
    fn built_in(&self, kind: &str) -> Option<Origin> {
        self.origin.map(|origin| origin.built_in(self.file, kind))
    }
}

pub(crate) struct Build {
    cx: Context,
    warnings: Vec<String>,
    objects: usize,
}

/// Renders the kustomization in the folder `path`.
pub(crate) fn render(files: &Files<'_>, path: &str) -> Result<Rendered, Error> {
    let root = Root::top(files, path)?;
    let cx = Context::new(files.budget.clone());
    let mut build = Build { cx, warnings: Vec::new(), objects: 0 };
    let (text, file) = root.kustomization()?;
    let mut kustomization = Kustomization::read(&text, &display(&root, file), &mut build.warnings, root.budget())?;
    if let Some(overrides) = &files.options.overrides {
        overrides::apply(&mut kustomization, overrides, &root)?;
    }
    build.openapi(&root, &kustomization, true)?;
    let traced = kustomization.build_metadata.as_ref().is_some_and(|list| !list.is_empty());
    let origin = traced.then(Origin::default);
    let folder = Folder { root: &root, kustomization: &kustomization, file, origin: origin.as_ref() };
    let mut all = build.target(folder, Accumulated::default())?;
    build.settle(&mut all)?;
    order::sort(&mut all.resources, kustomization.sort_options.as_ref(), files.options.order, &build.cx)?;
    if files.options.managed_by_label || kustomization.wants("managedByLabel") {
        let entries = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), MANAGED_BY.to_owned())]);
        let specs = Cow::Owned(vec![FieldSpec::everywhere("metadata/labels")]);
        Transformer::Entries { entries, specs }.apply(&mut all.resources, &build.cx)?;
    }
    let (keep_origin, keep_changes) =
        (kustomization.wants("originAnnotations"), kustomization.wants("transformerAnnotations"));
    let objects = all.resources.into_iter().map(|mut resource| {
        resource.finish_annotations(keep_origin, keep_changes);
        let label = resource.id(&build.cx).to_string();
        cost::of_conversion(&build.cx.budget, &resource.node)?;
        match resource.node.into_value().map_err(|e| Error::refused(format!("{label}: {e}")))? {
            Value::Object(map) => Ok(Object::from_map(map)),
            _ => Err(Error::refused(format!("{label} is no mapping"))),
        }
    });
    Ok(Rendered { objects: objects.collect::<Result<_, Error>>()?, warnings: build.warnings, ..Rendered::default() })
}

fn display(root: &Root<'_>, file: &str) -> String {
    if root.path.is_empty() { file.to_owned() } else { format!("{}/{file}", root.path) }
}

impl Build {
    /// What is done once all resources are there: hashes, references, variables, local resources.
    fn settle(&mut self, all: &mut Accumulated) -> Result<(), Error> {
        let config = all.config();
        Transformer::Hash.apply(&mut all.resources, &self.cx)?;
        reference::fix(&mut all.resources, &config.name_reference, &self.cx)?;
        self.warnings.extend(variable::resolve(&mut all.resources, &all.vars, &config.var_reference, &self.cx)?);
        all.resources.retain(|resource| {
            let local = resource.annotation("config.kubernetes.io/local-config");
            !resource.is_deleted() && local.is_none_or(|value| value == "false")
        });
        Ok(())
    }

    fn openapi(&mut self, root: &Root<'_>, kustomization: &Kustomization, is_root: bool) -> Result<(), Error> {
        let Some(openapi) = &kustomization.openapi else { return Ok(()) };
        let document = match openapi.get("path") {
            Some(path) => Some(settings(root, path)?),
            None => None,
        };
        let version = openapi.get("version").map(String::as_str);
        self.cx.set_openapi(version, document.as_ref(), is_root)
    }

    /// Builds one folder on top of what `all` holds: nothing, or the resources of the parent, for a component.
    fn target(&mut self, folder: Folder<'_>, mut all: Accumulated) -> Result<Accumulated, Error> {
        let Folder { root, kustomization, origin, .. } = folder;
        all = self.accumulate(root, list(kustomization.resources.as_deref()), origin, all)?;
        all.configure(root, kustomization)?;
        self.generate(folder, &mut all)?;
        for path in list(kustomization.components.as_deref()) {
            let below = origin.map(|origin| origin.append(path));
            let base = root.base(path).map_err(|e| e.within(format!("accumulating component `{path}`")))?;
            all = self
                .directory(&base, below.as_ref(), all, true)
                .map_err(|e| e.within(format!("accumulating component `{path}`")))?;
        }
        self.transform(folder, &mut all)?;
        self.validate(folder, &mut all)?;
        let vars = list(kustomization.vars.as_deref());
        variable::attach(&mut all.resources, vars, &self.cx)?;
        variable::merge(&mut all.vars, vars.iter().cloned())?;
        Ok(all)
    }

    /// Adds the resources of files and bases.
    pub(crate) fn accumulate(
        &mut self,
        root: &Root<'_>,
        paths: &[String],
        origin: Option<&Origin>,
        mut all: Accumulated,
    ) -> Result<Accumulated, Error> {
        let mut identities = Identities::default();
        for path in paths {
            let below = origin.map(|origin| origin.append(path));
            let is_folder = root.is_folder(path) || remote::file(path).is_none() && remote::git(path).is_some();
            let failed = |e: Error| e.within(format!("accumulating resources from `{path}`"));
            if is_folder {
                let base = root.base(path).map_err(failed)?;
                let built = self.directory(&base, below.as_ref(), Accumulated::default(), false).map_err(failed)?;
                all.merge(built, &mut identities, &self.cx).map_err(failed)?;
                continue;
            }
            let mut resources = root
                .text(path)
                .and_then(|text| resmap::read(&text, &display(root, path), root.budget()))
                .map_err(failed)?;
            if let Some(origin) = &below {
                for resource in &mut resources {
                    resource.set_annotation(origin::ANNOTATION, origin.to_yaml());
                }
            }
            self.count(resources.len())?;
            identities.append(&mut all.resources, resources, &self.cx).map_err(failed)?;
        }
        Ok(all)
    }

    fn count(&mut self, more: usize) -> Result<(), Error> {
        self.objects += more;
        if self.objects > MAX_OBJECTS { Err(Error::TooManyObjects { limit: MAX_OBJECTS }) } else { Ok(()) }
    }

    /// Builds a base, or a component on top of what is there.
    fn directory(
        &mut self,
        root: &Root<'_>,
        origin: Option<&Origin>,
        all: Accumulated,
        is_component: bool,
    ) -> Result<Accumulated, Error> {
        let (text, file) = root.kustomization()?;
        let kustomization = Kustomization::read(&text, &display(root, file), &mut self.warnings, root.budget())?;
        self.openapi(root, &kustomization, false)?;
        if is_component != (kustomization.kind == COMPONENT) {
            let wanted = if is_component { "name it in `resources`" } else { "name it in `components`" };
            let Kustomization { kind, .. } = &kustomization;
            return Err(Error::refused(format!("`{}` is a {kind}: {wanted}", root.path)));
        }
        let folder = Folder { root, kustomization: &kustomization, file, origin };
        self.target(folder, all)
    }

    fn generate(&mut self, folder: Folder<'_>, all: &mut Accumulated) -> Result<(), Error> {
        type Make = fn(&Root<'_>, &crate::kustomization::GeneratorArgs) -> Result<Resource, Error>;
        let Folder { root, kustomization, .. } = folder;
        let kinds: [(_, _, Make); 2] = [
            (list(kustomization.config_map_generator.as_deref()), "ConfigMapGenerator", generate::config_map),
            (list(kustomization.secret_generator.as_deref()), "SecretGenerator", generate::secret),
        ];
        for (entries, kind, make) in kinds {
            for args in entries {
                let mut args = args.clone();
                let global = kustomization.generator_options.as_ref();
                args.options = crate::kustomization::GeneratorOptions::merged(args.options.as_ref(), global);
                let failed =
                    |e: Error| e.within(format!("failed to generate what `{}` asks for", display(root, folder.file)));
                self.absorb(vec![make(root, &args).map_err(failed)?], folder.built_in(kind).as_ref(), all)?;
            }
        }
        for chart in list(kustomization.helm_charts.as_deref()) {
            let origin = folder.built_in("HelmChartInflationGenerator");
            let made = crate::helm::inflate(root, kustomization.helm_globals.as_ref(), chart, &self.cx)?;
            self.absorb(made, origin.as_ref(), all)?;
        }
        for config in self.plugins(folder, list(kustomization.generators.as_deref()), folder.file)? {
            let made = plugin::generate(&config, root, &self.cx).map_err(|e| e.within("failed to load generator"))?;
            self.absorb(made, Origin::of_plugin(&config).as_ref(), all)?;
        }
        Ok(())
    }

    fn absorb(&mut self, made: Vec<Resource>, origin: Option<&Origin>, all: &mut Accumulated) -> Result<(), Error> {
        self.count(made.len())?;
        for mut resource in made {
            if let Some(origin) = origin.filter(|_| resource.annotation(origin::ANNOTATION).is_none()) {
                resource.set_annotation(origin::ANNOTATION, origin.to_yaml());
            }
            resmap::absorb(&mut all.resources, resource, &self.cx).map_err(|e| e.within("merging from generator"))?;
        }
        Ok(())
    }

    /// Configurations of plugins: YAML on the spot in `file`, files, or folders that are built.
    fn plugins(&mut self, folder: Folder<'_>, entries: &[String], file: &str) -> Result<Vec<Resource>, Error> {
        let Folder { root, origin, .. } = folder;
        let mut all = Accumulated::default();
        let mut identities = Identities::default();
        let mut paths = Vec::new();
        for entry in entries {
            match resmap::read(entry, file, root.budget()) {
                Ok(mut inline) => {
                    if let Some(origin) = origin {
                        let text = origin.append(file).to_yaml();
                        for resource in &mut inline {
                            resource.set_annotation(origin::ANNOTATION, text.clone());
                        }
                    }
                    identities.append(&mut all.resources, inline, &self.cx)?;
                }
                Err(error) if error.is_exceeded() => return Err(error),
                Err(_) => paths.push(entry.clone()),
            }
        }
        Ok(self.accumulate(root, &paths, origin, all)?.resources)
    }

    fn transform(&mut self, folder: Folder<'_>, all: &mut Accumulated) -> Result<(), Error> {
        let Folder { root, kustomization, .. } = folder;
        if let Some(Cow::Owned(config)) = &all.config {
            cost::of_text(&self.cx.budget, config.bytes())?;
        }
        let config = all.config();
        let file = display(root, folder.file);
        let transformers = configure::transformers(root, kustomization, &config)
            .map_err(|e| e.within(format!("failed to read what `{file}` applies")))?;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (kind, transformer) in transformers {
            let index = seen.entry(kind).or_default();
            let step = || format!("failed to apply `{}` of `{file}`", configure::field_of(kind, *index));
            transformer.apply(&mut all.resources, &self.cx).map_err(|e| e.within(step()))?;
            *index += 1;
            self.after(&mut all.resources, folder.built_in(kind).as_ref())?;
        }
        for plugin in self.plugins(folder, list(kustomization.transformers.as_deref()), folder.file)? {
            for transformer in plugin::transformers(&plugin, root)? {
                transformer.apply(&mut all.resources, &self.cx)?;
            }
            self.after(&mut all.resources, Origin::of_plugin(&plugin).as_ref())?;
        }
        // A patch or a replacement may have taken kind or name.
        let nameless =
            all.resources.iter().find_map(|resource| Some((resource, resmap::validate(&resource.node).err()?)));
        match nameless {
            Some((resource, problem)) => {
                Err(Error::refused(format!("{problem}, after transforming {}", resource.id(&self.cx))))
            }
            None => Ok(()),
        }
    }

    fn after(&self, resources: &mut Vec<Resource>, origin: Option<&Origin>) -> Result<(), Error> {
        resources.retain(|resource| !resource.is_deleted());
        origin.map_or(Ok(()), |origin| origin.annotate(resources, &self.cx.budget))
    }

    /// Validators are transformers that must not change anything but the label `validated-by`.
    fn validate(&mut self, folder: Folder<'_>, all: &mut Accumulated) -> Result<(), Error> {
        for plugin in self.plugins(folder, list(folder.kustomization.validators.as_deref()), "")? {
            for resource in &all.resources {
                cost::of_copy(&self.cx.budget, &resource.node)?;
                cost::of_copy(&self.cx.budget, &resource.node)?;
                self.cx.budget.bytes(2 * resource.remembered())?;
            }
            let before: Vec<Resource> = all.resources.clone();
            for transformer in plugin::transformers(&plugin, folder.root)? {
                transformer.apply(&mut all.resources, &self.cx)?;
            }
            let unlabelled = |resource: &Resource| {
                let mut resource = resource.clone();
                let labels = resource.metadata_mut().get_mut("labels").and_then(crate::node::Node::as_map_mut);
                let empty = labels.is_some_and(|labels| labels.remove("validated-by").is_some() && labels.is_empty());
                if empty {
                    resource.metadata_mut().remove("labels");
                }
                resource.node
            };
            let same = before.len() == all.resources.len()
                && before.iter().zip(&all.resources).all(|(old, new)| old.node == unlabelled(new));
            if !same {
                return Err(Error::refused(format!(
                    "validator {} shouldn't modify the resources",
                    plugin.id(&self.cx)
                )));
            }
        }
        Ok(())
    }
}

fn list<T>(field: Option<&[T]>) -> &[T] {
    field.unwrap_or_default()
}

/// The content of a file of settings.
pub(crate) fn settings(root: &Root<'_>, path: &str) -> Result<Value, Error> {
    parse::settings(&root.text(path)?, root.budget())
        .map_err(|source| Error::Yaml { path: display(root, path), source })
}
