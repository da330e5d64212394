//! As a GitHub App: a token made of the App's key, sent to the API's host and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use rand_core::SeedableRng as _;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rsa::pkcs1::{EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use serde_json::{Value, json};
use slipway::aws::Aws;
use slipway::memory::Memory;
use slipway::secret::Secrets;
use slipway::source::Repo;
use slipway::source::github::{GitHub, GitHubSettings};
use slipway_sandbox::aws;
use slipway_sandbox::http::{Request, Response, Server};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

#[tokio::test]
async fn an_app_logs_in_and_its_token_stays_at_home() {
    let key = rsa::RsaPrivateKey::new(&mut rand_chacha::ChaCha8Rng::seed_from_u64(7), 2048).unwrap();
    let public = key.to_public_key().to_pkcs1_der().unwrap().into_vec();
    let pem = key.to_pkcs1_pem(rsa::pkcs1::LineEnding::LF).unwrap();

    let elsewhere = Server::start(0, Arc::new(|_| Response::new(StatusCode::NOT_FOUND, ""))).await.unwrap();
    // Another host than 127.0.0.1, which the API is.
    let codeload = elsewhere.url().replace("127.0.0.1", "localhost");
    let claims = Arc::new(Mutex::new(Vec::new()));
    let (seen, away) = (Arc::clone(&claims), codeload.clone());
    let api = Server::start(0, Arc::new(move |request| answer(&request, &public, &away, &seen))).await.unwrap();

    let secret = json!({"appId": 41, "installationId": "7", "privateKey": pem.as_str()}).to_string();
    let secrets = BTreeMap::from([("github".to_owned(), secret)]);
    let stand_in = aws::Aws::start(0, Arc::new(Timestamp::now), secrets).await.unwrap();
    let secrets = Secrets::new(Aws::at(&stand_in.url(), aws::REGION).await);
    let settings = GitHubSettings { api: api.url(), secret: "github".to_owned(), memory: Memory::default() };
    let github = GitHub::new(settings, secrets);
    let repo: Repo = "acme/gitops".parse().unwrap();

    for _ in 0..2 {
        assert_eq!(github.resolve(&repo, "heads/main").await.unwrap(), SHA);
    }
    Box::pin(github.checkout(&repo, SHA)).await.unwrap_err();

    let claims = claims.lock().unwrap();
    assert_eq!(claims.len(), 1, "one token serves until it ends");
    assert_eq!(claims[0]["iss"].as_str().map_or_else(|| claims[0]["iss"].to_string(), str::to_owned), "41");
    let lifetime = claims[0]["exp"].as_i64().unwrap() - claims[0]["iat"].as_i64().unwrap();
    assert!((60..=660).contains(&lifetime), "GitHub takes 10 minutes at most, and a minute of clock drift: {lifetime}");

    let asked = elsewhere.exchanges();
    assert!(asked.iter().any(|exchange| exchange.request.path == "/archive"), "the redirect is followed");
    for exchange in asked {
        assert_eq!(exchange.request.header("authorization"), None, "the token stays with the API");
    }
}

/// GitHub's API as far as the test goes: no answer without the installation's token, no token without a signed claim.
fn answer(request: &Request, public: &[u8], codeload: &str, claims: &Mutex<Vec<Value>>) -> Response {
    let authorization = request.header("authorization").unwrap_or_default();
    if request.path == "/app/installations/7/access_tokens" {
        let Some(claim) = verified(authorization.trim_start_matches("Bearer "), public) else {
            return Response::new(StatusCode::UNAUTHORIZED, "");
        };
        claims.lock().unwrap().push(claim);
        let token = json!({"token": "ghs_installation", "expires_at": "2099-01-01T00:00:00Z", "permissions": {}});
        return Response::json(StatusCode::CREATED, &token);
    }
    if !authorization.ends_with(" ghs_installation") {
        return Response::new(StatusCode::UNAUTHORIZED, "");
    }
    match request.path.as_str() {
        "/repos/acme/gitops/commits/heads/main" => Response::json(StatusCode::OK, &json!({"sha": SHA})),
        path if path.contains("/tarball/") => {
            Response::new(StatusCode::FOUND, "").with("location", &format!("{codeload}/archive"))
        }
        _ => Response::json(StatusCode::OK, &json!({"sha": SHA, "truncated": false, "tree": []})),
    }
}

/// The claims of a JSON Web Token that the key's owner signed.
fn verified(token: &str, public: &[u8]) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(signed.as_bytes(), &signature).ok()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.rsplit_once('.')?.1).ok()?).ok()
}
