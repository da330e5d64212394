//! AWS, as moto plays it: ECR, Secrets Manager, SQS, STS, EventBridge, CloudFormation.

use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::process::{Folder, Process, free_port};
use crate::skip::{Unavailable, or_skip};
use crate::tools;

/// A running moto server with no state; dropping it ends it.
#[derive(Debug)]
pub struct Moto {
    /// For `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    _process: Process,
    _data: Folder,
}

impl Moto {
    /// The account that moto plays.
    pub const ACCOUNT: &str = "123456789012";
    /// The region that the tests use.
    pub const REGION: &str = "eu-central-1";

    /// Starts a server of the caller's own.
    pub async fn start() -> Option<Self> {
        or_skip("moto", Self::boot().await)
    }

    async fn boot() -> Result<Self, Unavailable> {
        let server = tools::python()?.join("moto_server");
        let data = Folder::new("slipway-moto-")?;
        let port = free_port()?;
        let mut command = Command::new(server);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).current_dir(data.path());
        let process = Process::start(&command, &data.path().join("moto.log"))?;
        let endpoint = format!("http://127.0.0.1:{port}");
        http::wait_for(&format!("{endpoint}/moto-api/"), Duration::from_mins(1)).await?;
        Ok(Self { endpoint, _process: process, _data: data })
    }

    /// What a function or a command needs in its environment to use this server as its AWS.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", Self::REGION),
            ("AWS_DEFAULT_REGION", Self::REGION),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Runs `aws` (service, operation and flags) against this server and gives its standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn aws(&self, arguments: &[&str]) -> String {
        self.aws_as(&[], arguments)
    }

    /// As [`aws`](Self::aws), with more in the environment: somebody else's credentials.
    ///
    /// # Panics
    /// If it fails.
    pub fn aws_as(&self, environment: &[(&str, &str)], arguments: &[&str]) -> String {
        let aws = tools::python().expect("moto is installed").join("aws");
        let mut command = Command::new(aws);
        command.args(arguments).envs(self.environment()).env("AWS_PAGER", "").envs(environment.iter().copied());
        tools::capture(&mut command).unwrap_or_else(|error| panic!("{error:#}"))
    }
}
