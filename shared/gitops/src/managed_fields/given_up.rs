//! Finds the fields that were removed from Git and that another manager owns by now. Pure.
//!
//! Server-side apply removes what its manager owned and no longer applies. A manager that updates a field in between
//! takes the ownership, and the field stays for ever; `kubectl apply` removes it regardless of later writers, and so
//! do we, by the rules of [`super::migrate`].

use serde_json::{Map, Value};

use crate::managed_fields::record;
use crate::managed_fields::set;

/// Fields that Git had: those that we own, and those of the last apply.
#[derive(Clone, Copy)]
pub(super) struct Had<'a> {
    /// What we own, as a set.
    pub(super) owned: Option<&'a Map<String, Value>>,
    /// The record of the last apply.
    pub(super) recorded: Option<&'a Value>,
}

impl Had<'_> {
    fn at(self, key: &str) -> Option<Self> {
        let owned = self.owned.and_then(|set| set.get(key)).and_then(Value::as_object);
        let recorded = self.recorded.and_then(|record| record::select(record, key));
        (owned.is_some() || recorded.is_some()).then_some(Self { owned, recorded })
    }
}

/// What Git has: what is applied, and what is left to others.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// What is applied.
    pub(super) desired: Option<&'a Value>,
    /// The record of what Git has, where it is more than that.
    pub(super) left: Option<&'a Value>,
}

impl Wanted<'_> {
    fn at(self, key: &str) -> Option<Self> {
        let desired = self.desired.and_then(|desired| set::select(desired, key));
        let left = self.left.and_then(|left| record::select(left, key));
        (desired.is_some() || left.is_some()).then_some(Self { desired, left })
    }
}

/// The nodes of `theirs`, a set of other managers, that Git gave up; `live` is the object that they own them in.
pub(super) fn given_up(
    theirs: &Map<String, Value>,
    had: Had<'_>,
    wanted: Wanted<'_>,
    live: &Value,
) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(theirs, Some(had), Some(wanted), Some(live), &mut Vec::new(), &mut found);
    found
}

fn walk(
    theirs: &Map<String, Value>,
    had: Option<Had<'_>>,
    wanted: Option<Wanted<'_>>,
    live: Option<&Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    for (key, child) in set::children(theirs) {
        let wanted = wanted.and_then(|wanted| wanted.at(key));
        let had = had.and_then(|had| had.at(key));
        path.push(key.to_owned());
        match (wanted, had) {
            (None, None) => {}
            (None, Some(_)) if !(is_open(path) && set::children(child).next().is_some()) => found.push(path.clone()),
            _ => walk(child, had, wanted, live.and_then(|live| set::select(live, key)), path, found),
        }
        path.pop();
    }
    if let (Some(had), Some(wanted), Some(live)) = (had, wanted, live)
        && let Some(Value::Array(items)) = wanted.desired
    {
        for key in replaced(theirs, had, wanted, items, live) {
            found.push(path.iter().cloned().chain([key.to_owned()]).collect());
        }
    }
}

/// Whether a mapping is free to everybody: what others put beside Git's keys stays when Git gives all of its own up.
/// Any other mapping goes as a whole, as with `kubectl apply`: half a probe or half a volume is invalid.
fn is_open(path: &[String]) -> bool {
    match path {
        [name] => matches!(name.as_str(), "f:data" | "f:binaryData" | "f:stringData" | "f:metadata"),
        [.., name] => matches!(name.as_str(), "f:labels" | "f:annotations"),
        [] => true,
    }
}

/// The items of a keyed list that somebody made out of ours by changing their key: port 80 became 81. Git's item is
/// gone, and there is one of theirs, which Git never had, of the same name or with most of its fields.
fn replaced<'a>(
    theirs: &'a Map<String, Value>,
    had: Had<'_>,
    wanted: Wanted<'_>,
    items: &[Value],
    live: &Value,
) -> Vec<&'a str> {
    let keys_of = |key: &str| -> Option<Map<String, Value>> { serde_json::from_str(key.strip_prefix("k:")?).ok() };
    let (Some(recorded), Some(keys)) = (had.recorded, set::children(theirs).find_map(|(key, _)| keys_of(key))) else {
        return Vec::new();
    };
    let is_key = |field: &str| keys.contains_key(field);
    let mut lost: Vec<&Map<String, Value>> = items
        .iter()
        .filter_map(Value::as_object)
        .filter(|item| {
            let own: Map<String, Value> =
                item.iter().filter(|(field, _)| is_key(field)).map(|(k, v)| (k.clone(), v.clone())).collect();
            let is_live = set::position(live, &format!("k:{}", Value::Object(own.clone()))).is_some();
            !own.is_empty() && !is_live && record::item(recorded, &own).is_some()
        })
        .collect();
    let mut found = Vec::new();
    for (key, _) in set::children(theirs).filter(|(key, _)| keys_of(key).is_some()) {
        let of_git = wanted.at(key).is_some() || had.at(key).is_some();
        let Some(item) = set::select(live, key).and_then(Value::as_object).filter(|_| !of_git) else { continue };
        if let Some(place) = lost.iter().position(|lost| is_alike(lost, item, is_key)) {
            lost.remove(place);
            found.push(key);
        }
    }
    found
}

/// Whether an item has the name of Git's, or most of what Git's has, its keys left out. A port of which Git says the
/// number alone is alike: beside it another one would need a name.
fn is_alike(wanted: &Map<String, Value>, item: &Map<String, Value>, is_key: impl Fn(&str) -> bool) -> bool {
    let of_both = |field: &str| wanted.get(field).is_some() && wanted.get(field) == item.get(field);
    let others = || wanted.iter().filter(|(field, _)| !is_key(field));
    let same = others().filter(|(field, value)| item.get(*field).is_some_and(|found| covers(found, value))).count();
    let is_bare_port = || others().next().is_none() && is_key("port") && !item.contains_key("name");
    !is_key("name") && of_both("name") || same * 2 > others().count() || is_bare_port()
}

/// Whether `value` has all that `wanted` has, and perhaps defaults besides.
fn covers(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(value), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| covers(value, wanted)))
        }
        (Value::Array(values), Value::Array(wanted)) => {
            values.len() == wanted.len() && values.iter().zip(wanted).all(|(value, wanted)| covers(value, wanted))
        }
        (value, wanted) => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_manifest::Object;

    use super::*;

    fn found(before: Value, desired: &Value, live: &Value, theirs: &Value) -> Vec<String> {
        let object = |mut value: Value| {
            let fields = value.as_object_mut().unwrap();
            fields.extend(json!({"apiVersion": "v1", "kind": "X"}).as_object().unwrap().clone());
            fields.entry("metadata").or_insert_with(|| json!({"name": "x"}));
            Object::from_value(value).unwrap()
        };
        let record = serde_json::from_str(&record::encode(&object(before))).unwrap();
        let had = Had { owned: None, recorded: Some(&record) };
        let wanted = Wanted { desired: Some(desired), left: None };
        let found = given_up(theirs.as_object().unwrap(), had, wanted, live);
        found.into_iter().map(|path| path.join("/")).collect()
    }

    #[test]
    fn what_git_had_is_found_and_what_it_never_had_is_not() {
        let theirs = json!({"f:data": {".": {}, "f:had": {}, "f:kept": {}, "f:theirs": {}},
            "f:spec": {"f:probe": {"f:path": {}, "f:delay": {}}, "f:own": {"f:x": {}}}});
        let before = json!({"data": {"had": "1", "kept": "1"}, "spec": {"probe": {"path": "/"}, "a": 1}});
        let after = json!({"data": {"kept": "1"}, "spec": {"a": 1}});
        assert_eq!(found(before.clone(), &after, &json!({}), &theirs), ["f:data/f:had", "f:spec/f:probe"]);
        // All of an open mapping: what others put there stays.
        assert_eq!(
            found(before, &json!({"spec": {"a": 1}}), &json!({}), &theirs),
            ["f:data/f:had", "f:data/f:kept", "f:spec/f:probe"]
        );
    }

    #[test]
    fn an_item_whose_key_was_changed_is_ours() {
        let port = |port: u32, name: &str, target: u32| json!({"port": port, "name": name, "targetPort": target});
        let keyed = |port: u32| format!(r#"k:{{"port":{port},"protocol":"TCP"}}"#);
        let git = json!({"spec": {"ports": [port(80, "http", 8080)]}});
        let theirs = |ports: &[u32]| {
            let items: Map<String, Value> = ports.iter().map(|port| (keyed(*port), json!({".": {}}))).collect();
            json!({"f:spec": {"f:ports": items}})
        };
        let live = |ports: Vec<Value>| json!({"spec": {"ports": ports}});
        let path = |port: u32| format!("f:spec/f:ports/{}", keyed(port));
        // Of the same name, and another name with the same target.
        for name in ["http", "other"] {
            let target = if name == "http" { 9090 } else { 8080 };
            let changed = live(vec![port(81, name, target)]);
            let expected: Vec<String> = if name == "http" { vec![path(81)] } else { Vec::new() };
            assert_eq!(found(git.clone(), &git, &changed, &theirs(&[81])), expected, "{name}");
        }
        // Of the number alone.
        let bare = json!({"spec": {"ports": [{"port": 80}]}});
        let other = json!({"spec": {"ports": [{"port": 81, "protocol": "TCP", "targetPort": 81}]}});
        assert_eq!(found(bare.clone(), &bare, &other, &theirs(&[81])), [path(81)]);
        // One that was added beside ours, and one that replaced it but has nothing of it.
        let added = live(vec![port(80, "http", 8080), port(81, "more", 8080)]);
        assert!(found(git.clone(), &git, &added, &theirs(&[81])).is_empty());
        assert!(found(git.clone(), &git, &live(vec![port(81, "more", 9090)]), &theirs(&[81])).is_empty());
        // Of one that Git did not have before, nothing was made.
        assert!(found(json!({"spec": {}}), &git, &live(vec![port(81, "http", 8080)]), &theirs(&[81])).is_empty());
    }

    #[test]
    fn a_container_and_a_variable_that_were_renamed_are_ours() {
        let git =
            json!({"spec": {"containers": [{"name": "web", "image": "a", "env": [{"name": "A", "value": "1"}]}]}});
        let live =
            json!({"spec": {"containers": [{"name": "web", "image": "a", "env": [{"name": "B", "value": "1"}]}]}});
        let theirs = json!({"f:spec": {"f:containers": {r#"k:{"name":"web"}"#: {"f:env": {
            r#"k:{"name":"B"}"#: {".": {}, "f:name": {}, "f:value": {}}}}}}});
        assert_eq!(
            found(git.clone(), &git, &live, &theirs),
            [r#"f:spec/f:containers/k:{"name":"web"}/f:env/k:{"name":"B"}"#]
        );
        let renamed = json!({"spec": {"containers": [{"name": "w", "image": "a", "pullPolicy": "Always",
            "env": [{"name": "A", "value": "1"}]}]}});
        let theirs = json!({"f:spec": {"f:containers": {r#"k:{"name":"w"}"#: {".": {}}}}});
        assert_eq!(found(git.clone(), &git, &renamed, &theirs), [r#"f:spec/f:containers/k:{"name":"w"}"#]);
    }
}
