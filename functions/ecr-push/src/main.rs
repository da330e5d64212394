//! Lambda function: an image push becomes a commit.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use slipway::aws::Aws;
use slipway::config::{EcrPush, environment};
use slipway::image::run::ImageUpdater;
use slipway::telemetry;

/// Rendering allocates in threads of its own; glibc asks the kernel for their heaps page by page.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let pusher = &ImageUpdater::new(EcrPush::load(environment)?, Aws::default());
    run(service_fn(async |event: LambdaEvent<_>| pusher.handle(event.payload).await)).await
}
