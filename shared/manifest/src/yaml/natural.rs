//! go-yaml's order of keys (v2 `sorter.go`): letters after everything else, runs of digits by their number.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// The entries of `map` in go-yaml's order.
///
/// The order contradicts itself here and there (`1` < `099` < `0b` < `1`), where Go's result is left to chance and
/// `sort_by` might panic; putting keys in one by one from a fixed order always gives the same.
pub(super) fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    let mut sorted: Vec<(&String, &Value)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let at = sorted.partition_point(|before| compare(before.0, entry.0).is_lt());
        sorted.insert(at, entry);
    }
    sorted
}

fn compare(a: &str, b: &str) -> Ordering {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let mut common = common.min(a.len()).min(b.len());
    while !a.is_char_boundary(common) || !b.is_char_boundary(common) {
        common -= 1;
    }
    let (before, rest_a) = a.split_at_checked(common).unwrap_or((a, ""));
    let rest_b = b.get(common..).unwrap_or_default();
    let (Some(first_a), Some(first_b)) = (rest_a.chars().next(), rest_b.chars().next()) else {
        return rest_a.len().cmp(&rest_b.len());
    };
    match (first_a.is_alphabetic(), first_b.is_alphabetic()) {
        (true, true) => return first_a.cmp(&first_b),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero behind other digits counts as one of them, not as a leading zero.
    let inside = (first_a == '0' || first_b == '0')
        && before.chars().rev().take_while(char::is_ascii_digit).any(|digit| digit != '0');
    let start = i64::from(inside);
    let (number_a, digits_a) = run(rest_a, start);
    let (number_b, digits_b) = run(rest_b, start);
    number_a.cmp(&number_b).then(digits_a.cmp(&digits_b)).then(first_a.cmp(&first_b))
}

/// The number at the start of `text` and how many digits it has.
fn run(text: &str, start: i64) -> (i64, usize) {
    text.bytes().take_while(u8::is_ascii_digit).fold((start, 0), |(number, digits), digit| {
        (number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')), digits + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_keys_count() {
        let keys = ["b", "a10", "a9", "a", "A", "_", "a-b", "1", "10", "9", "a09"];
        let map: Map<String, Value> = keys.into_iter().map(|key| (key.to_owned(), Value::Null)).collect();
        let order: Vec<&str> = sorted(&map).into_iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(order, ["_", "1", "9", "10", "A", "a", "a-b", "a9", "a09", "a10", "b"]);
    }
}
