//! Lambda function: a push becomes a deployment.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use slipway::aws::Aws;
use slipway::config::{GithubWebhook, environment};
use slipway::deploy::Deployer;
use slipway::invocation::deadline;
use slipway::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let deployer = &Deployer::new(GithubWebhook::load(environment)?, Aws::default());
    run(service_fn(async |event: LambdaEvent<_>| {
        deployer.handle(event.payload, deadline(event.context.deadline), &event.context.request_id).await
    }))
    .await
}
