//! The writing verbs: create, update, the four kinds of patch, delete; each as `dryRun=All` too.
//!
//! ```text
//! body ─► canonical ─► defaults ─► who owns what ─► prepare ─► validate ─► store
//! ```

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{Target, served};
use super::fieldset::Set;
use super::managed::{Managed, Manager, Write};
use super::schema::{Kind, built_in};
use super::status::{Cause, Failure};
use super::store::{Key, Store};
use super::typed::put_at;
use super::{canonical, defaults, patch, prepare, typed, validate};
use crate::http::{Request, Response};

/// A generated name is tried so often.
const NAME_ATTEMPTS: u32 = 8;

/// One write on its way.
pub(super) struct Call<'a> {
    pub(super) target: &'a Target,
    pub(super) request: &'a Request,
    pub(super) now: String,
    pub(super) dry_run: bool,
    pub(super) warnings: Vec<String>,
}

/// Answers a request that writes.
pub(super) fn answer(
    store: &mut Store,
    target: &Target,
    request: &Request,
    now: Timestamp,
) -> Result<Response, Failure> {
    let dry_run = match request.query("dryRun") {
        None | Some("") => false,
        Some("All") => true,
        Some(other) => {
            let cause = Cause::unsupported("dryRun", &json!([other]), &["All"]);
            return Err(Failure::invalid("meta.k8s.io", "CreateOptions", "", &[cause]));
        }
    };
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut call = Call { target, request, now, dry_run, warnings: Vec::new() };
    let (status, value) = match (&request.method, &target.name, target.subresource.as_deref()) {
        (&Method::POST, None, None) => (StatusCode::CREATED, call.create(store)?),
        (&Method::PUT, Some(name), Some("scale")) => (StatusCode::OK, call.put_scale(store, name)?),
        (&Method::PUT, Some(name), Some("finalize")) => (StatusCode::OK, call.finalize(store, name)?),
        (&Method::PUT, Some(name), _) => (StatusCode::OK, call.put(store, name)?),
        (&Method::PATCH, Some(name), Some("scale")) => (StatusCode::OK, call.patch_scale(store, name)?),
        (&Method::PATCH, Some(name), _) => call.patch(store, name)?,
        (&Method::DELETE, Some(name), None) => (StatusCode::OK, call.delete(store, name)?),
        (&Method::DELETE, None, None) => (StatusCode::OK, call.delete_collection(store)?),
        _ => return Err(Failure::method_not_allowed()),
    };
    let mut response = Response::json(status, &value).with("content-type", "application/json");
    for warning in &call.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = http::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers.append("warning", value);
        }
    }
    Ok(response)
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn without_managed(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    object
}

fn set_managed(object: &mut Value, managed: &Managed) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        match managed.encode() {
            Some(entries) => metadata.insert("managedFields".into(), entries),
            None => metadata.shift_remove("managedFields"),
        };
    }
}

/// Whether two states of an object differ in nothing but the times in managedFields.
fn same_but_times(a: &Value, b: &Value) -> bool {
    let managed = |object: &Value| Managed::decode(object.pointer("/metadata/managedFields")).without_times();
    typed::equal(&without_managed(a), &without_managed(b)) && managed(a) == managed(b)
}

impl Call<'_> {
    pub(super) fn kind(&self) -> &Kind {
        &self.target.kind
    }

    /// Parses the body as JSON or YAML.
    pub(super) fn body(&self) -> Result<Value, Failure> {
        let content = self.request.header("content-type").unwrap_or("application/json");
        if content.contains("protobuf") || content.contains("cbor") {
            return Err(Failure::unsupported_media_type(content));
        }
        if content.contains("yaml") {
            let text = std::str::from_utf8(&self.request.body)
                .map_err(|_| Failure::bad_request("error decoding YAML: invalid UTF-8"))?;
            return slipway_manifest::yaml::parse(text)
                .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")));
        }
        serde_json::from_slice(&self.request.body).map_err(|error| {
            Failure::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): {error}",
                self.kind().kind
            ))
        })
    }

    /// Brings an object into its type's form with its defaults; unknown fields are an error, a warning or nothing, as
    /// the request says.
    fn decode(&mut self, value: &Value) -> Result<Value, Failure> {
        let mut findings = canonical::Findings::default();
        let kind = &self.target.kind;
        let mut object = canonical::canonical(built_in(), &kind.root, value, &mut findings);
        let cannot = |why: &str| {
            Failure::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: {why}",
                kind.kind, kind.version, kind.kind
            ))
        };
        if !findings.invalid.is_empty() {
            return Err(cannot(&format!("json: {}", findings.invalid.join(", "))));
        }
        let unknown: Vec<String> = findings.unknown.iter().map(|field| format!("unknown field \"{field}\"")).collect();
        match self.request.query("fieldValidation") {
            Some("Strict") if !unknown.is_empty() => {
                return Err(cannot(&format!("strict decoding error: {}", unknown.join(", "))));
            }
            Some("Ignore") => {}
            _ => self.warnings.extend(unknown),
        }
        prepare::decode_secret(kind, &mut object);
        defaults::fill(kind, &mut object);
        if let Some(map) = object.as_object_mut() {
            map.insert("kind".into(), json!(kind.kind));
            map.insert("apiVersion".into(), json!(kind.api_version()));
        }
        Ok(object)
    }

    /// Checks that the body speaks of what the path names, and completes it from the path.
    fn address(&self, value: &mut Value, name: Option<&str>) -> Result<(), Failure> {
        let expected = self.kind().api_version();
        let found = text(value, "/apiVersion").to_owned();
        if !found.is_empty() && found != expected {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({found}) does not match the expected API version ({expected})"
            )));
        }
        let kind = text(value, "/kind");
        if !kind.is_empty() && kind != self.kind().kind {
            return Err(Failure::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {kind}",
                self.kind().kind,
                self.kind().version
            )));
        }
        let Some(map) = value.as_object_mut() else {
            return Err(Failure::bad_request("the body of the request is not an object"));
        };
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        let Some(metadata) = metadata.as_object_mut() else {
            return Err(Failure::bad_request("metadata is not an object"));
        };
        if self.kind().namespaced {
            let namespace = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
            if namespace.is_empty() {
                metadata.insert("namespace".into(), json!(self.target.namespace));
            } else if namespace != self.target.namespace {
                return Err(Failure::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
        }
        if let Some(name) = name {
            let given = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
            if !given.is_empty() && given != name {
                return Err(Failure::bad_request(format!(
                    "the name of the object ({given}) does not match the name on the URL ({name})"
                )));
            }
            metadata.insert("name".into(), json!(name));
        }
        Ok(())
    }

    fn manager(&self, operation: &str) -> Manager {
        let given = self.request.query("fieldManager").unwrap_or_default();
        let agent = self.request.header("user-agent").unwrap_or_default().split('/').next().unwrap_or_default();
        let name: String = if given.is_empty() { agent.chars().take(128).collect() } else { given.to_owned() };
        Manager {
            name: if name.is_empty() { "unknown".into() } else { name },
            operation: operation.to_owned(),
            api_version: if operation == "Apply" { String::new() } else { self.kind().api_version() },
            subresource: self.target.subresource.clone().unwrap_or_default(),
        }
    }

    /// Fields that this resource does not write.
    fn reset(&self) -> Set {
        match self.target.subresource.as_deref() {
            Some("status") if self.kind().is("apps", "Deployment") => {
                Set::of_fields(&[&["spec"], &["metadata", "labels"]])
            }
            Some("status") => Set::of_fields(&[&["spec"]]),
            None if self.kind().has_status() => Set::of_fields(&[&["status"]]),
            _ => Set::default(),
        }
    }

    fn check_namespace(&self, store: &Store) -> Result<(), Failure> {
        if !self.kind().namespaced {
            return Ok(());
        }
        let name = &self.target.namespace;
        let key = Key { resource: "namespaces".into(), namespace: String::new(), name: name.clone() };
        let namespace = store.get(&key).ok_or_else(|| Failure::no_namespace(name))?;
        if namespace.pointer("/metadata/deletionTimestamp").is_some() {
            let why = format!("unable to create new content in namespace {name} because it is being terminated");
            return Err(Failure::forbidden(self.kind(), self.target.name.as_deref().unwrap_or_default(), &why));
        }
        Ok(())
    }

    fn create(&mut self, store: &mut Store) -> Result<Value, Failure> {
        let mut body = self.body()?;
        self.address(&mut body, None)?;
        let mut object = self.decode(&body)?;
        let prefix = text(&object, "/metadata/generateName").to_owned();
        if text(&object, "/metadata/name").is_empty() && !prefix.is_empty() {
            let name = free_name(store, self.target, &prefix);
            put_at(&mut object, &["metadata", "name"], json!(name));
        }
        let name = text(&object, "/metadata/name").to_owned();
        self.check_namespace(store)?;
        self.track_new(&mut object);
        self.insert(store, &name, object)
    }

    /// Gives the fields of a new object to its creator.
    fn track_new(&self, object: &mut Value) {
        let empty = canonical::zero(built_in(), &self.kind().root);
        let mut managed = Managed::default();
        let (by, reset, api_version) = (self.manager("Update"), self.reset(), self.kind().api_version());
        let write = Write { manager: &by, api_version: &api_version, reset: &reset, now: &self.now };
        let new = without_managed(object);
        managed.update(built_in(), &self.kind().root, &empty, &new, &write);
        *object = new;
        set_managed(object, &managed);
    }

    fn insert(&self, store: &mut Store, name: &str, mut object: Value) -> Result<Value, Failure> {
        prepare::create(store, self.kind(), &mut object, &self.now);
        validate::check(self.kind(), &object, None)?;
        let key = self.target.key(name);
        if store.get(&key).is_some() {
            return Err(Failure::already_exists(self.kind(), name));
        }
        if self.dry_run {
            return Ok(object);
        }
        Ok(store.put(&key, object))
    }

    pub(super) fn existing(&self, store: &Store, name: &str) -> Result<Value, Failure> {
        store
            .get(&self.target.key(name))
            .map(|object| served(self.kind(), object))
            .ok_or_else(|| Failure::not_found(self.kind(), name))
    }

    fn put(&mut self, store: &mut Store, name: &str) -> Result<Value, Failure> {
        let mut body = self.body()?;
        self.address(&mut body, Some(name))?;
        let old = self.existing(store, name)?;
        self.replace(store, name, &old, &body)
    }

    /// Stores `new` (not yet decoded) in place of `old`, as an update by this request's manager.
    fn replace(&mut self, store: &mut Store, name: &str, old: &Value, new: &Value) -> Result<Value, Failure> {
        let mut object = self.decode(new)?;
        let version = text(&object, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(old, "/metadata/resourceVersion") {
            return Err(Failure::modified(self.kind(), name));
        }
        let uid = text(&object, "/metadata/uid");
        if !uid.is_empty() && uid != text(old, "/metadata/uid") {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                text(old, "/metadata/uid")
            );
            return Err(Failure::conflict(self.kind(), name, &why));
        }
        if self.target.subresource.as_deref() == Some("status") {
            prepare::update_status(self.kind(), &mut object, old);
        }
        // A client may set managedFields itself; an object without them keeps those it has.
        let given = object
            .pointer("/metadata/managedFields")
            .filter(|entries| entries.as_array().is_some_and(|e| !e.is_empty()));
        let mut managed = match given {
            Some(entries) => Managed::decode(Some(entries)),
            None => Managed::decode(old.pointer("/metadata/managedFields")),
        };
        let (by, reset, api_version) = (self.manager("Update"), self.reset(), self.kind().api_version());
        let write = Write { manager: &by, api_version: &api_version, reset: &reset, now: &self.now };
        let mut object = without_managed(&object);
        if !managed.is_empty() {
            managed.update(built_in(), &self.kind().root, &without_managed(old), &with_identity(&object, old), &write);
        }
        set_managed(&mut object, &managed);
        self.finish(store, name, old, object)
    }

    /// The last steps of every update: prepare, validate, store unless nothing changed, delete when the last
    /// finalizer went.
    fn finish(&self, store: &mut Store, name: &str, old: &Value, mut object: Value) -> Result<Value, Failure> {
        if self.target.subresource.as_deref() == Some("status") {
            let managed = object.pointer("/metadata/managedFields").cloned();
            prepare::update_status(self.kind(), &mut object, old);
            if let Some(managed) = managed {
                put_at(&mut object, &["metadata", "managedFields"], managed);
            }
        } else {
            prepare::update(store, self.kind(), &mut object, old);
            validate::check(self.kind(), &object, Some(old))?;
        }
        let version = old.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
        put_at(&mut object, &["metadata", "resourceVersion"], version);
        if same_but_times(&object, old) {
            return Ok(old.clone());
        }
        if self.dry_run {
            return Ok(object);
        }
        let key = self.target.key(name);
        let no_finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if object.pointer("/metadata/deletionTimestamp").is_some() && no_finalizers && !self.kind().is("", "Namespace")
        {
            super::delete::remove(store, self.kind(), &key);
            return Ok(object);
        }
        let stored = store.put(&key, object);
        settle(store, self.kind(), &stored);
        Ok(stored)
    }

    fn patch(&mut self, store: &mut Store, name: &str) -> Result<(StatusCode, Value), Failure> {
        let content =
            self.request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
        if content == "application/apply-patch+yaml" {
            return self.apply(store, name);
        }
        let old = self.existing(store, name)?;
        let new = match content.as_str() {
            "application/json-patch+json" => patch::json(&old, &self.request.body).map_err(|_| Failure::rejected())?,
            "application/merge-patch+json" => patch::merge(&old, &self.body()?),
            "application/strategic-merge-patch+json" => {
                patch::strategic(built_in(), &self.kind().root, &old, &self.body()?)
            }
            other => return Err(Failure::unsupported_media_type(other)),
        };
        let mut new = new;
        self.address(&mut new, Some(name))?;
        Ok((StatusCode::OK, self.replace(store, name, &old, &new)?))
    }

    fn apply(&mut self, store: &mut Store, name: &str) -> Result<(StatusCode, Value), Failure> {
        if self.request.query("fieldManager").unwrap_or_default().is_empty() {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
        }
        let body = std::str::from_utf8(&self.request.body)
            .map_err(|_| Failure::bad_request("error decoding YAML: invalid UTF-8"))?;
        let mut config = slipway_manifest::yaml::parse(body)
            .map_err(|error| Failure::bad_request(format!("error decoding YAML: {error}")))?;
        let expected = self.kind().api_version();
        let given = text(&config, "/apiVersion");
        if given != expected {
            let kind = text(&config, "/kind");
            return Err(Failure::bad_request(format!("invalid object type: {given}, Kind={kind}")));
        }
        if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        if text(&config, "/metadata/name").is_empty() {
            let message =
                format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
            return Err(Failure::bad_request(message));
        }
        let namespace = text(&config, "/metadata/namespace").to_owned();
        self.address(&mut config, Some(name))?;
        if let Some(problem) = typed::problem(built_in(), &self.kind().root, &config) {
            let at = format!("{namespace}/{name}; {expected}, Kind={}", self.kind().kind);
            return Err(Failure::internal(format!("failed to create typed patch object ({at}): {problem}")));
        }
        let old = store.get(&self.target.key(name)).map(|object| served(self.kind(), object));
        let given = text(&config, "/metadata/resourceVersion").to_owned();
        if !given.is_empty() && old.as_ref().is_none_or(|old| text(old, "/metadata/resourceVersion") != given) {
            return Err(Failure::modified(self.kind(), name));
        }
        if let (Some(wanted), Some(old)) = (config.pointer("/metadata/uid").and_then(Value::as_str), &old)
            && wanted != text(old, "/metadata/uid")
        {
            let why = format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
                text(old, "/metadata/uid")
            );
            return Err(Failure::conflict(self.kind(), name, &why));
        }
        if old.is_none() {
            self.check_namespace(store)?;
            if self.target.subresource.is_some() {
                return Err(Failure::not_found(self.kind(), name));
            }
        }
        self.merge_applied(store, name, old.as_ref(), &config)
    }

    fn merge_applied(
        &mut self,
        store: &mut Store,
        name: &str,
        old: Option<&Value>,
        config: &Value,
    ) -> Result<(StatusCode, Value), Failure> {
        let root = self.kind().root.clone();
        let live = old.map_or_else(|| canonical::zero(built_in(), &root), without_managed);
        let mut managed = Managed::decode(old.and_then(|old| old.pointer("/metadata/managedFields")));
        let (by, reset, api_version) = (self.manager("Apply"), self.reset(), self.kind().api_version());
        let write = Write { manager: &by, api_version: &api_version, reset: &reset, now: &self.now };
        if old.is_some() && managed.is_empty() {
            // What was there before anybody was tracked belongs to a manager of its own.
            let before = Manager {
                name: "before-first-apply".into(),
                operation: "Update".into(),
                api_version: api_version.clone(),
                subresource: String::new(),
            };
            let first = Write { manager: &before, ..write.clone() };
            managed.update(built_in(), &root, &canonical::zero(built_in(), &root), &live, &first);
        }
        let applied = managed.apply(built_in(), &root, &live, config, &write, self.request.flag("force"));
        let applied = applied.map_err(|conflicts| Failure::apply_conflict(&conflicts))?;
        let mut object = match &applied {
            Some(new) => self.decode(new)?,
            None => live.clone(),
        };
        set_managed(&mut object, &managed);
        if let Some(old) = old {
            return Ok((StatusCode::OK, self.finish(store, name, old, object)?));
        }
        let stored = self.insert(store, name, object)?;
        settle(store, self.kind(), &stored);
        Ok((StatusCode::CREATED, stored))
    }

    fn put_scale(&mut self, store: &mut Store, name: &str) -> Result<Value, Failure> {
        let body = self.body()?;
        let old = self.existing(store, name)?;
        self.scale(store, name, &old, &body)
    }

    fn patch_scale(&mut self, store: &mut Store, name: &str) -> Result<Value, Failure> {
        let old = self.existing(store, name)?;
        let scale = scale_of(self.kind(), &old);
        let content = self.request.header("content-type").unwrap_or_default();
        let new = if content.starts_with("application/json-patch+json") {
            patch::json(&scale, &self.request.body).map_err(|_| Failure::rejected())?
        } else {
            patch::merge(&scale, &self.body()?)
        };
        self.scale(store, name, &old, &new)
    }

    fn scale(&mut self, store: &mut Store, name: &str, old: &Value, scale: &Value) -> Result<Value, Failure> {
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
        if replicas < 0 {
            let cause = Cause::invalid("spec.replicas", &json!(replicas), "must be greater than or equal to 0");
            return Err(Failure::invalid("autoscaling", "Scale", name, &[cause]));
        }
        let mut new = without_managed(old);
        put_at(&mut new, &["spec", "replicas"], json!(replicas));
        put_at(
            &mut new,
            &["metadata", "resourceVersion"],
            scale.pointer("/metadata/resourceVersion").cloned().unwrap_or_default(),
        );
        let stored = self.replace(store, name, old, &new)?;
        Ok(scale_of(self.kind(), &stored))
    }

    fn finalize(&mut self, store: &mut Store, name: &str) -> Result<Value, Failure> {
        let body = self.body()?;
        let mut object = self.existing(store, name)?;
        put_at(
            &mut object,
            &["spec", "finalizers"],
            body.pointer("/spec/finalizers").cloned().unwrap_or_else(|| json!([])),
        );
        if !self.dry_run {
            object = store.put(&self.target.key(name), object);
        }
        Ok(object)
    }
}

/// The new object with those fields of the old that no writer changes, so that nobody seems to remove them.
fn with_identity(object: &Value, old: &Value) -> Value {
    let mut object = object.clone();
    for name in
        ["uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if let (Some(value), Some(metadata)) =
            (old.pointer(&format!("/metadata/{name}")), object.get_mut("metadata").and_then(Value::as_object_mut))
        {
            metadata.insert(name.into(), value.clone());
        }
    }
    object
}

/// What a change of some kinds sets off at once: a CustomResourceDefinition is served.
fn settle(store: &mut Store, kind: &Kind, object: &Value) {
    if kind.is("apiextensions.k8s.io", "CustomResourceDefinition") {
        store.define(object);
    }
}

fn free_name(store: &Store, target: &Target, prefix: &str) -> String {
    // The letters and digits that Kubernetes uses for generated names: none that spell words.
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name = prefix.to_owned();
    for attempt in 0..NAME_ATTEMPTS {
        let seed = crate::forge::Oid::of("name", format!("{prefix}{}{attempt}", store.version()).as_bytes());
        let suffix: String = seed
            .as_bytes()
            .iter()
            .take(5)
            .filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()).map(|letter| char::from(*letter)))
            .collect();
        name = format!("{prefix}{suffix}");
        if store.get(&target.key(&name)).is_none() {
            break;
        }
    }
    name
}

/// The `Scale` of an object.
pub(super) fn scale_of(kind: &Kind, object: &Value) -> Value {
    let metadata = |name: &str| object.pointer(&format!("/metadata/{name}")).cloned().unwrap_or_default();
    let selector = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let selector: Vec<String> = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": metadata("name"), "namespace": metadata("namespace"), "uid": metadata("uid"),
            "resourceVersion": metadata("resourceVersion"), "creationTimestamp": metadata("creationTimestamp")},
        "spec": {"replicas": object.pointer("/spec/replicas").cloned().unwrap_or_else(|| json!(0))},
        "status": {"replicas": object.pointer("/status/replicas").cloned().unwrap_or_else(|| json!(0)),
            "selector": selector.join(",")},
    });
    if kind.group.is_empty() && selector.is_empty() {
        put_at(&mut scale, &["status", "selector"], json!(""));
    }
    scale
}
