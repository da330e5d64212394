//! Chooses an image's tag (argoproj-labs/argocd-image-updater `registry-scanner/pkg/image/version.go`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use slipway_gocompat::filepath;
use slipway_gocompat::regexp::{self, Regex};
use slipway_gocompat::semver::{Constraint, Version};

use super::{ImageError, Update};

/// A tag of a repository, as ECR's DescribeImages lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagInfo {
    /// The tag.
    pub tag: String,
    /// Time of the image's push, in milliseconds since 1970.
    pub pushed_at_ms: i64,
    /// The image's digest.
    pub digest: String,
    /// How many findings of each severity its finished scan has; `None` where no scan is finished.
    pub findings: Option<BTreeMap<String, i64>>,
    /// The platforms that it is built for, `OS/ARCHITECTURE[/VARIANT]`; `None` where they are not known.
    pub platforms: Option<Vec<String>>,
}

/// Whether an image for the platform `built` is one for `wanted`; without a variant that is any (registry-scanner
/// `pkg/options/options.go`, WantsPlatform).
fn is_platform(wanted: &str, built: &str) -> bool {
    built == wanted
        || wanted.matches('/').count() == 1 && built.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
}

/// Severity of a finding of ECR's scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Accepts no finding at all.
    None,
    /// `INFORMATIONAL`.
    Informational,
    /// `LOW`.
    Low,
    /// `MEDIUM`.
    Medium,
    /// `HIGH`.
    High,
    /// `CRITICAL`: accepts every finding, of a finished scan.
    Critical,
}

impl Severity {
    /// Reads a severity in any case; `None` where there is no such.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "informational" => Self::Informational,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "critical" => Self::Critical,
            _ => return None,
        })
    }

    /// Why an image is held whose findings may not be above this; `None` where it is not.
    pub fn holds(self, info: &TagInfo) -> Option<String> {
        let Some(findings) = &info.findings else {
            return Some(format!("{} waits for ECR's scan of it", info.tag));
        };
        // What ECR does not rate counts as the worst.
        let is_above = |severity: &str| Self::parse(severity).unwrap_or(Self::Critical) > self;
        let (severity, count) = findings.iter().find(|(severity, count)| **count > 0 && is_above(severity))?;
        Some(format!("{} has {count} findings of severity {severity}", info.tag))
    }
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
    /// The highest number (Flux's policy `numerical`).
    Numerical,
}

/// By which part of a tag it is chosen (Flux's `filterTags`); the whole tag where nothing is given.
#[derive(Debug, Clone, Default)]
pub struct TagOrder {
    /// Tags that do not match are not chosen; of others the template says what they are ordered by.
    pub filter: Option<(Regex, String)>,
    /// Whether the lowest is chosen.
    pub is_descending: bool,
}

impl TagOrder {
    /// What the tag is ordered by; `None` where it is filtered out.
    fn key(&self, tag: &str) -> Option<String> {
        let Some((pattern, template)) = &self.filter else { return Some(tag.to_owned()) };
        let captures = pattern.captures(tag)?;
        if template.is_empty() {
            return Some(tag.to_owned());
        }
        let mut key = String::new();
        regexp::expand(&mut key, &captures, template);
        Some(key)
    }
}

impl fmt::Display for Strategy {
    /// Image Updater's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Semver => "semver",
            Self::NewestBuild => "newest-build",
            Self::Alphabetical => "alphabetical",
            Self::Digest => "digest",
            Self::Numerical => "numerical",
        })
    }
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
    /// An invalid annotation allows no tag; what is wrong with it.
    Nothing(String),
}

impl Allow {
    /// Parses the annotation.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() || text.eq_ignore_ascii_case("any") {
            return Self::Any;
        }
        match text.split_once(':') {
            Some((kind, expression)) if kind.eq_ignore_ascii_case("regexp") => {
                regexp::compile(expression).map_or_else(|error| Self::Nothing(error.to_string()), Self::Regexp)
            }
            _ => Self::Nothing(format!("expected `any` or `regexp:EXPRESSION`, found `{text}`")),
        }
    }

    /// Whether `tag` may be chosen.
    pub fn allows(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Regexp(regex) => regex.is_match(tag),
            Self::Nothing(_) => false,
        }
    }
}

/// The tag that the image should have now; `None` where none is allowed. An invalid constraint is an error.
///
/// Without a constraint, semver takes any version but pre-releases.
pub fn choose<'a>(update: &Update, tags: &'a [TagInfo]) -> Result<Option<&'a TagInfo>, ImageError> {
    choose_of(update, tags.iter().filter(|info| why_not(update, info).is_none()))
}

/// Why the tag may not be chosen whatever the others are; `None` where it may.
pub fn why_not(update: &Update, info: &TagInfo) -> Option<String> {
    let tag = &info.tag;
    if !update.allow.allows(tag) {
        return Some(format!("{tag} is not one of `allow-tags`"));
    }
    if update.order.key(tag).is_none() {
        return Some(format!("{tag} does not match `filterTags.pattern`"));
    }
    if let Some(pattern) = update.ignore.iter().find(|pattern| filepath::matches(pattern, tag)) {
        return Some(format!("{tag} is one of `ignore-tags` ({pattern})"));
    }
    let is_wanted = |built: &String| update.platforms.iter().any(|wanted| is_platform(wanted, built));
    if let Some(built) = info.platforms.as_ref().filter(|_| update.asks_for_platforms())
        && !built.iter().any(is_wanted)
    {
        return Some(format!("{tag} is not built for {}", update.platforms.join(" or ")));
    }
    update.gate.and_then(|gate| gate.holds(info))
}

/// Why the tag may not be chosen, even if there were no other; `None` where it may. An invalid constraint is an error.
pub fn why_unfit(update: &Update, info: &TagInfo) -> Result<Option<String>, ImageError> {
    let why = match why_not(update, info) {
        Some(why) => why,
        None if choose(update, std::slice::from_ref(info))?.is_some() => return Ok(None),
        None => match update.strategy {
            Strategy::Semver if rank(update, info).is_none() => format!("{} is no version", info.tag),
            Strategy::Numerical => format!("{} is no number", info.tag),
            _ => format!("{} does not fit the constraint", info.tag),
        },
    };
    Ok(Some(why))
}

/// Why the tag is not the one that is `chosen`; `None` where it is. An invalid constraint is an error.
pub fn why_not_chosen(update: &Update, info: &TagInfo, chosen: Option<&TagInfo>) -> Result<Option<String>, ImageError> {
    if let Some(why) = why_unfit(update, info)? {
        return Ok(Some(why));
    }
    let than = chosen.filter(|chosen| chosen.tag != info.tag).map(|chosen| &chosen.tag);
    Ok(than.map(|than| match update.strategy {
        _ if update.order.is_descending => format!("{} comes after {than}", info.tag),
        Strategy::Semver => format!("{} is no higher version than {than}", info.tag),
        Strategy::NewestBuild => format!("{} was pushed before {than}", info.tag),
        Strategy::Alphabetical | Strategy::Digest | Strategy::Numerical => format!("{} comes before {than}", info.tag),
    }))
}

fn choose_of<'a>(
    update: &Update,
    allowed: impl Iterator<Item = &'a TagInfo>,
) -> Result<Option<&'a TagInfo>, ImageError> {
    if update.strategy == Strategy::Digest {
        return Ok(allowed.into_iter().find(|info| info.tag == update.constraint));
    }
    let text = if update.constraint.is_empty() { "*" } else { &update.constraint };
    let constraint = (update.strategy == Strategy::Semver).then(|| Constraint::parse(text)).transpose();
    let constraint = constraint.map_err(|e| ImageError::Annotation {
        app: update.app.clone(),
        annotation: "image-list".to_owned(),
        problem: e.to_string(),
    })?;
    let fits = |rank: &Rank| match (rank, &constraint) {
        (Rank::Version(version), Some(constraint)) => constraint.check(version),
        _ => true,
    };
    let ranked = allowed.filter_map(|info| Some((rank(update, info).filter(fits)?, info)));
    Ok(ranked.max_by(|a, b| compare(update, (&a.0, &a.1.tag), (&b.0, &b.1.tag))).map(|(_, info)| info))
}

/// What a tag is ordered by.
enum Rank {
    Version(Version),
    Pushed(i64),
    Text(String),
    Number(f64),
}

/// What the tag is ordered by; `None` where the strategy can't order it.
fn rank(update: &Update, info: &TagInfo) -> Option<Rank> {
    let key = update.order.key(&info.tag)?;
    Some(match update.strategy {
        Strategy::Semver => Rank::Version(Version::parse(&key).ok()?),
        Strategy::NewestBuild => Rank::Pushed(info.pushed_at_ms),
        Strategy::Alphabetical | Strategy::Digest => Rank::Text(key),
        Strategy::Numerical => Rank::Number(key.parse().ok().filter(|number: &f64| number.is_finite())?),
    })
}

/// Compares tags of one strategy; equal ranks are resolved by tag.
fn compare(update: &Update, a: (&Rank, &str), b: (&Rank, &str)) -> Ordering {
    let order = by_rank(update, a.0, b.0);
    order.then_with(|| a.1.cmp(b.1))
}

fn by_rank(update: &Update, a: &Rank, b: &Rank) -> Ordering {
    let order = match (a, b) {
        (Rank::Version(a), Rank::Version(b)) => a.cmp(b),
        (Rank::Pushed(a), Rank::Pushed(b)) => a.cmp(b),
        (Rank::Text(a), Rank::Text(b)) => a.cmp(b),
        (Rank::Number(a), Rank::Number(b)) => a.total_cmp(b),
        _ => Ordering::Equal,
    };
    if update.order.is_descending { order.reverse() } else { order }
}

/// Whether `chosen` comes after the tag `current`, by the strategy: a higher version, a later push, or later in
/// alphabetical order. Where they can't be compared (a tag that is no version, or that ECR no longer lists) it counts
/// as newer.
pub fn is_forward(update: &Update, current: &str, chosen: &TagInfo, tags: &[TagInfo]) -> bool {
    let unlisted = TagInfo { tag: current.to_owned(), ..TagInfo::default() };
    let known = match update.strategy {
        Strategy::Digest => return true,
        Strategy::NewestBuild => tags.iter().find(|info| info.tag == current),
        _ => Some(&unlisted),
    };
    let ranks = known.and_then(|known| Some((rank(update, chosen)?, rank(update, known)?)));
    ranks.is_none_or(|(new, old)| match update.strategy {
        Strategy::NewestBuild => compare(update, (&new, &chosen.tag), (&old, current)).is_gt(),
        _ => by_rank(update, &new, &old).is_gt(),
    })
}
