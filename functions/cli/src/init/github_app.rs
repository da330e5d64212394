//! Creates the GitHub App by its manifest: the browser hands it to GitHub, comes back with a code, and installs the App
//! (docs.github.com, "Registering a GitHub App from a manifest").

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use slipway::source::app_token::app_token;
use slipway_sandbox::http::{Request, Response, Server};
use tokio::sync::mpsc;

use crate::aws::escaped;
use crate::github::Api;

/// How long a person may take; GitHub's code is valid for an hour.
const FOR_A_PERSON: Duration = Duration::from_mins(30);
/// How often GitHub is asked whether the App is installed.
const POLL: Duration = Duration::from_secs(2);

/// A random value, by which the browser that GitHub sends back is known. Fails where the system gives no randomness.
pub(super) fn state() -> anyhow::Result<String> {
    let random = ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new());
    let bytes = random.map_err(|_| anyhow::anyhow!("failed to get random bytes from the system"))?.expose();
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Serves `page` until GitHub has made an App of it and that is installed; gives the secret for Secrets Manager.
/// Errors: the port is taken, GitHub refuses, half an hour has passed.
pub(super) async fn create(api: &Api, page: String, state: &str, port: u16) -> anyhow::Result<String> {
    let (sender, mut codes) = mpsc::unbounded_channel();
    let next = Arc::new(Mutex::new(None));
    let (install, expected) = (Arc::clone(&next), state.to_owned());
    let handler = move |request: Request| answer(&request, &page, &expected, &sender, &install);
    let server = Server::start(port, Arc::new(handler)).await;
    let server = server.with_context(|| format!("failed to listen on port {port}: choose another by --port"))?;
    crate::println(&format!("Open {} in your browser, create the App and install it.", server.url()));
    let work = async {
        let code = codes.recv().await.context("nobody came back")?;
        let path = format!("/app-manifests/{}/conversions", escaped(&code));
        let made = api.send(Method::POST, &path, None).await?;
        let text = |key: &str| made.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (Some(id), key) = (made.body.get("id").and_then(Value::as_u64), text("pem")) else {
            bail!("the App was not created: {}", made.words());
        };
        *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{}/installations/new", text("html_url")));
        crate::println(&format!("The App {} is created; waiting until it is installed.", text("slug")));
        let key = SecretString::from(key);
        let installation = installed(api, id, &key).await?;
        crate::println("It is installed.");
        Ok(json!({"appId": id, "installationId": installation, "privateKey": text("pem")}).to_string())
    };
    tokio::time::timeout(FOR_A_PERSON, work).await.context("the App was not installed within half an hour")?
}

/// The id of the App's first installation, as soon as there is one.
async fn installed(api: &Api, app: u64, key: &SecretString) -> anyhow::Result<u64> {
    loop {
        let token = app_token(app, key, jiff::Timestamp::now().as_second()).context("GitHub's key is none")?;
        let list = api.with(token).get("/app/installations").await?;
        if !list.is_ok() {
            bail!("the App's installations can't be listed: {}", list.words());
        }
        if let Some(id) = list.body.pointer("/0/id").and_then(Value::as_u64) {
            return Ok(id);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn answer(
    request: &Request,
    page: &str,
    expected: &str,
    codes: &mpsc::UnboundedSender<String>,
    install: &Mutex<Option<String>>,
) -> Response {
    let html =
        |status, text: &str| Response::new(status, text.to_owned()).with("content-type", "text/html; charset=utf-8");
    match request.path.as_str() {
        "/" => html(StatusCode::OK, page),
        "/created" if request.query("state") == Some(expected) => {
            if let Some(code) = request.query("code") {
                let _ = codes.send(code.to_owned());
            }
            html(StatusCode::OK, "<meta http-equiv=\"refresh\" content=\"1;url=/install\">GitHub creates the App …")
        }
        "/install" => match install.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            Some(url) => Response::new(StatusCode::FOUND, "").with("location", url),
            None => html(StatusCode::OK, "<meta http-equiv=\"refresh\" content=\"1\">GitHub creates the App …"),
        },
        _ => html(StatusCode::NOT_FOUND, "There is nothing here."),
    }
}
