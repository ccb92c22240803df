//! [`PathVerifier`] by tables: a chain, what is trusted, a policy and a clock that stands still.

use std::fmt::Display;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints,
};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::pinning::{Algorithm, CertificateInfo, Pin, PinSet, Policy};

use super::config::crls;
use super::path::{PathVerifier, Trust};
use super::revocation::Crls;
use super::test_pki::*;
use super::verified::{Excused, Verified};
use super::{Failure, Identity};

const HOST: &str = "api.example";
const WRONG: &str = "sha256/WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=";

struct Case {
    name: &'static str,
    chain: Vec<CertificateDer<'static>>,
    identity: &'static str,
    policy: String,
    trust: Trust,
    crls: Vec<Vec<u8>>,
    max_intermediates: Option<usize>,
    now: u64,
    expected: Result<Outcome, &'static str>,
}

/// What a case lets through, and why.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The position on the path, the pin and the pattern of its entry.
    matched: Option<(usize, String, String)>,
    excused: Option<Excused>,
}

/// The pin matched at this position of the path.
#[expect(clippy::unnecessary_wraps, reason = "stands where an expected error may stand")]
fn matched(index: usize, pin: &Pin) -> Result<Outcome, &'static str> {
    Ok(Outcome { matched: Some((index, pin.to_string(), HOST.into())), excused: None })
}

#[expect(clippy::unnecessary_wraps, reason = "stands where an expected error may stand")]
fn unmatched(excused: Option<Excused>) -> Result<Outcome, &'static str> {
    Ok(Outcome { matched: None, excused })
}

impl Case {
    fn verify(&self) -> Result<Verified, Failure> {
        let verifier = PathVerifier {
            trust: self.trust.clone(),
            crls: Crls::new(crls(&self.crls).unwrap()),
            algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
            max_intermediates: self.max_intermediates,
        };
        let pins = PinSet::new(Policy::from_json(&self.policy).unwrap());
        let identity = Identity::parse(self.identity, 443).unwrap();
        verifier.verify(&self.chain, &identity, &pins.current(), unix(self.now))
    }
}

/// Runs a table. Whatever is let through begins with the leaf and is a chain of issuers.
fn check(cases: Vec<Case>) {
    assert!(!cases.is_empty());
    for case in cases {
        let name = case.name;
        let outcome = match case.verify() {
            Ok(verified) => {
                assert_eq!(verified.presented, case.chain, "{name}");
                check_path(&verified, &case.chain);
                let pattern = verified.entry.and_then(|entry| Some(entry.pattern()?.to_string()));
                let matched = verified
                    .matched
                    .map(|found| (found.index, found.pin.to_string(), pattern.unwrap_or_default()));
                Ok(Outcome { matched, excused: verified.excused })
            }
            Err(failure) => {
                assert!(!failure.message.is_empty(), "{name}");
                Err(failure.code.to_string())
            }
        };
        assert_eq!(outcome, case.expected.map_err(ToOwned::to_owned), "{name}");
    }
}

fn check_path(verified: &Verified, chain: &[CertificateDer<'_>]) {
    assert_eq!(verified.path[0].der.as_ref(), chain.first());
    let path: Vec<_> = verified
        .path
        .iter()
        .map(|step| CertificateInfo::from_der(step.der.as_ref().unwrap()).unwrap())
        .collect();
    for pair in path.windows(2) {
        assert_eq!(pair[0].issuer, pair[1].subject);
    }
}

/// Leaf, intermediate and root, and the usual case over them.
struct Pki {
    root: Node,
    intermediate: Node,
    leaf: Node,
}

impl Pki {
    fn new() -> Self {
        Self::of(ca("root"), ca("intermediate"), server(&[HOST]))
    }

    fn of(root: CertificateParams, middle: CertificateParams, leaf: CertificateParams) -> Self {
        let root = Node::root(root);
        let intermediate = root.issue(middle);
        let leaf = intermediate.issue(leaf);
        Self { root, intermediate, leaf }
    }

    /// The leaf's key pinned, the root trusted and not sent.
    fn case(&self, name: &'static str) -> Case {
        Case {
            name,
            chain: chain(&[&self.leaf, &self.intermediate]),
            identity: HOST,
            policy: pins(&[&self.leaf.pin()]),
            trust: Trust::Ca(store(&[&self.root])),
            crls: Vec::new(),
            max_intermediates: None,
            now: NOW,
            expected: matched(0, &self.leaf.pin()),
        }
    }
}

fn pins(pins: &[&dyn Display]) -> String {
    let pins: Vec<String> = pins.iter().map(|pin| format!("\"{pin}\"")).collect();
    entry(&format!("\"pins\": [{}]", pins.join(", ")))
}

/// A policy with one entry for [`HOST`].
fn entry(body: &str) -> String {
    format!(r#"{{ "version": 1, "hosts": {{ "{HOST}": {{ {body} }} }} }}"#)
}

#[test]
fn a_pin_matches_any_certificate_of_the_verified_path() {
    let pki = Pki::new();
    let path = [&pki.leaf, &pki.intermediate, &pki.root];
    let sent = [chain(&[&pki.leaf, &pki.intermediate]), chain(&path)];
    let mut cases = Vec::new();
    for chain in sent {
        for (index, node) in path.into_iter().enumerate() {
            let sha512 = Pin::of_certificate(Algorithm::Sha512, &node.der);
            for pin in [node.pin(), node.whole(), sha512] {
                cases.push(Case {
                    chain: chain.clone(),
                    policy: pins(&[&WRONG, &pin]),
                    expected: matched(index, &pin),
                    ..pki.case("a pin of one position")
                });
            }
        }
    }
    assert_eq!(cases.len(), 18);
    check(cases);
}

#[test]
fn a_role_holds_a_pin_to_its_position() {
    let pki = Pki::new();
    let [leaf, middle, root] = [pki.leaf.pin(), pki.intermediate.pin(), pki.root.pin()];
    let mismatch = || Err("ERR_TLS_PIN_MISMATCH");
    let table = [
        ("leaf role, leaf", "leaf", &leaf, matched(0, &leaf)),
        ("leaf role, intermediate", "leaf", &middle, mismatch()),
        ("leaf role, root", "leaf", &root, mismatch()),
        ("ca role, leaf", "ca", &leaf, mismatch()),
        ("ca role, intermediate", "ca", &middle, matched(1, &middle)),
        ("ca role, root", "ca", &root, matched(2, &root)),
    ];
    check(
        table
            .map(|(name, role, pin, expected)| Case {
                policy: entry(&format!(r#""{role}": ["{pin}"]"#)),
                expected,
                ..pki.case(name)
            })
            .into(),
    );
}

#[test]
fn only_a_verified_path_counts() {
    let pki = Pki::new();
    let attacker = Pki::of(ca("attacker"), ca("intermediate"), server(&[HOST]));
    let both = || Trust::Ca(store(&[&pki.root, &attacker.root]));
    let beside = |rest: &[&Node]| {
        let mut nodes = vec![&attacker.leaf];
        nodes.extend(rest);
        chain(&nodes)
    };
    let pinned = pins(&[&pki.intermediate.pin(), &pki.intermediate.whole(), &pki.leaf.pin()]);
    let case = |name, chain, trust, expected| Case {
        chain,
        trust,
        policy: pinned.clone(),
        expected: Err(expected),
        ..pki.case(name)
    };
    check(vec![
        case(
            "a trusted rogue, the pinned intermediate presented behind it",
            beside(&[&attacker.intermediate, &pki.intermediate]),
            both(),
            "ERR_TLS_PIN_MISMATCH",
        ),
        case(
            "a trusted rogue, the pinned intermediate presented before it",
            beside(&[&pki.intermediate, &attacker.intermediate]),
            both(),
            "ERR_TLS_PIN_MISMATCH",
        ),
        case(
            "the pinned leaf presented as an intermediate",
            beside(&[&pki.leaf, &attacker.intermediate]),
            both(),
            "ERR_TLS_PIN_MISMATCH",
        ),
        case(
            "an untrusted rogue with the name of the pinned intermediate",
            beside(&[&pki.intermediate]),
            Trust::Ca(store(&[&pki.root])),
            "CERT_SIGNATURE_FAILURE",
        ),
        case(
            "an untrusted root sent along",
            beside(&[&attacker.intermediate, &attacker.root]),
            Trust::Ca(store(&[&pki.root])),
            "SELF_SIGNED_CERT_IN_CHAIN",
        ),
        case(
            "no intermediate",
            chain(&[&pki.leaf]),
            Trust::Ca(store(&[&pki.root])),
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        ),
        case(
            "another intermediate",
            chain(&[&pki.leaf, &pki.root.issue(ca("unrelated"))]),
            Trust::Ca(store(&[&pki.root])),
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        ),
    ]);
}

#[test]
fn the_other_paths_are_tried_where_one_fails_the_pins() {
    let pki = Pki::new();
    let second = Node::root(ca("second"));
    let twin = second.cross_sign(&pki.intermediate);
    let presented = [[&pki.intermediate, &twin], [&twin, &pki.intermediate]];
    let trusted = [[&pki.root, &second], [&second, &pki.root]];
    let wanted = [
        (2, pki.root.pin()),
        (2, second.whole()),
        (1, pki.intermediate.whole()),
        (1, twin.whole()),
    ];
    let mut cases = Vec::new();
    for [a, b] in presented {
        for anchors in &trusted {
            for (index, pin) in &wanted {
                cases.push(Case {
                    chain: chain(&[&pki.leaf, a, b]),
                    trust: Trust::Ca(store(anchors)),
                    policy: pins(&[pin]),
                    expected: matched(*index, pin),
                    ..pki.case("cross-signed twins")
                });
            }
            cases.push(Case {
                chain: chain(&[&pki.leaf, a, b]),
                trust: Trust::Ca(store(anchors)),
                policy: pins(&[&Node::root(ca("root")).pin()]),
                expected: Err("ERR_TLS_PIN_MISMATCH"),
                ..pki.case("cross-signed twins, neither pinned")
            });
        }
    }
    cases.push(Case {
        chain: chain(&[&pki.leaf, &twin, &pki.intermediate]),
        policy: pins(&[&second.pin(), &twin.whole()]),
        expected: Err("ERR_TLS_PIN_MISMATCH"),
        ..pki.case("the pinned twin leads to a root that is not trusted")
    });
    cases.push(Case {
        chain: chain(&[&pki.leaf, &pki.intermediate, &{
            let expired = dated(pki.intermediate.params.clone(), FROM, NOW - 1);
            second.cross_sign(&Node { params: expired, ..pki.intermediate.clone() })
        }]),
        trust: Trust::Ca(store(&[&pki.root, &second])),
        policy: pins(&[&second.pin()]),
        expected: Err("ERR_TLS_PIN_MISMATCH"),
        ..pki.case("the pinned path has expired, the other has not")
    });
    check(cases);
}

#[test]
fn an_anchor_is_told_from_its_renewal() {
    let pki = Pki::new();
    let renewed = pki.root.renewed(ca("root"));
    assert_eq!(
        (renewed.pin(), &renewed.key.serialize_der()),
        (pki.root.pin(), &pki.root.key.serialize_der())
    );
    assert_ne!(renewed.whole(), pki.root.whole());
    let expired = pki.root.renewed(dated(ca("root"), FROM, NOW - 1));
    let future = pki.root.renewed(dated(ca("root"), NOW + 1, TO));
    let trust = |anchors: &[&Node]| Trust::Ca(store(anchors));
    let mut cases = Vec::new();
    for anchors in [[&pki.root, &renewed], [&renewed, &pki.root]] {
        for pin in [pki.root.whole(), renewed.whole(), pki.root.pin()] {
            cases.push(Case {
                trust: trust(&anchors),
                policy: pins(&[&pin]),
                expected: matched(2, &pin),
                ..pki.case("two anchors in date")
            });
        }
    }
    for old in [&expired, &future] {
        for anchors in [[old, &pki.root], [&pki.root, old]] {
            for (pin, expected) in [
                (pki.root.whole(), matched(2, &pki.root.whole())),
                (pki.root.pin(), matched(2, &pki.root.pin())),
                (old.whole(), Err("ERR_TLS_PIN_MISMATCH")),
            ] {
                cases.push(Case {
                    trust: trust(&anchors),
                    policy: pins(&[&pin]),
                    expected,
                    ..pki.case("one anchor in date")
                });
            }
        }
    }
    cases.push(Case {
        trust: trust(&[&renewed]),
        policy: pins(&[&pki.root.whole()]),
        expected: Err("ERR_TLS_PIN_MISMATCH"),
        ..pki.case("the pinned anchor is not trusted, its renewal is")
    });
    assert_eq!(cases.len(), 19);
    check(cases);
}

#[test]
fn every_certificate_of_the_path_must_be_in_date() {
    let (from, to) = (NOW - 10, NOW + 10);
    let short = |params| dated(params, from, to);
    let at_position = [
        ("leaf", Pki::of(ca("root"), ca("intermediate"), short(server(&[HOST])))),
        ("intermediate", Pki::of(ca("root"), short(ca("intermediate")), server(&[HOST]))),
        ("anchor", Pki::of(short(ca("root")), ca("intermediate"), server(&[HOST]))),
    ];
    // RFC 5280, 4.1.2.5: both ends are included, as in webpki.
    let clock = [
        (from - 1, Some("CERT_NOT_YET_VALID")),
        (from, None),
        (to, None),
        (to + 1, Some("CERT_HAS_EXPIRED")),
    ];
    let mut cases = Vec::new();
    for (name, pki) in &at_position {
        for (now, refused) in clock {
            let expected = refused.map_or_else(|| matched(0, &pki.leaf.pin()), Err);
            cases.push(Case { now, expected, ..pki.case(name) });
        }
    }
    let pki = &at_position[0].1;
    for (now, refused) in clock {
        let expected = refused.map_or_else(|| matched(0, &pki.leaf.pin()), Err);
        cases.push(Case { now, expected, trust: Trust::PinOnly, ..pki.case("leaf, pin-only") });
    }
    assert_eq!(cases.len(), 16);
    check(cases);
}

#[test]
fn an_entry_expires_at_its_second() {
    let pki = Pki::new();
    let pin = pki.leaf.pin();
    let expired = || unmatched(Some(Excused::Expired));
    let table = [
        ("deny", "", Err("ERR_TLS_PIN_EXPIRED"), Err("ERR_TLS_PIN_EXPIRED")),
        ("allow", r#", "onExpiry": "allow""#, expired(), Err("ERR_TLS_PIN_UNLISTED")),
        ("report", r#", "mode": "report""#, expired(), Err("ERR_TLS_PIN_UNLISTED")),
    ];
    let mut cases = Vec::new();
    for (name, more, in_ca, in_pin_only) in table {
        let policy =
            entry(&format!(r#""pins": ["{pin}"], "expires": "2027-01-15T08:00:00Z"{more}"#));
        for (trust, after) in [(pki.case("").trust, in_ca), (Trust::PinOnly, in_pin_only)] {
            let case = |now, expected| Case {
                policy: policy.clone(),
                trust: trust.clone(),
                now,
                expected,
                ..pki.case(name)
            };
            cases.extend([case(NOW - 1, matched(0, &pin)), case(NOW, after)]);
        }
    }
    let untrusted = Trust::Ca(store(&[&Node::root(ca("root"))]));
    cases.push(Case {
        policy: entry(&format!(
            r#""pins": ["{pin}"], "expires": "2027-01-15T08:00:00Z", "onExpiry": "allow""#
        )),
        trust: untrusted,
        expected: Err("CERT_SIGNATURE_FAILURE"),
        ..pki.case("an expired entry that lets through still wants a path")
    });
    check(cases);
}

#[test]
fn the_certificate_carries_the_name() {
    let pki = Pki::new();
    let issue = |names: &[&str]| pki.intermediate.issue(server(names));
    let [dns, v4, v6, wild, none] = [
        issue(&["other.example"]),
        issue(&["192.0.2.7"]),
        issue(&["2001:db8::1"]),
        issue(&["*.api.example"]),
        issue(&[]),
    ];
    let wrong = || Err("ERR_TLS_CERT_ALTNAME_INVALID");
    let table = [
        ("another name", &dns, HOST, wrong()),
        ("an IP address only", &v4, HOST, wrong()),
        ("no name at all", &none, HOST, wrong()),
        ("a wildcard", &wild, "a.api.example", Ok(())),
        ("a wildcard is one label", &wild, "a.b.api.example", wrong()),
        ("a wildcard is not the apex", &wild, HOST, wrong()),
        ("IPv4", &v4, "192.0.2.7", Ok(())),
        ("another IPv4", &v4, "192.0.2.8", wrong()),
        ("IPv6", &v6, "[2001:db8:0::1]", Ok(())),
        ("IPv4, a DNS name only", &dns, "192.0.2.7", wrong()),
    ];
    let mut cases = Vec::new();
    for (name, leaf, identity, expected) in table {
        for trust in [pki.case("").trust, Trust::PinOnly] {
            cases.push(Case {
                chain: chain(&[leaf, &pki.intermediate]),
                identity,
                // A bare list, which has no pattern.
                policy: format!(r#"["{}"]"#, leaf.pin()),
                trust,
                expected: expected.map(|()| Outcome {
                    matched: Some((0, leaf.pin().to_string(), String::new())),
                    excused: None,
                }),
                ..pki.case(name)
            });
        }
    }
    cases.push(Case {
        chain: chain(&[&dns, &pki.intermediate]),
        policy: entry(&format!(r#""pins": ["{WRONG}"], "mode": "report""#)),
        expected: Err("ERR_TLS_CERT_ALTNAME_INVALID"),
        ..pki.case("report mode excuses no name")
    });
    check(cases);
}

#[test]
fn the_path_obeys_rfc_5280() {
    let pki = Pki::new();
    let under = |middle: CertificateParams| Pki::of(ca("root"), middle, server(&[HOST]));
    let holding = |leaf: CertificateParams| Pki::of(ca("root"), ca("intermediate"), leaf);
    let names = |permitted: &[&str], excluded: &[&str]| {
        let subtrees = |names: &[&str]| {
            names.iter().map(|name| GeneralSubtree::DnsName((*name).into())).collect()
        };
        Some(NameConstraints {
            permitted_subtrees: subtrees(permitted),
            excluded_subtrees: subtrees(excluded),
        })
    };
    let critical = |params| {
        with(params, |params| {
            let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions.push(unknown);
        })
    };
    let client = |params| {
        with(params, |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    };
    let table = [
        (
            "a permitted name",
            under(with(ca("intermediate"), |ca| ca.name_constraints = names(&["example"], &[]))),
            None,
        ),
        (
            "a name outside the permitted ones",
            under(with(ca("intermediate"), |ca| ca.name_constraints = names(&["test"], &[]))),
            Some("PERMITTED_VIOLATION"),
        ),
        (
            "an excluded name",
            under(with(ca("intermediate"), |ca| ca.name_constraints = names(&[], &[HOST]))),
            Some("PERMITTED_VIOLATION"),
        ),
        (
            "a name outside those of the anchor",
            Pki::of(
                with(ca("root"), |ca| ca.name_constraints = names(&["test"], &[])),
                ca("intermediate"),
                server(&[HOST]),
            ),
            Some("PERMITTED_VIOLATION"),
        ),
        ("a leaf for clients", holding(client(server(&[HOST]))), Some("INVALID_PURPOSE")),
        ("an intermediate for clients", under(client(ca("intermediate"))), Some("INVALID_PURPOSE")),
        ("an issuer that is no CA", under(server(&["intermediate"])), Some("INVALID_CA")),
        (
            "an issuer with CA:FALSE",
            under(with(ca("intermediate"), |ca| ca.is_ca = IsCa::ExplicitNoCa)),
            Some("INVALID_CA"),
        ),
        (
            "a leaf with CA:TRUE",
            holding(with(server(&[HOST]), |leaf| {
                leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            })),
            Some("INVALID_PURPOSE"),
        ),
        (
            "a critical extension on the leaf",
            holding(critical(server(&[HOST]))),
            Some("UNHANDLED_CRITICAL_EXTENSION"),
        ),
        (
            "a critical extension on the intermediate",
            under(critical(ca("intermediate"))),
            Some("UNHANDLED_CRITICAL_EXTENSION"),
        ),
    ];
    let mut cases = Vec::new();
    for (name, pki, refused) in &table {
        let expected = refused.map_or_else(|| matched(0, &pki.leaf.pin()), Err);
        cases.push(Case { expected, ..pki.case(name) });
    }
    for (length, refused) in [(0, Some("PATH_LENGTH_EXCEEDED")), (1, None)] {
        let upper = pki.root.issue(with(ca("upper"), |ca| {
            ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        }));
        let lower = upper.issue(ca("lower"));
        let leaf = lower.issue(server(&[HOST]));
        cases.push(Case {
            chain: chain(&[&leaf, &upper, &lower]),
            policy: pins(&[&leaf.pin()]),
            expected: refused.map_or_else(|| matched(0, &leaf.pin()), Err),
            ..pki.case("a path length constraint")
        });
    }
    check(cases);
}

#[test]
fn a_chain_is_only_so_long() {
    let pki = Pki::new();
    let mut nodes = vec![pki.root.issue(ca("0"))];
    for name in ["1", "2", "3", "4", "5", "6"] {
        nodes.push(nodes.last().unwrap().issue(ca(name)));
    }
    let deep = |intermediates: usize, max_intermediates, allowed| {
        let leaf = nodes[intermediates - 1].issue(server(&[HOST]));
        let mut path = vec![&leaf];
        path.extend(nodes[..intermediates].iter().rev());
        Case {
            chain: chain(&path),
            policy: pins(&[&leaf.pin()]),
            max_intermediates,
            expected: if allowed { matched(0, &leaf.pin()) } else { Err("CERT_CHAIN_TOO_LONG") },
            ..pki.case("depth")
        }
    };
    let rollover = pki.root.issue(ca("root"));
    let below = rollover.issue(server(&[HOST]));
    check(vec![
        deep(1, Some(0), false),
        deep(1, Some(1), true),
        deep(2, Some(1), false),
        deep(2, Some(2), true),
        deep(6, None, true),
        deep(7, None, false),
        deep(7, Some(9), false),
        // RFC 5280, 6.1.4 (l).
        Case {
            chain: chain(&[&below, &rollover]),
            policy: pins(&[&below.pin()]),
            max_intermediates: Some(0),
            expected: matched(0, &below.pin()),
            ..pki.case("a self-issued intermediate does not count")
        },
    ]);
}

#[test]
fn a_self_signed_leaf_needs_pin_only_trust() {
    let authority = with(server(&[HOST]), |leaf| {
        leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let (plain, authority) = (Node::root(server(&[HOST])), Node::root(authority));
    let pki = Pki::new();
    let case = |name, leaf: &Node, trust, expected| Case {
        chain: chain(&[leaf]),
        policy: pins(&[&leaf.pin()]),
        trust,
        expected,
        ..pki.case(name)
    };
    let refused = || Err("DEPTH_ZERO_SELF_SIGNED_CERT");
    check(vec![
        case("not trusted", &plain, Trust::Ca(store(&[&pki.root])), refused()),
        case("its own anchor", &plain, Trust::Ca(store(&[&plain])), matched(0, &plain.pin())),
        case("CA:TRUE, not trusted", &authority, Trust::Ca(store(&[&pki.root])), refused()),
        case("CA:TRUE, its own anchor", &authority, Trust::Ca(store(&[&authority])), refused()),
        case("pin-only", &plain, Trust::PinOnly, matched(0, &plain.pin())),
        case("CA:TRUE, pin-only", &authority, Trust::PinOnly, matched(0, &authority.pin())),
    ]);
}

#[test]
fn pin_only_trust_is_in_the_leaf_alone() {
    let pki = Pki::new();
    let mismatch = || Err("ERR_TLS_PIN_MISMATCH");
    let case = |name, policy, expected| Case {
        chain: chain(&[&pki.leaf, &pki.intermediate, &pki.root]),
        policy,
        trust: Trust::PinOnly,
        expected,
        ..pki.case(name)
    };
    let one =
        |role: &str, pin: &dyn Display, more: &str| entry(&format!(r#""{role}": ["{pin}"]{more}"#));
    let unlisted = |word: &str| {
        format!(r#"{{ "unlisted": "{word}", "hosts": {{ "b.example": "{}" }} }}"#, pki.leaf.pin())
    };
    check(vec![
        case("its key", pins(&[&pki.leaf.pin()]), matched(0, &pki.leaf.pin())),
        case("the whole", pins(&[&pki.leaf.whole()]), matched(0, &pki.leaf.whole())),
        case("leaf role", one("leaf", &pki.leaf.pin(), ""), matched(0, &pki.leaf.pin())),
        case("a ca role does not count", one("ca", &pki.leaf.pin(), ""), mismatch()),
        case("an issuer's ca role does not count", one("ca", &pki.root.pin(), ""), mismatch()),
        case(
            "an issuer sent along",
            pins(&[&pki.intermediate.pin(), &pki.root.whole()]),
            mismatch(),
        ),
        case("another key", pins(&[&WRONG]), mismatch()),
        case(
            "report mode has nothing to fall back on",
            one("pins", &WRONG, r#", "mode": "report""#),
            mismatch(),
        ),
        case("unlisted: deny", unlisted("deny"), Err("ERR_TLS_PIN_UNLISTED")),
        case("unlisted: allow", unlisted("allow"), Err("ERR_TLS_PIN_UNLISTED")),
        case("unlisted: report", unlisted("report"), Err("ERR_TLS_PIN_UNLISTED")),
    ]);
}

#[test]
fn a_policy_is_as_loose_as_it_says() {
    let pki = Pki::new();
    let untrusted = || Trust::Ca(store(&[&Node::root(ca("other"))]));
    let unlisted = |word: &str| {
        format!(r#"{{ "unlisted": "{word}", "hosts": {{ "b.example": "{WRONG}" }} }}"#)
    };
    let report = || entry(&format!(r#""pins": ["{WRONG}"], "mode": "report""#));
    let case = |name, policy, expected| Case { policy, expected, ..pki.case(name) };
    let no_path = || Err("UNABLE_TO_GET_ISSUER_CERT_LOCALLY");
    check(vec![
        case("deny", unlisted("deny"), Err("ERR_TLS_PIN_UNLISTED")),
        case("allow", unlisted("allow"), unmatched(None)),
        case("report", unlisted("report"), unmatched(Some(Excused::Unlisted))),
        case("report mode", report(), unmatched(Some(Excused::Mismatch))),
        Case { trust: untrusted(), ..case("allow, no path", unlisted("allow"), no_path()) },
        Case { trust: untrusted(), ..case("report, no path", unlisted("report"), no_path()) },
        Case { trust: untrusted(), ..case("report mode, no path", report(), no_path()) },
        case(
            "the most specific entry alone",
            format!(
                r#"{{ "{HOST}:443": "{WRONG}", "{HOST}": "{0}", "*.example": "{0}" }}"#,
                pki.leaf.pin()
            ),
            Err("ERR_TLS_PIN_MISMATCH"),
        ),
        case(
            "the pattern is told",
            format!(r#"{{ "**.example": "{}" }}"#, pki.leaf.pin()),
            Ok(Outcome {
                matched: Some((0, pki.leaf.pin().to_string(), "**.example".into())),
                excused: None,
            }),
        ),
    ]);
}

#[test]
fn crls_cover_the_whole_path() {
    let pki = Pki::new();
    let impostor = Node::root(ca("intermediate"));
    let no_signer = |params| {
        with(params, |ca: &mut CertificateParams| {
            ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        })
    };
    let mute_root = Pki::of(no_signer(ca("root")), ca("intermediate"), server(&[HOST]));
    let mute_middle = Pki::of(ca("root"), no_signer(ca("intermediate")), server(&[HOST]));
    let root = || pki.root.crl(&[], TO);
    let middle = || pki.intermediate.crl(&[], TO);
    let lists = |pki: &Pki| vec![pki.root.crl(&[], TO), pki.intermediate.crl(&[], TO)];
    let leaf_revoked = vec![root(), pki.intermediate.crl(&[&pki.leaf], TO)];
    let middle_revoked = vec![pki.root.crl(&[&pki.intermediate], TO), middle()];
    let out_of_date = vec![root(), pki.intermediate.crl(&[], NOW)];
    let impostors = vec![root(), impostor.crl(&[], TO)];
    let of_then_and_now = || {
        [pki.intermediate.crl_of(FROM - 1, &[], TO), pki.intermediate.crl(&[&pki.leaf], TO), root()]
    };
    let newest_last = of_then_and_now().to_vec();
    let newest_first = {
        let [then, now, root] = of_then_and_now();
        vec![now, then, root]
    };
    let unsigned = Some("CRL_SIGNATURE_FAILURE");
    let table = [
        ("none revoked", &pki, lists(&pki), None),
        ("leaf revoked", &pki, leaf_revoked, Some("CERT_REVOKED")),
        ("leaf revoked, the older list first", &pki, newest_last, Some("CERT_REVOKED")),
        ("leaf revoked, the newer list first", &pki, newest_first, Some("CERT_REVOKED")),
        ("intermediate revoked", &pki, middle_revoked, Some("CERT_REVOKED")),
        ("none of the root", &pki, vec![middle()], Some("UNABLE_TO_GET_CRL")),
        ("none of the intermediate", &pki, vec![root()], Some("UNABLE_TO_GET_CRL")),
        ("just in date", &pki, vec![root(), pki.intermediate.crl(&[], NOW + 1)], None),
        ("out of date", &pki, out_of_date, Some("CRL_HAS_EXPIRED")),
        ("an impostor's", &pki, impostors, unsigned),
        ("of an anchor that may not sign one", &mute_root, lists(&mute_root), unsigned),
        ("of an issuer that may not sign one", &mute_middle, lists(&mute_middle), unsigned),
    ];
    let cases = table.map(|(name, pki, crls, refused)| Case {
        crls,
        expected: refused.map_or_else(|| matched(0, &pki.leaf.pin()), Err),
        ..pki.case(name)
    });
    check(cases.into());
}

#[test]
fn an_error_names_the_certificate_and_the_pin_it_matches() {
    let pki = Pki::new();
    let old = |params| dated(params, FROM, NOW - 1);
    let [leaf, middle, root] = [&pki.leaf, &pki.intermediate, &pki.root];
    let late_leaf = Pki::of(ca("root"), ca("intermediate"), old(server(&[HOST])));
    let late_middle = Pki::of(ca("root"), old(ca("intermediate")), server(&[HOST]));
    let late_root = Pki::of(old(ca("root")), ca("intermediate"), server(&[HOST]));
    let leaf_revoked = vec![root.crl(&[], TO), middle.crl(&[leaf], TO)];
    let middle_revoked = vec![root.crl(&[middle], TO), middle.crl(&[], TO)];
    let in_role = |role: &str, pin: Pin| entry(&format!(r#""{role}": ["{pin}"]"#));
    let none = || pins(&[&WRONG]);
    let at = |pki: &Pki, policy, crls: &[Vec<u8>]| {
        let case = Case { policy, crls: crls.to_vec(), ..pki.case("named") };
        case.verify().unwrap_err()
    };
    let named = [
        (at(&pki, pins(&[&leaf.pin()]), &leaf_revoked), leaf, Some(leaf.pin())),
        (at(&pki, pins(&[&leaf.whole()]), &leaf_revoked), leaf, Some(leaf.whole())),
        (at(&pki, in_role("ca", leaf.pin()), &leaf_revoked), leaf, None),
        (at(&pki, none(), &leaf_revoked), leaf, None),
        (at(&pki, pins(&[&leaf.pin()]), &middle_revoked), middle, None),
        (at(&pki, in_role("ca", middle.pin()), &middle_revoked), middle, Some(middle.pin())),
        (
            at(&late_leaf, pins(&[&late_leaf.leaf.pin()]), &[]),
            &late_leaf.leaf,
            Some(late_leaf.leaf.pin()),
        ),
        (
            at(&late_middle, in_role("leaf", late_middle.intermediate.pin()), &[]),
            &late_middle.intermediate,
            None,
        ),
        (
            at(&late_root, pins(&[&late_root.root.pin()]), &[]),
            &late_root.root,
            Some(late_root.root.pin()),
        ),
    ];
    for (failure, node, pin) in named {
        let certificate = failure.certificate.as_ref().unwrap();
        assert_eq!(certificate.der.as_ref(), Some(&node.der), "{failure}");
        assert_eq!(failure.pinned, pin.map(|pin| pin.to_string()), "{failure}");
        assert!(failure.message.contains(&node.pin().to_string()), "{failure}");
    }
    let unnamed = at(&pki, none(), &[]);
    assert!(unnamed.certificate.is_none() && unnamed.code == "ERR_TLS_PIN_MISMATCH");
}

#[test]
fn what_is_no_certificate_is_refused() {
    let pki = Pki::new();
    let garbage = || CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    let long = CertificateDer::from([pki.leaf.der.as_ref(), &[0]].concat());
    let [leaf, middle] = [pki.leaf.der.clone(), pki.intermediate.der.clone()];
    let nothing = "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE";
    let table = [
        ("no certificate", vec![], Err(nothing)),
        ("an empty one", vec![CertificateDer::from(Vec::new())], Err("CERT_REJECTED")),
        ("garbage", vec![garbage(), middle.clone()], Err("CERT_REJECTED")),
        ("a byte too many", vec![long, middle.clone()], Err("CERT_REJECTED")),
        ("garbage for an issuer", vec![leaf.clone(), garbage()], Err("CERT_REJECTED")),
        ("garbage beside", vec![leaf, garbage(), middle], matched(0, &pki.leaf.pin())),
    ];
    let mut cases = Vec::new();
    for (name, chain, expected) in table {
        if expected.is_err() && name != "garbage for an issuer" {
            let expected = expected.as_ref().map_err(|code| *code).map(|_| unreachable!());
            cases.push(Case {
                chain: chain.clone(),
                trust: Trust::PinOnly,
                expected,
                ..pki.case(name)
            });
        }
        cases.push(Case { chain, expected, ..pki.case(name) });
    }
    check(cases);
}

/// The `tbsCertificate` and the key, as a parser that decides nothing here reads them.
fn parts(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let tbs = &certificate.tbs_certificate;
    (tbs.as_ref().to_vec(), tbs.subject_pki.raw.to_vec())
}

#[test]
fn no_flipped_bit_passes() {
    let pki = Pki::new();
    let mut trials = 0;
    for position in 0..2 {
        let original = pki.case("").chain;
        let (tbs, _) = parts(&original[position]);
        // What vouches for the flipped certificate is above it, what is pinned beside it.
        let policy = pins(&[&pki.root.pin()]);
        for bit in 0..8 * original[position].len() {
            let mut der = original[position].to_vec();
            der[bit / 8] ^= 1 << (bit % 8);
            let mut case = Case { policy: policy.clone(), ..pki.case("flipped") };
            case.chain[position] = der.clone().into();
            if case.verify().is_ok() {
                assert_eq!(parts(&der).0, tbs, "bit {bit} of certificate {position}");
            }
            trials += 1;
        }
    }
    assert!(trials > 4000, "{trials}");
}

#[test]
fn no_flipped_bit_passes_for_another_key_in_pin_only_trust() {
    let pki = Pki::new();
    let (_, spki) = parts(&pki.leaf.der);
    for bit in 0..8 * pki.leaf.der.len() {
        let mut der = pki.leaf.der.to_vec();
        der[bit / 8] ^= 1 << (bit % 8);
        let case = |policy| Case {
            chain: vec![der.clone().into()],
            trust: Trust::PinOnly,
            policy,
            ..pki.case("flipped")
        };
        assert!(case(pins(&[&pki.leaf.whole()])).verify().is_err(), "bit {bit}, whole");
        if let Ok(verified) = case(pins(&[&pki.leaf.pin()])).verify() {
            assert_eq!(verified.path[0].spki.as_ref(), spki, "bit {bit}");
            assert_eq!(parts(&der).1, spki, "bit {bit}");
        }
    }
}

#[test]
fn no_truncated_certificate_passes() {
    let pki = Pki::new();
    for position in 0..2 {
        for length in 0..pki.case("").chain[position].len() {
            for trust in [pki.case("").trust, Trust::PinOnly] {
                let mut case = Case { trust, ..pki.case("cut") };
                if position == 1 && matches!(case.trust, Trust::PinOnly) {
                    continue;
                }
                case.chain[position] = case.chain[position][..length].to_vec().into();
                assert!(case.verify().is_err(), "certificate {position} cut at {length}");
            }
        }
    }
}

#[test]
fn no_mangled_chain_panics_or_passes_for_another_key() {
    // A fixed seed: a suite that fails does so each time.
    let config = Config { cases: 2000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let pki = Pki::new();
    let whole = [&pki.leaf.der, &pki.intermediate.der, &pki.root.der].map(|der| der.to_vec());
    let pick = proptest::sample::select(whole.to_vec());
    let splice =
        (pick.clone(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..9));
    let mangled = splice.prop_map(|(mut der, at, bytes)| {
        let at = at.index(der.len());
        let end = der.len().min(at + bytes.len());
        der.splice(at..end, bytes);
        der
    });
    let random = prop::collection::vec(any::<u8>(), 0..200);
    let certificate = prop_oneof![4 => pick, 2 => mangled, 1 => random];
    let chains = (prop::collection::vec(certificate, 0..5), any::<bool>());
    let passed = std::cell::Cell::new(0);
    TestRunner::new_with_rng(config, rng)
        .run(&chains, |(chain, pin_only)| {
            let mut case = pki.case("mangled");
            case.chain = chain.into_iter().map(Into::into).collect();
            if pin_only {
                case.trust = Trust::PinOnly;
            }
            if let Ok(verified) = case.verify() {
                passed.set(passed.get() + 1);
                let (_, key) = parts(&case.chain[0]);
                prop_assert_eq!(&key, &parts(&pki.leaf.der).1);
                prop_assert_eq!(verified.path[0].spki.as_ref(), key);
                prop_assert_eq!(verified.path[0].der.as_ref(), case.chain.first());
            }
            Ok(())
        })
        .unwrap();
    assert!(passed.get() > 20, "{} chains passed: too few to have tried anything", passed.get());
}
