//! Renders on a thread of its own, so that Leases are renewed and messages kept meanwhile, and ends what takes too
//! long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slipway_budget::{Budget, Limits};
use tokio::sync::Semaphore;

use super::RenderError;

/// What Argo CD gives a tool (`ARGOCD_EXEC_TIMEOUT`).
const RENDER_TIMEOUT: Duration = Duration::from_secs(90);

/// Stack of a render for what is not a template: charts render on the same thread.
const OWN_STACK: usize = 8 << 20;

/// Renders take turns: the function's memory is enough for one that goes to its limits ([`crate::memory`]).
static TURN: Semaphore = Semaphore::const_new(1);

/// Runs `work`, a render, with a fresh budget of `limits`. The budget ends after [`RENDER_TIMEOUT`], and when the
/// future is dropped, as at the invocation's deadline. Fails as `work` does, or if no thread can be started.
pub async fn in_background<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce(&Budget) -> Result<T, RenderError> + Send + 'static,
) -> Result<T, RenderError> {
    let turn = TURN.acquire().await.ok();
    let abandoned = Abandoned(Arc::default());
    let is_abandoned = Arc::clone(&abandoned.0);
    let rendering = tokio::task::spawn_blocking(move || {
        // Also where the caller has gone, the next render waits for this one's memory.
        let _turn = turn;
        let started = Instant::now();
        let is_over = move || is_abandoned.load(Ordering::Relaxed) || started.elapsed() > RENDER_TIMEOUT;
        let budget = Budget::until(limits, is_over);
        let stack = slipway_helm::Options::default().limits.stack;
        slipway_helm::on_stack(stack.saturating_add(OWN_STACK), || work(&budget)).map_err(RenderError::Thread)?
    });
    let rendered = rendering.await;
    drop(abandoned);
    match rendered {
        Ok(rendered) => rendered,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(RenderError::Thread(error.into())),
        },
    }
}

/// Set when dropped.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use slipway_budget::Exceeded;

    use super::*;

    #[tokio::test]
    async fn the_async_work_goes_on_while_a_render_works() {
        let (send, receive) = mpsc::channel();
        let rendering = in_background(Limits::default(), move |_| Ok(receive.recv().unwrap()));
        let meanwhile = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            send.send("rendered").unwrap();
        };
        let (rendered, ()) = tokio::join!(rendering, meanwhile);
        assert_eq!(rendered.unwrap(), "rendered");
    }

    #[tokio::test]
    async fn a_render_ends_with_its_caller() {
        let (send, receive) = mpsc::channel();
        let (start, started) = tokio::sync::oneshot::channel();
        let rendering = tokio::spawn(in_background(Limits::default(), move |budget| {
            start.send(()).unwrap();
            let ended = loop {
                if let Err(exceeded) = budget.step(100_000) {
                    break exceeded;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            send.send(ended).unwrap();
            Ok(())
        }));
        started.await.unwrap();
        rendering.abort();
        assert!(rendering.await.unwrap_err().is_cancelled());
        assert_eq!(receive.recv().unwrap(), Exceeded::Time, "and not all of its steps");
        let limits = Limits { bytes: 7, ..Limits::default() };
        let next = in_background(limits, |budget| Ok((budget.limits(), budget.used()))).await.unwrap();
        assert_eq!(next, (limits, (0, 0)), "the next one has a fresh budget");
    }
}
