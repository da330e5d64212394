//! Runs the Lambda function `ecr-push`: an image push becomes a commit.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use slipway::aws::Aws;
use slipway::config::{EcrPush, environment};
use slipway::image::run::ImageUpdater;
use slipway::telemetry;

/// mimalloc: glibc's per-thread arenas grow page by page, which slows down rendering in its own threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let pusher = &ImageUpdater::new(EcrPush::load(environment)?, Aws::default());
    run(service_fn(async |event: LambdaEvent<_>| pusher.handle(event.payload).await)).await
}
