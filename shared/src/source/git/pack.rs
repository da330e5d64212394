//! Unpacks a pack (git `Documentation/gitformat-pack.adoc`) within bounds. An object is known by the id that its own
//! bytes hash to: what a host says of them is never believed. Pure.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use flate2::bufread::ZlibDecoder;
use sha1::{Digest as _, Sha1};

use crate::memory::{Held, MemoryFull};

/// How many times the bytes of all objects those of large ones may have, which are read and not kept.
const PASSED: usize = 2;

/// The id of an object.
pub(super) type Id = [u8; 20];

/// Why a pack can't be unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// The bytes are no pack, or end early.
    #[error("the pack is broken: {0}")]
    Broken(&'static str),
    /// A bound is exceeded.
    #[error("the pack goes over the limit of {limit} {what}")]
    OverLimit {
        /// The bound.
        limit: usize,
        /// What is counted.
        what: &'static str,
    },
    /// It does not fit the function's memory.
    #[error(transparent)]
    Full(#[from] MemoryFull),
}

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// What a pack may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Objects.
    pub(super) objects: usize,
    /// Bytes of an object that is kept: of larger ones only the size is known.
    pub(super) object_bytes: usize,
    /// Bytes of all objects, and of the deltas that they are made of.
    pub(super) total_bytes: usize,
}

/// An object.
#[derive(Debug, Clone)]
pub(super) enum Object {
    Whole(Kind, Arc<[u8]>),
    /// A blob that is not kept, with its size.
    Large(u64),
}

/// The objects of a pack, by id.
#[derive(Debug, Default)]
pub(super) struct Objects {
    by_id: BTreeMap<Id, Object>,
    /// Whether there are blobs made of a large one, whose ids are not known.
    pub(super) has_unknown: bool,
}

impl Objects {
    pub(super) fn get(&self, id: &Id) -> Option<&Object> {
        self.by_id.get(id)
    }

    /// The bytes of an object of that `kind`.
    pub(super) fn whole(&self, id: &Id, kind: Kind) -> Option<&Arc<[u8]>> {
        match self.get(id) {
            Some(Object::Whole(found, bytes)) if *found == kind => Some(bytes),
            _ => None,
        }
    }
}

/// Deltas whose bases are not known yet, each with where it stands, by these.
type Waiting = BTreeMap<Id, Vec<(usize, Vec<u8>)>>;

/// The objects of `pack`; what they take is counted in `held`.
pub(super) fn unpack(pack: &[u8], limits: Limits, held: &mut Held) -> Result<Objects, PackError> {
    let short = || PackError::Broken("it ends early");
    let (body, sum) = pack.split_at_checked(pack.len().checked_sub(20).ok_or_else(short)?).ok_or_else(short)?;
    if Sha1::digest(body).as_slice() != sum {
        return Err(PackError::Broken("its checksum is another"));
    }
    let number = |at: usize| Some(u32::from_be_bytes(body.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let count = match (body.get(..4), number(4), number(8)) {
        (Some(b"PACK"), Some(2 | 3), Some(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        _ => return Err(PackError::Broken("it is no pack")),
    };
    if count > limits.objects {
        return Err(PackError::OverLimit { limit: limits.objects, what: "objects" });
    }
    let mut unpacker = Unpacker { limits, held, total: 0, passed: 0, objects: Objects::default(), at: BTreeMap::new() };
    let (mut offset, mut waiting) = (12, Waiting::new());
    for _ in 0..count {
        offset = unpacker.entry(body, offset, &mut waiting)?;
    }
    if offset != body.len() {
        return Err(PackError::Broken("it has more than it says"));
    }
    let mut known: Vec<Id> = waiting.keys().filter(|base| unpacker.objects.get(base).is_some()).copied().collect();
    while let Some(id) = known.pop() {
        let Some(base) = unpacker.objects.get(&id).cloned() else { continue };
        for (at, delta) in waiting.remove(&id).unwrap_or_default() {
            unpacker.delta(at, &base, &delta)?;
            known.extend(unpacker.at.get(&at).filter(|made| waiting.contains_key(*made)));
        }
    }
    if !waiting.is_empty() && !unpacker.objects.has_unknown {
        return Err(PackError::Broken("a delta has no base in it"));
    }
    Ok(unpacker.objects)
}

struct Unpacker<'a> {
    limits: Limits,
    held: &'a mut Held,
    total: usize,
    /// Bytes of objects that are not kept.
    passed: u64,
    objects: Objects,
    /// The ids of objects by where they stand.
    at: BTreeMap<usize, Id>,
}

impl Unpacker<'_> {
    fn count(&mut self, bytes: usize) -> Result<(), PackError> {
        self.total = self.total.saturating_add(bytes);
        if self.total > self.limits.total_bytes {
            return Err(PackError::OverLimit { limit: self.limits.total_bytes, what: "bytes in all" });
        }
        Ok(self.held.grow(bytes)?)
    }

    fn keep(&mut self, offset: usize, kind: Kind, bytes: Arc<[u8]>) {
        let mut hash = Sha1::new();
        hash.update(format!("{} {}\0", kind.word(), bytes.len()));
        hash.update(&bytes);
        let id = hash.finalize().into();
        self.at.insert(offset, id);
        self.objects.by_id.insert(id, Object::Whole(kind, bytes));
    }

    /// Reads the entry at `offset`; where the next one stands. Deltas of what comes later are `waiting`.
    fn entry(&mut self, pack: &[u8], offset: usize, waiting: &mut Waiting) -> Result<usize, PackError> {
        let short = || PackError::Broken("it ends early");
        let mut rest = pack.get(offset..).ok_or_else(short)?;
        let mut next = || {
            let (first, tail) = rest.split_first()?;
            rest = tail;
            Some(*first)
        };
        let mut byte = next().ok_or_else(short)?;
        let (kind, mut size, mut shift) = ((byte >> 4) & 7, u64::from(byte & 15), 4_u32);
        while byte & 128 != 0 {
            byte = next().ok_or_else(short)?;
            let part = u64::from(byte & 127).checked_shl(shift).filter(|_| shift < 57);
            size |= part.ok_or(PackError::Broken("a size is too long"))?;
            shift = shift.saturating_add(7);
        }
        let kind = match kind {
            1 => Kind::Commit,
            2 => Kind::Tree,
            3 => Kind::Blob,
            4 => Kind::Tag,
            6 => {
                let mut back = 0_usize;
                loop {
                    byte = next().ok_or_else(short)?;
                    back = back
                        .checked_mul(128)
                        .and_then(|back| back.checked_add(usize::from(byte & 127)))
                        .ok_or_else(short)?;
                    if byte & 128 == 0 {
                        break;
                    }
                    back = back.checked_add(1).ok_or_else(short)?;
                }
                let base = offset.checked_sub(back).and_then(|at| self.objects.get(self.at.get(&at)?).cloned());
                let (delta, end) = self.inflate(pack, rest, size)?;
                match base {
                    Some(base) => self.delta(offset, &base, &delta)?,
                    None if self.objects.has_unknown => {}
                    None => return Err(PackError::Broken("a delta has no base before it")),
                }
                return Ok(end);
            }
            7 => {
                let (base, tail) = rest.split_at_checked(20).ok_or_else(short)?;
                let base: Id = base.try_into().map_err(|_| short())?;
                let (delta, end) = self.inflate(pack, tail, size)?;
                match self.objects.get(&base).cloned() {
                    Some(base) => self.delta(offset, &base, &delta)?,
                    None => waiting.entry(base).or_default().push((offset, delta)),
                }
                return Ok(end);
            }
            _ => return Err(PackError::Broken("an object is of no known kind")),
        };
        let is_large = usize::try_from(size).map_or(true, |size| size > self.limits.object_bytes);
        if is_large && kind == Kind::Blob {
            return self.large(pack, rest, (offset, size));
        }
        let (bytes, end) = self.inflate(pack, rest, size)?;
        self.keep(offset, kind, bytes.into());
        Ok(end)
    }

    /// The `size` bytes that `rest` begins with, compressed, and where in the pack what follows stands.
    fn inflate(&mut self, pack: &[u8], rest: &[u8], size: u64) -> Result<(Vec<u8>, usize), PackError> {
        let limit = self.limits.object_bytes;
        let size = usize::try_from(size).ok().filter(|size| *size <= limit);
        let size = size.ok_or(PackError::OverLimit { limit, what: "bytes in an object" })?;
        self.count(size)?;
        let mut bytes = Vec::with_capacity(size);
        let mut decoder = ZlibDecoder::new(rest);
        let most = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
        let read = decoder.by_ref().take(most).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() != size {
            return Err(PackError::Broken("an object is not what it says"));
        }
        Ok((bytes, pack.len().saturating_sub(decoder.into_inner().len())))
    }

    /// Passes over a blob that is not kept.
    fn large(&mut self, pack: &[u8], rest: &[u8], (offset, size): (usize, u64)) -> Result<usize, PackError> {
        // What is not kept is read all the same, and a small pack may hold any number of zeros.
        self.passed = self.passed.saturating_add(size);
        let limit = self.limits.total_bytes.saturating_mul(PASSED);
        if usize::try_from(self.passed).map_or(true, |passed| passed > limit) {
            return Err(PackError::OverLimit { limit, what: "bytes in large files" });
        }
        let mut hash = Sha1::new();
        hash.update(format!("blob {size}\0"));
        let mut decoder = ZlibDecoder::new(rest);
        let (mut piece, mut left) = (vec![0; 1 << 16], size);
        loop {
            let read = decoder.read(&mut piece).map_err(|_| PackError::Broken("an object is not what it says"))?;
            let Some(some) = piece.get(..read).filter(|some| !some.is_empty()) else { break };
            hash.update(some);
            left = left.checked_sub(read as u64).ok_or(PackError::Broken("an object is not what it says"))?;
        }
        if left > 0 {
            return Err(PackError::Broken("an object is not what it says"));
        }
        let id = hash.finalize().into();
        self.at.insert(offset, id);
        self.objects.by_id.insert(id, Object::Large(size));
        Ok(pack.len().saturating_sub(decoder.into_inner().len()))
    }

    /// Keeps the object that `delta` makes of `base`.
    fn delta(&mut self, offset: usize, base: &Object, delta: &[u8]) -> Result<(), PackError> {
        let Object::Whole(kind, base) = base else {
            self.objects.has_unknown = true;
            return Ok(());
        };
        let wrong = || PackError::Broken("a delta does not fit its base");
        let (mut rest, mut sizes) = (delta, [0_usize; 2]);
        for size in &mut sizes {
            let mut shift = 0_u32;
            loop {
                let (byte, tail) = rest.split_first().ok_or_else(wrong)?;
                rest = tail;
                let part = usize::from(byte & 127).checked_shl(shift).filter(|_| shift < 50);
                *size |= part.ok_or_else(wrong)?;
                shift = shift.saturating_add(7);
                if byte & 128 == 0 {
                    break;
                }
            }
        }
        let [from, to] = sizes;
        if from != base.len() {
            return Err(wrong());
        }
        if to > self.limits.object_bytes {
            self.objects.has_unknown = true;
            return Ok(());
        }
        self.count(to)?;
        let mut bytes = Vec::with_capacity(to);
        while let Some((byte, tail)) = rest.split_first() {
            rest = tail;
            let copied = if byte & 128 == 0 {
                let (new, tail) = rest.split_at_checked(usize::from(*byte)).filter(|_| *byte > 0).ok_or_else(wrong)?;
                rest = tail;
                new
            } else {
                let mut number = |bits: std::ops::Range<u8>| {
                    let mut number = 0_usize;
                    for (place, bit) in bits.enumerate() {
                        if byte & (1 << bit) != 0 {
                            let (part, tail) = rest.split_first()?;
                            rest = tail;
                            number |= usize::from(*part) << (8 * place);
                        }
                    }
                    Some(number)
                };
                let (start, length) = number(0..4).zip(number(4..7)).ok_or_else(wrong)?;
                let length = if length == 0 { 0x10000 } else { length };
                start.checked_add(length).and_then(|end| base.get(start..end)).ok_or_else(wrong)?
            };
            if bytes.len().saturating_add(copied.len()) > to {
                return Err(wrong());
            }
            bytes.extend_from_slice(copied);
        }
        if bytes.len() != to {
            return Err(wrong());
        }
        self.keep(offset, *kind, bytes.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::process::Command;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    const LIMITS: Limits = Limits { objects: 1000, object_bytes: 100_000, total_bytes: 1_000_000 };

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn size(kind: u8, mut size: usize) -> Vec<u8> {
        let mut bytes = vec![(kind << 4) | u8::try_from(size & 15).unwrap()];
        size >>= 4;
        while size > 0 {
            *bytes.last_mut().unwrap() |= 128;
            bytes.push(u8::try_from(size & 127).unwrap());
            size >>= 7;
        }
        bytes
    }

    fn pack(count: u32, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut pack = [b"PACK".as_slice(), &2_u32.to_be_bytes(), &count.to_be_bytes(), &entries.concat()].concat();
        let sum: [u8; 20] = Sha1::digest(&pack).into();
        pack.extend(sum);
        pack
    }

    fn blob(text: &[u8]) -> Vec<u8> {
        [size(3, text.len()), packed(text)].concat()
    }

    /// A pack of kilobytes that would inflate for minutes.
    #[test]
    fn what_is_not_kept_is_read_within_bounds() {
        let large = blob(&vec![0; 150_000]);
        let some = pack(10, &vec![large.clone(); 10]);
        assert!(unpack(&some, LIMITS, &mut Held::default()).is_ok());
        let many = pack(20, &vec![large; 20]);
        let error = unpack(&many, LIMITS, &mut Held::default()).unwrap_err().to_string();
        assert_eq!(error, "the pack goes over the limit of 2000000 bytes in large files");
    }

    fn id(text: &[u8]) -> Id {
        Sha1::digest([format!("blob {}\0", text.len()).as_bytes(), text].concat()).into()
    }

    fn told(pack: &[u8], limits: Limits) -> String {
        unpack(pack, limits, &mut Held::default()).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn objects_are_known_by_what_they_are() {
        // "hello world" is made of "hello": copy five bytes, insert six. The base comes after it.
        let delta = [&[5, 11, 0x90, 5, 6][..], b" world"].concat();
        let made = [size(7, delta.len()), id(b"hello").to_vec(), packed(&delta)].concat();
        let objects = unpack(&pack(2, &[made.clone(), blob(b"hello")]), LIMITS, &mut Held::default()).unwrap();
        for text in [b"hello".as_slice(), b"hello world"] {
            assert_eq!(objects.whole(&id(text), Kind::Blob).unwrap().as_ref(), text);
        }
        assert!(objects.whole(&id(b"hello"), Kind::Tree).is_none());
        let back = u8::try_from(blob(b"hello").len()).unwrap();
        let made = [size(6, delta.len()), vec![back], packed(&delta)].concat();
        let objects = unpack(&pack(2, &[blob(b"hello"), made]), LIMITS, &mut Held::default()).unwrap();
        assert!(objects.get(&id(b"hello world")).is_some());
    }

    #[test]
    fn broken_packs_and_bombs_are_refused() {
        let delta = |bytes: &[u8]| {
            let delta = [size(7, bytes.len()), id(b"hello").to_vec(), packed(bytes)].concat();
            told(&pack(2, &[blob(b"hello"), delta]), LIMITS)
        };
        for (delta, part) in [
            (&[5, 11, 0x91, 5, 6][..], "does not fit"),
            (&[4, 1, 1, b'x'], "does not fit"),
            (&[5, 2, 1, b'x'], "does not fit"),
            (&[5, 1, 0], "does not fit"),
            (&[5, 1, 0x91, 200, 1], "does not fit"),
            (&[5, 1, 2, b'x'], "does not fit"),
            (&[5], "does not fit"),
            (&[0xff; 12], "does not fit"),
        ]
        .map(|(bytes, part)| (delta(bytes), part))
        {
            assert!(delta.contains(part), "{delta}");
        }
        let good = pack(1, &[blob(b"hello")]);
        for end in 0..good.len() {
            assert!(!told(&good[..end], LIMITS).is_empty(), "{end}");
        }
        for at in 0..good.len() {
            let mut other = good.clone();
            other[at] ^= 1;
            assert!(told(&other, LIMITS).contains("broken"), "{at}");
        }
        let missing = [size(7, 3), id(b"other").to_vec(), packed(&[5, 1, 1])].concat();
        assert!(told(&pack(1, &[missing]), LIMITS).contains("no base"));
        assert!(told(&pack(2, &[blob(b"hello")]), LIMITS).contains("broken"));
        assert!(told(&pack(1, &[blob(b"hello"), blob(b"x")]), LIMITS).contains("more than it says"));
        assert!(told(&pack(5000, &[]), LIMITS).contains("limit of 1000 objects"));
        assert!(
            told(&pack(1, &[[size(2, 200_000), packed(&vec![0; 200_000])].concat()]), LIMITS).contains("an object")
        );
        // Small where it is packed, and small where it says so.
        let bomb = [size(3, 10), packed(&vec![0; 10_000_000])].concat();
        assert!(told(&pack(1, &[bomb]), LIMITS).contains("not what it says"));
        let many: Vec<Vec<u8>> = (0..20).map(|at| blob(&vec![at; 90_000])).collect();
        assert!(told(&pack(20, &many), LIMITS).contains("bytes in all"));
        let large = vec![7; 300_000];
        let objects = unpack(&pack(1, &[blob(&large)]), LIMITS, &mut Held::default()).unwrap();
        assert!(matches!(objects.get(&id(&large)), Some(Object::Large(300_000))));
    }

    /// A pack of git's own, with deltas of both kinds.
    #[test]
    fn packs_of_git_are_read() {
        let folder = std::env::temp_dir().join(format!("slipway-pack-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let git = |arguments: &[&str]| {
            let git = Command::new("git").args(arguments).current_dir(&folder).output().unwrap();
            assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
            git.stdout
        };
        git(&["init", "-q"]);
        let mut text = (0..3000).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        for version in 0..6 {
            writeln!(text, "version {version}").unwrap();
            std::fs::write(folder.join(format!("file{version}")), &text).unwrap();
        }
        git(&["add", "."]);
        git(&["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"]);
        let commit = String::from_utf8(git(&["rev-parse", "HEAD"])).unwrap();
        let commit: Id = hex::decode(commit.trim()).unwrap().try_into().unwrap();
        for flag in ["--delta-base-offset", "--no-reuse-delta"] {
            let mut packer = Command::new("git");
            packer.args(["pack-objects", "--stdout", "--revs", "-q", flag]).current_dir(&folder);
            let piped = std::process::Stdio::piped;
            let mut packer = packer.stdin(piped()).stdout(piped()).spawn().unwrap();
            packer.stdin.take().unwrap().write_all(b"HEAD\n").unwrap();
            let pack = packer.wait_with_output().unwrap().stdout;
            let objects = unpack(&pack, LIMITS, &mut Held::default()).unwrap();
            assert_eq!((objects.by_id.len(), objects.whole(&commit, Kind::Commit).is_some()), (8, true));
            assert!(objects.get(&id(text.as_bytes())).is_some());
            assert!(pack.len() < text.len(), "it has deltas");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
