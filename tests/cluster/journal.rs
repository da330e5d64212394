//! What happened to objects, in the order in which the API server numbered it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Place;

/// The events of a namespace since some moment.
pub(crate) struct Journal {
    since: String,
}

impl Journal {
    /// From now on.
    pub(crate) fn begin(place: &Place) -> Self {
        let list: Value = serde_json::from_str(&raw(place, "api/v1", "configmaps")).unwrap();
        Self { since: list["metadata"]["resourceVersion"].as_str().unwrap().to_owned() }
    }

    /// What happened since to the objects of `collections`, such as `("apps/v1", "deployments")`.
    pub(crate) fn read(&self, place: &Place, collections: &[(&str, &str)]) -> Events {
        let mut events = Vec::new();
        for (version, plural) in collections {
            let query = format!("{plural}?watch=1&resourceVersion={}&timeoutSeconds=1", self.since);
            let text = raw(place, &format!("apis/{version}").replace("apis/v1", "api/v1"), &query);
            let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
            events.extend(stream.map(Result::unwrap).filter(|event| event["type"] != "BOOKMARK"));
        }
        assert!(events.iter().all(|event| event["type"] != "ERROR"), "{events:?}");
        Events(events)
    }
}

/// What happened, collection by collection.
pub(crate) struct Events(Vec<Value>);

impl Events {
    /// The version at which an object of `kind` whose name starts with `stem` was first seen to be as `is` says.
    pub(crate) fn when(&self, kind: &str, stem: &str, is: impl Fn(&Value) -> bool) -> u64 {
        let named =
            |object: &Value| object["kind"] == kind && object["metadata"]["name"].as_str().unwrap().starts_with(stem);
        let seen = self.0.iter().map(|event| &event["object"]).filter(|object| named(object));
        let found = seen.clone().find(|object| is(object));
        let found = found.unwrap_or_else(|| panic!("no such {kind}/{stem} among {} events", seen.count()));
        found["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    }

    /// The version at which it was made.
    pub(crate) fn made(&self, kind: &str, stem: &str) -> u64 {
        self.when(kind, stem, |_| true)
    }

    /// The version at which a Job completed.
    pub(crate) fn completed(&self, stem: &str) -> u64 {
        self.when("Job", stem, |job| job["status"]["succeeded"] == 1 && !job["status"]["completionTime"].is_null())
    }

    /// How many objects ran to completion as the hook `name` of the commit `revision`.
    pub(crate) fn runs(&self, name: &str, revision: &str) -> usize {
        let mark = format!("{revision}-");
        let is_run = |job: &&Value| {
            let made_by = job["metadata"]["annotations"]["slipway.dev/operation"].as_str();
            job["metadata"]["name"] == name
                && job["status"]["succeeded"] == 1
                && made_by.is_some_and(|made_by| made_by.starts_with(&mark))
        };
        let runs = self.0.iter().map(|event| &event["object"]).filter(is_run);
        runs.map(|job| job["metadata"]["uid"].as_str().unwrap()).collect::<BTreeSet<_>>().len()
    }

    /// How often the ConfigMap `name` became what the commit `revision` says.
    pub(crate) fn writes(&self, name: &str, revision: &str) -> usize {
        let is_write = |event: &&Value| {
            let object = &event["object"];
            event["type"] != "DELETED" && object["metadata"]["name"] == name && object["data"]["revision"] == revision
        };
        self.0.iter().filter(is_write).count()
    }

    /// How many objects of `kind` were made.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.0.iter().filter(|event| event["type"] == "ADDED" && event["object"]["kind"] == kind).count()
    }
}

fn raw(place: &Place, root: &str, rest: &str) -> String {
    place
        .plane
        .kubectl(&["get", "--raw", &format!("/{root}/namespaces/{}/{rest}", place.namespace())])
        .expect("kubectl")
}

/// Whether every version is later than the one before.
pub(crate) fn is_in_order(versions: &[u64]) -> bool {
    versions.windows(2).all(|pair| pair[0] < pair[1])
}
