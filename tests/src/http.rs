//! A client for the loopback services of the harness.

use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Sends one request and reads the whole answer: its status and body.
///
/// # Errors
/// When nothing answers within `timeout`.
pub async fn request(method: &str, url: &str, body: Vec<u8>, timeout: Duration) -> Result<(u16, Vec<u8>)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = http::Request::builder()
        .method(method)
        .uri(url)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let response = client.request(request).await?;
        let status = response.status().as_u16();
        anyhow::Ok((status, response.into_body().collect().await?.to_bytes().to_vec()))
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .with_context(|| format!("{method} {url} took over {timeout:?}"))?
        .with_context(|| format!("{method} {url} failed"))
}

/// Polls `url` until anything answers.
///
/// # Errors
/// When nothing answers within `timeout`.
pub async fn wait_for(url: &str, timeout: Duration) -> Result<()> {
    let poll = async {
        while request("GET", url, Vec::new(), Duration::from_secs(2)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(timeout, poll).await.with_context(|| format!("{url} is silent after {timeout:?}"))
}
