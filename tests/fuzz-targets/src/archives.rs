//! What is fetched: a repository's archive and listing, a chart's archive.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use slipway::source::archive::{self, Entry};
use slipway::source::verify::{self, GitTree, GitTreeEntry};
use slipway_helm::Options;
use slipway_manifest::{Limits, Tree, tree};

use crate::parts;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a buffer takes all")
}

/// A tar of an entry a line: `TYPE|NAME|TARGET|SIZE|CONTENT`, TYPE as its header has it, SIZE where the header is to
/// say another than the content's, `\n` in the content for a line's end. The checksums are right, which a fuzzer would
/// not find.
fn tarball(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.splitn(5, '|').collect();
        let [kind, name, target, size, content] = fields.as_slice() else { continue };
        let content = content.replace("\\n", "\n");
        let mut header = tar::Header::new_ustar();
        let fields = header.as_old_mut();
        for (place, text) in [(&mut fields.name, name), (&mut fields.linkname, target)] {
            place.iter_mut().zip(text.bytes()).for_each(|(byte, from)| *byte = from);
        }
        header.set_entry_type(tar::EntryType::new(kind.bytes().next().unwrap_or(b'0')));
        header.set_size(size.parse().unwrap_or(content.len() as u64));
        header.set_mode(0o644);
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(content.as_bytes());
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// The archives that an input stands for: itself, itself as a tar, the tar that it describes.
fn archives(data: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let described = parts::text(data).map(|text| gzip(&tarball(text)));
    [data.to_vec(), gzip(data)].into_iter().chain(described)
}

/// A repository's archive: what is unpacked is what the commit's tree holds, and nothing leads out of it.
pub fn repository_archive(data: &[u8]) {
    for archive in archives(data) {
        let limits = Limits::default();
        let Ok(files) = archive::unpack(archive.as_slice(), limits, &mut slipway::memory::Held::default()) else {
            continue;
        };
        let listing = files.iter().map(|(path, entry)| GitTreeEntry {
            path: path.clone(),
            mode: if matches!(entry, Entry::Link(_)) { "120000" } else { "100644" }.to_owned(),
            sha: verify::blob_id(entry.bytes()),
            size: entry.bytes().len() as u64,
        });
        let listing = GitTree { url: String::new(), truncated: false, tree: listing.collect() };
        let Ok(verified) = verify::verify(listing, files.clone(), limits) else { continue };
        assert!(verified.missing.is_empty(), "all of it is there: {:?}", verified.missing);
        let has_links = verified.tree.links().next().is_some();
        for (path, entry) in &files {
            match entry {
                Entry::File(bytes) if !has_links && tree::join("", path).as_ref() == Ok(path) => {
                    assert_eq!(verified.tree.read(path), Ok(bytes.as_slice()));
                }
                _ => stays_inside(&verified.tree, path),
            }
        }
    }
}

/// That `path` leads to a place in the tree, or nowhere.
fn stays_inside(tree: &Tree, path: &str) {
    if let Ok(found) = tree.resolve(path) {
        assert!(!found.starts_with('/') && found.split('/').all(|part| part != ".."), "{path} leads to {found}");
    }
    let _ = tree.read(path);
}

/// GitHub's listing of a commit, with no archive beside it and with blobs that are not the commit's.
pub fn repository_listing(data: &[u8]) {
    let Ok(listing) = serde_json::from_slice::<GitTree>(data) else { return };
    let paths: Vec<String> = listing.tree.iter().map(|entry| entry.path.clone()).collect();
    for path in &paths {
        if let Ok(joined) = tree::join("", path) {
            assert_eq!(tree::join("", &joined).as_ref(), Ok(&joined), "{path}");
        }
    }
    let Ok(mut verified) = verify::verify(listing, BTreeMap::new(), Limits::default()) else { return };
    for missing in std::mem::take(&mut verified.missing) {
        let bytes = b"target".to_vec();
        let is_right = verify::blob_id(&bytes) == missing.sha;
        assert!(is_right || verified.add(&missing, bytes).is_err(), "another blob is refused");
        if is_right {
            let _ = verified.add(&missing, b"target".to_vec());
        }
    }
    let (tree, special) = verified.into_parts();
    for path in &paths {
        stays_inside(&tree, path);
        let _ = special.check_folder(path);
    }
    let _ = special.check_files(&paths);
}

/// A packed chart, by itself and as a dependency.
pub fn chart_archive(data: &[u8]) {
    for archive in archives(data) {
        let mut files = Tree::default();
        let chart = "apiVersion: v2\nname: outer\nversion: 1.0.0\n";
        for (path, bytes) in [
            ("chart.tgz", archive.as_slice()),
            ("outer/Chart.yaml", chart.as_bytes()),
            ("outer/charts/inner-1.0.0.tgz", archive.as_slice()),
        ] {
            files.insert(path, bytes).expect("a small tree holds three files");
        }
        for path in ["chart.tgz", "outer"] {
            if let Err(error) = slipway_helm::render(&files, path, &Options::default()) {
                let _ = format!("{error} {}", error.report());
            }
        }
    }
}
