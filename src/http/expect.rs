//! `Expect: 100-continue` over HTTP/1.1 (RFC 9110, 10.1.1): a body that waits until its server wants it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::header::EXPECT;
use http::{Request, StatusCode};
use http_body::Body as _;
use hyper::rt::{Sleep, Timer};

use super::request::RequestBody;

/// After so long the body is sent unasked: some servers never answer an expectation. What curl waits, too.
const PATIENCE: Duration = Duration::from_secs(1);

const OPEN: u8 = 0;
const WANTED: u8 = 1;
const UNWANTED: u8 = 2;

/// Whether a body that waits may be sent. What was decided once stays.
#[derive(Clone, Default)]
pub struct Expectation(Arc<Decision>);

#[derive(Default)]
struct Decision {
    state: AtomicU8,
    waker: AtomicWaker,
}

/// A body that waits.
pub struct Withheld {
    expectation: Expectation,
    patience: Pin<Box<dyn Sleep>>,
    body: Box<RequestBody>,
}

impl Expectation {
    /// Has the body of a message that expects `100 Continue` wait for it; `None` where there is nothing to wait for.
    pub fn of(message: &mut Request<RequestBody>, timer: &impl Timer) -> Option<Self> {
        if !message.headers().contains_key(EXPECT) || message.body().is_end_stream() {
            return None;
        }
        let expectation = Self::default();
        let told = expectation.clone();
        hyper::ext::on_informational(message, move |response| {
            if response.status() == StatusCode::CONTINUE {
                told.decide(WANTED);
            }
        });
        let body = Box::new(std::mem::replace(message.body_mut(), RequestBody::Empty));
        let patience = timer.sleep(PATIENCE);
        *message.body_mut() =
            RequestBody::Withheld(Withheld { expectation: expectation.clone(), patience, body });
        Some(expectation)
    }

    /// The final response is here. Whether the body was still waiting for an answer: then it is never sent.
    #[must_use]
    pub fn is_disappointed(&self) -> bool {
        self.decide(UNWANTED) == UNWANTED
    }

    /// Decides, unless that has been done. Returns what holds.
    fn decide(&self, answer: u8) -> u8 {
        let decided =
            self.0.state.compare_exchange(OPEN, answer, Ordering::AcqRel, Ordering::Acquire);
        self.0.waker.wake();
        decided.err().unwrap_or(answer)
    }
}

impl Withheld {
    /// Waits until the body may be sent: for ever, if it is not to be sent.
    pub fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.expectation.0.waker.register(cx.waker());
        let mut state = self.expectation.0.state.load(Ordering::Acquire);
        if state == OPEN {
            ready!(self.patience.as_mut().poll(cx));
            state = self.expectation.decide(WANTED);
        }
        if state == WANTED { Poll::Ready(()) } else { Poll::Pending }
    }

    #[must_use]
    pub fn body(&self) -> &RequestBody {
        &self.body
    }

    /// The body as it was.
    pub fn release(&mut self) -> RequestBody {
        std::mem::replace(&mut *self.body, RequestBody::Empty)
    }
}

impl fmt::Debug for Withheld {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Withheld").field("body", &self.body).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;
    use hyper::body::Body;

    use super::*;

    /// Time that does not pass, or has passed.
    #[derive(Clone, Copy)]
    struct Time(bool);

    impl Future for Time {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    impl Sleep for Time {}

    impl Timer for Time {
        fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
            Box::pin(*self)
        }

        fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
            Box::pin(*self)
        }
    }

    fn message(body: RequestBody) -> Request<RequestBody> {
        let mut message = Request::new(body);
        message.headers_mut().insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        message
    }

    fn whole() -> RequestBody {
        RequestBody::Whole(Bytes::from_static(b"body"))
    }

    fn is_sent(message: &mut Request<RequestBody>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(message.body_mut()).poll_frame(&mut cx).is_ready()
    }

    #[test]
    fn only_a_body_that_is_expected_waits() {
        assert!(Expectation::of(&mut message(RequestBody::Empty), &Time(false)).is_none());
        assert!(Expectation::of(&mut Request::new(whole()), &Time(false)).is_none());
        assert!(Expectation::of(&mut message(whole()), &Time(false)).is_some());
    }

    #[test]
    fn it_keeps_its_length_while_it_waits() {
        let mut message = message(whole());
        let _expectation = Expectation::of(&mut message, &Time(false));
        assert!(!is_sent(&mut message));
        assert!(!message.body().is_end_stream());
        assert_eq!(message.body().size_hint().exact(), Some(4));
        message.body_mut().release();
        assert!(is_sent(&mut message));
    }

    #[test]
    fn it_is_sent_when_it_is_wanted_or_time_is_over() {
        let mut wanted = message(whole());
        let expectation = Expectation::of(&mut wanted, &Time(false)).unwrap_or_default();
        expectation.decide(WANTED);
        assert!(is_sent(&mut wanted));
        assert!(!expectation.is_disappointed());

        let mut late = message(whole());
        let expectation = Expectation::of(&mut late, &Time(true)).unwrap_or_default();
        assert!(is_sent(&mut late));
        assert!(!expectation.is_disappointed());
    }

    #[test]
    fn it_is_never_sent_after_a_final_response() {
        let mut message = message(whole());
        let expectation = Expectation::of(&mut message, &Time(true)).unwrap_or_default();
        assert!(expectation.is_disappointed());
        assert_eq!(expectation.decide(WANTED), UNWANTED);
        assert!(!is_sent(&mut message));
    }
}
