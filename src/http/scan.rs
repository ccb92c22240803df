//! What a server accepts: versions, cipher suites and groups, each by a handshake that offers nothing else.

use std::net::SocketAddr;

use futures_util::stream::{self, StreamExt as _};

use crate::tls::config::Version;
use crate::tls::offer::{Offer, Outcome, version_name};
use crate::tls::old_hello::OldVersion;
use crate::tls::{Failure, Phase};

use super::driver::Driver;
use super::reach::Reach;

/// So many connections at once.
const AT_ONCE: usize = 4;

pub struct Scan {
    pub remote: SocketAddr,
    /// The newest first.
    pub versions: Vec<Scanned>,
}

/// What is accepted in a version.
pub struct Scanned {
    pub version: &'static str,
    pub outcome: Outcome,
    /// Those that this side speaks, with what came of each; none where the version is not accepted, or is an old one.
    pub suites: Vec<(String, Outcome)>,
    pub groups: Vec<(String, Outcome)>,
    /// Whose order of suites decides; `None` where there are no two to choose from.
    pub preference: Option<Preference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    Server,
    Client,
    Unknown,
}

/// Makes some thirty connections, a few at once. One that fails leaves what it was for unknown.
///
/// # Errors
/// When the server cannot be reached at all.
pub async fn scan<D: Driver>(driver: &D, reach: &Reach) -> Result<Scan, Failure> {
    // Whether there is a server, before anything is concluded from what fails.
    let (_, remote) = reach.open(driver).await?;
    let offers = [Version::Tls13, Version::Tls12].map(|version| (version, Offer::all(version)));
    let newest = offers.iter().map(|(_, offer)| Probe::Offer(offer.clone()));
    let probes = newest.chain(OldVersion::ALL.map(Probe::Old)).collect();
    let mut outcomes = ask(driver, reach, probes).await.into_iter();
    let mut versions = Vec::new();
    for (version, offer) in offers {
        let Some(outcome) = outcomes.next() else { break };
        versions.push(within_version(driver, reach, version, &offer, outcome).await);
    }
    for (old, outcome) in OldVersion::ALL.into_iter().zip(outcomes) {
        let version = old.name();
        let (suites, groups) = (Vec::new(), Vec::new());
        versions.push(Scanned { version, outcome, suites, groups, preference: None });
    }
    let mut scan = Scan { remote, versions };
    settle(driver, reach, &mut scan).await;
    Ok(scan)
}

async fn within_version<D: Driver>(
    driver: &D,
    reach: &Reach,
    version: Version,
    offer: &Offer,
    outcome: Outcome,
) -> Scanned {
    let (mut suites, mut groups) = (Vec::new(), Vec::new());
    let mut preference = None;
    if matches!(outcome, Outcome::Accepted { .. }) {
        let (names, probes): (Vec<_>, Vec<_>) =
            offer.each_suite().chain(offer.each_group()).unzip();
        let probes = probes.into_iter().map(Probe::Offer).collect();
        let outcomes = ask(driver, reach, probes).await;
        suites = names.into_iter().zip(outcomes).collect();
        groups = suites.split_off(offer.each_suite().count());
        if version == Version::Tls12 {
            beside_the_certificate(driver, reach, offer, &suites, &mut groups).await;
        }
        preference = prefers(driver, reach, offer, &accepted(&suites)).await;
    }
    Scanned { version: version_name(version), outcome, suites, groups, preference }
}

/// In TLS 1.2 the groups of a client are also the curves of certificates that it takes (RFC 8422, 5.1): a server with an
/// ECDSA certificate alone refuses a group that is offered without its certificate's curve. So what was refused is offered
/// before what was accepted. If the server then prefers the other, it has not been learnt whether it would do.
async fn beside_the_certificate<D: Driver>(
    driver: &D,
    reach: &Reach,
    offer: &Offer,
    suites: &[(String, Outcome)],
    groups: &mut [(String, Outcome)],
) {
    if !accepted(suites).iter().all(|name| name.contains("_ECDSA_")) {
        return;
    }
    let curves = accepted(groups);
    let refused = groups.iter_mut().filter(|(_, of)| matches!(of, Outcome::Refused(_)));
    let refused: Vec<_> = refused.collect();
    if curves.is_empty() || refused.is_empty() {
        return;
    }
    let probes = refused.iter().map(|(name, _)| Probe::Offer(offer.with_groups(name, &curves)));
    let outcomes = ask(driver, reach, probes.collect()).await;
    for ((name, outcome), found) in refused.into_iter().zip(outcomes) {
        *outcome = match found {
            Outcome::Accepted { group: Some(group), .. } if group != *name => {
                let message = format!("the server prefers {group}, the curve of its certificate");
                let code = "ERR_SSL_NO_SHARED_CIPHER";
                Outcome::Unknown(Failure::new(code, Phase::Handshake, message))
            }
            found => found,
        };
    }
}

/// Offers two suites in either order.
async fn prefers<D: Driver>(
    driver: &D,
    reach: &Reach,
    offer: &Offer,
    accepted: &[String],
) -> Option<Preference> {
    let offers = offer.both_orders(accepted)?;
    let first = offers.each_ref().map(Offer::first);
    let chosen = ask(driver, reach, offers.map(Probe::Offer).to_vec()).await;
    let [
        Outcome::Accepted { cipher: Some(one), .. },
        Outcome::Accepted { cipher: Some(other), .. },
    ] = &chosen[..]
    else {
        return Some(Preference::Unknown);
    };
    Some(match [Some(one), Some(other)] {
        [one, other] if one == other => Preference::Server,
        chosen if chosen == first.each_ref().map(Option::as_ref) => Preference::Client,
        _ => Preference::Unknown,
    })
}

fn accepted(outcomes: &[(String, Outcome)]) -> Vec<String> {
    let accepted = outcomes.iter().filter(|(_, of)| matches!(of, Outcome::Accepted { .. }));
    accepted.map(|(name, _)| name.clone()).collect()
}

/// A connection that was closed says no only if the server goes on accepting what it accepted before: else it was closed
/// for another reason, such as a limit on connections.
async fn settle<D: Driver>(driver: &D, reach: &Reach, scan: &mut Scan) {
    let is_accepted = |scanned: &&Scanned| matches!(scanned.outcome, Outcome::Accepted { .. });
    let control = scan.versions.iter().find(is_accepted).and_then(|scanned| {
        let new = [Version::Tls13, Version::Tls12].into_iter();
        let new = new.map(|version| (version_name(version), Probe::Offer(Offer::all(version))));
        let old = OldVersion::ALL.into_iter().map(|old| (old.name(), Probe::Old(old)));
        new.chain(old).find(|(name, _)| *name == scanned.version).map(|(_, probe)| probe)
    });
    let outcomes = scan.versions.iter_mut().flat_map(|scanned| {
        let inner = scanned.suites.iter_mut().chain(&mut scanned.groups).map(|(_, of)| of);
        std::iter::once(&mut scanned.outcome).chain(inner)
    });
    let closed: Vec<_> = outcomes.filter(|of| matches!(of, Outcome::Closed(_))).collect();
    if closed.is_empty() {
        return;
    }
    let is_well = match control {
        Some(probe) => matches!(once(driver, reach, &probe).await, Outcome::Accepted { .. }),
        None => false,
    };
    for outcome in closed {
        if let Outcome::Closed(failure) = outcome {
            let failure = failure.clone();
            *outcome = if is_well { Outcome::Refused(failure) } else { Outcome::Unknown(failure) };
        }
    }
}

#[derive(Clone)]
enum Probe {
    Offer(Offer),
    Old(OldVersion),
}

/// The outcomes, in the order of the probes. What was closed is asked once more.
async fn ask<D: Driver>(driver: &D, reach: &Reach, probes: Vec<Probe>) -> Vec<Outcome> {
    let asked: Vec<_> = probes
        .into_iter()
        .map(async |probe| match once(driver, reach, &probe).await {
            Outcome::Closed(_) => once(driver, reach, &probe).await,
            outcome => outcome,
        })
        .collect();
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn once<D: Driver>(driver: &D, reach: &Reach, probe: &Probe) -> Outcome {
    let asked = async {
        let (io, _) = reach.open(driver).await?;
        let answer = async {
            Ok(match probe {
                Probe::Offer(offer) => offer.make(&reach.identity, io).await,
                Probe::Old(version) => version.offer(&reach.identity, io).await,
            })
        };
        reach.shake(driver, answer).await
    };
    asked.await.unwrap_or_else(Outcome::Unknown)
}
