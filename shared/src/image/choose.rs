//! Chooses an image's tag (argoproj-labs/argocd-image-updater `registry-scanner/pkg/image/version.go`).

use slipway_gocompat::filepath;
use slipway_gocompat::regexp::{self, Regex};
use slipway_gocompat::semver::{Constraint, Version};

use super::{ImageError, Update};

/// A tag of a repository, as ECR's DescribeImages lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagInfo {
    /// The tag.
    pub tag: String,
    /// Time of the image's push, in milliseconds since 1970.
    pub pushed_at_ms: i64,
    /// The image's digest.
    pub digest: String,
}

/// The annotation `update-strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The highest version that the constraint allows.
    Semver,
    /// The image pushed last. Image Updater uses the date inside the image, which costs one request per tag and which
    /// reproducible builds set to 1970; ECR lists push times at no cost. Ties are resolved by tag.
    NewestBuild,
    /// The last tag in alphabetical order.
    Alphabetical,
    /// The image that the constraint's only tag points at.
    Digest,
}

impl Strategy {
    /// Accepts legacy names; unknown strategies fall back to semver (as Image Updater does).
    pub fn parse(text: &str) -> Self {
        match text.to_lowercase().as_str() {
            "newest-build" | "latest" => Self::NewestBuild,
            "alphabetical" | "name" => Self::Alphabetical,
            "digest" => Self::Digest,
            _ => Self::Semver,
        }
    }
}

/// The annotation `allow-tags`.
#[derive(Debug, Clone)]
pub enum Allow {
    /// `any`, or no annotation.
    Any,
    /// `regexp:…`, which may match any part of the tag.
    Regexp(Regex),
    /// An invalid annotation allows no tag.
    Nothing,
}

impl Allow {
    /// Parses the annotation.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() || text.eq_ignore_ascii_case("any") {
            return Self::Any;
        }
        match text.split_once(':') {
            Some((kind, expression)) if kind.eq_ignore_ascii_case("regexp") => {
                regexp::compile(expression).map_or(Self::Nothing, Self::Regexp)
            }
            _ => Self::Nothing,
        }
    }

    /// Whether `tag` may be chosen.
    pub fn allows(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Regexp(regex) => regex.is_match(tag),
            Self::Nothing => false,
        }
    }
}

/// The tag that the image should have now; `None` where none is allowed. An invalid constraint is an error.
///
/// Without a constraint, semver takes any version but pre-releases.
pub fn choose<'a>(update: &Update, tags: &'a [TagInfo]) -> Result<Option<&'a TagInfo>, ImageError> {
    let allowed = |info: &&TagInfo| {
        update.allow.allows(&info.tag) && !update.ignore.iter().any(|pattern| filepath::matches(pattern, &info.tag))
    };
    let allowed = tags.iter().filter(allowed);
    Ok(match update.strategy {
        Strategy::NewestBuild => allowed.max_by_key(|info| (info.pushed_at_ms, &info.tag)),
        Strategy::Alphabetical => allowed.max_by_key(|info| &info.tag),
        Strategy::Digest => allowed.into_iter().find(|info| info.tag == update.constraint),
        Strategy::Semver => {
            let text = if update.constraint.is_empty() { "*" } else { &update.constraint };
            let constraint = Constraint::parse(text).map_err(|e| ImageError::Annotation {
                app: update.app.clone(),
                annotation: "image-list".to_owned(),
                problem: e.to_string(),
            })?;
            let versions = allowed.filter_map(|info| Some((Version::parse(&info.tag).ok()?, info)));
            let fitting = versions.filter(|(version, _)| constraint.check(version));
            fitting.max_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.tag.cmp(&b.1.tag))).map(|(_, info)| info)
        }
    })
}

/// Whether `chosen` is newer than the tag `current`, by the strategy: a higher version, a later push, or later in
/// alphabetical order. Where they can't be compared (a tag that is no version, or that ECR no longer lists) it counts
/// as newer.
pub fn is_forward(strategy: Strategy, current: &str, chosen: &TagInfo, tags: &[TagInfo]) -> bool {
    match strategy {
        Strategy::Semver => match (Version::parse(current), Version::parse(&chosen.tag)) {
            (Ok(current), Ok(chosen)) => chosen > current,
            _ => true,
        },
        Strategy::NewestBuild => tags
            .iter()
            .find(|info| info.tag == current)
            .is_none_or(|info| (chosen.pushed_at_ms, chosen.tag.as_str()) > (info.pushed_at_ms, current)),
        Strategy::Alphabetical => chosen.tag.as_str() > current,
        Strategy::Digest => true,
    }
}
