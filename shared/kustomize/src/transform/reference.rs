//! Name references: who refers to a resource whose name changed gets the new one (kustomize `api/filters/nameref`,
//! `namereferencetransformer.go`). Only resources that had another identity before can be meant, so they are indexed by
//! their former names.

use std::collections::{BTreeSet, HashMap};

use slipway_budget::Budget;

use crate::config::NameReference;
use crate::context::Context;
use crate::cost::{self, ENTRY};
use crate::error::Error;
use crate::fieldspec::{FieldSpec, Setter, set_text};
use crate::id::{Gvk, IdRef, NO_NAMESPACE};
use crate::node::{Map, Node};
use crate::resource::Resource;

/// A resource as one that may be referred to.
struct Candidate {
    api_group: String,
    api_version: String,
    kind: String,
    name: String,
    namespace: String,
    /// Effective namespaces now and originally.
    effective: String,
    original: String,
    previous: Vec<(String, String)>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    label: String,
}

/// Corrects all references.
pub(crate) fn fix(resources: &mut [Resource], references: &[NameReference], cx: &Context) -> Result<(), Error> {
    cost::of_passes(resources, 1, cx)?;
    for resource in resources.iter() {
        check_subjects(resource, references, cx)?;
    }
    if resources.iter().all(|resource| resource.previous.is_empty()) {
        return Ok(());
    }
    cost::of_passes(resources, 4, cx)?;
    // As one that refers, and as one that is referred to.
    let remembered: usize = resources.iter().map(|resource| size_of::<Candidate>() + 2 * resource.remembered()).sum();
    cost::of_text(&cx.budget, remembered)?;
    let candidates: Vec<Candidate> = resources.iter().map(|resource| Candidate::new(resource, cx)).collect();
    let mut by_name: HashMap<&str, Vec<&Candidate>> = HashMap::new();
    for candidate in &candidates {
        let names: BTreeSet<&str> = candidate.previous.iter().map(|(name, _)| name.as_str()).collect();
        for name in names {
            by_name.entry(name).or_default().push(candidate);
        }
    }
    let mut rules: HashMap<&str, Vec<(&FieldSpec, Gvk)>> = HashMap::new();
    for reference in references {
        for spec in &reference.field_specs {
            rules.entry(spec.kind.as_str()).or_default().push((spec, reference.gvk()));
        }
    }
    let any_kind = rules.remove("").unwrap_or_default();
    let none = Vec::new();
    for resource in resources {
        let of_kind = rules.get(resource.original_id(cx).gvk.kind).unwrap_or(&none);
        cx.budget.step(1 + (of_kind.len() + any_kind.len()) as u64 / 4)?;
        let specs: Vec<&(&FieldSpec, Gvk)> = of_kind.iter().chain(&any_kind).collect();
        let specs: Vec<_> = specs.into_iter().filter(|(spec, _)| spec.selects(resource.original_id(cx).gvk)).collect();
        if specs.is_empty() {
            continue;
        }
        let referrer = Referrer::new(resource, cx);
        for (spec, target) in specs {
            let budget = &cx.budget;
            budget.step(4)?;
            let fixer = Fixer { by_name: &by_name, all: &candidates, referrer: &referrer, spec, target, budget };
            let mut set = |node: &mut Node| fixer.set(node);
            Setter { kind: None, budget, set: &mut set }
                .apply(&mut resource.node, spec)
                .map_err(|e| e.within(format!("updating name reference in `{}` of {}", spec.path, referrer.label)))?;
        }
    }
    Ok(())
}

/// A ServiceAccount among the subjects must not have an empty namespace.
fn check_subjects(resource: &Resource, references: &[NameReference], cx: &Context) -> Result<(), Error> {
    if resource.kind() != "RoleBinding" || references.is_empty() {
        return Ok(());
    }
    let blank = |subject: &Node| {
        subject.get("kind").is_some_and(|kind| kind.as_text() == "ServiceAccount")
            && subject.get("namespace").is_some_and(|node| node.is_null() || node.as_map().is_some())
    };
    let subjects = resource.node.get("subjects").and_then(Node::as_seq).unwrap_or_default();
    if subjects.iter().any(blank) {
        return Err(Error::refused(format!("invalid input: namespace is blank for resource {}", resource.id(cx))));
    }
    Ok(())
}

impl Candidate {
    fn new(resource: &Resource, cx: &Context) -> Self {
        let id = resource.id(cx);
        Self {
            api_group: id.gvk.group.to_owned(),
            api_version: id.gvk.version.to_owned(),
            kind: id.gvk.kind.to_owned(),
            name: id.name.to_owned(),
            namespace: id.namespace.to_owned(),
            effective: id.effective_namespace().to_owned(),
            original: resource.original_id(cx).effective_namespace().to_owned(),
            previous: resource.previous.iter().map(|p| (p.name.clone(), p.kind.clone())).collect(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
            label: id.to_string(),
        }
    }

    fn is_cluster_scoped(&self) -> bool {
        self.effective == NO_NAMESPACE
    }

    fn was(&self, target: &Gvk) -> bool {
        let fits = |wanted: &str, have: &str| wanted.is_empty() || wanted == have;
        fits(&target.group, &self.api_group)
            && fits(&target.version, &self.api_version)
            && self.previous.iter().any(|(_, kind)| fits(&target.kind, kind))
    }
}

/// The resource that holds a reference.
struct Referrer {
    label: String,
    effective: String,
    cluster: bool,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    /// Namespaces of the service accounts among a role binding's subjects.
    subjects: BTreeSet<String>,
    /// Group and kind of `roleRef`.
    role: Option<Gvk>,
}

impl Referrer {
    fn new(resource: &Resource, cx: &Context) -> Self {
        let id: IdRef<'_> = resource.id(cx);
        let subjects =
            resource.node.get("subjects").and_then(Node::as_seq).filter(|_| resource.kind() == "RoleBinding");
        let text = |node: &Node, key| node.get(key).map(|node| node.as_text().to_owned());
        let account = |subject: &Node| text(subject, "kind").is_some_and(|kind| kind == "ServiceAccount");
        let role = resource.node.get("roleRef");
        Self {
            label: id.to_string(),
            effective: id.effective_namespace().to_owned(),
            cluster: id.cluster,
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
            subjects: subjects
                .unwrap_or_default()
                .iter()
                .filter(|s| account(s))
                .filter_map(|s| text(s, "namespace"))
                .collect(),
            role: role.and_then(|role| Some((text(role, "apiGroup")?, text(role, "kind")?))).map(|(group, kind)| Gvk {
                group,
                version: String::new(),
                kind,
            }),
        }
    }

    /// Whether the candidate could be meant at all, by its namespace.
    fn reaches(&self, candidate: &Candidate) -> bool {
        self.cluster
            || candidate.is_cluster_scoped()
            || candidate.effective == self.effective
            || self.subjects.contains(&candidate.namespace)
    }

    fn same_affixes(&self, candidate: &Candidate, empty_fits: bool) -> bool {
        let fits = |a: &[String], b: &[String]| empty_fits && (a.is_empty() || b.is_empty()) || same_ending(a, b);
        fits(&candidate.prefixes, &self.prefixes) && fits(&candidate.suffixes, &self.suffixes)
    }
}

/// Whether the shorter list ends the longer one; an empty one only ends an empty one.
fn same_ending(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if short.is_empty() { long.is_empty() } else { long.ends_with(short) }
}

struct Fixer<'a> {
    by_name: &'a HashMap<&'a str, Vec<&'a Candidate>>,
    all: &'a [Candidate],
    referrer: &'a Referrer,
    spec: &'a FieldSpec,
    target: &'a Gvk,
    budget: &'a Budget,
}

impl<'a> Fixer<'a> {
    fn set(&self, node: &mut Node) -> Result<(), Error> {
        match node {
            null if null.is_null() => Ok(()),
            Node::Seq(list) => list.iter_mut().try_for_each(|item| match item {
                null if null.is_null() => Ok(()),
                Node::Seq(_) => Err(Error::refused("an element is expected to be a string or a mapping")),
                item => self.set(item),
            }),
            Node::Map(map) => self.set_mapping(map),
            Node::Scalar(scalar) => {
                let same = |a: &Candidate, b: &Candidate| a.name == b.name;
                let referral = self.select(&scalar.text, |_| true, same)?;
                if let Some(referral) = referral.filter(|referral| referral.name != scalar.text) {
                    set_text(node, &referral.name, self.budget)?;
                }
                Ok(())
            }
        }
    }

    fn set_mapping(&self, map: &mut Map) -> Result<(), Error> {
        let name = map.get("name").map(|node| node.as_text().to_owned());
        let name = name.ok_or_else(|| Error::refused("path config error; no `name` field in node"))?;
        let namespace = map.get("namespace").map(|node| node.as_text().to_owned());
        let same = |a: &Candidate, b: &Candidate| a.name == b.name && a.namespace == b.namespace;
        let referral = match &namespace {
            None => self.select(&name, |_| true, same)?,
            Some(namespace) => {
                let known = self.by_name.contains_key(name.as_str());
                if known {
                    self.budget.step(self.all.len() as u64 * (1 + namespace.len() as u64 / 64) / 2)?;
                }
                let original = known
                    && self.all.iter().any(|c| c.original == *namespace && self.referrer.reaches(c))
                    && namespace != NO_NAMESPACE;
                self.select(
                    &name,
                    |c| if original { c.original == *namespace } else { c.effective == *namespace },
                    same,
                )?
            }
        };
        let Some(referral) = referral else { return Ok(()) };
        if referral.name == name && referral.namespace.is_empty() {
            return Ok(());
        }
        cost::of_text(self.budget, referral.name.len() + referral.namespace.len() + ENTRY)?;
        map.set("name", Node::text(referral.name.clone()));
        if !referral.namespace.is_empty() {
            map.set("namespace", Node::text(referral.namespace.clone()));
        }
        Ok(())
    }

    /// The one resource that is meant by a former name, if any.
    fn select(
        &self,
        name: &str,
        in_namespace: impl Fn(&Candidate) -> bool,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'a Candidate>, Error> {
        self.budget.step(2 + name.len() as u64 / 64)?;
        let Some(named) = self.by_name.get(name) else { return Ok(None) };
        let looks = named.iter().map(|c| 2 + c.previous.len() + c.namespace.len() / 64);
        self.budget.step(looks.sum::<usize>() as u64)?;
        let referrer = self.referrer;
        let role = referrer.role.as_ref().filter(|_| self.spec.path.ends_with("roleRef/name"));
        let mut found: Vec<&Candidate> = named
            .iter()
            .copied()
            .filter(|c| referrer.reaches(c) && in_namespace(c) && c.was(self.target))
            .filter(|c| role.is_none_or(|role| c.was(role)))
            .filter(|c| {
                referrer.cluster
                    || c.is_cluster_scoped()
                    || c.kind == "ServiceAccount"
                    || c.effective == referrer.effective
            })
            .collect();
        if found.len() == 1 {
            return Ok(found.pop());
        }
        found.retain(|c| referrer.same_affixes(c, true));
        if found.len() > 1 {
            found.retain(|c| referrer.same_affixes(c, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(first)),
            several => {
                let labels: Vec<&str> = several.iter().map(|c| c.label.as_str()).collect();
                Err(Error::refused(format!("found multiple possible referrals of `{name}`: {}", labels.join(", "))))
            }
        }
    }
}
