//! Names that are looked up by a function of the user's: asked in a completion, answered by a call.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use napi_derive::napi;
use tokio::sync::oneshot;

use crate::http::tokio_driver::{Family, Lookup};
use crate::tls::{Failure, Phase};

use super::port::Port;
use super::shared::Shared;
use super::wire::Kind;

/// Questions that JavaScript has not answered yet, by number.
#[derive(Default)]
pub struct Lookups(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u32,
    waiting: HashMap<u32, oneshot::Sender<Answer>>,
}

type Answer = Result<Vec<IpAddr>, Failure>;

/// What asks the client's function. A client whose thread has ended finds nothing.
pub fn asking(shared: &Arc<Shared>, client: u32) -> Lookup {
    let shared = Arc::downgrade(shared);
    Arc::new(move |name, family| {
        let shared = shared.clone();
        Box::pin(async move {
            let asked = shared.upgrade().map(|port| Question::new(&port, client, &name, family));
            match asked {
                Some(mut question) => (&mut question.answer).await.unwrap_or_else(|_| Err(gone())),
                None => Err(gone()),
            }
        })
    })
}

/// A question under way. Who stops waiting takes it back, so that a late answer is an answer to nothing.
struct Question {
    id: u32,
    shared: Weak<Shared>,
    answer: oneshot::Receiver<Answer>,
}

impl Question {
    fn new(shared: &Arc<Shared>, client: u32, name: &str, family: Family) -> Self {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut open = shared.lookups().lock();
            while open.waiting.contains_key(&open.last) {
                open.last = open.last.wrapping_add(1);
            }
            let id = open.last;
            open.last = id.wrapping_add(1);
            open.waiting.insert(id, sender);
            id
        };
        let family = match family {
            Family::Any => 0,
            Family::V4 => 4,
            Family::V6 => 6,
        };
        shared.push(|packed| {
            packed.frame(Kind::Lookup, client).u32(id).u8(family).bytes(name.as_bytes());
        });
        Self { id, shared: Arc::downgrade(shared), answer }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lookups().lock().waiting.remove(&self.id);
        }
    }
}

impl Lookups {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[napi]
impl Port {
    /// Answers a `Lookup` completion: with addresses, or with a code and a message. Only the first answer counts.
    #[napi(catch_unwind)]
    pub fn resolved(
        &self,
        id: u32,
        addresses: Vec<String>,
        code: Option<String>,
        message: Option<String>,
    ) {
        let waiting = self.shared().lookups().lock().waiting.remove(&id);
        let Some(waiting) = waiting else { return };
        let answer = match code {
            Some(code) => Err(Failure::new(code, Phase::Dns, message.unwrap_or_default())),
            None => addresses.iter().map(|text| address(text)).collect(),
        };
        let _ = waiting.send(answer);
    }
}

fn address(text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(60).collect();
        let message = format!("lookup answered with {shown:?}, which is not an IP address");
        Failure::new("ERR_INVALID_IP_ADDRESS", Phase::Dns, message)
    })
}

fn gone() -> Failure {
    Failure::new("ECANCELED", Phase::Dns, "the thread that lookup belongs to has ended")
}
