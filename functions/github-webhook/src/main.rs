//! Runs the Lambda function `github-webhook`: a push becomes a deployment.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use slipway::aws::Aws;
use slipway::config::{GithubWebhook, environment};
use slipway::deploy::WebhookHandler;
use slipway::invocation::{deadline, run};
use slipway::telemetry;

/// mimalloc: glibc's per-thread arenas grow page by page, which slows down rendering in its own threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    run(async || {
        telemetry::start();
        let deployer = &WebhookHandler::new(GithubWebhook::load(environment)?, Aws::default());
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            deployer.handle(event.payload, deadline(event.context.deadline), &event.context.request_id).await
        }))
        .await
    })?
}
