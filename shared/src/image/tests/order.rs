//! The order of events.

use slipway_manifest::Tree;

use super::super::*;
use super::{IMAGE, app, concerned};

/// Whatever the order in which the events of pushes come, late and repeated ones among them, and however they are
/// batched, the tag in the end is the same: that of a run over all tags.
#[test]
fn the_order_of_events_never_changes_the_final_tag() {
    let names = ["1.0.0", "1.2.0", "1.10.0", "1.9.9", "2.0.0", "v1.3.0", "pr-7", "1.10.0-rc.1", "latest", "1.0.1"];
    let infos: Vec<TagInfo> = names
        .iter()
        .zip([3, 9, 5, 7, 1, 8, 10, 2, 6, 4])
        .map(|(tag, at)| TagInfo { tag: (*tag).to_owned(), pushed_at_ms: at, ..TagInfo::default() })
        .collect();
    // Linear congruential: the orders are many, and the same at every run.
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for (strategy, constraint) in
        [("semver", "1.x"), ("semver", ""), ("newest-build", ""), ("alphabetical", ""), ("semver", ">=1.0.0-0")]
    {
        let list = if constraint.is_empty() { IMAGE.to_owned() } else { format!("{IMAGE}:{constraint}") };
        let app = app("web", &[("image-list", list.as_str()), ("update-strategy", strategy)]);
        let (updates, errors) = concerned(&[app]);
        assert!(errors.is_empty(), "{errors:?}");
        let update = &updates[0];
        let run = |order: &[&[TagInfo]]| {
            let mut text = format!("images:\n- name: {IMAGE}\n  newTag: 1.0.0\n");
            let mut pushed: Vec<TagInfo> = infos[..1].to_vec();
            for batch in order {
                pushed.extend(batch.iter().cloned());
                // What decides is the event alone for versions, and else all that ECR lists by then.
                let current = Current {
                    tag: text
                        .lines()
                        .last()
                        .and_then(|l| l.strip_prefix("  newTag: "))
                        .map(|t| t.trim_matches('"').to_owned()),
                    ..Current::default()
                };
                let seen = if update.needs_list(&current) { pushed.clone() } else { batch.to_vec() };
                let mut tree = Tree::default();
                tree.insert("apps/web/kustomization.yaml", text.clone().into_bytes()).unwrap();
                let plan = plan_updates(&tree, &updates, &ImageTags::from([(IMAGE.to_owned(), seen)]));
                assert!(plan.errors.is_empty(), "{:?}", plan.errors);
                text = plan.files.get("apps/web/kustomization.yaml").cloned().unwrap_or(text);
            }
            text
        };
        let expected = run(&[infos.as_slice()]);
        for _ in 0..200 {
            let mut order = infos.clone();
            order.extend((0..5).map(|_| infos[random(infos.len())].clone()));
            for at in (1..order.len()).rev() {
                order.swap(at, random(at + 1));
            }
            let mut batches: Vec<&[TagInfo]> = Vec::new();
            let mut rest = order.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(1 + random(rest.len().min(4)));
                batches.push(batch);
                rest = after;
            }
            let tags: Vec<&str> = order.iter().map(|info| info.tag.as_str()).collect();
            assert_eq!(run(&batches), expected, "{strategy} {constraint}: {tags:?}");
        }
    }
}
