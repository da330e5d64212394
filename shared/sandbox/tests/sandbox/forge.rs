//! The forge: git's own command line, REST, GraphQL and webhooks on one repository.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_sandbox::forge::{Change, Forge, Mode, Options};

use crate::client::{Answer, send};

const AUTH: (&str, &str) = ("authorization", "Bearer sandbox-token");

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn get(forge: &Forge, path: &str) -> Answer {
    send("GET", &format!("{}{path}", forge.url()), &[AUTH], "").await
}

async fn commit(forge: &Forge, expected: &str, path: &str, text: &str) -> Value {
    let query =
        "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid url } } }";
    let input = json!({
        "branch": {"repositoryNameWithOwner": "acme/gitops", "branchName": "main"}, "expectedHeadOid": expected,
        "message": {"headline": "Set the image", "body": "Slipway-App: shop"},
        "fileChanges": {"additions": [{"path": path, "contents": STANDARD.encode(text)}]},
    });
    let body = json!({"query": query, "variables": {"input": input}}).to_string();
    let answer = send("POST", &format!("{}/graphql", forge.url()), &[AUTH], body).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()
}

/// Path → (kind and mode, content) of a tar, the top folder cut off.
fn entries(tar: &[u8]) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let kind = entry.header().entry_type();
        if kind == tar::EntryType::XGlobalHeader {
            continue;
        }
        let path = entry.path().unwrap().to_string_lossy().split_once('/').unwrap().1.to_owned();
        let target = entry.link_name().unwrap().map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
        let mode = entry.header().mode().unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(path, (format!("{kind:?} {mode:o} {target}"), content));
    }
    found
}

#[tokio::test]
async fn git_pushes_become_signed_webhooks() {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::start(Options::default()).await.unwrap();
    let repository = forge.create("acme", "gitops", &folder.path().join("gitops.git")).unwrap();
    let mut webhooks = forge.subscribe("s3cret");
    let first = forge
        .push(&repository, "main", "Begin", &[Change::write("a/b.yaml", "x: 1\n"), Change::write("c", "")])
        .unwrap();
    assert_eq!(webhooks.try_recv().unwrap().event, "push");

    git(folder.path(), &["clone", "-q", "gitops.git", "work"]);
    let work = folder.path().join("work");
    git(&work, &["fsck", "--strict"]);
    std::fs::write(work.join("a/b.yaml"), "x: 2\n").unwrap();
    std::fs::remove_file(work.join("c")).unwrap();
    std::fs::write(work.join("d"), "new").unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "-q", "-m", "Second"]);
    git(&work, &["push", "-q", "origin", "main"]);
    forge.notify(&repository).unwrap();
    forge.notify(&repository).unwrap();

    let webhook = webhooks.try_recv().unwrap();
    assert!(webhooks.try_recv().is_err(), "one push, one webhook");
    let header = |name: &str| webhook.headers.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
    mac.update(&webhook.body);
    assert_eq!(header("x-hub-signature-256"), format!("sha256={}", hex::encode(mac.finalize().into_bytes())));
    assert_eq!(header("x-github-delivery").len(), 36);
    let payload: Value = serde_json::from_slice(&webhook.body).unwrap();
    let head = git(&work, &["rev-parse", "HEAD"]).trim().to_owned();
    assert_eq!(
        (payload["ref"].as_str(), payload["before"].as_str()),
        (Some("refs/heads/main"), Some(first.to_string().as_str()))
    );
    assert_eq!(payload["after"], json!(head));
    assert_eq!(payload["commits"].as_array().unwrap().len(), 1);
    let listed = &payload["head_commit"];
    assert_eq!(
        (&listed["added"], &listed["removed"], &listed["modified"]),
        (&json!(["d"]), &json!(["c"]), &json!(["a/b.yaml"]))
    );

    git(&work, &["push", "-q", "origin", "main:refs/heads/feature/x", "HEAD~1:refs/tags/v1"]);
    forge.notify(&repository).unwrap();
    assert_eq!(webhooks.try_recv().unwrap().event, "push");
    assert_eq!(webhooks.try_recv().unwrap().event, "push");
    let answer = get(&forge, "/repos/acme/gitops/commits/feature/x").await;
    assert_eq!(answer.json()["sha"], json!(head));
    git(&work, &["push", "-q", "origin", ":feature/x"]);
    forge.notify(&repository).unwrap();
    let payload: Value = serde_json::from_slice(&webhooks.try_recv().unwrap().body).unwrap();
    assert_eq!((&payload["deleted"], &payload["head_commit"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn commits_through_graphql_compare_and_swap() {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::start(Options::default()).await.unwrap();
    let repository = forge.create("acme", "gitops", &folder.path().join("gitops.git")).unwrap();
    let first =
        forge.push(&repository, "main", "Begin", &[Change::write("k.yaml", "a: 1\nb: 2\n")]).unwrap().to_string();
    let answer = commit(&forge, &first, "k.yaml", "a: 1\nb: 3\n").await;
    let second = answer["data"]["createCommitOnBranch"]["commit"]["oid"].as_str().unwrap().to_owned();
    assert_eq!(get(&forge, "/repos/acme/gitops/git/ref/heads/main").await.json()["object"]["sha"], json!(second));
    assert_eq!(git(repository.folder(), &["diff", "--numstat", &first, &second]), "1\t1\tk.yaml\n");
    assert_eq!(
        git(repository.folder(), &["log", "-1", "--format=%an|%B", "main"]).trim(),
        "slipway[bot]|Set the image\n\nSlipway-App: shop"
    );

    let stale = commit(&forge, &first, "k.yaml", "a: 9\n").await;
    assert_eq!(stale["errors"][0]["type"], json!("STALE_DATA"));
    let expected = format!("Expected branch to point to \"{first}\" but it did not.  Pull and try again.");
    assert_eq!(stale["errors"][0]["message"], json!(expected));
    assert_eq!(stale["data"]["createCommitOnBranch"], Value::Null);

    let racing = std::sync::Arc::clone(&repository);
    let head = repository.branch("main").unwrap();
    forge.faults().before_commit(move || {
        let author = racing.commit(head.unwrap()).unwrap().author;
        let moved = racing.write_commit(head, &[Change::write("other", "1")], "Race", &author, &author).unwrap();
        assert!(racing.objects().move_reference("refs/heads/main", head, moved).unwrap());
    });
    assert_eq!(commit(&forge, &second, "k.yaml", "a: 9\n").await["errors"][0]["type"], json!("STALE_DATA"));
    let now = repository.branch("main").unwrap().unwrap().to_string();
    assert!(commit(&forge, &now, "k.yaml", "a: 9\n").await["errors"].is_null());
}

#[tokio::test]
async fn the_tarball_is_what_git_archive_makes() {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::start(Options::default()).await.unwrap();
    let repository = forge.create("acme", "gitops", &folder.path().join("gitops.git")).unwrap();
    let attributes = "secret.yaml export-ignore\n/docs/ export-ignore\n*.txt export-subst\nkeep/** \
                      -export-subst\nvendor/**/x export-ignore\n";
    let long = format!("{}/{}.yaml", "deep".repeat(20), "name".repeat(30));
    let head = forge
        .push(
            &repository,
            "main",
            "All kinds",
            &[
                Change::write(".gitattributes", attributes),
                Change::write("app/secret.yaml", "a"),
                Change::write("app/.gitattributes", "secret.yaml -export-ignore\n"),
                Change::write("secret.yaml", "hidden"),
                Change::write("docs/a.md", "hidden"),
                Change::write("sub/docs/a.md", "shown"),
                Change::write("v.txt", "v=$Format:%H %h %s%n%an <%ae> %aI%%$ $Format:open"),
                Change::write("keep/v.txt", "$Format:%H$"),
                Change::write("vendor/a/b/x", "hidden"),
                Change::write(long, "long"),
                Change { path: "run.sh".into(), content: Some((Mode::Executable, b"#!/bin/sh\n".to_vec())) },
                Change { path: "link".into(), content: Some((Mode::Link, b"v.txt".to_vec())) },
                Change {
                    path: "module".into(),
                    content: Some((Mode::Submodule, b"1111111111111111111111111111111111111111".to_vec())),
                },
            ],
        )
        .unwrap();
    let redirect = get(&forge, "/repos/acme/gitops/tarball/main").await;
    assert_eq!(redirect.status, StatusCode::FOUND);
    let answer = send("GET", redirect.headers["location"].to_str().unwrap(), &[], "").await;
    let mut ours = Vec::new();
    flate2::read::GzDecoder::new(answer.body.as_ref()).read_to_end(&mut ours).unwrap();
    let prefix = format!("--prefix=acme-gitops-{}/", head.short());
    let output =
        Command::new("git").current_dir(repository.folder()).args(["archive", &prefix, "main"]).output().unwrap();
    let (ours, theirs) = (entries(&ours), entries(&output.stdout));
    assert!(theirs.len() > 10, "git archive made {} entries", theirs.len());
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn reads_are_githubs() {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::start(Options::default()).await.unwrap();
    let repository = forge.create("acme", "gitops", &folder.path().join("gitops.git")).unwrap();
    assert_eq!(get(&forge, "/repos/acme/gitops/commits/main").await.status, StatusCode::CONFLICT);
    let first = forge.push(&repository, "main", "Begin", &[Change::write("a/b.yaml", "x: 1\n")]).unwrap();
    let second = forge.push(&repository, "main", "More", &[Change::write("a/c.yaml", "y: 1\n")]).unwrap();
    let repo = "/repos/acme/gitops";
    let plain = send(
        "GET",
        &format!("{}{repo}/commits/main", forge.url()),
        &[AUTH, ("accept", "application/vnd.github.sha")],
        "",
    )
    .await;
    assert_eq!(plain.body, second.to_string());
    let tree = get(&forge, &format!("{repo}/git/trees/{second}?recursive=1")).await;
    let paths: Vec<String> =
        tree.json()["tree"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, ["a", "a/b.yaml", "a/c.yaml"]);
    let etag = tree.headers["etag"].to_str().unwrap().to_owned();
    let again = send(
        "GET",
        &format!("{}{repo}/git/trees/{second}?recursive=1", forge.url()),
        &[AUTH, ("if-none-match", &etag)],
        "",
    )
    .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    let blob =
        get(&forge, &format!("{repo}/git/blobs/{}", tree.json()["tree"][1]["sha"].as_str().unwrap())).await.json();
    assert_eq!(blob["content"], json!(format!("{}\n", STANDARD.encode("x: 1\n"))));
    forge.faults().truncate_trees(Some(1));
    assert_eq!(get(&forge, &format!("{repo}/git/trees/{second}?recursive=1")).await.json()["truncated"], json!(true));
    let compared = get(&forge, &format!("{repo}/compare/{first}...main")).await.json();
    assert_eq!((&compared["status"], &compared["files"][0]["filename"]), (&json!("ahead"), &json!("a/c.yaml")));

    let status = json!({"state": "success", "context": "slipway/prod", "description": "Deployed"}).to_string();
    let url = format!("{}{repo}/statuses/{second}", forge.url());
    assert_eq!(send("POST", &url, &[AUTH], status.clone()).await.status, StatusCode::CREATED);
    assert_eq!(get(&forge, &format!("{repo}/commits/main/status")).await.json()["state"], json!("success"));
    for path in ["/branches/main", "", "/commits", "/installation", "/commits/main/statuses", "/commits/main"] {
        assert_eq!(get(&forge, &format!("{repo}{path}")).await.status, StatusCode::OK, "{path}");
    }
    for (path, expected) in
        [("/commits/nope", 422), ("/branches/nope", 404), ("/git/ref/heads/nope", 404), ("/contents/nope", 404)]
    {
        assert_eq!(get(&forge, &format!("{repo}{path}")).await.status.as_u16(), expected, "{path}");
    }
    let bad = [("authorization", "Bearer wrong")];
    let refused = send("GET", &format!("{}{repo}", forge.url()), &bad, "").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["message"]), (401, &json!("Bad credentials")));
    assert_eq!(send("GET", &format!("{}{repo}", forge.url()), &[], "").await.status.as_u16(), 404);
    forge.faults().fail_with_502("/commits/", 1);
    assert_eq!(get(&forge, &format!("{repo}/commits/main")).await.status.as_u16(), 502);
    assert_eq!(get(&forge, &format!("{repo}/commits/main")).await.headers["x-ratelimit-limit"], "5000");
}

#[tokio::test]
async fn an_app_gets_installation_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let forge = Forge::start(Options::default()).await.unwrap();
    let repository = forge.create("acme", "gitops", &folder.path().join("gitops.git")).unwrap();
    forge.push(&repository, "main", "Begin", &[Change::write("a", "1")]).unwrap();
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let now = jiff::Timestamp::now().as_second();
    let token = |iss: &str| {
        format!("Bearer {}.{}.sig", part(&json!({"alg": "RS256"})), part(&json!({"iss": iss, "exp": now + 500})))
    };
    let url = format!("{}/app/installations/2002/access_tokens", forge.url());
    assert_eq!(send("POST", &url, &[("authorization", &token("1"))], "").await.status.as_u16(), 401);
    let issued = send("POST", &url, &[("authorization", &token("1001"))], "").await;
    assert_eq!(issued.status, StatusCode::CREATED);
    let bearer = format!("Bearer {}", issued.json()["token"].as_str().unwrap());
    let answer =
        send("GET", &format!("{}/repos/acme/gitops/commits/main", forge.url()), &[("authorization", &bearer)], "")
            .await;
    assert_eq!(answer.status, StatusCode::OK);
}
