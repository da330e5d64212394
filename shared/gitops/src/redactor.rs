//! Redacts the values of Secrets in messages: of API servers and their webhooks, of controllers, of logs. Pure.
//!
//! Two rules. An API server's message *about a Secret* is never shown, because it quotes the refused values in more
//! ways than can be searched for: only class, reason and field paths remain ([`Subject`], by which every response
//! becomes an [`ApiError`]). In all other messages the values of the application's Secrets are masked ([`Redactor`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use slipway_gocompat::strconv::quote;
use slipway_manifest::Object;

use crate::error::{ApiError, Cause};
use crate::redact::is_secret;
use crate::tracking::LAST_APPLIED;

/// Replaces a value.
const MASK: &str = "++++++++";
/// A shorter value is no secret: it occurs by chance everywhere, and masking it would only show where it is.
const SHORTEST: usize = 4;
/// A value of this length is also found inside words, and so are the parts of multi-line values.
const LONG: usize = 8;
/// Bytes of all values in all their forms, and of one value; beyond that the whole text is masked.
const MAX_BYTES: usize = 8 << 20;
const MAX_VALUE: usize = 2 << 20;
/// Fields of one error that are named.
const MAX_FIELDS: usize = 8;
/// Characters that a URL escapes in a password (RFC 3986).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The subject of a request: decides which parts of the response may be shown.
pub enum Subject {
    /// Secrets, with the request's body.
    Secrets(Vec<u8>),
    /// Any other object, with the values to redact.
    Other(Redactor),
}

impl Subject {
    /// The subject of a request to `path` with `body`.
    pub fn of(path: &str, body: &[u8], redactor: &Redactor) -> Self {
        let mut parts = path.trim_start_matches('/').split('/');
        let is_core = parts.next() == Some("api") && parts.next() == Some("v1");
        let plural = match parts.next() {
            // `/api/v1/namespaces/NAME` is the Namespace itself.
            Some("namespaces") => parts.nth(1),
            plural => plural,
        };
        if is_core && plural == Some("secrets") {
            return Self::Secrets(body.to_vec());
        }
        Self::Other(redactor.clone())
    }

    /// The error as it may be shown.
    pub fn shown(&self, error: ApiError) -> ApiError {
        match self {
            Self::Secrets(sent) => withheld(&error, sent),
            Self::Other(redactor) => ApiError {
                message: redactor.redact(&error.message).into_owned(),
                causes: error.causes.into_iter().map(|cause| redactor.redact_cause(cause)).collect(),
                ..error
            },
        }
    }

    /// The warnings as they may be shown.
    pub fn shown_warnings(&self, warnings: Vec<String>) -> Vec<String> {
        match self {
            Self::Secrets(_) if warnings.is_empty() => warnings,
            Self::Secrets(_) => {
                vec!["the API server warned; its words are withheld, for they may quote a Secret".into()]
            }
            Self::Other(redactor) => warnings.iter().map(|text| redactor.redact(text).into_owned()).collect(),
        }
    }
}

/// Removes the server's text from `error`, the answer to a request about Secrets with the body `sent`. Only known words
/// and the names of keys in `sent` remain.
fn withheld(error: &ApiError, sent: &[u8]) -> ApiError {
    let sent: Value = serde_json::from_slice(sent).unwrap_or_default();
    let field = |cause: &Cause| shown_path(&cause.field, &sent);
    let causes: Vec<Cause> = error
        .causes
        .iter()
        .take(MAX_FIELDS)
        .filter_map(|cause| Some(Cause { field: field(cause)?, reason: known(&cause.reason), message: String::new() }))
        .collect();
    let mistakes = mistakes(&sent);
    let typed = error.message.split_once("): ").and_then(|(_, rest)| shown_path(rest.split_once(": ")?.0, &sent));
    let mut fields: Vec<&str> = causes.iter().map(|cause| cause.field.as_str()).chain(typed.as_deref()).collect();
    fields.retain(|field| !mistakes.iter().any(|mistake| mistake.starts_with(&format!("`{field}`"))));
    fields.dedup();
    let reason = known(&error.reason);
    let mut message = format!("the API server answered {}", error.code);
    if !reason.is_empty() {
        let _ = write!(message, " {reason}");
    }
    if let Some(by) = denied_by(&error.message) {
        let _ = write!(message, " by {by}");
    }
    if !fields.is_empty() {
        let _ = write!(message, " at `{}`", fields.join("`, `"));
    }
    if !mistakes.is_empty() {
        let _ = write!(message, ": {}", mistakes.join(", "));
    }
    message.push_str("; its words are withheld, for they may quote the Secret");
    ApiError { reason, message, causes, ..*error }
}

/// A machine-readable reason of Kubernetes; empty for any other, since a webhook may put free text there.
fn known(reason: &str) -> String {
    // k8s.io/apimachinery `pkg/apis/meta/v1/types.go`: StatusReason, CauseType.
    const REASONS: [&str; 31] = [
        "AlreadyExists",
        "BadRequest",
        "Conflict",
        "Expired",
        "FieldManagerConflict",
        "FieldValueDuplicate",
        "FieldValueForbidden",
        "FieldValueInvalid",
        "FieldValueNotFound",
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
        "Forbidden",
        "Gone",
        "InternalError",
        "Invalid",
        "MethodNotAllowed",
        "NotAcceptable",
        "NotFound",
        "RequestEntityTooLarge",
        "ResourceVersionTooLarge",
        "ServerTimeout",
        "ServiceUnavailable",
        "StoreReadError",
        "Timeout",
        "TooManyRequests",
        "Unauthorized",
        "UnexpectedServerResponse",
        "UnsupportedMediaType",
    ];
    REASONS.into_iter().find(|known| *known == reason).unwrap_or_default().to_owned()
}

/// The webhook or policy that denied the request. The API server puts its name before the message, and it is an
/// object's name.
fn denied_by(message: &str) -> Option<String> {
    let (what, name) = match message.strip_prefix("admission webhook \"") {
        Some(rest) => ("the admission webhook", rest.split_once("\" denied the request")?.0),
        None if message.starts_with("secrets \"") => {
            let (_, rest) = message.split_once("\" is forbidden: ValidatingAdmissionPolicy '")?;
            ("the ValidatingAdmissionPolicy", rest.split_once("' with binding '")?.0)
        }
        None => return None,
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    (name.len() <= 253 && name.chars().all(is_name)).then(|| format!("{what} `{name}`"))
}

/// A field of a Secret as it may be named: `.stringData.password` where `sent` has such a key, else only a field that
/// every Secret has.
fn shown_path(path: &str, sent: &Value) -> Option<String> {
    const METADATA: [&str; 8] = [
        "annotations",
        "finalizers",
        "generateName",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
    ];
    let path = path.trim_start_matches('.');
    let (root, rest) = path.split_at_checked(path.find(['.', '[']).unwrap_or(path.len()))?;
    let rest = rest.trim_matches(['.', '[', ']']);
    match root {
        "data" | "stringData" => {
            let keys = sent.get(root).and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str);
            let is_it = |key: &str| {
                rest.strip_prefix(key).is_some_and(|more| more.is_empty() || more.starts_with(['.', '[', ']']))
            };
            match keys.chain(USUAL_KEYS).filter(|key| is_it(key)).max_by_key(|key| key.len()) {
                Some(key) => Some(named(root, key)),
                None => Some(format!(".{root}")),
            }
        }
        "metadata" => {
            let field = METADATA.into_iter().find(|field| rest.split(['.', '[']).next() == Some(field));
            Some(field.map_or_else(|| ".metadata".to_owned(), |field| format!(".metadata.{field}")))
        }
        "type" | "immutable" | "kind" | "apiVersion" => Some(format!(".{root}")),
        _ => None,
    }
}

/// Keys that are required in Secrets of certain types (k8s.io/api `core/v1/types.go`).
const USUAL_KEYS: [&str; 9] = [
    ".dockercfg",
    ".dockerconfigjson",
    "ca.crt",
    "password",
    "ssh-privatekey",
    "tls.crt",
    "tls.key",
    "token",
    "username",
];

/// `.data.key`; an invalid key is not named, because it may be a misplaced value, such as a line of an env file.
fn named(root: &str, key: &str) -> String {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if key.len() <= 253 && key.chars().all(is_valid) { format!(".{root}.{key}") } else { format!(".{root}[…]") }
}

/// Lists mistakes in a Secret's values in our own words: those that an API server finds first.
fn mistakes(secret: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (root, wanted) in [("data", "base64"), ("stringData", "a string")] {
        let fields = match secret.get(root) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(fields)) => fields,
            Some(_) => {
                found.insert(format!("`.{root}` must be a mapping"));
                continue;
            }
        };
        for (key, value) in fields {
            let is_right = match value {
                Value::Null => true,
                Value::String(text) => root != "data" || decoded(text).is_some(),
                _ => false,
            };
            if !is_right {
                found.insert(format!("`{}` must be {wanted}", named(root, key)));
            }
        }
    }
    found.into_iter().take(MAX_FIELDS).collect()
}

/// Decodes base64 as Go does: line breaks do not count.
fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.replace(['\n', '\r'], "")).ok()
}

/// Masks the values of Secrets in messages about other objects. Cheap to clone; the values are never printed.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Needles>);

#[derive(Default)]
struct Needles {
    /// Values by their first bytes, the longest first.
    by_start: BTreeMap<[u8; SHORTEST], Vec<String>>,
    /// Whether there are too many values to search for.
    is_overfull: bool,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// A redactor of every value in the Secrets among `objects`: raw, nested, line by line, encoded, and as Go and JSON
    /// quote it.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        Self::default().and(objects)
    }

    /// Adds the values of `objects`: a message may still contain an earlier value.
    #[must_use]
    pub fn and<'a>(&self, objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut values = self.values();
        for secret in objects.into_iter().filter(|object| is_secret(object.group(), object.kind())) {
            values.secret(secret.as_map());
            let applied = secret.annotation(LAST_APPLIED).and_then(|text| serde_json::from_str::<Value>(text).ok());
            if let Some(Value::Object(applied)) = applied {
                values.secret(&applied);
            }
        }
        self.with(values)
    }

    /// Adds `texts`, which are secret wherever they stand: what was decrypted.
    #[must_use]
    pub fn and_texts<'a>(&self, texts: impl IntoIterator<Item = &'a String>) -> Self {
        let mut values = self.values();
        texts.into_iter().for_each(|text| values.text(text));
        self.with(values)
    }

    fn values(&self) -> Values {
        let mut values = Values::default();
        self.0.by_start.values().flatten().for_each(|text| values.needle(text.clone(), SHORTEST));
        values
    }

    fn with(&self, Values { found, bytes }: Values) -> Self {
        let is_overfull = self.0.is_overfull || bytes > MAX_BYTES;
        let mut needles = Needles { is_overfull, ..Needles::default() };
        for text in found.into_iter().filter(|_| !needles.is_overfull) {
            if let Some(start) = text.as_bytes().first_chunk() {
                needles.by_start.entry(*start).or_default().push(text);
            }
        }
        needles.by_start.values_mut().for_each(|texts| texts.sort_by_key(|text| std::cmp::Reverse(text.len())));
        Self(Arc::new(needles))
    }

    /// `text` with every value of the Secrets masked.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.0.is_overfull && !text.is_empty() {
            return Cow::Borrowed("(withheld: the application's Secrets are too large to be looked for)");
        }
        if self.0.by_start.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::new();
        // Everything before this index is copied or masked.
        let mut until = 0;
        for at in 0..text.len() {
            let Some(length) = self.length_at(text, at) else { continue };
            if at >= until {
                shown.push_str(text.get(until..at).unwrap_or_default());
                shown.push_str(MASK);
            }
            until = until.max(at + length);
        }
        if until == 0 {
            return Cow::Borrowed(text);
        }
        shown.push_str(text.get(until..).unwrap_or_default());
        Cow::Owned(shown)
    }

    /// The length of the longest value at `at`. A short one counts only as a whole word.
    fn length_at(&self, text: &str, at: usize) -> Option<usize> {
        let rest = text.as_bytes().get(at..)?;
        let needles = self.0.by_start.get(rest.first_chunk()?)?;
        let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_word = |end: usize| {
            let (before, after) = (text.get(..at), text.get(end..));
            !is_part(before.and_then(|text| text.chars().next_back()))
                && !is_part(after.and_then(|text| text.chars().next()))
        };
        let found = needles
            .iter()
            .find(|needle| rest.starts_with(needle.as_bytes()) && (needle.len() >= LONG || is_word(at + needle.len())));
        found.map(String::len)
    }

    fn redact_cause(&self, Cause { field, reason, message }: Cause) -> Cause {
        let shown = |text: String| self.redact(&text).into_owned();
        Cause { field: shown(field), reason: shown(reason), message: shown(message) }
    }
}

/// Collects values for a [`Redactor`].
#[derive(Default)]
struct Values {
    found: BTreeSet<String>,
    bytes: usize,
}

impl Values {
    fn secret(&mut self, secret: &Map<String, Value>) {
        for value in secret.get("data").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            if let Some(text) = value.as_str().and_then(decoded).and_then(|bytes| String::from_utf8(bytes).ok()) {
                self.text(&text);
            }
            self.value(value, SHORTEST);
        }
        for value in secret.get("stringData").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            self.value(value, SHORTEST);
        }
    }

    /// Adds every scalar in `value` of at least `shortest` bytes, except booleans: they are no secrets.
    fn value(&mut self, value: &Value, shortest: usize) {
        match value {
            Value::String(text) if text.trim().len() >= shortest => self.text(text),
            Value::Number(number) => self.needle(number.to_string(), shortest),
            Value::Array(items) => items.iter().for_each(|item| self.value(item, shortest)),
            Value::Object(fields) => fields.values().for_each(|field| self.value(field, shortest)),
            Value::String(_) | Value::Bool(_) | Value::Null => {}
        }
    }

    /// Adds a text and its parts: lines, settings in them, a document.
    fn text(&mut self, text: &str) {
        // Beyond the limit nothing is even generated.
        if self.bytes > MAX_BYTES || text.len() > MAX_VALUE {
            self.bytes = MAX_BYTES + 1;
            return;
        }
        let text = text.trim();
        self.forms(text, SHORTEST);
        if text.starts_with(['{', '[']) {
            // `.dockerconfigjson` contains the passwords of registries.
            let document: Value = serde_json::from_str(text).unwrap_or_default();
            self.value(&document, LONG);
        }
        if !text.contains('\n') {
            return;
        }
        for line in text.lines().map(str::trim) {
            self.forms(line, LONG);
            if let Some((_, set)) = line.split_once('=').or_else(|| line.split_once(": ")) {
                self.forms(set.trim().trim_matches(['"', '\'']), LONG);
            }
        }
    }

    /// Adds the forms in which a text may be written.
    fn forms(&mut self, text: &str, shortest: usize) {
        if text.len() < shortest {
            return;
        }
        let inner = |quoted: String| quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned();
        let go = inner(quote(text.as_bytes()));
        let json = inner(Value::from(text).to_string());
        // The default of Go's encoding/json.
        let html = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        for quoted in [&go, &json, &html] {
            if *quoted != text {
                // A quoted message that is quoted again.
                self.needle(inner(quote(quoted.as_bytes())), shortest);
            }
        }
        let encoded = [STANDARD_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(text)];
        for form in [go, json, html, utf8_percent_encode(text, RESERVED).to_string(), text.to_owned()]
            .into_iter()
            .chain(encoded)
        {
            self.needle(form, shortest);
        }
    }

    fn needle(&mut self, text: String, shortest: usize) {
        if text.len() >= shortest.max(SHORTEST) && self.bytes <= MAX_BYTES {
            let length = text.len();
            if self.found.insert(text) {
                self.bytes += length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Class;

    const CANARY: &str = "c4n4ry-hunter2";

    fn secret(fields: &Value) -> Object {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}});
        secret.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Object::from_value(secret).unwrap()
    }

    /// The error of an apply of a Secret with `fields`, refused with `message` and `more` of a Status.
    fn refused(fields: &Value, message: &str, more: &Value) -> ApiError {
        let sent = secret(fields).to_value().to_string().into_bytes();
        let subject = Subject::of("/api/v1/namespaces/shop/secrets/s", &sent, &Redactor::default());
        let mut body = json!({"kind": "Status", "message": message});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ApiError::from_status(422, &body, &subject)
    }

    #[test]
    fn what_is_said_of_a_secret_is_its_class_its_reason_and_paths() {
        let typed = "failed to create typed patch object (shop/s; /v1, Kind=Secret): .stringData.db: expected string, \
                     got &value.valueUnstructured{Value:map[string]interface {}{\"password\":\"c4n4ry-hunter2\", \
                     \"user\":\"c4n4ry-admin\"}}";
        let db = json!({"stringData": {"db": {"password": CANARY, "user": "c4n4ry-admin"}}});
        let error = refused(&db, typed, &json!({"reason": "BadRequest"}));
        assert_eq!(error.class, Class::Malformed);
        assert_eq!(
            error.message,
            "the API server answered 422 BadRequest: `.stringData.db` must be a string; its words are withheld, for \
             they may quote the Secret"
        );
        let causes = json!({"reason": "Invalid", "details": {"causes": [
            {"reason": "FieldValueInvalid", "message": "Invalid value: \"c4n4ry-hunter2\"", "field": "data[tls.crt]"},
            {"reason": "FieldValueForbidden", "message": "field is immutable when `immutable` is set", "field": "data"},
            {"reason": CANARY, "message": CANARY, "field": CANARY},
            {"reason": "FieldValueInvalid", "message": CANARY, "field": "data[c4n4ry-hunter2]"},
            {"reason": "FieldValueInvalid", "message": CANARY, "field": "metadata.labels"}]}});
        let error = refused(&json!({"data": {"tls.key": "YQ=="}}), CANARY, &causes);
        let fields: Vec<&str> = error.causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(error.class, Class::Immutable);
        assert_eq!(fields, [".data.tls.crt", ".data", ".data", ".metadata.labels"]);
        assert!(!format!("{error:?}{error}").contains("c4n4ry"), "{error:?}");
    }

    #[test]
    fn the_words_of_a_webhook_are_dropped_wherever_it_puts_them() {
        let by = |message: &str| {
            refused(&json!({}), message, &json!({"reason": CANARY, "details": {"causes": [{"field": CANARY}]}}))
        };
        let error = by("admission webhook \"policy.example.com\" denied the request: c4n4ry-hunter2 is weak");
        assert_eq!(
            (error.class, error.message.as_str()),
            (
                Class::Denied,
                "the API server answered 422 by the admission webhook `policy.example.com`; its words are withheld, \
                 for they may quote the Secret"
            )
        );
        let error = by("secrets \"s\" is forbidden: ValidatingAdmissionPolicy 'weak' with binding 'b' denied \
                        request: c4n4ry-hunter2");
        assert!(error.message.contains("ValidatingAdmissionPolicy `weak`;"), "{error}");
        for quoted in
            ["admission webhook \"C4N4RY hunter2\" denied the request", "c4n4ry-hunter2", "x): .c4n4ry-hunter2: y"]
        {
            assert!(!format!("{:?}", by(quoted)).to_lowercase().contains("c4n4ry"), "{quoted}");
        }
    }

    #[test]
    fn what_an_api_server_refuses_first_is_told_in_our_own_words() {
        let told = |fields: Value| refused(&fields, CANARY, &json!({})).message;
        assert!(told(json!({"data": {"token": "c4n4ry no base64!"}})).contains("`.data.token` must be base64"));
        assert!(told(json!({"data": {"a": {"b": CANARY}}})).contains("`.data.a` must be base64"));
        assert!(told(json!({"stringData": {"n": 12345, "on": true, "list": [CANARY, "b"], "ok": "x"}})).contains(
            "`.stringData.list` must be a string, `.stringData.n` must be a string, `.stringData.on` must be a string;"
        ));
        assert!(told(json!({"stringData": CANARY})).contains("`.stringData` must be a mapping"));
        // A line of an env file that became a key.
        assert!(told(json!({"data": {"c4n4ry+hunter2==": 1}})).contains("`.data[…]` must be base64"));
        assert!(!told(json!({"data": {"c4n4ry+hunter2==": 1}})).contains("c4n4ry"));
        // Line breaks do not count.
        assert!(!told(json!({"data": {"long": "YWFh\nYWFh\n"}})).contains("base64"));
    }

    #[test]
    fn only_core_secrets_are_the_subject() {
        let is = |path: &str| matches!(Subject::of(path, &[], &Redactor::default()), Subject::Secrets(_));
        for path in ["/api/v1/secrets", "/api/v1/namespaces/shop/secrets", "/api/v1/namespaces/shop/secrets/s"] {
            assert!(is(path), "{path}");
        }
        for path in [
            "/api/v1/namespaces/secrets",
            "/api/v1/namespaces/secrets/configmaps/c",
            "/apis/a.io/v1/secrets",
            "/api/v1/nodes",
        ] {
            assert!(!is(path), "{path}");
        }
    }

    #[test]
    fn warnings_about_a_secret_are_one_without_words() {
        let shown = |path: &str, warnings: &[&str]| {
            let redactor = Redactor::of(&[secret(&json!({"stringData": {"a": CANARY}}))]);
            Subject::of(path, &[], &redactor).shown_warnings(warnings.iter().map(|text| (*text).to_owned()).collect())
        };
        assert_eq!(shown("/api/v1/namespaces/shop/secrets", &[CANARY, "x"]).len(), 1);
        assert!(shown("/api/v1/namespaces/shop/secrets", &[]).is_empty());
        assert_eq!(shown("/api/v1/namespaces/shop/configmaps", &["a c4n4ry-hunter2 b", "x"]), ["a ++++++++ b", "x"]);
    }

    #[test]
    fn values_are_masked_however_they_are_written() {
        let value = "p\"w\\d <é>\n\tline two of it";
        let nested = json!({"a": {"b": [CANARY, 987_654_321, true]}});
        let registry = json!({"auths": {"r.io": {"password": "registry-pass"}}}).to_string();
        let env = "DB_URL=postgres://u:s3cr3t@db/shop\npassword: \"in-a-yaml\"\n";
        let redactor = Redactor::of(&[
            secret(&json!({"stringData": {"a": value, "n": nested, "registry": registry, "env": env}})),
            secret(
                &json!({"data": {"b": STANDARD.encode("encoded-value\n"), "bytes": STANDARD.encode([0xff, 0xfe, 0, 1,
                    2, 3, 4])}}),
            ),
        ]);
        let go = quote(value.as_bytes());
        let twice = quote(go.as_bytes());
        let json = Value::from(value).to_string();
        let texts = [
            ("go", go),
            ("quoted twice", twice),
            ("json", json.clone()),
            ("html", json.replace('<', "\\u003c").replace('>', "\\u003e")),
            ("raw", value.to_owned()),
            ("base64", STANDARD.encode(value)),
            ("url", utf8_percent_encode(value, RESERVED).to_string()),
            ("nested", format!("x{CANARY}y")),
            ("number", "port 987654321.".to_owned()),
            ("a line", "line two of it".to_owned()),
            ("registry", "docker login -p registry-pass".to_owned()),
            ("setting", "connecting to postgres://u:s3cr3t@db/shop".to_owned()),
            ("yaml", "in-a-yaml".to_owned()),
            ("encoded", STANDARD.encode("encoded-value\n")),
            ("decoded", "got encoded-value".to_owned()),
            ("bytes", STANDARD.encode([0xff, 0xfe, 0, 1, 2, 3, 4])),
        ];
        for (form, text) in texts {
            let shown = redactor.redact(&text);
            for part in [
                "p\\\"w",
                "line two",
                "hunter2",
                "987654321",
                "registry-pass",
                "s3cr3t",
                "yaml",
                "value",
                "ZW5j",
                "%22",
            ] {
                assert!(!shown.contains(part), "{form}: {shown}");
            }
            assert!(shown.contains(MASK), "{form}: {shown}");
        }
        assert_eq!(format!("{redactor:?}"), "Redactor { .. }");
    }

    #[test]
    fn short_values_leave_words_as_they_are() {
        let redactor = Redactor::of(&[secret(
            &json!({"stringData": {"a": "a", "n": "1", "on": "yes", "name": "shop", "flag": true}}),
        )]);
        assert_eq!(redactor.redact("a true answer: 1 yes, workshops"), "a true answer: 1 yes, workshops");
        assert_eq!(redactor.redact("user=shop, shop"), "user=++++++++, ++++++++");
    }

    #[test]
    fn what_overlaps_is_masked_to_the_end() {
        let redactor = Redactor::of(&[secret(&json!({"stringData": {"a": "abcdefgh", "b": "efghijklmnop"}}))]);
        assert_eq!(redactor.redact("-abcdefghijklmnop-"), "-++++++++-");
        let both = redactor.and(&[secret(&json!({"stringData": {"a": "new-value"}}))]);
        assert_eq!(both.redact("abcdefgh, then new-value"), "++++++++, then ++++++++");
        assert_eq!(redactor.redact("äabcdefghä"), "ä++++++++ä");
    }

    #[test]
    fn too_much_to_look_for_shows_nothing() {
        let redactor = Redactor::of(&[secret(&json!({"stringData": {"a": "x".repeat(MAX_VALUE + 1)}}))]);
        assert!(redactor.redact("anything").starts_with("(withheld"));
    }
}
