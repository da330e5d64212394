//! Implements `slipway promotions`: the Applications that get their images from others, by what the cluster remembers.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use slipway::image::promotion::{self, Promotion, Verdict};

use crate::app::ListFlags;
use crate::app::connect::CliContext;
use crate::view;

#[derive(Args)]
#[command(after_help = "Examples:\n  slipway promotions\n  slipway promotions -o json --root \
    'https://github.com/acme/gitops//applications?ref=main'\n\nAn Application with the annotation \
    `slipway.dev/promote-from: APP` gets the tags of the images of APP, by a commit or a pull request of drift-check, \
    once APP is Synced and Healthy for `slipway.dev/promote-after` (10m).")]
pub(crate) struct Arguments {
    #[command(flatten)]
    list: ListFlags,
}

pub(crate) async fn run(Arguments { list: ListFlags { output, source } }: &Arguments) -> anyhow::Result<()> {
    let context = CliContext::open(source, "").await?;
    let promotions = promotion::promotions(&context.engine, &context.root, Timestamp::now()).await;
    let found: Vec<Value> = promotions.iter().map(value).collect();
    output.print(&json!({ "promotions": found }), || {
        let header = ["APPLICATION", "FROM", "REVISION", "IMAGES", "STATE"].map(str::to_owned);
        view::table(&header, &promotions.iter().map(row).collect::<Vec<_>>())
    });
    Ok(())
}

fn images(promotion: &Promotion) -> Vec<String> {
    let tags = promotion.tags.iter().flat_map(|(image, tags)| tags.iter().map(move |info| (image, &info.tag)));
    tags.map(|(image, tag)| format!("{image}:{tag}")).collect()
}

fn state(promotion: &Promotion) -> (&'static str, String) {
    match &promotion.verdict {
        Verdict::Ready => ("ready", promotion.evidence()),
        Verdict::Waits(why) => ("waits", why.clone()),
        Verdict::Stopped(why) => ("stopped", why.clone()),
    }
}

fn value(promotion: &Promotion) -> Value {
    let (state, why) = state(promotion);
    json!({
        "application": promotion.app, "from": promotion.from, "revision": promotion.revision,
        "since": promotion.since.map(|at| at.to_string()), "images": images(promotion), "state": state, "why": why,
    })
}

fn row(promotion: &Promotion) -> Vec<String> {
    let (state, why) = state(promotion);
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    // Registry and folders are long, and the same for all.
    let short = |image: String| image.rsplit('/').next().unwrap_or_default().to_owned();
    let images: Vec<String> = images(promotion).into_iter().map(short).collect();
    let (app, from) = (promotion.app.clone(), promotion.from.clone());
    vec![app, from, or_none(promotion.revision.clone()), or_none(images.join(", ")), format!("{state}: {why}")]
}
