//! Lists the tags of ECR's repositories, and keeps what it listed while the function is warm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier, ScanStatus};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{TagInfo, Update, choose};
use crate::aws::Aws;
use crate::event::ecr::EcrRepository;

/// Tags of one repository that are listed: ECR keeps 20,000 images unless a quota was raised.
const MAX_TAGS: usize = 20_000;
/// Images in an answer of ECR: its maximum.
const PAGE_SIZE: i32 = 1_000;
/// Images of one repository that are looked at for their platform.
const MAX_CANDIDATES: usize = 30;
/// Digests whose platforms are kept.
const MAX_KEPT_PLATFORMS: usize = 10_000;
/// Limit of the download of an image's configuration.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(20);
/// The manifests that are read: an index before an image, Docker's and OCI's.
const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Tags of all repositories that are kept.
const MAX_KEPT: usize = 100_000;

/// Why the tags of an image could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TagsError {
    /// ECR did not list them.
    #[error("failed to list the tags of {image} ({code})")]
    List {
        /// Registry and repository.
        image: String,
        /// ECR's code.
        code: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What an image is built for can't be read.
    #[error("failed to read what {image} is built for: {problem}")]
    Manifest {
        /// Registry, repository and digest.
        image: String,
        /// What is wrong.
        problem: String,
    },
    /// None of the first images is built for a platform that is wanted.
    #[error("none of the {MAX_CANDIDATES} newest images of {image} is built for {platforms}")]
    TooFew {
        /// Registry and repository.
        image: String,
        /// The platforms.
        platforms: String,
    },
    /// There are too many.
    #[error("{image} has more than {MAX_TAGS} tags: let a lifecycle policy expire old ones")]
    TooMany {
        /// Registry and repository.
        image: String,
    },
}

/// ECR's tags.
#[derive(Debug, Clone)]
pub(super) struct Tags {
    aws: Aws,
    /// What was listed, by image. A deleted tag stays until the list is read again by a catch-up.
    known: Arc<Mutex<BTreeMap<String, Vec<TagInfo>>>>,
    /// What images are built for, by digest.
    platforms: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    clients: Arc<Mutex<BTreeMap<(String, String), aws_sdk_ecr::Client>>>,
    /// Roles in whose name repositories of their accounts are read.
    roles: Arc<Vec<String>>,
}

impl Tags {
    pub(super) fn new(aws: Aws, roles: Vec<String>) -> Self {
        let (known, platforms, clients) = (Arc::default(), Arc::default(), Arc::default());
        Self { aws, known, platforms, clients, roles: Arc::new(roles) }
    }

    /// The client for the repository's account and region: one for all its repositories logs in once.
    async fn client(&self, repository: &EcrRepository) -> aws_sdk_ecr::Client {
        let key = (repository.account.clone(), repository.region.clone());
        let mut clients = self.clients.lock().await;
        if let Some(known) = clients.get(&key) {
            return known.clone();
        }
        // arn:PARTITION:iam::ACCOUNT:role/NAME
        let role = self.roles.iter().find(|role| role.split(':').nth(4) == Some(&repository.account));
        let config = match role {
            Some(role) => self.aws.config_as(role).await.to_builder(),
            None => self.aws.config().await.to_builder(),
        };
        let region = aws_config::Region::new(repository.region.clone());
        let client = aws_sdk_ecr::Client::new(&config.region(region).build());
        clients.insert(key, client.clone());
        client
    }

    /// Lists every tag of `repository`, with the time of its push.
    pub(super) async fn list(&self, repository: &EcrRepository) -> Result<Vec<TagInfo>, TagsError> {
        let mut pages = self
            .client(repository)
            .await
            .describe_images()
            .registry_id(&repository.account)
            .repository_name(&repository.name)
            .max_results(PAGE_SIZE)
            .into_paginator()
            .send();
        let mut tags = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed(repository, error))?;
            tags.extend(page.image_details.unwrap_or_default().into_iter().flat_map(tags_of));
            if tags.len() > MAX_TAGS {
                return Err(TagsError::TooMany { image: repository.image() });
            }
        }
        self.keep(repository, &tags).await;
        Ok(tags)
    }

    /// The tags of `repository`, listed only where they are not known.
    pub(super) async fn known_or_list(&self, repository: &EcrRepository) -> Result<Vec<TagInfo>, TagsError> {
        let known = self.known.lock().await.get(&repository.image()).cloned();
        match known {
            Some(tags) => Ok(tags),
            None => self.list(repository).await,
        }
    }

    /// The tags of `repository` with the pushed `tag` as it is now: one request where the others are known.
    pub(super) async fn with(&self, repository: &EcrRepository, tag: &str) -> Result<Vec<TagInfo>, TagsError> {
        let Some(mut tags) = self.known.lock().await.get(&repository.image()).cloned() else {
            return self.list(repository).await;
        };
        let request = self.client(repository).await.describe_images().registry_id(&repository.account);
        let request = request.repository_name(&repository.name);
        let answer = request.image_ids(ImageIdentifier::builder().image_tag(tag).build()).send().await;
        let details = answer.map_err(|error| failed(repository, error))?.image_details.unwrap_or_default();
        let pushed: Vec<TagInfo> = details.into_iter().flat_map(tags_of).collect();
        tags.retain(|known| pushed.iter().all(|new| new.tag != known.tag));
        tags.extend(pushed);
        self.keep(repository, &tags).await;
        Ok(tags)
    }

    /// Finds out what the images are built for that `update` may choose, from the best on until one is for a platform
    /// that it wants.
    pub(super) async fn find_platforms(&self, update: &Update, tags: &mut [TagInfo]) -> Result<(), TagsError> {
        let Some(repository) = EcrRepository::of(&update.image).filter(|_| update.asks_for_platforms()) else {
            return Ok(());
        };
        for _ in 0..MAX_CANDIDATES {
            // A constraint that can't be read is told where the tag is chosen.
            let chosen = choose(update, tags).unwrap_or_default();
            let Some(digest) = chosen.filter(|info| info.platforms.is_none()).map(|info| info.digest.clone()) else {
                return Ok(());
            };
            let found = self.platforms(&repository, &digest).await?;
            for info in tags.iter_mut().filter(|info| info.digest == digest) {
                info.platforms = Some(found.clone());
            }
        }
        Err(TagsError::TooFew { image: repository.image(), platforms: update.platforms.join(" or ") })
    }

    /// What the image is built for: an index says it, of a single image its configuration.
    async fn platforms(&self, repository: &EcrRepository, digest: &str) -> Result<Vec<String>, TagsError> {
        if let Some(known) = self.platforms.lock().await.get(digest) {
            return Ok(known.clone());
        }
        let wrong = |problem: &str| TagsError::Manifest {
            image: format!("{}@{digest}", repository.image()),
            problem: problem.to_owned(),
        };
        let client = self.client(repository).await;
        let request = client.batch_get_image().registry_id(&repository.account).repository_name(&repository.name);
        let request = request.image_ids(ImageIdentifier::builder().image_digest(digest).build());
        let answer = request.set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec())).send().await;
        let images = answer.map_err(|error| failed(repository, error))?.images.unwrap_or_default();
        let manifest = images.into_iter().next().and_then(|image| image.image_manifest);
        let manifest: Value = serde_json::from_str(&manifest.ok_or_else(|| wrong("ECR has no manifest of it"))?)
            .map_err(|_| wrong("its manifest is no JSON"))?;
        let found: Vec<String> = if let Some(listed) = manifest.get("manifests").and_then(Value::as_array) {
            listed.iter().filter_map(|one| platform(one.get("platform")?)).collect()
        } else {
            let config = manifest.pointer("/config/digest").and_then(Value::as_str);
            let config = config.ok_or_else(|| wrong("its manifest has no configuration"))?;
            let request = client.get_download_url_for_layer().registry_id(&repository.account);
            let answer = request.repository_name(&repository.name).layer_digest(config).send().await;
            let url = answer.map_err(|error| failed(repository, error))?.download_url.unwrap_or_default();
            let request = http::Request::get(url).body(Full::default()).map_err(|_| wrong("its address is no URL"))?;
            let answer = self.aws.http().send(request, DOWNLOAD_TIMEOUT).await;
            let answer = answer.map_err(|_| wrong("its configuration can't be downloaded"))?;
            platform(&answer.body).into_iter().collect()
        };
        let mut known = self.platforms.lock().await;
        if known.len() >= MAX_KEPT_PLATFORMS {
            known.clear();
        }
        known.insert(digest.to_owned(), found.clone());
        Ok(found)
    }

    async fn keep(&self, repository: &EcrRepository, tags: &[TagInfo]) {
        let mut known = self.known.lock().await;
        if known.values().map(Vec::len).sum::<usize>() + tags.len() > MAX_KEPT {
            known.clear();
        }
        known.insert(repository.image(), tags.to_vec());
    }
}

/// `OS/ARCHITECTURE[/VARIANT]` of a platform, or of an image's configuration. Attestations are of no platform.
fn platform(value: &Value) -> Option<String> {
    let of = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !matches!(*text, "" | "unknown"));
    let (os, architecture) = (of("os")?, of("architecture")?);
    Some(
        of("variant")
            .map_or_else(|| format!("{os}/{architecture}"), |variant| format!("{os}/{architecture}/{variant}")),
    )
}

fn failed<E>(repository: &EcrRepository, error: aws_sdk_ecr::error::SdkError<E>) -> TagsError
where
    E: std::error::Error + Send + Sync + aws_sdk_ecr::error::ProvideErrorMetadata + 'static,
{
    let code = crate::aws::error_code(&error);
    TagsError::List { image: repository.image(), code, source: Box::new(error) }
}

fn tags_of(image: ImageDetail) -> Vec<TagInfo> {
    let pushed_at_ms = image.image_pushed_at.and_then(|at| at.to_millis().ok()).unwrap_or_default();
    let digest = image.image_digest.unwrap_or_default();
    let status = image.image_scan_status.and_then(|status| status.status);
    // Continuous scans never complete: `ACTIVE`.
    let is_scanned = matches!(status, Some(ScanStatus::Complete | ScanStatus::Active));
    let summary = image.image_scan_findings_summary.filter(|_| is_scanned);
    let counts = summary.map(|summary| {
        let counts = summary.finding_severity_counts.unwrap_or_default();
        counts.into_iter().map(|(severity, count)| (severity.as_str().to_owned(), i64::from(count))).collect()
    });
    let findings = counts.or_else(|| is_scanned.then(BTreeMap::new));
    let tags = image.image_tags.unwrap_or_default();
    tags.into_iter()
        .map(|tag| TagInfo { tag, pushed_at_ms, digest: digest.clone(), findings: findings.clone(), platforms: None })
        .collect()
}
