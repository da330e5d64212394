//! Puts the functions' zips into S3, by their digests: what is there already is not sent again.

use std::path::Path;

use anyhow::{Context as _, bail};
use hyper::body::Bytes;
use sha2::{Digest as _, Sha256};
use slipway::aws::Aws;

use crate::aws::{self, AskError};

/// The zips of the functions, without their architecture: as `infra/template.yaml` names what they are built from.
pub(super) const ZIPS: [&str; 3] = ["ecr-push", "github-webhook", "drift-check"];
/// The template asks for 256 MB of code at most, unpacked; what is larger is no zip of ours.
const MAX_ZIP: u64 = 64 << 20;

/// A zip in S3.
pub(super) struct Uploaded {
    pub(super) name: &'static str,
    pub(super) key: String,
}

/// Reads the zips of `architecture` in `folder`. Errors: one is missing, or is no zip.
pub(super) fn read(folder: &Path, architecture: &str) -> anyhow::Result<Vec<(&'static str, Bytes)>> {
    let mut zips = Vec::new();
    for name in ZIPS {
        let path = folder.join(format!("{name}-{architecture}.zip"));
        let size = std::fs::metadata(&path).with_context(|| format!("failed to read {}", path.display()))?.len();
        let bytes = if size > MAX_ZIP { Vec::new() } else { std::fs::read(&path)? };
        if !bytes.starts_with(b"PK") {
            bail!("{} is no zip of a function", path.display());
        }
        zips.push((name, bytes.into()));
    }
    Ok(zips)
}

/// Uploads `zips` to `bucket`, which is made where there is none. Errors: the bucket is another account's, S3 refuses.
pub(super) async fn upload(
    aws: &Aws,
    (account, region): (&str, &str),
    bucket: &str,
    zips: Vec<(&'static str, Bytes)>,
) -> anyhow::Result<Vec<Uploaded>> {
    // Somebody else could own the name, and change what is deployed.
    let owner = [("x-amz-expected-bucket-owner", account)];
    let path = format!("/{bucket}");
    let refused = |error: AskError| anyhow::anyhow!("bucket {bucket} can't be used: {error}");
    if !aws::has(aws, &path, &owner).await.map_err(refused)? {
        let place = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
        let body = format!("{place}<LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>");
        // The oldest region is none to S3.
        let body = if region == "us-east-1" { String::new() } else { body };
        aws::put(aws, &path, &[], body.into()).await.map_err(refused)?;
        crate::println(&format!("Made bucket {bucket}"));
    }
    let mut uploaded = Vec::new();
    for (name, bytes) in zips {
        let key = format!("{name}/{}.zip", hex::encode(Sha256::digest(&bytes)));
        let path = format!("/{bucket}/{key}");
        if !aws::has(aws, &path, &owner).await.map_err(refused)? {
            crate::println(&format!("Upload {name}: {} KB", bytes.len() / 1024));
            aws::put(aws, &path, &owner, bytes).await.map_err(refused)?;
        }
        uploaded.push(Uploaded { name, key });
    }
    Ok(uploaded)
}
