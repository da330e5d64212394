//! Unpacks a GitHub tarball in memory, within limits. The result is not trusted yet: [`super::verify`] compares it with
//! the commit.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use slipway_manifest::Limits;
use tar::EntryType;

use crate::memory::{Held, MemoryFull};

/// The content of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file's bytes.
    File(Vec<u8>),
    /// A symlink's target.
    Link(String),
}

impl ArchiveError {
    /// Whether another download of the same commit may end otherwise.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Full(full) => full.is_retryable(),
            Self::Name(_) | Self::OverLimit { .. } | Self::Special(_) => false,
        }
    }
}

impl Entry {
    /// The bytes that git stores: of the file, or the symlink's target.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::File(bytes) => bytes,
            Self::Link(target) => target.as_bytes(),
        }
    }
}

/// Why an archive can't be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The data is no gzipped tar, or ends early.
    #[error("failed to unpack the repository's archive")]
    Read(#[source] io::Error),
    /// A name is not UTF-8.
    #[error("the archive holds a path that is not UTF-8: {0:?}")]
    Name(String),
    /// A limit is exceeded.
    #[error("the archive goes over the limit of {limit} {what} at `{path}`")]
    OverLimit {
        /// The path at which it is exceeded.
        path: String,
        /// The limit.
        limit: usize,
        /// The counted unit.
        what: &'static str,
    },
    /// It does not fit the function's memory.
    #[error(transparent)]
    Full(#[from] MemoryFull),
    /// An entry that git never stores: a device, a hard link.
    #[error("the archive holds `{0}`, which is neither a file nor a folder nor a symlink")]
    Special(String),
}

/// Longest target of a symlink (Linux' own limit of a path).
const MAX_LINK_BYTES: usize = 4096;
/// What an entry takes besides its content.
const ENTRY_BYTES: usize = 256;

/// Unpacks a tar.gz, without the top folder that GitHub adds, and without the files beyond `limits.file_bytes`. What it
/// returns is counted in `held`.
pub fn unpack(archive: impl Read, limits: Limits, held: &mut Held) -> Result<BTreeMap<String, Entry>, ArchiveError> {
    // Headers and padding add to the contents; a bomb of nothing but headers is stopped here, too.
    let most = limits.total_bytes.saturating_add(limits.files.saturating_mul(2048));
    let plain = GzDecoder::new(archive).take(u64::try_from(most).unwrap_or(u64::MAX));
    let mut archive = tar::Archive::new(plain);
    let mut files = BTreeMap::new();
    let mut total = 0_usize;
    for entry in archive.entries().map_err(ArchiveError::Read)? {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::Directory) {
            continue;
        }
        let name = entry.path_bytes();
        let name = std::str::from_utf8(&name)
            .map_err(|_| ArchiveError::Name(String::from_utf8_lossy(&name).into_owned()))?
            .to_owned();
        let Some((_, path)) = name.split_once('/') else { return Err(ArchiveError::Special(name)) };
        let over = |limit, what| Err(ArchiveError::OverLimit { path: path.to_owned(), limit, what });
        if files.len() >= limits.files {
            return over(limits.files, "files");
        }
        held.grow(ENTRY_BYTES)?;
        let content = match kind {
            EntryType::Regular | EntryType::Continuous => {
                let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
                if size > limits.file_bytes {
                    continue;
                }
                // First what a larger function would take.
                held.grow(size)?;
                total = total.saturating_add(size);
                if total > limits.total_bytes {
                    return over(limits.total_bytes, "bytes in all");
                }
                let mut bytes = Vec::with_capacity(size);
                entry.read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
                Entry::File(bytes)
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                if target.len() > MAX_LINK_BYTES {
                    return over(MAX_LINK_BYTES, "bytes in the target of a symlink");
                }
                held.grow(target.len())?;
                total = total.saturating_add(target.len());
                if total > limits.total_bytes {
                    return over(limits.total_bytes, "bytes in all");
                }
                Entry::Link(String::from_utf8(target.into_owned()).map_err(|_| ArchiveError::Name(name.clone()))?)
            }
            _ => return Err(ArchiveError::Special(name)),
        };
        files.insert(path.to_owned(), content);
    }
    Ok(files)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A tarball as GitHub makes it.
    pub(crate) fn tarball(files: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("acme-gitops-abc/{path}"), text.as_bytes()).unwrap();
        }
        for (path, target) in links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, format!("acme-gitops-abc/{path}"), target).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn the_top_folder_is_stripped() {
        let archive = tarball(&[("a/b.yaml", "x: 1"), ("c", "")], &[("l", "a/b.yaml")]);
        let files = unpack(archive.as_slice(), Limits::default(), &mut Held::default()).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a/b.yaml", "c", "l"]);
        assert_eq!(files["l"], Entry::Link("a/b.yaml".into()));
        assert_eq!(files["a/b.yaml"].bytes(), b"x: 1");
    }

    #[test]
    fn limits_hold_against_bombs() {
        let limits = Limits { files: 2, file_bytes: 10, total_bytes: 15, depth: 8 };
        let error = |files: &[(&str, &str)]| {
            unpack(tarball(files, &[]).as_slice(), limits, &mut Held::default()).unwrap_err().to_string()
        };
        assert_eq!(
            unpack(tarball(&[("a", "12345678901")], &[]).as_slice(), limits, &mut Held::default()).unwrap(),
            BTreeMap::new()
        );
        let link = "x".repeat(MAX_LINK_BYTES + 1);
        let link =
            unpack(tarball(&[], &[("l", &link)]).as_slice(), Limits::default(), &mut Held::default()).unwrap_err();
        let some = [("l", "12345678"), ("m", "12345678")];
        let many = unpack(tarball(&[], &some).as_slice(), limits, &mut Held::default()).unwrap_err().to_string();
        assert_eq!(many, "the archive goes over the limit of 15 bytes in all at `m`");
        let told = "the archive goes over the limit of 4096 bytes in the target of a symlink at `l`";
        assert_eq!((link.to_string().as_str(), link.is_retryable()), (told, false));
        assert_eq!(
            error(&[("a", "1234567890"), ("b", "123456")]),
            "the archive goes over the limit of 15 bytes in all at `b`"
        );
        assert_eq!(error(&[("a", ""), ("b", ""), ("c", "")]), "the archive goes over the limit of 2 files at `c`");
        // Zeros compress a thousandfold; the stream is cut however small the archive is.
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        let mut header = tar::Header::new_gnu();
        header.set_path("top/zeros").unwrap();
        header.set_size(1 << 30);
        header.set_cksum();
        gz.write_all(header.as_bytes()).unwrap();
        gz.write_all(&vec![0; 1 << 20]).unwrap();
        assert!(unpack(gz.finish().unwrap().as_slice(), Limits::default(), &mut Held::default()).is_err());
    }

    #[test]
    fn what_git_never_stores_is_refused() {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Link);
        header.set_size(0);
        tar.append_link(&mut header, "top/hard", "top/other").unwrap();
        let bytes = tar.into_inner().unwrap().finish().unwrap();
        assert!(matches!(
            unpack(bytes.as_slice(), Limits::default(), &mut Held::default()),
            Err(ArchiveError::Special(_))
        ));
        assert!(matches!(
            unpack(&b"not gzip"[..], Limits::default(), &mut Held::default()),
            Err(ArchiveError::Read(_))
        ));
    }
}
