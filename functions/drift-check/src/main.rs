//! Runs the Lambda function `drift-check`: differences between the cluster and Git become reports.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use slipway::aws::Aws;
use slipway::config::{Settings, environment};
use slipway::drift_check::DriftChecker;
use slipway::invocation::{deadline, run};
use slipway::telemetry;

/// mimalloc: glibc's per-thread arenas grow page by page, which slows down rendering in its own threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Error> {
    run(async || {
        telemetry::start();
        let checker = &DriftChecker::new(Settings::load(environment)?, Aws::default());
        lambda_runtime::run(service_fn(async |event: LambdaEvent<_>| {
            checker.handle(event.payload, deadline(event.context.deadline), &event.context.request_id).await
        }))
        .await
    })?
}
