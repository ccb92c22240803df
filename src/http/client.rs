//! The client: one policy, one pool, one set of sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Uri};

use crate::pinning::{Host, Observer, PinSet};
use crate::tls::config::TlsConfig;
use crate::tls::connect::TlsOrigin;
use crate::tls::revocation::Lists;
use crate::tls::{Failure, Identity, Phase};

use super::connection::{ConnectTimeouts, ConnectionInfo, Watch, connect};
use super::decode::{self, Decoder};
use super::driver::{Driver, Target, within};
use super::expect::Expectation;
use super::failure::explain;
use super::home::Place;
use super::pool::{Checkout, Lease, Occupancy, Permit, Pool, PoolLimits};
use super::request::{Request, RequestBody};
use super::response::{BodyLimits, Response, ResponseBody};
use super::retry::{Spare, is_gone, is_idempotent, is_unprocessed};
use super::stats::Stats;

/// Origins remembered (with their sessions) although no connection to them is left.
const ORIGINS: usize = 1024;

/// What a client is made from.
pub struct ClientOptions {
    pub tls: TlsConfig,
    pub pins: Arc<PinSet>,
    /// The identity to pin and verify instead of the URL's host.
    pub servername: Option<Host>,
    /// Whether the TLS configuration offers `h2`.
    pub http2: bool,
    pub timeouts: ConnectTimeouts,
    /// From sending the request to the response's head; `None` is no limit.
    pub headers_timeout: Option<Duration>,
    pub body: BodyLimits,
    /// Whether content codings are asked for and undone.
    pub decompress: bool,
    pub pool: PoolLimits,
    pub watch: Watch,
}

/// What came of a request.
pub enum Outcome<D> {
    Response(Response<D>),
    /// There was no idle connection, and none may be made in that place.
    NoConnection(Request),
}

/// A client. Cloning it gives another handle on the same pool; the last handle dropped closes it.
pub struct Client<D: Driver>(Arc<Inner<D>>);

impl<D: Driver> Clone for Client<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<D> {
    driver: D,
    options: ClientOptions,
    stats: Stats,
    origins: Mutex<HashMap<Target, Arc<Origin>>>,
}

struct Origin {
    tls: TlsOrigin,
    pool: Arc<Pool>,
    /// The `host` header: the URL's host, with the port unless it is 443.
    authority: String,
}

impl<D: Driver> Client<D> {
    #[must_use]
    pub fn new(driver: D, options: ClientOptions) -> Self {
        let inner =
            Arc::new(Inner { driver, options, stats: Stats::default(), origins: Mutex::default() });
        let observer: Arc<dyn Observer> = Arc::clone(&inner) as _;
        inner.options.pins.observe(Arc::downgrade(&observer));
        Self(inner)
    }

    /// Sends a request, where it is to run, and waits for the response's head. On an event loop no connection is made:
    /// without an idle one the request comes back.
    ///
    /// # Errors
    /// The first thing that failed. Nothing of the request has left the machine unless the phase is `request`.
    pub async fn request_at(&self, place: Place, request: Request) -> Result<Outcome<D>, Failure> {
        let origin = self.0.origin(&request.target)?;
        self.0.exchange(place, &origin, request).await.map_err(|failure| {
            let identity = origin.tls.identity();
            failure.at(&identity.host().to_string(), identity.port())
        })
    }

    /// Whether [`Self::request_at`] has a connection for an event loop.
    #[must_use]
    pub fn has_idle(&self, target: &Target) -> bool {
        self.0.driver.has_loop()
            && self.0.lock().get(target).is_some_and(|origin| origin.pool.has_idle())
    }

    /// Has idle connections come back to the native threads.
    pub fn recall(&self, target: &Target) {
        if let Some(origin) = self.0.lock().get(target) {
            origin.pool.recall();
        }
    }

    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// What each origin's pool holds, by the URL's host and port.
    #[must_use]
    pub fn occupancy(&self) -> Vec<(Target, Occupancy)> {
        let origins = self.0.lock();
        origins.iter().map(|(target, origin)| (target.clone(), origin.pool.occupancy())).collect()
    }

    /// Puts other revocation lists into force: what they no longer allow ends at once, as after a change of policy (I4).
    pub fn replace_crls(&self, lists: Lists) {
        self.0.options.tls.rules().crls.replace(lists);
        self.0.policy_changed();
    }

    /// Closes idle connections; those in use are closed when their exchange is over.
    pub fn close(&self) {
        let origins = std::mem::take(&mut *self.0.lock());
        for origin in origins.into_values() {
            origin.pool.close();
        }
    }
}

impl<D: Driver> Inner<D> {
    async fn exchange(
        &self,
        place: Place,
        origin: &Arc<Origin>,
        request: Request,
    ) -> Result<Outcome<D>, Failure> {
        // Before a packet leaves: a host that the policy does not allow is not even looked up.
        origin.tls.decide()?;
        let target = request.target;
        let path = request.path;
        let host = request.headers.get(HOST).cloned();
        let mut message = http::Request::new(request.body);
        *message.method_mut() = request.method;
        *message.headers_mut() = request.headers;
        if self.options.decompress {
            decode::accept(message.headers_mut());
        }
        let mut retried = false;
        loop {
            *message.uri_mut() = Uri::from(path.clone());
            let (mut lease, fresh) = match place {
                Place::Loop => match origin.pool.idle() {
                    Some(lease) => {
                        self.stats.sent_on_loop();
                        (lease, false)
                    }
                    None => return Ok(Outcome::NoConnection(unsent(target, path, host, message))),
                },
                Place::Native => match origin.pool.checkout().await? {
                    Checkout::Lease(lease) => (lease, false),
                    Checkout::Connect(permit) => {
                        (self.connect(&target, origin, permit).await?, true)
                    }
                },
            };
            let Some(connection) = lease.connection() else { continue };
            connection.move_to(place);
            let info = Arc::clone(&connection.info);
            // A pooled connection may rest on a looser policy by now, which is reported before it is written to.
            if info.gate.check().is_ok() {
                (self.options.watch.opened)(&info);
            }
            let idempotent = is_idempotent(message.method());
            let spare = if !retried && (connection.is_multiplexed() || (!fresh && idempotent)) {
                Spare::of(&message)
            } else {
                None
            };
            // hyper does not tell of `100 Continue` over HTTP/2: there the body is sent without waiting.
            let expectation = if connection.is_multiplexed() {
                None
            } else {
                Expectation::of(&mut message, &self.driver)
            };
            let received = info.gate.traffic().received();
            let sent = async { Ok(connection.send(&origin.authority, message).await) };
            let sent = within(&self.driver, self.options.headers_timeout, sent, || {
                Failure::new("ETIMEDOUT", Phase::Request, "no response within `headersTimeout`")
            });
            let mut error = match sent.await? {
                Ok(response) => {
                    // A request that is never completed: what follows it would be read as its body.
                    let last = expectation.is_some_and(|it| it.is_disappointed());
                    return self.response(origin, response, lease, info, last);
                }
                Err(error) => error,
            };
            match error.take_message() {
                // The connection was closed while it was idle, and nothing was written to it. One that was
                // made for this request is not made again and again.
                Some(unsent) if !fresh && info.gate.check().is_ok() => message = unsent,
                // Closed as it was written to. Not a byte of an answer came, and what may have been done once may be
                // done again; or the server says that it has done nothing.
                None if info.gate.check().is_ok()
                    && let Some(spare) = spare
                    && (is_unprocessed(error.error())
                        || (!fresh
                            && idempotent
                            && info.gate.traffic().received() == received
                            && is_gone(error.error()))) =>
                {
                    self.stats.retrying();
                    retried = true;
                    // Those that were idle even longer will be no better: the next one is new.
                    origin.pool.forget_idle();
                    message = spare.into_message();
                    continue;
                }
                _ => return Err(explain(error.error(), &info, Phase::Request)),
            }
            message.body_mut().release();
            // A connection puts in what its protocol needs; the next may speak another.
            message.headers_mut().remove(HOST);
            if let Some(host) = &host {
                message.headers_mut().insert(HOST, host.clone());
            }
        }
    }

    async fn connect(
        &self,
        target: &Target,
        origin: &Origin,
        permit: Permit,
    ) -> Result<Lease, Failure> {
        // The policy may have changed while the request waited for its turn.
        if let Err(failure) = origin.tls.decide() {
            permit.failed(&failure);
            return Err(failure);
        }
        // Boxed, since it is large and a request that finds a connection should not carry it along.
        let made = Box::pin(connect(
            &self.driver,
            target,
            &origin.tls,
            self.options.timeouts,
            &self.options.watch,
        ));
        match made.await {
            Ok(connection) => {
                self.stats.connected(&connection.info);
                Ok(permit.connected(connection))
            }
            Err(failure) => {
                self.stats.not_connected(&failure);
                permit.failed(&failure);
                Err(failure)
            }
        }
    }

    fn response(
        &self,
        origin: &Arc<Origin>,
        response: http::Response<hyper::body::Incoming>,
        lease: Lease,
        info: Arc<ConnectionInfo>,
        last: bool,
    ) -> Result<Outcome<D>, Failure> {
        let (head, body) = response.into_parts();
        refuse(&head)?;
        let decoder = if self.options.decompress { Decoder::new(&head.headers)? } else { None };
        let body = ResponseBody::new(
            body,
            decoder,
            lease,
            Arc::clone(&origin.pool),
            Arc::clone(&info),
            self.driver.clone(),
            self.options.body,
        );
        Ok(Outcome::Response(Response { head, body: body.last(last), connection: info }))
    }

    fn origin(&self, target: &Target) -> Result<Arc<Origin>, Failure> {
        let mut origins = self.lock();
        if let Some(origin) = origins.get(target) {
            return Ok(Arc::clone(origin));
        }
        if origins.len() >= ORIGINS {
            origins.retain(|_, origin| !origin.pool.is_unused());
        }
        let host = self.options.servername.as_ref().unwrap_or(&target.host);
        let identity = Identity::new(host.clone(), target.port).map_err(|invalid| {
            Failure::new("ERR_INVALID_URL", Phase::Policy, invalid.to_string())
        })?;
        let host = match &target.host {
            Host::Ip(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
            host => host.to_string(),
        };
        let origin = Arc::new(Origin {
            tls: TlsOrigin::new(&self.options.tls, Arc::clone(&self.options.pins), identity)
                .counted(Arc::clone(&self.stats.traffic)),
            pool: Arc::new(Pool::new(self.options.pool, self.options.http2)),
            authority: match target.port {
                443 => host,
                port => format!("{host}:{port}"),
            },
        });
        origins.insert(target.clone(), Arc::clone(&origin));
        Ok(origin)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Arc<Origin>>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Driver> Observer for Inner<D> {
    /// A changed policy ends what it no longer allows at once, not only at the next request (I4).
    fn policy_changed(&self) {
        let origins: Vec<_> = self.lock().values().cloned().collect();
        // On the driver's threads: verifying anew takes its time, and who replaces a policy should not wait.
        self.driver.execute(Box::pin(async move {
            for origin in origins {
                origin.pool.enforce();
            }
        }));
    }
}

impl<D> Drop for Inner<D> {
    fn drop(&mut self) {
        let origins =
            std::mem::take(self.origins.get_mut().unwrap_or_else(PoisonError::into_inner));
        for origin in origins.into_values() {
            origin.pool.close();
        }
    }
}

/// Refuses what hyper lets through.
fn refuse(head: &http::response::Parts) -> Result<(), Failure> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let message = "the server switched to another protocol, which it was not asked for";
        return Err(Failure::new("ERR_HTTP_UPGRADE_REFUSED", Phase::Request, message));
    }
    // Two ideas of where the body ends: how responses are split and smuggled (RFC 9112, 6.3).
    if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH) {
        let message = "the response has both a length and a transfer coding";
        return Err(Failure::new("HPE_INVALID_TRANSFER_ENCODING", Phase::Request, message));
    }
    Ok(())
}

/// The request as it was before it met a connection.
fn unsent(
    target: Target,
    path: PathAndQuery,
    host: Option<HeaderValue>,
    message: http::Request<RequestBody>,
) -> Request {
    let (head, body) = message.into_parts();
    let mut headers = head.headers;
    headers.remove(HOST);
    headers.extend(host.map(|host| (HOST, host)));
    Request { method: head.method, target, path, headers, body }
}
