//! EKS's way in: a webhook token authenticator that derives a token's signature again.

use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::process::{Folder, Process, free_port};
use crate::skip::{Unavailable, or_skip};
use crate::tools;

/// A running authenticator (`tests/python/authenticator.py`); dropping it ends it.
#[derive(Debug)]
pub struct Authenticator {
    /// For [`Options::token_webhook`](crate::Options::token_webhook).
    pub url: String,
    _process: Process,
    _data: Folder,
}

impl Authenticator {
    /// Starts one for the EKS cluster `name`, whose callers have the credentials in `environment`.
    pub async fn start(name: &str, environment: &[(String, String)]) -> Option<Self> {
        or_skip("the token authenticator", Self::boot(name, environment).await)
    }

    async fn boot(name: &str, environment: &[(String, String)]) -> Result<Self, Unavailable> {
        let port = free_port()?;
        let data = Folder::new("slipway-authenticator-")?;
        let mut command = Command::new(tools::python()?.join("python"));
        command.arg(tools::workspace().join("tests/python/authenticator.py")).args([&port.to_string(), name]);
        command.envs(environment.iter().cloned());
        let process = Process::start(&command, &data.path().join("authenticator.log"))?;
        let url = format!("http://127.0.0.1:{port}/");
        http::wait_for(&url, Duration::from_secs(30)).await?;
        Ok(Self { url, _process: process, _data: data })
    }
}
