//! Live objects, and what API servers say of them.

use serde_json::{Map, Value, json};
use slipway_gitops::diff::{diff, drift};
use slipway_gitops::managed_fields::{FIELD_MANAGER, migrate, mutations, owners, record, repair, set, subset};
use slipway_gitops::{Redactor, annotations, health, plan, sync_status, tracking};
use slipway_manifest::Object;

use crate::parts::{self, is_part};

/// A live object and a manifest: who owns which field, and what is taken over. What was taken over once is not again.
pub fn managed_fields(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [live, desired] = parts::parts(text);
    let Some(live) = parts::object(live) else { return };
    let desired = parts::object(desired).unwrap_or_else(|| live.clone());
    let entries = set::entries(&live);
    for entry in &entries {
        for other in &entries {
            let mut both = entry.fields.clone();
            set::union(&mut both, other.fields);
            let mut again = both.clone();
            set::union(&mut again, other.fields);
            assert_eq!(both, again, "a set holds what it holds once");
        }
    }
    let _ = (subset::is_unchanged(&desired, &live, &[]), owners::creator(&live));
    let _ = (migrate::conflicting_manager(&live), mutations::without_mutations(&live, &desired, FIELD_MANAGER));
    for difference in diff(&live, &desired) {
        let _ = (owners::of(&live, &difference.path), difference.path.to_string());
    }
    let mut recorded = desired.clone();
    record::write(&mut recorded);
    let _ = record::read(&recorded);
    if let Some(patch) = migrate::patch(&live, &desired, &[]) {
        let patch: json_patch::Patch = serde_json::from_value(patch).expect("a JSON patch");
        let mut taken = live.to_value();
        json_patch::patch(&mut taken, &patch).expect("a patch of this object");
        let taken = Object::from_value(taken).expect("an object");
        assert!(!migrate::is_needed(&taken, &desired, &[]), "{}\nis taken over again", taken.to_value());
    }
    if let Some(patch) = migrate::whole_patch(&live, &desired, &[]) {
        let patch: json_patch::Patch = serde_json::from_value(patch).expect("a JSON patch");
        json_patch::patch(&mut live.to_value(), &patch).expect("a patch of this object");
    }
}

/// An object and the refusal of its apply: what helps takes out, and nothing else.
pub fn refusal(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [object, refusal] = parts::parts(text);
    let Some(object) = parts::object(object) else { return };
    for drops_unknown in [false, true] {
        let mut repaired = object.clone();
        let warnings = repair::repair(&mut repaired, refusal, drops_unknown);
        assert!(is_part(&repaired.to_value(), &object.to_value()), "{}", repaired.to_value());
        assert!(!warnings.is_empty() || repaired == object, "a change is told");
    }
    let mut without = object.clone();
    let is_changed = repair::leave_out_empty(&mut without, refusal);
    assert!(is_part(&without.to_value(), &object.to_value()) && is_changed == (without != object));
}

/// A live object, and another version of it: its health, and what differs.
pub fn health(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [one, other] = parts::parts(text);
    let Some(one) = parts::object(one) else { return };
    let _ = (health::of(&one), health::built_in(&one), health::generic::of(&one), health::is_ignored(&one));
    let _ = (annotations::wave(&one), sync_status::CompareOptions::of(&one), tracking::TrackingId::of(&one));
    assert!(diff(&one, &one).is_empty() && drift(&one, &one).is_empty(), "{}", one.to_value());
    let Some(other) = parts::object(other) else { return };
    let (all, lenient) = (diff(&one, &other), drift(&one, &other));
    assert!(!all.is_empty() || lenient.is_empty(), "what differs leniently differs");
    let _ = plan::Task::apply(other, Some(one), annotations::Phase::Sync);
}

/// A value of a Secret and a text around it: the value is not shown.
pub fn redactor(data: &[u8]) {
    let Some(text) = parts::text(data) else { return };
    let [value, before, after] = parts::parts(text);
    let fields = Map::from_iter([("a".to_owned(), Value::from(value))]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": fields});
    let secret = Object::from_value(secret).expect("an object");
    let redactor = Redactor::of([&secret]);
    let told = format!("{before}{value}{after}");
    let shown = redactor.redact(&told);
    // A mask may itself look like a value of plus signs, and what stands around a value may be one, too.
    let is_found = value.len() >= 8 && value.trim() == value && !value.contains("++");
    assert!(!is_found || !shown.contains(value), "{value:?} in {shown:?}");
    let _ = redactor.redact(before);
}
