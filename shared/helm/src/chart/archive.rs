//! A chart packed as `name-version.tgz`, unpacked in memory within Helm's bounds (helm/helm
//! `pkg/chart/loader/archive`).

use std::io::Read;

use flate2::read::GzDecoder;

use slipway_budget::Exceeded;
use tar::{EntryType, PaxExtensions};

use super::File;

/// Entries of one archive, folders and headers included.
const MAX_ENTRIES: usize = 50_000;
/// Bytes of a header that holds a long name.
const MAX_HEADER: u64 = 64 << 10;
/// Bytes of headers and padding in one archive.
const HEADERS: usize = MAX_ENTRIES * 1_024;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Not a gzipped tar, or a broken one.
    #[error("the archive can't be read")]
    Unreadable(#[from] std::io::Error),
    /// An entry has a name that leads out of the chart.
    #[error("illegal name `{name}`: {reason}")]
    Name {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The render's own budget.
    #[error(transparent)]
    Budget(#[from] Exceeded),
    /// More entries than a chart has files.
    #[error("more than {MAX_ENTRIES} entries")]
    Entries,
    /// Too large.
    #[error("unpacked over {limit} bytes{}", .name.as_ref().map(|n| format!(" in `{n}`")).unwrap_or_default())]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The file that is too large; none where the sum of all is.
        name: Option<String>,
    },
    /// What stands for the archive where Git LFS keeps it.
    #[error("a pointer of Git LFS, whose files are not fetched: commit the archive itself")]
    LargeFile,
    /// No file in it.
    #[error("no files in chart archive")]
    Empty,
}

/// Bytes that may still be unpacked, over all archives of one chart.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) limit: usize,
    pub(crate) left: usize,
    pub(crate) file: usize,
}

impl Budget {
    /// Helm's bounds: 100 MiB, 5 MiB a file. Helm counts the 100 MiB for each archive; we for all together.
    pub(crate) fn new() -> Self {
        Self { limit: 100 << 20, left: 100 << 20, file: 5 << 20 }
    }
}

/// The files of the archive `bytes`, their names without the first part (the chart's own folder).
///
/// Entries are read raw: the reader of long names that `tar` has would take one of any length into memory.
pub(crate) fn unpack(
    bytes: &[u8],
    budget: &mut Budget,
    render: &slipway_budget::Budget,
) -> Result<Vec<File>, ArchiveError> {
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Err(ArchiveError::LargeFile);
    }
    let room = budget.left.saturating_add(HEADERS) as u64;
    let mut archive = tar::Archive::new(Metered { inner: GzDecoder::new(bytes).take(room), render });
    let mut files = Vec::new();
    let mut long_name = None;
    for (count, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry?;
        if count >= MAX_ENTRIES {
            return Err(ArchiveError::Entries);
        }
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let mut header = Vec::new();
            entry.by_ref().take(MAX_HEADER + 1).read_to_end(&mut header)?;
            if header.len() as u64 > MAX_HEADER {
                let limit = usize::try_from(MAX_HEADER).unwrap_or_default();
                return Err(ArchiveError::TooLarge { limit, name: Some("a header".to_owned()) });
            }
            long_name = name_in(kind, &header).or(long_name);
            continue;
        }
        if kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
            continue;
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        if kind.is_dir() {
            continue;
        }
        let full = String::from_utf8_lossy(&path).into_owned();
        if full.ends_with('/') {
            continue;
        }
        let name = inner_name(&full)?;
        let limit = budget.file.min(budget.left);
        let mut data = Vec::new();
        // The header's size is not believed: we read one byte more than allowed and look.
        entry.by_ref().take(limit as u64 + 1).read_to_end(&mut data)?;
        if data.len() > budget.file {
            return Err(ArchiveError::TooLarge { limit: budget.file, name: Some(full) });
        }
        render.bytes(data.len())?;
        budget.left = budget
            .left
            .checked_sub(data.len().max(1))
            .ok_or(ArchiveError::TooLarge { limit: budget.limit, name: None })?;
        if data.starts_with(b"\xef\xbb\xbf") {
            data.drain(..3);
        }
        files.push(File { name, data: data.into() });
    }
    if files.is_empty() { Err(ArchiveError::Empty) } else { Ok(files) }
}

/// The name in a header that holds a long one.
fn name_in(kind: EntryType, header: &[u8]) -> Option<Vec<u8>> {
    if kind.is_gnu_longname() {
        return Some(header.strip_suffix(b"\0").unwrap_or(header).to_vec());
    }
    let records = PaxExtensions::new(header).filter_map(Result::ok);
    records.filter(|record| record.key_bytes() == b"path").last().map(|record| record.value_bytes().to_vec())
}

/// An archive's contents, whose unpacking takes steps, also where nothing comes of it.
struct Metered<'b, R> {
    inner: std::io::Take<R>,
    render: &'b slipway_budget::Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.inner.limit() == 0 {
            return Err(std::io::Error::other("unpacked, its headers take more than those of any chart"));
        }
        let read = self.inner.read(buffer)?;
        self.render.scan(read.saturating_mul(8)).map_err(std::io::Error::other)?;
        Ok(read)
    }
}

fn inner_name(full: &str) -> Result<String, ArchiveError> {
    let refuse = |reason| Err(ArchiveError::Name { name: full.to_owned(), reason });
    let delimiter = if full.contains('\\') { '\\' } else { '/' };
    let Some((first, rest)) = full.split_once(delimiter) else {
        return refuse(if full == "Chart.yaml" {
            "chart yaml not in base directory"
        } else {
            "chart illegally contains content outside the base directory"
        });
    };
    if first == "Chart.yaml" {
        return refuse("chart yaml not in base directory");
    }
    let rest = rest.replace(delimiter, "/");
    if rest.starts_with('/') {
        return refuse("chart illegally contains absolute paths");
    }
    if rest.get(1..3) == Some(":/") && rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return refuse("chart contains illegally named files");
    }
    match slipway_manifest::tree::join("", &rest) {
        Ok(name) if name.is_empty() => refuse("chart illegally contains content outside the base directory"),
        Ok(name) => Ok(name),
        Err(_) => refuse("chart illegally references parent directory"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn render() -> slipway_budget::Budget {
        slipway_budget::Budget::default()
    }

    fn packed(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = tar::Header::new_ustar();
            // `set_path` refuses what we want to test.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(data.len() as u64);
            header.set_entry_type(EntryType::Regular);
            header.set_cksum();
            builder.append(&header, *data).unwrap();
        }
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&builder.into_inner().unwrap()).unwrap();
        gz.finish().unwrap()
    }

    #[test]
    fn names_stay_inside() {
        let files =
            unpack(&packed(&[("c/Chart.yaml", b"x"), ("c/a/../b", b"y")]), &mut Budget::new(), &render()).unwrap();
        assert_eq!(files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["Chart.yaml", "b"]);
        for bad in ["c/../../etc/passwd", "c//etc/passwd", "Chart.yaml", "c/c:/x", "c\\..\\..\\x", "stray"] {
            let error = unpack(&packed(&[(bad, b"x")]), &mut Budget::new(), &render()).unwrap_err();
            assert!(matches!(error, ArchiveError::Name { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn bombs_end_at_the_budget() {
        let zeros = vec![0; 1 << 20];
        let bomb = packed(&[("c/a", &zeros), ("c/b", &zeros), ("c/d", &zeros)]);
        let mut small = Budget { limit: 2 << 20, left: 2 << 20, file: 1 << 20 };
        assert!(matches!(unpack(&bomb, &mut small, &render()), Err(ArchiveError::TooLarge { name: None, .. })));
        let mut tiny = Budget { limit: 2 << 20, left: 2 << 20, file: 1 << 10 };
        assert!(matches!(unpack(&bomb, &mut tiny, &render()), Err(ArchiveError::TooLarge { name: Some(_), .. })));
        assert!(matches!(unpack(b"no gzip", &mut tiny, &render()), Err(ArchiveError::Unreadable(_))));
    }
}
