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
