//! Parses ECR's events of EventBridge: pushes, replications and scans of images (AWS:
//! `AmazonECR/latest/userguide/ecr-eventbridge.html`). Everything in it is validated, because a function can also
//! be invoked directly.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use serde::Deserialize;
use serde_json::Value;
use slipway_cluster::token::dns_suffix;

/// A repository of ECR.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EcrRepository {
    /// AWS account of the registry, 12 digits.
    pub account: String,
    /// Region of the registry.
    pub region: String,
    /// The name, for example `shop/web`.
    pub name: String,
}

impl EcrRepository {
    /// Registry and repository as in manifests, without tag.
    pub fn image(&self) -> String {
        format!("{}.dkr.ecr.{}.{}/{}", self.account, self.region, dns_suffix(&self.region), self.name)
    }

    /// All hosts that serve the repository: its own, that of FIPS, and those of both that answer by IPv6, too.
    pub fn images(&self) -> Vec<String> {
        let Self { account, region, name } = self;
        let suffix = dns_suffix(region);
        let dual = if suffix == "amazonaws.com.cn" { "on.amazonwebservices.com.cn" } else { "on.aws" };
        let hosts = [
            format!("{account}.dkr.ecr.{region}.{suffix}"),
            format!("{account}.dkr.ecr-fips.{region}.{suffix}"),
            format!("{account}.dkr-ecr.{region}.{dual}"),
            format!("{account}.dkr-ecr-fips.{region}.{dual}"),
        ];
        hosts.into_iter().map(|host| format!("{host}/{name}")).collect()
    }

    /// The repository that `image` names, as one of [`EcrRepository::images`] writes it; `None` where it is not ECR's.
    pub fn of(image: &str) -> Option<Self> {
        let (registry, name) = image.split_once('/')?;
        let mut labels = registry.split('.');
        let account = labels.next().filter(|account| is_account(account) && is_repository(name))?;
        let of = |region: &str| Self { account: account.to_owned(), region: region.to_owned(), name: name.to_owned() };
        let is_it = |found: &Self| is_region(&found.region) && found.images().iter().any(|one| one == image);
        labels.map(of).find(is_it)
    }
}

/// An image that was pushed with a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePush {
    /// The repository.
    pub repository: EcrRepository,
    /// The tag.
    pub tag: String,
    /// The manifest's digest, `sha256:…`.
    pub digest: String,
    /// Whether it was scanned, not pushed: it concerns only those who wait for that.
    pub is_scan: bool,
    /// Id of the event; empty where it has none.
    pub event: String,
}

impl ImagePush {
    /// Whether `image`, as a manifest names it, is the one that was pushed.
    pub fn is_of(&self, image: &str) -> bool {
        self.repository.images().iter().any(|one| one == image)
    }
}

/// What an event triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcrTrigger {
    /// Update the Applications that use this image.
    Push(ImagePush),
    /// Make up for pushes whose events got lost.
    CatchUp,
    /// Nothing, with the reason.
    Ignored(&'static str),
}

/// Why an event is refused. Values of the event are quoted by `{:?}`, so that a hostile one can't break a log line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EcrEventError {
    /// The event is not from ECR.
    #[error(
        "expected an `ECR Image Action`, `ECR Replication Action`, `ECR Pull Through Cache Action` or `ECR Image Scan` \
         from `aws.ecr`, or a schedule, found {detail_type:?} from {origin:?}"
    )]
    NotEcr {
        /// The event's `detail-type`.
        detail_type: String,
        /// The event's `source`.
        origin: String,
    },
    /// A field is missing or of the wrong type.
    #[error("unreadable ECR event: {0}")]
    Shape(String),
    /// A field has a value that ECR never sends.
    #[error("ECR event with an impossible {field}: {value:?}")]
    Value {
        /// The field.
        field: &'static str,
        /// The value, cut to 200 characters.
        value: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    result: Option<String>,
    action_type: Option<String>,
    scan_status: Option<String>,
    sync_status: Option<String>,
    repository_name: Option<String>,
    image_tag: Option<String>,
    image_tags: Option<Vec<String>>,
    image_digest: Option<String>,
    artifact_media_type: Option<String>,
}

/// Parses an event: of an image that was pushed, replicated, cached or scanned, or that of a schedule. Deletions,
/// failures, untagged pushes and companions of images (signatures, attestations, SBOMs) trigger nothing.
pub fn read(event: Value) -> Result<EcrTrigger, EcrEventError> {
    let event: EventBridgeEvent = serde_json::from_value(event).map_err(|e| EcrEventError::Shape(e.to_string()))?;
    if event.detail_type == "Scheduled Event" && matches!(event.source.as_str(), "aws.scheduler" | "aws.events") {
        return Ok(EcrTrigger::CatchUp);
    }
    let kinds = ["ECR Image Action", "ECR Replication Action", "ECR Pull Through Cache Action", "ECR Image Scan"];
    if event.source != "aws.ecr" || !kinds.contains(&event.detail_type.as_str()) {
        return Err(EcrEventError::NotEcr { detail_type: cut(&event.detail_type), origin: cut(&event.source) });
    }
    let is_scan = event.detail_type == "ECR Image Scan";
    let detail: Detail = serde_json::from_value(event.detail).map_err(|e| EcrEventError::Shape(e.to_string()))?;
    let ignored = |reason| Ok(EcrTrigger::Ignored(reason));
    match event.detail_type.as_str() {
        "ECR Image Scan" if detail.scan_status.as_deref() != Some("COMPLETE") => {
            return ignored("the scan is not finished");
        }
        "ECR Pull Through Cache Action" if detail.sync_status.as_deref() != Some("SUCCESS") => {
            return ignored("the cache was not filled");
        }
        "ECR Image Scan" | "ECR Pull Through Cache Action" => {}
        _ if !matches!(detail.action_type.as_deref(), Some("PUSH" | "REPLICATE")) => return ignored("not a push"),
        _ if detail.result.as_deref() != Some("SUCCESS") => return ignored("the push did not succeed"),
        _ => {}
    }
    let is_given = |tag: &String| !tag.is_empty();
    let tags = detail.image_tags.into_iter().flatten();
    let Some(tag) = detail.image_tag.into_iter().chain(tags).find(is_given) else {
        return ignored("the image has no tag");
    };
    let repository = EcrRepository {
        account: field("account", event.account, is_account)?,
        region: field("region", event.region, is_region)?,
        name: field("repository-name", detail.repository_name, is_repository)?,
    };
    let push = ImagePush {
        repository,
        tag: field("image-tag", Some(tag), is_tag)?,
        digest: field("image-digest", detail.image_digest, is_digest)?,
        is_scan,
        event: event.id.unwrap_or_default(),
    };
    if !detail.artifact_media_type.as_deref().is_none_or(is_image) || is_companion_tag(&push.tag) {
        return ignored("not a container image");
    }
    Ok(EcrTrigger::Push(push))
}

/// Whether an artifact of this media type is an image, or an index of images for several platforms. An empty type is
/// unknown, as ECR writes what it lacks.
fn is_image(media: &str) -> bool {
    media.is_empty()
        || ["container.image", "image.config", "image.index", "image.manifest", "distribution.manifest"]
            .iter()
            .any(|kind| media.contains(kind))
}

fn field(field: &'static str, value: Option<String>, valid: fn(&str) -> bool) -> Result<String, EcrEventError> {
    let value = value.unwrap_or_default();
    if valid(&value) { Ok(value) } else { Err(EcrEventError::Value { field, value: cut(&value) }) }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    (3..=5).contains(&parts.len())
        && text.len() <= 32
        && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// ECR's own rule for repository names: lower-case words, joined by one separator, in folders.
fn is_repository(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (2..=256).contains(&text.len())
        && text.split('/').all(|part| {
            part.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'_' | b'-'))
                && part.bytes().next().is_some_and(is_word)
                && part.bytes().last().is_some_and(is_word)
        })
}

/// The registries' rule for tags.
fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.starts_with(['.', '-'])
        && !text.is_empty()
}

/// AWS' own samples have 60 digits.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| (32..=64).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `sha256-<digest>`, with or without `.sig` and the like: cosign's and OCI referrers' tags for companions of an image.
fn is_companion_tag(tag: &str) -> bool {
    tag.strip_prefix("sha256-")
        .and_then(|rest| rest.get(..64))
        .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "version": "0", "id": "13cde686-328b-6117-af20-0e5566167482", "detail-type": "ECR Image Action",
            "source": "aws.ecr", "account": "123456789012", "time": "2026-11-16T01:54:34Z", "region": "eu-west-1",
            "resources": [],
            "detail": {
                "result": "SUCCESS", "repository-name": "shop/web", "image-tag": "1.2.3", "action-type": "PUSH",
                "image-digest": "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd1234abcd"
            }
        })
    }

    fn with(pointer: &str, value: Value) -> Result<EcrTrigger, EcrEventError> {
        let mut event = event();
        *event.pointer_mut(pointer).unwrap() = value;
        read(event)
    }

    #[test]
    fn a_push_is_read() {
        let EcrTrigger::Push(push) = read(event()).unwrap() else { panic!("ignored") };
        assert_eq!(push.repository.image(), "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web");
        assert_eq!(push.tag, "1.2.3");
        let EcrTrigger::Push(push) = with("/region", json!("cn-north-1")).unwrap() else { panic!("ignored") };
        assert_eq!(push.repository.image(), "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/shop/web");
    }

    #[test]
    fn a_repository_is_read_from_the_image_that_it_writes() {
        for image in [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/web",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/web",
            "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/a/b/c",
            "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu/web",
            "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov/web",
            "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk/web",
        ] {
            assert_eq!(EcrRepository::of(image).map(|found| found.image()), Some(image.to_owned()));
        }
        for image in [
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/shop/web",
            "123456789012.dkr-ecr.eu-west-1.on.aws/shop/web",
            "123456789012.dkr-ecr-fips.us-east-1.on.aws/shop/web",
            "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn/shop/web",
        ] {
            let found = EcrRepository::of(image).unwrap();
            assert!(found.images().contains(&image.to_owned()), "{found:?}");
        }
        for image in [
            "nginx",
            "docker.io/library/nginx",
            "public.ecr.aws/x/web",
            "1234.dkr.ecr.eu-west-1.amazonaws.com/web",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.com/web",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/../web",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com/web",
            "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.com/web",
            "123456789012.dkr-ecr.eu-west-1.amazonaws.com/web",
        ] {
            assert_eq!(EcrRepository::of(image), None, "{image}");
        }
    }

    #[test]
    fn a_schedule_asks_to_catch_up() {
        let schedule = |source: &str| json!({"detail-type": "Scheduled Event", "source": source, "detail": "{}"});
        for source in ["aws.scheduler", "aws.events"] {
            assert_eq!(read(schedule(source)), Ok(EcrTrigger::CatchUp));
        }
        assert!(read(schedule("evil")).is_err());
    }

    #[test]
    fn what_is_no_image_push_is_ignored() {
        let signature = format!("sha256-{}.sig", "ab".repeat(32));
        for (pointer, value) in [
            ("/detail/action-type", json!("DELETE")),
            ("/detail/result", json!("FAILURE")),
            ("/detail/image-tag", json!(null)),
            ("/detail/image-tag", json!("")),
            ("/detail/image-tag", json!(signature)),
        ] {
            assert!(matches!(with(pointer, value.clone()), Ok(EcrTrigger::Ignored(_))), "{pointer} {value}");
        }
        let mut helm = event();
        helm["detail"]["artifact-media-type"] = json!("application/vnd.cncf.helm.config.v1+json");
        assert!(matches!(read(helm), Ok(EcrTrigger::Ignored(_))));
        let mut image = event();
        image["detail"]["artifact-media-type"] = json!("application/vnd.docker.container.image.v1+json");
        assert!(matches!(read(image), Ok(EcrTrigger::Push(_))));
    }

    /// AWS' own samples, as its documentation has them.
    #[test]
    fn the_documented_events_are_read() {
        let of = |kind: &str, region: &str, detail: Value| {
            read(json!({"version": "0", "id": "13cde686-328b-6117-af20-0e5566167482", "detail-type": kind,
                "source": "aws.ecr", "account": "123456789012", "time": "2019-11-16T01:54:34Z", "region": region,
                "resources": ["arn:aws:ecr:us-east-1:123456789012:repository/my-repository-name"], "detail": detail}))
        };
        let digest = "sha256:7f5b2640fe6fb4f46592dfd3410c4a79dac4f89e4782432e0378abcd1234";
        let push = of(
            "ECR Image Action",
            "us-west-2",
            json!({"result": "SUCCESS", "repository-name": "my-repository-name",
            "image-digest": digest, "action-type": "PUSH", "image-tag": "latest"}),
        );
        let Ok(EcrTrigger::Push(push)) = push else { panic!("{push:?}") };
        assert_eq!((push.tag.as_str(), push.digest.as_str(), push.is_scan), ("latest", digest, false));

        let replicated = of(
            "ECR Replication Action",
            "us-east-1",
            json!({"result": "SUCCESS",
            "repository-name": "docker-hub/alpine", "image-digest": digest, "source-account": "123456789012",
            "action-type": "REPLICATE", "source-region": "us-west-2", "image-tag": "3.17.2"}),
        );
        let Ok(EcrTrigger::Push(push)) = replicated else { panic!("{replicated:?}") };
        assert_eq!((push.tag.as_str(), push.repository.region.as_str()), ("3.17.2", "us-east-1"));

        let scan = |status: &str, tags: &[&str]| {
            of(
                "ECR Image Scan",
                "us-east-1",
                json!({"scan-status": status,
            "repository-name": "my-repository-name", "finding-severity-counts": {"CRITICAL": 10, "MEDIUM": 9},
            "image-digest": digest, "image-tags": tags}),
            )
        };
        assert!(matches!(scan("COMPLETE", &["1.2.3"]), Ok(EcrTrigger::Push(ImagePush { is_scan: true, .. }))));
        assert_eq!(scan("COMPLETE", &[]), Ok(EcrTrigger::Ignored("the image has no tag")));
        assert_eq!(scan("FAILED", &["1"]), Ok(EcrTrigger::Ignored("the scan is not finished")));

        let cached = |status: &str| {
            of(
                "ECR Pull Through Cache Action",
                "us-west-2",
                json!({"rule-version": "1",
            "sync-status": status, "ecr-repository-prefix": "docker-hub", "repository-name": "docker-hub/alpine",
            "upstream-registry-url": "public.ecr.aws", "image-tag": "3.17.2", "image-digest": digest}),
            )
        };
        assert!(matches!(cached("SUCCESS"), Ok(EcrTrigger::Push(_))));
        assert_eq!(cached("FAILED"), Ok(EcrTrigger::Ignored("the cache was not filled")));

        let deleted = of(
            "ECR Image Action",
            "us-west-2",
            json!({"result": "SUCCESS",
            "repository-name": "my-repository-name", "image-digest": digest, "action-type": "DELETE",
            "image-tag": "latest"}),
        );
        assert_eq!(deleted, Ok(EcrTrigger::Ignored("not a push")));
    }

    /// An index of images for several platforms is an image; what ECR does not know it writes as an empty text.
    #[test]
    fn every_image_counts_whatever_its_manifest() {
        for (media, is_image) in [
            ("", true),
            ("application/vnd.oci.image.index.v1+json", true),
            ("application/vnd.docker.distribution.manifest.list.v2+json", true),
            ("application/vnd.oci.image.config.v1+json", true),
            ("application/vnd.oci.image.manifest.v1+json", true),
            ("application/vnd.docker.container.image.v1+json", true),
            ("application/vnd.cncf.helm.config.v1+json", false),
            ("application/vnd.dev.cosign.artifact.sig.v1+json", false),
            ("application/vnd.in-toto+json", false),
            ("application/spdx+json", false),
        ] {
            let mut event = event();
            event["detail"]["artifact-media-type"] = json!(media);
            assert_eq!(matches!(read(event), Ok(EcrTrigger::Push(_))), is_image, "{media}");
        }
    }

    #[test]
    fn hostile_events_are_refused() {
        let cases = [
            ("/source", json!("evil")),
            ("/detail-type", json!("EC2 Instance State-change Notification")),
            ("/account", json!("12345")),
            ("/account", json!(null)),
            ("/region", json!("eu-west-1.evil.com/")),
            ("/detail/repository-name", json!("shop/{{web}}")),
            ("/detail/repository-name", json!("../shop")),
            ("/detail/repository-name", json!("shop/web: x\n")),
            ("/detail/repository-name", json!(7)),
            ("/detail/image-tag", json!("$(reboot)")),
            ("/detail/image-tag", json!("a\nb")),
            ("/detail/image-tag", json!("x".repeat(129))),
            ("/detail/image-digest", json!("sha256:zz")),
            ("/detail", json!([])),
        ];
        for (pointer, value) in cases {
            let error = with(pointer, value.clone()).expect_err(&format!("{pointer} {value}")).to_string();
            assert!(!error.contains('\n') && error.len() < 400, "{error}");
        }
        assert!(with("/detail/image-tag", json!("x".repeat(128))).is_ok());
        assert!(read(json!(null)).is_err());
    }
}
