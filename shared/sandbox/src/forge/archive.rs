//! The tarball of a commit as GitHub serves it, which is what `git archive` makes: not a checkout.
//!
//! `export-ignore` leaves files out, `export-subst` rewrites them, submodules are empty folders (git's `archive.c`,
//! `Documentation/gitattributes.adoc`).

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use globset::{GlobBuilder, GlobMatcher};

use super::objects::Oid;
use super::repository::{Commit, Mode, Repository};

/// The gzipped tar of `commit`, everything below the folder `OWNER-NAME-SHA7/`.
pub(super) fn tarball(repository: &Repository, commit: Oid) -> io::Result<Vec<u8>> {
    let commit = repository.commit(commit)?;
    let top = format!("{}-{}-{}", repository.owner, repository.name, commit.oid.short());
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mtime = u64::try_from(commit.committer.time.as_second()).unwrap_or_default();
    comment(&mut tar, commit.oid)?;
    append(&mut tar, &format!("{top}/"), tar::EntryType::Directory, 0o775, mtime, &[])?;
    let mut archive = Archive { repository, commit: &commit, top: &top, mtime, rules: Vec::new(), tar };
    archive.folder(commit.tree, "")?;
    archive.tar.into_inner()?.finish()
}

/// The global pax header with which `git archive` names the commit; a reader that takes it for a file is wrong.
fn comment<W: io::Write>(tar: &mut tar::Builder<W>, commit: Oid) -> io::Result<()> {
    let record = format!("52 comment={commit}\n");
    let mut header = tar::Header::new_ustar();
    header.set_path("pax_global_header")?;
    header.set_entry_type(tar::EntryType::XGlobalHeader);
    header.set_size(u64::try_from(record.len()).unwrap_or_default());
    header.set_mode(0o666);
    header.set_cksum();
    tar.append(&header, record.as_bytes())
}

fn append<W: io::Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    mtime: u64,
    content: &[u8],
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    if kind == tar::EntryType::Symlink {
        header.set_size(0);
        return tar.append_link(&mut header, path, String::from_utf8_lossy(content).as_ref());
    }
    header.set_size(u64::try_from(content.len()).unwrap_or_default());
    tar.append_data(&mut header, path, content)
}

struct Archive<'a> {
    repository: &'a Repository,
    commit: &'a Commit,
    top: &'a str,
    mtime: u64,
    /// Rules of the `.gitattributes` files from the root to the folder at hand: later ones win.
    rules: Vec<Rule>,
    tar: tar::Builder<GzEncoder<Vec<u8>>>,
}

impl Archive<'_> {
    fn folder(&mut self, tree: Oid, prefix: &str) -> io::Result<()> {
        let entries = self.repository.tree(tree)?;
        let outer = self.rules.len();
        if let Some((_, entry)) = entries.iter().find(|(name, _)| name == ".gitattributes") {
            let text = self.repository.blob(entry.oid)?.unwrap_or_default();
            self.rules.extend(parse_rules(&String::from_utf8_lossy(&text), prefix));
        }
        for (name, entry) in entries {
            let path = format!("{prefix}{name}");
            let is_folder = matches!(entry.mode, Mode::Tree | Mode::Submodule);
            if self.attribute(&path, is_folder, "export-ignore") {
                continue;
            }
            let target = format!("{}/{path}", self.top);
            let blob = || self.repository.blob(entry.oid).map(Option::unwrap_or_default);
            match entry.mode {
                Mode::Tree => {
                    append(&mut self.tar, &format!("{target}/"), tar::EntryType::Directory, 0o775, self.mtime, &[])?;
                    self.folder(entry.oid, &format!("{path}/"))?;
                }
                Mode::Submodule => {
                    append(&mut self.tar, &format!("{target}/"), tar::EntryType::Directory, 0o775, self.mtime, &[])?;
                }
                Mode::Link => append(&mut self.tar, &target, tar::EntryType::Symlink, 0o777, self.mtime, &blob()?)?,
                Mode::File | Mode::Executable => {
                    let mut content = blob()?;
                    if self.attribute(&path, false, "export-subst") {
                        content = substitute(&content, self.commit);
                    }
                    let mode = if entry.mode == Mode::Executable { 0o775 } else { 0o664 };
                    append(&mut self.tar, &target, tar::EntryType::Regular, mode, self.mtime, &content)?;
                }
            }
        }
        self.rules.truncate(outer);
        Ok(())
    }

    fn attribute(&self, path: &str, is_folder: bool, name: &str) -> bool {
        self.rules
            .iter()
            .rev()
            .filter(|rule| rule.matches(path, is_folder))
            .find_map(|rule| rule.attributes.iter().rev().find(|(attribute, _)| attribute == name).map(|(_, set)| *set))
            .unwrap_or_default()
    }
}

/// One line of a `.gitattributes` file.
struct Rule {
    /// Folder of the file, with a slash at the end unless it is the root.
    base: String,
    glob: GlobMatcher,
    /// A pattern without a slash speaks of names, wherever they are.
    by_name: bool,
    folders_only: bool,
    attributes: Vec<(String, bool)>,
}

impl Rule {
    fn matches(&self, path: &str, is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        let Some(path) = path.strip_prefix(&self.base) else { return false };
        let subject = if self.by_name { path.rsplit('/').next().unwrap_or(path) } else { path };
        self.glob.is_match(subject)
    }
}

fn parse_rules(text: &str, base: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace();
        // `!pattern` is not allowed here, `[attr]` defines a macro: neither says anything about an archive.
        let Some(pattern) = words.next().filter(|word| !word.starts_with('!') && !word.starts_with("[attr]")) else {
            continue;
        };
        let folders_only = pattern.ends_with('/');
        let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
        let by_name = !pattern.contains('/');
        let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
        let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build() else {
            continue;
        };
        let attributes = words
            .map(|word| match word.strip_prefix(['-', '!']) {
                Some(name) => (name.to_owned(), false),
                None => (word.split('=').next().unwrap_or(word).to_owned(), true),
            })
            .collect();
        rules.push(Rule { base: base.to_owned(), glob: glob.compile_matcher(), by_name, folders_only, attributes });
    }
    rules
}

/// Replaces `$Format:…$` with the commit's data (the placeholders of git's `pretty-formats` that name a commit).
fn substitute(content: &[u8], commit: &Commit) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    let find = |haystack: &[u8], needle: &[u8]| haystack.windows(needle.len()).position(|window| window == needle);
    while let Some(start) = find(rest, b"$Format:") {
        let (before, tail) = rest.split_at(start);
        let body = tail.get(8..).unwrap_or_default();
        let Some(end) = body.iter().position(|byte| *byte == b'$') else { break };
        out.extend_from_slice(before);
        let (format, tail) = body.split_at(end);
        let _ = write!(out, "{}", expand(&String::from_utf8_lossy(format), commit));
        rest = tail.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

fn expand(format: &str, commit: &Commit) -> String {
    let short = |oids: &[Oid]| oids.iter().map(Oid::short).collect::<Vec<_>>().join(" ");
    let full = |oids: &[Oid]| oids.iter().map(Oid::to_string).collect::<Vec<_>>().join(" ");
    let strict = |time: jiff::Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let values = [
        ("%an", commit.author.name.clone()),
        ("%ae", commit.author.email.clone()),
        ("%aI", strict(commit.author.time)),
        ("%ai", commit.author.time.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()),
        ("%at", commit.author.time.as_second().to_string()),
        ("%cn", commit.committer.name.clone()),
        ("%ce", commit.committer.email.clone()),
        ("%cI", strict(commit.committer.time)),
        ("%ci", commit.committer.time.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()),
        ("%ct", commit.committer.time.as_second().to_string()),
        ("%H", commit.oid.to_string()),
        ("%h", commit.oid.short()),
        ("%T", commit.tree.to_string()),
        ("%t", commit.tree.short()),
        ("%P", full(&commit.parents)),
        ("%p", short(&commit.parents)),
        ("%s", commit.message.lines().next().unwrap_or_default().to_owned()),
        ("%n", String::from("\n")),
        ("%%", String::from("%")),
    ];
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let known = values.iter().find_map(|(name, value)| Some((value, tail.strip_prefix(name)?)));
        if let Some((value, tail)) = known {
            out.push_str(value);
            rest = tail;
        } else {
            out.push('%');
            rest = tail.strip_prefix('%').unwrap_or_default();
        }
    }
    out + rest
}
