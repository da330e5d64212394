//! A chart packed as `name-version.tgz`, unpacked in memory within Helm's bounds (helm/helm
//! `pkg/chart/loader/archive`).

use std::io::Read;

use flate2::read::GzDecoder;

use super::File;

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
pub(crate) fn unpack(bytes: &[u8], budget: &mut Budget) -> Result<Vec<File>, ArchiveError> {
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Err(ArchiveError::LargeFile);
    }
    let mut archive = tar::Archive::new(GzDecoder::new(bytes));
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let full = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
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

    fn packed(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = tar::Header::new_ustar();
            // `set_path` refuses what we want to test.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(data.len() as u64);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            builder.append(&header, *data).unwrap();
        }
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&builder.into_inner().unwrap()).unwrap();
        gz.finish().unwrap()
    }

    #[test]
    fn names_stay_inside() {
        let files = unpack(&packed(&[("c/Chart.yaml", b"x"), ("c/a/../b", b"y")]), &mut Budget::new()).unwrap();
        assert_eq!(files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["Chart.yaml", "b"]);
        for bad in ["c/../../etc/passwd", "c//etc/passwd", "Chart.yaml", "c/c:/x", "c\\..\\..\\x", "stray"] {
            let error = unpack(&packed(&[(bad, b"x")]), &mut Budget::new()).unwrap_err();
            assert!(matches!(error, ArchiveError::Name { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn bombs_end_at_the_budget() {
        let zeros = vec![0; 1 << 20];
        let bomb = packed(&[("c/a", &zeros), ("c/b", &zeros), ("c/d", &zeros)]);
        let mut small = Budget { limit: 2 << 20, left: 2 << 20, file: 1 << 20 };
        assert!(matches!(unpack(&bomb, &mut small), Err(ArchiveError::TooLarge { name: None, .. })));
        let mut tiny = Budget { limit: 2 << 20, left: 2 << 20, file: 1 << 10 };
        assert!(matches!(unpack(&bomb, &mut tiny), Err(ArchiveError::TooLarge { name: Some(_), .. })));
        assert!(matches!(unpack(b"no gzip", &mut tiny), Err(ArchiveError::Unreadable(_))));
    }
}
