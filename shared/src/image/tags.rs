//! Lists the tags of ECR's repositories, and keeps what it listed while the function is warm.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier, ScanStatus};
use tokio::sync::Mutex;

use super::TagInfo;
use crate::aws::Aws;
use crate::event::ecr::EcrRepository;

/// Tags of one repository that are listed: ECR keeps 20,000 images unless a quota was raised.
const MAX_TAGS: usize = 20_000;
/// Images in an answer of ECR: its maximum.
const PAGE_SIZE: i32 = 1_000;
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
}

impl Tags {
    pub(super) fn new(aws: Aws) -> Self {
        Self { aws, known: Arc::default() }
    }

    async fn client(&self, repository: &EcrRepository) -> aws_sdk_ecr::Client {
        let config = self.aws.config().await.to_builder();
        let region = aws_config::Region::new(repository.region.clone());
        aws_sdk_ecr::Client::new(&config.region(region).build())
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

    async fn keep(&self, repository: &EcrRepository, tags: &[TagInfo]) {
        let mut known = self.known.lock().await;
        if known.values().map(Vec::len).sum::<usize>() + tags.len() > MAX_KEPT {
            known.clear();
        }
        known.insert(repository.image(), tags.to_vec());
    }
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
        .map(|tag| TagInfo { tag, pushed_at_ms, digest: digest.clone(), findings: findings.clone() })
        .collect()
}
