//! Fills what a generator's template leaves open from the set's template (dario.cat/mergo's `Merge`).

use serde_json::{Map, Value};

use super::Type;

/// `own`, and where it is empty, `other`. A `false` or 0 is empty, even where the type could tell it from nothing.
pub(crate) fn fill(of: &Type, own: &Value, other: &Value) -> Value {
    match (of, own, other) {
        (_, Value::Null, other) => other.clone(),
        (_, own, Value::Null) => own.clone(),
        (Type::Pointer(inner), own, other) => fill(inner, own, other),
        (Type::Struct(_), Value::Object(mine), Value::Object(theirs)) => {
            let mut filled = Map::new();
            for field in of.fields() {
                let zero = field.of.zero();
                let [mine, theirs] = [mine, theirs].map(|fields| fields.get(field.name).unwrap_or(&zero));
                field.put(&mut filled, fill(&field.of, mine, theirs));
            }
            Value::Object(filled)
        }
        (Type::Map(inner), Value::Object(mine), Value::Object(theirs)) => {
            let mut filled = mine.clone();
            for (key, value) in theirs {
                if filled.get(key).is_none_or(|own| inner.is_zero(own)) {
                    filled.insert(key.clone(), value.clone());
                }
            }
            Value::Object(filled)
        }
        _ if of.is_zero(own) => other.clone(),
        _ => own.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_is_filled() {
        let own = json!({"metadata": {"labels": {"a": "1", "b": ""}}, "spec": {"destination": {}, "project": "",
            "source": {"repoURL": "", "path": "own"},
            "syncPolicy": {"automated": {"prune": false}, "syncOptions": ["x"]}}});
        let other = json!({"metadata": {"name": "n", "labels": {"b": "2", "c": "3"}},
            "spec": {"destination": {"server": "s"}, "project": "p", "source": {"repoURL": "r", "path": "other"},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": false}, "syncOptions": ["y"]}}});
        let filled = fill(&Type::named("ApplicationSetTemplate"), &own, &other);
        assert_eq!(
            filled,
            json!({"metadata": {"name": "n", "labels": {"a": "1", "b": "2", "c": "3"}},
                "spec": {"source": {"repoURL": "r", "path": "own"}, "destination": {"server": "s"}, "project": "p",
                "syncPolicy": {"automated": {"prune": true, "selfHeal": false}, "syncOptions": ["x"]}}})
        );
    }
}
