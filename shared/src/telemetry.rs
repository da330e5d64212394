//! Starts a process: logs as JSON lines, and the TLS provider.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging to standard output, one JSON object a line, and makes ring the process' TLS provider.
///
/// `AWS_LAMBDA_LOG_LEVEL` (set by Lambda's advanced logging controls) sets the level of our own lines; libraries never
/// log below `WARN`, because their lines may contain signed URLs or bodies of requests.
pub fn start() {
    // A second call changes nothing: tests start more than one function in a process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|text| text.parse().ok()).unwrap_or(Level::INFO);
    let _ = tracing_subscriber::registry()
        .with(targets(level))
        .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false).with_target(false))
        .try_init();
}

fn targets(level: Level) -> Targets {
    // Lambda's span with the request id comes from the runtime's target.
    Targets::new().with_default(Level::WARN).with_target("slipway", level).with_target("lambda_runtime", Level::INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stay_quiet() {
        let targets = targets(Level::TRACE);
        assert!(targets.would_enable("slipway_cluster::apply", &Level::TRACE));
        for library in ["octocrab", "tower_http", "aws_smithy_runtime", "hyper_util", "kube_client"] {
            assert!(!targets.would_enable(library, &Level::INFO), "{library}");
        }
    }
}
