//! Every function that Helm's engine has is here, and no other.

use std::collections::BTreeSet;

#[test]
fn the_functions_are_those_of_helm() {
    let recorded: BTreeSet<&str> = include_str!("../../../../tests/reference/helm/functions.txt").lines().collect();
    let own: BTreeSet<&str> = slipway_helm::function_names().into_iter().collect();
    assert!(recorded.len() > 200);
    // Helm 4.2, which Argo CD 3.5 bundles, has one more than 4.1.
    assert_eq!(own.difference(&recorded).collect::<Vec<_>>(), [&"mustToToml"], "not in Helm");
    assert_eq!(recorded.difference(&own).collect::<Vec<_>>(), Vec::<&&str>::new(), "missing");
}
