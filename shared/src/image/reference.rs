//! Reads references to images as Argo CD Image Updater does (argoproj-labs/argocd-image-updater
//! `registry-scanner/pkg/image/image.go`, which asks distribution's `reference` package first).

use std::fmt;

const DOCKER_HUB: &str = "docker.io";

/// A reference to an image: `[ALIAS=][REGISTRY/]NAME[:TAG][@DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reference {
    /// What stands before `=`.
    pub alias: String,
    /// The registry as it is written; empty where it is left out.
    pub registry: String,
    /// The repository in it.
    pub name: String,
    /// The tag; in a list of images it is the version constraint. `None` where nothing is behind the name.
    pub tag: Option<String>,
    /// The digest; empty where there is none.
    pub digest: String,
}

impl Reference {
    /// Reads any text: what is no reference by the grammar is taken apart at `=`, `/`, `@` and `:`.
    pub fn parse(text: &str) -> Self {
        let (alias, image) = text.split_once('=').unwrap_or(("", text));
        let found = normalized(image).unwrap_or_else(|| legacy(image));
        Self { alias: alias.to_owned(), ..found }
    }

    /// Registry and name, without tag and digest.
    pub fn repository(&self) -> String {
        match self.registry.as_str() {
            "" => self.name.clone(),
            registry if self.name.starts_with(&format!("{registry}/")) => self.name.clone(),
            registry => format!("{registry}/{}", self.name),
        }
    }

    /// The reference without its alias.
    pub fn image(&self) -> String {
        let mut text = self.repository();
        if let Some(tag) = self.tag.as_deref().filter(|tag| !tag.is_empty()) {
            text.extend([":", tag]);
        }
        if !self.digest.is_empty() {
            text.extend(["@", &self.digest]);
        }
        text
    }

    /// Tag and digest, as Helm's values have them: `TAG@DIGEST`, `latest@DIGEST` without a tag.
    pub fn tag_with_digest(&self) -> String {
        match (self.tag.as_deref().unwrap_or_default(), self.digest.as_str()) {
            (tag, "") => tag.to_owned(),
            ("", digest) => format!("latest@{digest}"),
            (tag, digest) => format!("{tag}@{digest}"),
        }
    }

    /// Whether both name the same image, with or without `docker.io/`.
    pub fn is_same_image(&self, other: &Self) -> bool {
        let hub = |registry: &str| registry.is_empty() || registry == DOCKER_HUB;
        let is_same = self.registry == other.registry || hub(&self.registry) && hub(&other.registry);
        self.name == other.name && is_same
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.alias.is_empty() {
            write!(f, "{}=", self.alias)?;
        }
        f.write_str(&self.image())
    }
}

/// Distribution's ParseNormalizedNamed; `None` where it refuses the text.
fn normalized(image: &str) -> Option<Reference> {
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex(image, 64) {
        return None;
    }
    let (domain, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => {
            (first, rest)
        }
        _ => (DOCKER_HUB, image),
    };
    let domain = if domain == "index.docker.io" { DOCKER_HUB } else { domain };
    let (rest, digest) = rest.split_once('@').map_or((rest, None), |(rest, digest)| (rest, Some(digest)));
    let (name, tag) = rest.split_once(':').map_or((rest, None), |(name, tag)| (name, Some(tag)));
    let is_digest = |digest: &str| match digest.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    };
    let is_valid = is_domain(domain)
        && name.split('/').all(is_path_component)
        && name.len() <= 255
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if !is_valid {
        return None;
    }
    // The default registry is left out where the text leaves it out; and the hub's `library/` where that does.
    let is_hub = domain == DOCKER_HUB && !image.starts_with(DOCKER_HUB);
    let name = if image.starts_with("library/") { name } else { name.strip_prefix("library/").unwrap_or(name) };
    Some(Reference {
        alias: String::new(),
        registry: if is_hub { String::new() } else { domain.to_owned() },
        name: name.to_owned(),
        tag: tag.or(digest.map(|_| "")).map(str::to_owned),
        digest: digest.unwrap_or_default().to_owned(),
    })
}

fn is_domain(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| {
        let is_alphanumeric = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(is_alphanumeric)
            && label.ends_with(is_alphanumeric)
            && label.chars().all(|c| is_alphanumeric(c) || c == '-')
    };
    host.split('.').all(is_label)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// Lower-case letters and digits, joined by one `.`, by one or two `_`, or by any number of `-`.
fn is_path_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_word)
        && text.ends_with(is_word)
        && text.split(is_word).all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len())
        && text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

/// Image Updater's own reading from before it knew distribution's.
fn legacy(image: &str) -> Reference {
    let (registry, rest) = match image.split_once('/') {
        Some((first, rest)) if first.contains('.') => (first, rest),
        _ => ("", image),
    };
    let (name, tag, digest) = match rest.split_once('@') {
        Some((before, digest)) => {
            match before.rfind(':').filter(|colon| before.rfind('/').is_none_or(|at| at < *colon)) {
                Some(colon) => {
                    let (name, tag) = before.split_at_checked(colon).unwrap_or((before, ""));
                    (name, Some(tag.trim_start_matches(':')), digest)
                }
                None => (before, Some(""), digest),
            }
        }
        None => match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag), ""),
            None => (rest, None, ""),
        },
    };
    Reference {
        alias: String::new(),
        registry: registry.to_owned(),
        name: name.to_owned(),
        tag: tag.map(str::to_owned),
        digest: digest.to_owned(),
    }
}
