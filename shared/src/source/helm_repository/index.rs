//! Reads the index of a repository (helm/helm `pkg/repo/v1/index.go`), which may have hundreds of megabytes: it is kept
//! compressed, and only what stands below the chart's own name is parsed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::StatusCode;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use slipway_budget::Budget;
use slipway_gocompat::semver::{Constraint, Version};
use slipway_gocompat::url::Url;
use slipway_manifest::yaml;

use super::{ChartError, HelmChart, MISSING};
use crate::app::repository::RepositorySecret;
use crate::source::download::{Asked, Downloader};

/// Bytes of an index; that of the largest public repositories has some 30 MB.
const MAX_INDEX: usize = 512 << 20;
/// Bytes of what an index has of one chart, and of an index that is not written as Helm writes it.
const MAX_CHART: usize = 16 << 20;

/// The index of a repository.
#[derive(Debug)]
pub(super) struct Index {
    compressed: Vec<u8>,
    etag: Option<String>,
    /// The versions of the charts that were looked for.
    found: Mutex<BTreeMap<String, Arc<[Entry]>>>,
}

/// A version of a chart in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) version: String,
    /// SHA-256 of the archive in hex; empty where the index has none.
    pub(super) digest: String,
    /// Where the archive is, maybe relative to the repository.
    pub(super) url: String,
}

/// The index of the repository at `url`, of at most `max_compressed` bytes as it is kept; `None` where it is still
/// `known`.
pub(super) async fn fetch(
    downloader: &Downloader,
    (url, credential): (&str, Option<&RepositorySecret>),
    known: Option<&Index>,
    max_compressed: usize,
) -> Result<Option<Index>, ChartError> {
    let at = place(url, "index.yaml");
    let etag = known.and_then(|known| known.etag.as_deref());
    let download = downloader.get(&at, &Asked { etag, credential, ..Asked::default() }).await?;
    if download.status() == StatusCode::NOT_MODIFIED && known.is_some() {
        return Ok(None);
    }
    let download = download.ok(MISSING)?;
    let (etag, mut packer) = (download.etag(), GzEncoder::new(Vec::new(), Compression::fast()));
    let pack = |data: &[u8]| {
        packer.write_all(data).map_err(|error| error.to_string())?;
        if packer.get_ref().len() > max_compressed { Err("the index is too large".to_owned()) } else { Ok(()) }
    };
    download.each(MAX_INDEX, pack).await?;
    let compressed = packer.finish().map_err(|error| ChartError::fetch(&at, error))?;
    Ok(Some(Index { compressed, etag, found: Mutex::default() }))
}

/// What `name` is below the repository's `url`, whose query it keeps.
fn place(url: &str, name: &str) -> String {
    match url.split_once('?') {
        Some((path, query)) => format!("{}/{name}?{query}", path.trim_end_matches('/')),
        None => format!("{url}/{name}"),
    }
}

/// The archive of `entry`, of at most `limit` bytes, verified where the index has its digest.
pub(super) async fn archive(
    downloader: &Downloader,
    (chart, credential): (&HelmChart, Option<&RepositorySecret>),
    entry: &Entry,
    limit: usize,
) -> Result<Vec<u8>, ChartError> {
    let what = format!("{chart} {}", entry.version);
    let wrong = |error: &dyn std::fmt::Display| ChartError::fetch(&what, error);
    // The URL of a repository is a folder's.
    let base = Url::parse(&place(&chart.repository, "")).map_err(|error| wrong(&error))?;
    let reference = Url::parse(&entry.url).map_err(|error| wrong(&error))?;
    let mut url = base.resolve(&reference);
    if url.query.is_empty() && reference.scheme.is_empty() {
        url.query.clone_from(&base.query);
    }
    let is_downgrade = base.scheme == "https" && url.scheme != "https";
    if url.user.is_some() || is_downgrade || !["http", "https"].contains(&url.scheme.as_str()) {
        return Err(wrong(&format!("its index names `{}`, which is not fetched", entry.url)));
    }
    let asked = Asked { credential, ..Asked::default() };
    let bytes = downloader.get(&url.to_string(), &asked).await?.ok(MISSING)?.bytes(limit).await?;
    let found = hex::encode(Sha256::digest(&bytes));
    if entry.digest.is_empty() || entry.digest == found {
        Ok(bytes)
    } else {
        Err(ChartError::Digest { what, expected: format!("sha256:{}", entry.digest), found })
    }
}

impl Index {
    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.compressed.len()
    }

    /// The versions of `chart`. Takes seconds where the index is large and the chart was not looked for before.
    pub(super) fn chart(&self, chart: &HelmChart) -> Result<Arc<[Entry]>, ChartError> {
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found().get(&chart.name) {
            return Ok(Arc::clone(known));
        }
        let entries: Arc<[Entry]> = self.read(chart)?.into();
        found().insert(chart.name.clone(), Arc::clone(&entries));
        Ok(entries)
    }

    /// The entry of `version` (helm/helm, IndexFile.Get): that one, else the highest that it allows.
    pub(super) fn entry(&self, chart: &HelmChart, version: &str) -> Result<Entry, ChartError> {
        let missing = || ChartError::Range {
            revision: version.to_owned(),
            chart: chart.to_string(),
            problem: "the index of the repository does not have it".to_owned(),
        };
        let entries = self.chart(chart)?;
        if let Some(entry) = entries.iter().find(|entry| entry.version == version) {
            return Ok(entry.clone());
        }
        let constraint = Constraint::parse(version).map_err(|_| missing())?;
        let mut allowed = Vec::new();
        for entry in entries.iter() {
            if let Ok(version) = Version::parse(&entry.version)
                && constraint.check(&version)
            {
                allowed.push((version, entry));
            }
        }
        allowed.into_iter().max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, entry)| entry.clone()).ok_or_else(missing)
    }

    fn read(&self, chart: &HelmChart) -> Result<Vec<Entry>, ChartError> {
        let wrong = |problem: String| ChartError::fetch(&format!("{chart} from its index"), problem);
        let value = self.find(&chart.name).map_err(wrong)?;
        let Some(list) = value.as_ref().and_then(Value::as_array) else {
            return Err(wrong("the index does not have the chart".to_owned()));
        };
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let entries = list.iter().filter_map(|entry| {
            let url = entry.get("urls")?.as_array()?.first()?.as_str()?.to_owned();
            let digest = text(entry, "digest").trim_start_matches("sha256:").to_ascii_lowercase();
            Some(Entry { version: text(entry, "version"), digest, url })
        });
        Ok(entries.filter(|entry| !entry.version.is_empty()).collect())
    }

    /// What stands at `entries.NAME`.
    fn find(&self, name: &str) -> Result<Option<Value>, String> {
        let mut lines = BufReader::new(GzDecoder::new(&self.compressed[..]));
        let start = lines.fill_buf().map_err(|error| error.to_string())?;
        if start.trim_ascii_start().starts_with(b"{") {
            return self.find_in_whole(name);
        }
        let mut line = Vec::new();
        while next(&mut lines, &mut line)? {
            if let Some(rest) = line.strip_prefix(b"entries:") {
                let is_block = rest.trim_ascii().is_empty() || rest.trim_ascii().starts_with(b"#");
                return if is_block { find_in_block(&mut lines, name) } else { self.find_in_whole(name) };
            }
        }
        Ok(None)
    }

    /// The same in an index that is written otherwise than Helm writes it.
    fn find_in_whole(&self, name: &str) -> Result<Option<Value>, String> {
        let mut text = String::new();
        let whole = GzDecoder::new(&self.compressed[..]).take(MAX_CHART as u64 + 1).read_to_string(&mut text);
        whole.map_err(|error| error.to_string())?;
        if text.len() > MAX_CHART {
            return Err(format!("an index that Helm did not write may have {MAX_CHART} bytes"));
        }
        let mut whole = parse(&text)?;
        Ok(whole.get_mut("entries").and_then(|entries| entries.get_mut(name)).map(Value::take))
    }
}

/// Reads on after `entries:` up to the end of what stands below `name`.
fn find_in_block(lines: &mut impl BufRead, name: &str) -> Result<Option<Value>, String> {
    let (mut line, mut found, mut width) = (Vec::new(), Vec::new(), None);
    while next(lines, &mut line)? {
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let content = line.get(indent..).unwrap_or_default().trim_ascii_end();
        if content.is_empty() || content.starts_with(b"#") {
            // May be of a text.
            if !found.is_empty() {
                found.extend_from_slice(&line);
            }
            continue;
        }
        let width = *width.get_or_insert(indent);
        if indent < width {
            break;
        }
        let is_key = indent == width && !content.starts_with(b"-");
        if is_key && !found.is_empty() {
            break;
        }
        let is_ours = is_key && key(content) == Some(name.as_bytes());
        if is_ours || !found.is_empty() {
            found.extend_from_slice(&line);
        }
        if found.len() > MAX_CHART {
            return Err(format!("the index has more than {MAX_CHART} bytes of the chart"));
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(found).map_err(|error| error.to_string())?;
    Ok(parse(&text)?.get_mut(name).map(Value::take))
}

/// The key of a line, without quotes.
fn key(content: &[u8]) -> Option<&[u8]> {
    let end = content.windows(2).position(|pair| pair == b": ").or_else(|| content.len().checked_sub(1))?;
    let key = content.get(..end).filter(|_| content.get(end) == Some(&b':'))?;
    let inner = |quote: &[u8]| key.strip_prefix(quote)?.strip_suffix(quote);
    Some(inner(b"\"").or_else(|| inner(b"'")).unwrap_or(key))
}

/// Reads the next line into `line`; false at the end.
fn next(lines: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, String> {
    line.clear();
    let read = lines.by_ref().take(MAX_CHART as u64).read_until(b'\n', line).map_err(|error| error.to_string())?;
    if read == MAX_CHART { Err("the index has a line that is too long".to_owned()) } else { Ok(read > 0) }
}

fn parse(text: &str) -> Result<Value, String> {
    yaml::parse_with(text, yaml::Options::lenient(), &Budget::default()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn index(text: &str) -> Index {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        Index { compressed: packer.finish().unwrap(), etag: None, found: Mutex::default() }
    }

    fn versions(text: &str, chart: &str) -> Result<Vec<String>, String> {
        let chart = HelmChart::new("https://charts.example.com", chart).unwrap();
        let found = index(text).chart(&chart).map_err(|error| error.to_string())?;
        Ok(found.iter().map(|entry| entry.version.clone()).collect())
    }

    const HELMS: &str = "apiVersion: v1
entries:
  alpine:
  - apiVersion: v2
    description: |
      entries:
        web:

      # text
    urls: [alpine-0.1.0.tgz]
    version: 0.1.0
  \"web\":
  - digest: SHA256
    urls:
    - charts/web-1.2.0.tgz
    version: 1.2.0

  - urls:
    - https://elsewhere.example.com/web-1.3.0.tgz
    version: 1.3.0
  - urls: []
    version: 9.9.9
  web-other:
  - urls: [x]
    version: 7.0.0
generated: \"2024-01-01T00:00:00Z\"
";

    #[test]
    fn only_what_is_of_the_chart_is_read() {
        assert_eq!(versions(HELMS, "web").unwrap(), ["1.2.0", "1.3.0"]);
        assert_eq!(versions(HELMS, "alpine").unwrap(), ["0.1.0"]);
        assert_eq!(versions(HELMS, "web-other").unwrap(), ["7.0.0"]);
        let json = r#"{"entries": {"web": [{"version": "1.0.0", "urls": ["x"]}]}}"#;
        assert_eq!(versions(json, "web").unwrap(), ["1.0.0"]);
        assert_eq!(versions("entries: {web: [{version: 1.0.0, urls: [x]}]}\n", "web").unwrap(), ["1.0.0"]);
        let flat = "entries:\n    web:\n        - version: 1.0.0\n          urls: [x]\n";
        assert_eq!(versions(flat, "web").unwrap(), ["1.0.0"]);
        for none in ["", "entries:\n", "entries: {}\n", "apiVersion: v1\n", "<html>", HELMS] {
            let error = versions(none, "other").unwrap_err();
            assert!(error.contains("does not have the chart"), "{error}");
        }
    }

    #[test]
    fn a_version_is_found_as_helm_finds_it() {
        let chart = HelmChart::new("https://charts.example.com", "web").unwrap();
        let url = |version: &str| index(HELMS).entry(&chart, version).map(|entry| entry.url);
        assert_eq!(url("1.2.0").unwrap(), "charts/web-1.2.0.tgz");
        assert_eq!(url("v1.2.0").unwrap(), "charts/web-1.2.0.tgz");
        assert!(url("1.3.0").unwrap().ends_with("web-1.3.0.tgz"));
        assert!(url("2.0.0").unwrap_err().to_string().contains("does not have it"));
    }

    #[test]
    fn an_index_of_many_charts_is_searched_without_being_parsed() {
        let mut text = "apiVersion: v1\nentries:\n".to_owned();
        for chart in 0..2_000 {
            writeln!(text, "  c{chart}:").unwrap();
            for version in 0..20 {
                // Only the last can be parsed.
                let broken = if chart == 1_999 { "" } else { "[" };
                write!(text, "  - version: 1.{version}.0\n    urls: {broken}\n    - c{chart}-1.{version}.0.tgz\n")
                    .unwrap();
            }
        }
        assert_eq!(versions(&text, "c1999").unwrap().len(), 20);
        assert!(versions(&text, "c1998").is_err(), "it is no YAML");
    }
}
