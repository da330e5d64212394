//! Compiles a schema to rules (santhosh-tekuri/jsonschema `compiler.go`, `roots.go`, `objcompiler.go`): what its root
//! leads to and nothing else, each part by its draft.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value as Json};
use slipway_budget::{Budget, Exceeded};
use slipway_gocompat::regexp::Regex;
use slipway_gocompat::url::Url;

use super::draft::{self, Draft};
use super::failure::Failure;
use super::format::{self, path_unescape};
use super::number::Decimal;
use super::object::Object;
use super::validate;

/// Named schemas of one document.
const MAX_NAMED: usize = 1_000;
/// Parts of all documents together.
const MAX_PARTS: usize = 500_000;

/// Why a schema can't be compiled.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It leads to a document that is not there.
    External(String),
    /// It breaks the rules of its draft.
    Invalid(Vec<Failure>),
    /// Anything else.
    Other(String),
    /// The render's budget is used up.
    Budget(Exceeded),
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        Self::Budget(exceeded)
    }
}

/// Index of a part.
pub(super) type Part = usize;

/// `additionalProperties`, `additionalItems`.
#[derive(Debug)]
pub(super) enum Additional {
    Bool(bool),
    Part(Part),
}

/// What `dependencies` asks for where a property is there.
#[derive(Debug)]
pub(super) enum Dependency {
    Keys(Vec<String>),
    Part(Part),
}

/// `items` before 2020-12.
#[derive(Debug)]
pub(super) enum Items {
    All(Part),
    Each(Vec<Part>),
}

/// One schema: what it asks for.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) draft: Draft,
    /// The named schema that it lies in.
    pub(super) resource: Part,
    pub(super) dynamic_anchors: Vec<(String, Part)>,
    pub(super) boolean: Option<bool>,
    pub(super) reference: Option<Part>,
    pub(super) recursive_ref: Option<Part>,
    pub(super) recursive_anchor: bool,
    pub(super) dynamic_ref: Option<(Part, String)>,
    pub(super) dynamic_anchor: String,
    pub(super) types: Vec<String>,
    pub(super) enumeration: Option<Vec<Json>>,
    pub(super) constant: Option<Json>,
    pub(super) format: Option<(String, format::Check)>,
    pub(super) not: Option<Part>,
    pub(super) all_of: Vec<Part>,
    pub(super) any_of: Vec<Part>,
    pub(super) one_of: Vec<Part>,
    pub(super) condition: Option<Part>,
    pub(super) then: Option<Part>,
    pub(super) otherwise: Option<Part>,
    pub(super) min_properties: Option<i64>,
    pub(super) max_properties: Option<i64>,
    pub(super) required: Vec<String>,
    pub(super) property_names: Option<Part>,
    pub(super) properties: BTreeMap<String, Part>,
    pub(super) pattern_properties: Vec<(Regex, Part)>,
    pub(super) additional_properties: Option<Additional>,
    pub(super) dependencies: Vec<(String, Dependency)>,
    pub(super) dependent_required: Vec<(String, Vec<String>)>,
    pub(super) dependent_schemas: Vec<(String, Part)>,
    pub(super) unevaluated_properties: Option<Part>,
    pub(super) min_items: Option<i64>,
    pub(super) max_items: Option<i64>,
    pub(super) unique_items: bool,
    pub(super) contains: Option<Part>,
    pub(super) min_contains: Option<i64>,
    pub(super) max_contains: Option<i64>,
    pub(super) items: Option<Items>,
    pub(super) additional_items: Option<Additional>,
    pub(super) prefix_items: Vec<Part>,
    /// `items` since 2020-12.
    pub(super) rest_items: Option<Part>,
    pub(super) unevaluated_items: Option<Part>,
    pub(super) min_length: Option<i64>,
    pub(super) max_length: Option<i64>,
    /// With the pattern as it is written.
    pub(super) pattern: Option<(Regex, String)>,
    pub(super) minimum: Option<Decimal>,
    pub(super) maximum: Option<Decimal>,
    pub(super) exclusive_minimum: Option<Decimal>,
    pub(super) exclusive_maximum: Option<Decimal>,
    pub(super) multiple_of: Option<Decimal>,
}

/// All parts that a schema leads to; the first is its root.
pub(super) struct Compiled {
    pub(super) schemas: Vec<Schema>,
}

/// The metaschema of a draft, compiled once.
pub(super) fn metaschema(draft: Draft) -> Option<&'static Compiled> {
    static ALL: [OnceLock<Option<Compiled>>; 5] = [const { OnceLock::new() }; 5];
    let index = match draft {
        Draft::D4 => 0,
        Draft::D6 => 1,
        Draft::D7 => 2,
        Draft::D2019 => 3,
        Draft::D2020 => 4,
    };
    let compile = || Compiler { formats_everywhere: true, ..Compiler::default() }.compile(draft.url()).ok();
    ALL.get(index)?.get_or_init(compile).as_ref()
}

/// A named schema: the root, or one with an `$id`.
struct Resource {
    id: String,
    draft: Draft,
    anchors: BTreeMap<String, String>,
    dynamic_anchors: Vec<String>,
}

/// A document.
struct Root {
    url: String,
    document: Arc<Json>,
    resources: BTreeMap<String, Resource>,
    processed: HashSet<String>,
}

impl Root {
    /// The pointer of the named schema around `pointer`.
    fn around<'p>(&self, mut pointer: &'p str) -> &'p str {
        while !self.resources.contains_key(pointer) {
            match pointer.rsplit_once('/') {
                Some((above, _)) => pointer = above,
                None => return "",
            }
        }
        pointer
    }

    fn draft(&self, pointer: &str) -> Draft {
        self.resources.get(self.around(pointer)).map_or(Draft::D2020, |resource| resource.draft)
    }

    fn base(&self, pointer: &str) -> String {
        self.resources.get(self.around(pointer)).map_or_else(String::new, |resource| resource.id.clone())
    }

    fn named(&self, id: &str) -> Option<(&String, &Resource)> {
        self.resources.iter().find(|(_, resource)| resource.id == id)
    }
}

impl Resource {
    /// The pointer that a fragment means in this schema, which is at `at`.
    fn pointer(&self, fragment: &str, at: &str) -> Outcome<String> {
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(format!("{at}{fragment}"));
        }
        let missing = || Refusal::Other(format!("anchor in `{}#{fragment}` not found in the schema", self.id));
        self.anchors.get(fragment).cloned().ok_or_else(missing)
    }
}

#[derive(Default)]
pub(super) struct Compiler {
    /// The render's; metaschemas, which are ours, have one of their own.
    pub(super) budget: Budget,
    roots: Vec<Root>,
    documents: HashMap<String, Arc<Json>>,
    parts: HashMap<(usize, String), Part>,
    /// Where the parts are, compiled or not.
    places: Vec<(usize, String)>,
    /// Metaschemas assert formats whatever their draft.
    pub(super) formats_everywhere: bool,
}

pub(super) type Outcome<T> = Result<T, Refusal>;

impl Compiler {
    pub(super) fn new(budget: &Budget) -> Self {
        Self { budget: budget.clone(), ..Self::default() }
    }

    /// Compiles `document`, which is at `url`.
    pub(super) fn compile_document(mut self, url: &str, document: Json) -> Outcome<Compiled> {
        self.documents.insert(url.to_owned(), Arc::new(document));
        self.compile(url)
    }

    fn compile(mut self, url: &str) -> Outcome<Compiled> {
        let root = self.root(url)?;
        self.part(root, String::new());
        let mut schemas = Vec::new();
        while let Some((root, pointer)) = self.places.get(schemas.len()).cloned() {
            if self.places.len() > MAX_PARTS {
                return Err(Refusal::Other(format!("has more than {MAX_PARTS} parts")));
            }
            self.budget.step(32 + pointer.len() as u64 / 8)?;
            self.budget.bytes(size_of::<Schema>() + 2 * pointer.len())?;
            self.ensure(root, &pointer)?;
            schemas.push(self.schema(root, &pointer)?);
        }
        Ok(Compiled { schemas })
    }

    pub(super) fn part(&mut self, root: usize, pointer: String) -> Part {
        let place = (root, pointer);
        if let Some(part) = self.parts.get(&place) {
            return *part;
        }
        self.places.push(place.clone());
        self.parts.insert(place, self.places.len() - 1);
        self.places.len() - 1
    }

    fn document(&mut self, url: &str) -> Outcome<Arc<Json>> {
        if let Some(document) = self.documents.get(url) {
            return Ok(Arc::clone(document));
        }
        let document = match draft::metaschema(url) {
            Some(text) => serde_json::from_str(text).map_err(|e| Refusal::Other(e.to_string()))?,
            // Helm takes what such a name stands for as fulfilled.
            None if url.starts_with("urn:") => Json::Bool(true),
            None => return Err(Refusal::External(url.to_owned())),
        };
        let document = Arc::new(document);
        self.documents.insert(url.to_owned(), Arc::clone(&document));
        Ok(document)
    }

    fn root(&mut self, url: &str) -> Outcome<usize> {
        if let Some(index) = self.roots.iter().position(|root| root.url == url) {
            return Ok(index);
        }
        let document = self.document(url)?;
        let mut root = Root {
            url: url.to_owned(),
            document: Arc::clone(&document),
            resources: BTreeMap::new(),
            processed: HashSet::new(),
        };
        self.collect(&mut root, &document, url, "", Draft::D2020)?;
        self.roots.push(root);
        if !draft::is_official(url) {
            self.judge(self.roots.len() - 1, &document, "")?;
        }
        Ok(self.roots.len() - 1)
    }

    /// Holds `schema` to the metaschema of its draft.
    fn judge(&self, root: usize, schema: &Json, pointer: &str) -> Outcome<()> {
        let Some(root) = self.roots.get(root) else { return Ok(()) };
        let drafts = root.resources.iter().map(|(at, resource)| (at.clone(), resource.draft)).collect();
        let judged = validate::against_metaschema(schema, root.draft(pointer), &drafts, &self.budget)?;
        judged.map_err(Refusal::Invalid)
    }

    /// The draft of a schema by its `$schema`.
    fn draft(&mut self, schema: &Json, url: &str, pointer: &str, fallback: Draft) -> Outcome<Draft> {
        let mut schema = Arc::new(schema.get("$schema").cloned().unwrap_or_default());
        let mut seen: Vec<String> = Vec::new();
        loop {
            let Some(named) = schema.as_str() else { return Ok(fallback) };
            if let Some(draft) = Draft::named(named) {
                return Ok(draft);
            }
            let named = named.split_once('#').map_or(named, |(named, _)| named).to_owned();
            if pointer.is_empty() && seen.is_empty() && named == url {
                return Err(Refusal::Other(format!("draft `{named}` is not supported")));
            }
            if seen.contains(&named) {
                return Err(Refusal::Other(format!("cycle in resolving $schema in `{named}`")));
            }
            let document = self.document(&named)?;
            schema = Arc::new(document.get("$schema").cloned().unwrap_or_default());
            seen.push(named);
        }
    }

    /// Finds the named schemas and anchors in and below `schema`.
    fn collect(&mut self, root: &mut Root, schema: &Json, base: &str, pointer: &str, fallback: Draft) -> Outcome<()> {
        if !root.processed.insert(pointer.to_owned()) {
            return Ok(());
        }
        // The named schemas are looked through.
        self.budget.step((8 + root.resources.len() + pointer.len() / 8) as u64)?;
        self.budget.bytes(2 * pointer.len())?;
        let named = |id: &str, draft| Resource {
            id: id.to_owned(),
            draft,
            anchors: BTreeMap::new(),
            dynamic_anchors: Vec::new(),
        };
        let Json::Object(map) = schema else {
            if pointer.is_empty() {
                root.resources.insert(String::new(), named(base, fallback));
            }
            return Ok(());
        };
        let mut draft = self.draft(schema, &root.url, pointer, fallback)?;
        let mut has_schema = map.get("$schema").is_some_and(Json::is_string);
        let mut id = draft.id_of(map);
        if id.is_empty() && !pointer.is_empty() {
            draft = fallback;
            has_schema = false;
            id = draft.id_of(map);
        }
        let own;
        let mut base = base;
        if !id.is_empty() {
            own = join(base, id)?.0;
            base = &own;
        }
        if !id.is_empty() || pointer.is_empty() {
            match root.named(base) {
                Some((at, _)) if at != pointer => {
                    return Err(Refusal::Other(format!("duplicate id `{base}` at `{at}` and `{pointer}`")));
                }
                Some(_) => {}
                None if root.resources.len() >= MAX_NAMED => {
                    return Err(Refusal::Other(format!("has more than {MAX_NAMED} named schemas")));
                }
                None => {
                    let dialect = if has_schema { draft } else { fallback };
                    root.resources.insert(pointer.to_owned(), named(base, dialect));
                }
            }
        }
        let at = root.named(base).map(|(at, _)| at.clone()).unwrap_or_default();
        let Some(resource) = root.resources.get_mut(&at) else { return Ok(()) };
        anchors(resource, map, pointer)?;
        let dialect = resource.draft;
        for (below, value) in draft.below(map) {
            self.collect(root, value, base, &format!("{pointer}{below}"), dialect)?;
        }
        Ok(())
    }

    /// Prepares a part at a place where no keyword has a schema, as a reference may have it.
    fn ensure(&mut self, index: usize, pointer: &str) -> Outcome<()> {
        let Some(root) = self.roots.get(index) else { return Ok(()) };
        if root.processed.contains(pointer) {
            return Ok(());
        }
        let document = Arc::clone(&root.document);
        let value = lookup(&document, pointer, &root.url)?;
        let (base, draft) = (root.base(pointer), root.draft(pointer));
        let mut root = self.roots.swap_remove(index);
        let collected = self.collect(&mut root, value, &base, pointer, draft);
        let around = root.around(pointer).to_owned();
        if let (Json::Object(map), Some(resource)) = (value, root.resources.get_mut(&around)) {
            anchors(resource, map, pointer)?;
        }
        // Back to its place: others know it by its index.
        self.roots.push(root);
        let last = self.roots.len() - 1;
        self.roots.swap(index, last);
        collected?;
        self.judge(index, value, pointer)
    }

    fn schema(&mut self, root: usize, pointer: &str) -> Outcome<Schema> {
        let Some(own) = self.roots.get(root) else { return Err(Refusal::Other("lost a document".to_owned())) };
        let document = Arc::clone(&own.document);
        let value = lookup(&document, pointer, &own.url)?;
        let around = own.around(pointer).to_owned();
        let draft = own.draft(pointer);
        let mut dynamic = Vec::new();
        if let Some(resource) = own.resources.get(&around).filter(|_| draft == Draft::D2020 && around == pointer) {
            let anchors = resource.anchors.iter().filter(|(anchor, _)| resource.dynamic_anchors.contains(anchor));
            dynamic.extend(anchors.map(|(anchor, at)| (anchor.clone(), at.clone())));
        }
        let base = own.base(pointer);
        let resource = self.part(root, around);
        let dynamic = dynamic.into_iter().map(|(anchor, at)| (anchor, self.part(root, at))).collect();
        let mut schema = Schema { draft, resource, dynamic_anchors: dynamic, ..Schema::default() };
        match value {
            Json::Bool(value) => schema.boolean = Some(*value),
            Json::Object(map) if map.is_empty() => schema.boolean = Some(true),
            Json::Object(map) => Object { compiler: self, map, root, pointer, base: &base }.compile(&mut schema)?,
            _ => {}
        }
        Ok(schema)
    }

    /// The part that a reference from `root` leads to.
    pub(super) fn referred(&mut self, root: usize, base: &str, reference: &str) -> Outcome<Part> {
        let (url, fragment) = join(base, reference)?;
        if let Some(own) = self.roots.get(root) {
            let found = if url == own.url {
                own.resources.get("").map(|resource| ("", resource))
            } else {
                own.named(&url).map(|(at, resource)| (at.as_str(), resource))
            };
            if let Some((at, resource)) = found {
                let pointer = resource.pointer(&fragment, at)?;
                return Ok(self.part(root, pointer));
            }
        }
        let other = self.root(&url)?;
        let top = self.roots.get(other).and_then(|root| root.resources.get(""));
        let pointer = top.map_or(Ok(String::new()), |top| top.pointer(&fragment, ""))?;
        Ok(self.part(other, pointer))
    }
}

/// Notes the anchors that `schema` declares.
fn anchors(resource: &mut Resource, schema: &Map<String, Json>, pointer: &str) -> Outcome<()> {
    let text = |keyword: &str| schema.get(keyword).and_then(Json::as_str);
    let mut add = |anchor: &str| match resource.anchors.get(anchor) {
        Some(at) if at != pointer => {
            Err(Refusal::Other(format!("duplicate anchor `{anchor}` at `{at}` and `{pointer}`")))
        }
        Some(_) => Ok(()),
        None => {
            resource.anchors.insert(anchor.to_owned(), pointer.to_owned());
            Ok(())
        }
    };
    if resource.draft < Draft::D2019 {
        if schema.contains_key("$ref") {
            return Ok(());
        }
        if let Some((_, fragment)) = text(resource.draft.id_keyword()).and_then(|id| id.split_once('#')) {
            let fragment = decoded(fragment)?;
            if !fragment.is_empty() && !fragment.starts_with('/') {
                add(&fragment)?;
            }
        }
        return Ok(());
    }
    if let Some(anchor) = text("$anchor") {
        add(anchor)?;
    }
    if let Some(anchor) = text("$dynamicAnchor").filter(|_| resource.draft == Draft::D2020) {
        add(anchor)?;
        resource.dynamic_anchors.push(anchor.to_owned());
    }
    Ok(())
}

pub(super) fn decoded(fragment: &str) -> Outcome<String> {
    path_unescape(fragment).ok_or_else(|| Refusal::Other(format!("error in parsing `#{fragment}`")))
}

/// The address that `reference` means at `base`, and its fragment.
fn join(base: &str, reference: &str) -> Outcome<(String, String)> {
    let (place, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let fragment = decoded(fragment)?;
    if place.is_empty() {
        return Ok((base.to_owned(), fragment));
    }
    let parse = |url: &str| Url::parse(url).map_err(|e| Refusal::Other(format!("error in parsing `{url}`: {e}")));
    Ok((parse(base)?.resolve(&parse(place)?).to_string(), fragment))
}

/// What `pointer` leads to.
fn lookup<'d>(document: &'d Json, pointer: &str, url: &str) -> Outcome<&'d Json> {
    let missing = || Refusal::Other(format!("json-pointer in `{url}#{pointer}` not found"));
    document.pointer(pointer).ok_or_else(missing)
}
