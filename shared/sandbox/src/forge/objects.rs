//! Git's loose objects and refs on disk: what a bare repository without packs is made of.
//!
//! The repository's settings keep every push loose (`transfer.unpackLimit`) and switch garbage collection off, so packs
//! and packed refs never appear. Formats: git's `Documentation/gitformat-*` and `gitrepository-layout`.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha1::{Digest as _, Sha1};

/// An object is read up to this size.
const OBJECT_LIMIT: u64 = 512 << 20;

const SETTINGS: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[transfer]
\tunpackLimit = 1000000
[receive]
\tautogc = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
";

/// The name of a git object (SHA-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid([u8; 20]);

impl Oid {
    /// All zeros: what a push event says of a ref that is not there.
    pub const ZERO: Self = Self([0; 20]);

    /// From the 20 bytes inside a tree object.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 20 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name of an object of this kind and content.
    pub fn of(kind: &str, content: &[u8]) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("{kind} {}\0", content.len()));
        hash.update(content);
        Self(hash.finalize().into())
    }

    /// The first seven digits.
    pub fn short(&self) -> String {
        format!("{self:.7}")
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Oid {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A bare repository's folder.
#[derive(Debug)]
pub struct Objects {
    folder: PathBuf,
    written: AtomicU64,
}

fn malformed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Objects {
    /// Makes an empty bare repository in `folder` whose HEAD is `branch`, or opens the one that is there.
    pub fn open_or_create(folder: &Path, branch: &str) -> io::Result<Self> {
        for part in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
            fs::create_dir_all(folder.join(part))?;
        }
        if !folder.join("HEAD").exists() {
            fs::write(folder.join("HEAD"), format!("ref: refs/heads/{branch}\n"))?;
            fs::write(folder.join("config"), SETTINGS)?;
        }
        Ok(Self { folder: folder.to_owned(), written: AtomicU64::new(0) })
    }

    /// The folder that the git command line can clone from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, oid: Oid) -> PathBuf {
        let name = oid.to_string();
        let (first, rest) = name.split_at_checked(2).unwrap_or_default();
        self.folder.join("objects").join(first).join(rest)
    }

    /// Kind (`blob`, `tree`, `commit`, `tag`) and content of an object; `None` when there is none of that name.
    pub fn read(&self, oid: Oid) -> io::Result<Option<(String, Vec<u8>)>> {
        let file = match fs::File::open(self.path(oid)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut raw = Vec::new();
        ZlibDecoder::new(file).take(OBJECT_LIMIT).read_to_end(&mut raw)?;
        let end =
            raw.iter().position(|byte| *byte == 0).ok_or_else(|| malformed(format!("object {oid} has no header")))?;
        let content = raw.split_off(end + 1);
        let header = String::from_utf8_lossy(&raw);
        let kind = header.split(' ').next().unwrap_or_default().to_owned();
        Ok(Some((kind, content)))
    }

    /// Writes an object and gives its name; one that is there already is left alone.
    pub fn write(&self, kind: &str, content: &[u8]) -> io::Result<Oid> {
        let oid = Oid::of(kind, content);
        let path = self.path(oid);
        if path.exists() {
            return Ok(oid);
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join("objects").join(format!("tmp_obj_slipway_{number}"));
        let mut encoder = ZlibEncoder::new(fs::File::create(&temporary)?, Compression::fast());
        write!(encoder, "{kind} {}\0", content.len())?;
        encoder.write_all(content)?;
        encoder.finish()?;
        fs::rename(&temporary, &path)?;
        Ok(oid)
    }

    /// Names of all objects whose hexadecimal form begins with `prefix` (at least four digits), at most two of them.
    pub fn with_prefix(&self, prefix: &str) -> io::Result<Vec<Oid>> {
        let Some((folder, rest)) = prefix.split_at_checked(2).filter(|(_, rest)| rest.len() >= 2) else {
            return Ok(Vec::new());
        };
        if !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let entries = match fs::read_dir(self.folder.join("objects").join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(rest) {
                found.extend(format!("{folder}{name}").parse::<Oid>().ok());
            }
        }
        found.sort_unstable();
        found.truncate(2);
        Ok(found)
    }

    /// What the ref of this full name (`refs/heads/main`) points to.
    pub fn reference(&self, name: &str) -> io::Result<Option<Oid>> {
        if !is_ref_name(name) {
            return Ok(None);
        }
        match fs::read_to_string(self.folder.join(name)) {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// All refs by full name.
    pub fn references(&self) -> io::Result<Vec<(String, Oid)>> {
        let mut found = Vec::new();
        let mut folders = vec![String::from("refs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.folder.join(&folder))? {
                let entry = entry?;
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_dir() {
                    folders.push(name);
                } else if let Some(oid) = self.reference(&name)? {
                    found.push((name, oid));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Points the ref `name` to `new` if it still points to `old` (`None`: does not exist); false when it has moved.
    /// Holds git's own lock file meanwhile, so that a `git push` and an API call can't both win.
    pub fn move_reference(&self, name: &str, old: Option<Oid>, new: Oid) -> io::Result<bool> {
        if !is_ref_name(name) {
            return Err(malformed(format!("`{name}` is not a ref's name")));
        }
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let lock = self.folder.join(format!("{name}.lock"));
        let mut file = match fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            other => other?,
        };
        if self.reference(name)? != old {
            fs::remove_file(&lock)?;
            return Ok(false);
        }
        writeln!(file, "{new}")?;
        drop(file);
        fs::rename(&lock, &path)?;
        Ok(true)
    }

    /// Deletes the ref `name`; false where there is none.
    pub(super) fn delete_reference(&self, name: &str) -> io::Result<bool> {
        if self.reference(name)?.is_none() {
            return Ok(false);
        }
        fs::remove_file(self.folder.join(name))?;
        Ok(true)
    }
}

/// Whether `name` is a full ref name that stays inside `refs/` (a part of `git check-ref-format`).
fn is_ref_name(name: &str) -> bool {
    name.starts_with("refs/")
        && !name.contains("..")
        && !name.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.strip_suffix(".lock").is_none())
}
