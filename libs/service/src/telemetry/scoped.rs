//! Work that is told by one service, from its first step to its last: when it is polled, and when it is dropped.
//!
//! `tracing`'s own `WithDispatch` sets the subscriber while it polls, not while it is dropped. A span that such work has
//! entered is left in that moment, at whatever subscriber the thread has then; one that does not know the span panics.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tracing::Dispatch;
use tracing::dispatcher::with_default;

pin_project! {
    /// Has the events and spans of a future told by one subscriber.
    #[derive(Debug)]
    pub struct Scoped<F> {
        #[pin]
        work: Option<F>,
        dispatch: Dispatch,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let (mut work, dispatch) = (this.work, this.dispatch);
            with_default(dispatch, || work.set(None));
        }
    }
}

impl<F> Scoped<F> {
    pub(super) fn new(work: F, dispatch: Dispatch) -> Self {
        Self { work: Some(work), dispatch }
    }

    /// By whom work that is begun here is told.
    pub(super) fn here(work: F) -> Self {
        Self::new(work, tracing::dispatcher::get_default(Clone::clone))
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (mut work, dispatch) = (this.work, this.dispatch);
        with_default(dispatch, || {
            let Some(running) = work.as_mut().as_pin_mut() else { return Poll::Pending };
            let outcome = running.poll(context);
            if outcome.is_ready() {
                work.set(None);
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::task::Waker;

    use tracing::{Instrument, info_span};
    use tracing_subscriber::registry;

    use super::*;

    #[test]
    fn work_that_is_given_up_leaves_its_span_at_its_own_subscriber() {
        let own = Dispatch::new(registry());
        let span = with_default(&own, || info_span!("work"));
        let mut work = Box::pin(Scoped::new(pending::<()>().instrument(span), own));
        // As a program has one for what belongs to no service.
        let _other = tracing::subscriber::set_default(registry());
        let mut context = Context::from_waker(Waker::noop());
        assert!(work.as_mut().poll(&mut context).is_pending());
        drop(work);
    }
}
