//! [`PathVerifier::verify_shown`] by tables: certificates that another TLS stack shows, in whatever order, and a clock
//! that stands still.

use std::fmt::Display;

use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints,
};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;

use crate::pinning::{Host, PinSet, Policy};

use super::path::{PathVerifier, Trust};
use super::revocation::Crls;
use super::shown::{Anchors, own_is_pinned};
use super::test_pki::*;
use super::verified::{Excused, Verified};
use super::{Failure, Identity};

const HOST: &str = "api.example";
const WRONG: &str = "sha256/WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=";
const MISMATCH: &str = "ERR_TLS_PIN_MISMATCH";

/// Leaf, intermediate and root; another root, which is trusted as well.
struct Pki {
    root: Node,
    intermediate: Node,
    leaf: Node,
    rogue: Node,
}

impl Pki {
    fn new() -> Self {
        let root = Node::root(ca("root"));
        let intermediate = root.issue(ca("intermediate"));
        let leaf = intermediate.issue(server(&[HOST]));
        Self { root, intermediate, leaf, rogue: Node::root(ca("rogue")) }
    }

    fn trusted(&self) -> Trust {
        Trust::Ca(store(&[&self.root, &self.rogue]))
    }

    /// A store that knows none of these, as Node's own does a private CA.
    fn elsewhere() -> Trust {
        Trust::Ca(store(&[&Node::root(ca("elsewhere"))]))
    }
}

fn policy(pins: &[&dyn Display]) -> String {
    let pins: Vec<String> = pins.iter().map(|pin| format!("\"{pin}\"")).collect();
    format!(r#"{{ "hosts": {{ "{HOST}": [{}] }} }}"#, pins.join(", "))
}

fn verify(
    shown: &[CertificateDer<'static>],
    trust: Trust,
    anchors: Anchors,
    policy: &str,
) -> Result<Verified, Failure> {
    let verifier = PathVerifier {
        trust,
        crls: Crls::new(Vec::new()),
        algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        max_intermediates: None,
    };
    let pins = PinSet::new(Policy::from_json(policy).unwrap());
    let identity = Identity::parse(HOST, 443).unwrap();
    let result = verifier.verify_shown(shown, anchors, &identity, &pins.current(), unix(NOW));
    // The short way says yes only where the long one does.
    if let Some(own) = shown.first()
        && own_is_pinned(own, &Host::parse(HOST).unwrap(), 443, &pins.current(), unix(NOW))
    {
        assert_eq!(result.as_ref().unwrap().matched.as_ref().unwrap().index, 0);
    }
    result
}

/// The position that matched, or the code.
fn outcome(result: Result<Verified, Failure>) -> Result<usize, String> {
    result
        .map(|verified| verified.matched.unwrap().index)
        .map_err(|failure| failure.code.to_string())
}

#[test]
fn a_pin_matches_at_each_depth_whatever_the_order() {
    let pki = Pki::new();
    let Pki { leaf, intermediate, root, rogue } = &pki;
    let stranger = Node::root(ca("stranger"));
    let orders: [&[&Node]; 5] = [
        &[leaf, intermediate, root],
        &[leaf, intermediate],
        &[leaf, root, intermediate],
        &[leaf, rogue, &stranger, intermediate, intermediate, root],
        &[leaf, root, leaf, &stranger, intermediate],
    ];
    for order in orders {
        for (index, node) in [leaf, intermediate, root].into_iter().enumerate() {
            for pin in [node.pin(), node.whole()] {
                for anchors in [Anchors::Same, Anchors::Guessed] {
                    let result =
                        verify(&chain(order), pki.trusted(), anchors, &policy(&[&WRONG, &pin]));
                    assert_eq!(outcome(result), Ok(index), "{pin} {anchors:?}");
                }
                let result =
                    verify(&chain(order), Pki::elsewhere(), Anchors::Guessed, &policy(&[&pin]));
                let shown = order.iter().any(|shown| shown.der == node.der);
                let expected = if shown { Ok(index) } else { Err(MISMATCH.to_owned()) };
                assert_eq!(outcome(result), expected, "{pin} without its anchor");
            }
        }
    }
}

#[test]
fn only_the_servers_own_key_counts_without_a_path() {
    let pki = Pki::new();
    let Pki { leaf, intermediate, root, rogue } = &pki;
    let fake = rogue.issue(server(&[HOST]));
    let all = [
        leaf.pin(),
        intermediate.pin(),
        root.pin(),
        leaf.whole(),
        intermediate.whole(),
        root.whole(),
    ];
    for pin in all {
        for shown in [
            chain(&[&fake, intermediate, root, leaf]),
            chain(&[&fake, rogue, intermediate, root]),
            chain(&[&fake, leaf, rogue]),
        ] {
            for (trust, anchors) in [
                (pki.trusted(), Anchors::Same),
                (pki.trusted(), Anchors::Guessed),
                (Pki::elsewhere(), Anchors::Guessed),
            ] {
                let result = verify(&shown, trust, anchors, &policy(&[&pin]));
                assert_eq!(outcome(result), Err(MISMATCH.to_owned()), "{pin} {anchors:?}");
            }
        }
    }
}

/// Below each of these the leaf is signed by the pinned key, and may be refused for that certificate's own sake.
#[test]
fn a_pinned_issuer_is_held_to_what_it_may_do() {
    let pki = Pki::new();
    let unknown = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    let critical = |mut extension: CustomExtension| {
        extension.set_criticality(true);
        extension
    };
    let constraint = |names: &str| NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(names.into())],
        excluded_subtrees: Vec::new(),
    };
    let ok = |index: usize| Ok::<usize, &str>(index);
    for (name, params, expected) in [
        ("a CA", ca("x"), ok(1)),
        ("expired", dated(ca("x"), NOW - 100, NOW - 1), Err(MISMATCH)),
        ("in its last second", dated(ca("x"), NOW - 100, NOW), ok(1)),
        ("not yet valid", dated(ca("x"), NOW + 1, NOW + 100), Err(MISMATCH)),
        ("no CA", with(ca("x"), |params| params.is_ca = IsCa::ExplicitNoCa), Err(MISMATCH)),
        ("no basicConstraints", with(ca("x"), |params| params.is_ca = IsCa::NoCa), Err(MISMATCH)),
        (
            "no keyCertSign",
            with(ca("x"), |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            Err(MISMATCH),
        ),
        ("no key usage", with(ca("x"), |params| params.key_usages.clear()), ok(1)),
        (
            "for clients",
            with(ca("x"), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            Err(MISMATCH),
        ),
        (
            "for servers",
            with(ca("x"), |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            ok(1),
        ),
        (
            "names permitted",
            with(ca("x"), |params| params.name_constraints = Some(constraint("example"))),
            ok(1),
        ),
        (
            "other names permitted",
            with(ca("x"), |params| params.name_constraints = Some(constraint("other.test"))),
            Err(MISMATCH),
        ),
        (
            "an unknown extension",
            with(ca("x"), |params| params.custom_extensions = vec![unknown.clone()]),
            ok(1),
        ),
        (
            "an unknown critical extension",
            with(ca("x"), |params| params.custom_extensions = vec![critical(unknown.clone())]),
            Err(MISMATCH),
        ),
    ] {
        let issuer = pki.root.issue(params.clone());
        // Issued by one that says CA:TRUE, whatever the issuer that is shown says.
        let leaf = Node { params: ca("x"), ..issuer.clone() }.issue(server(&[HOST]));
        for pin in [issuer.pin(), issuer.whole()] {
            let shown = chain(&[&leaf, &issuer]);
            let result = verify(&shown, Pki::elsewhere(), Anchors::Guessed, &policy(&[&pin]));
            assert_eq!(outcome(result), expected.map_err(ToOwned::to_owned), "{name}");
        }
    }
}

#[test]
fn a_pinned_issuers_path_length_holds() {
    let pki = Pki::new();
    let limited = |most: u8| {
        with(ca("limited"), |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most)))
    };
    for (most, between, expected) in
        [(0, 0, Some(1)), (0, 1, None), (1, 1, Some(2)), (1, 2, None), (2, 2, Some(3))]
    {
        let pinned = pki.root.issue(limited(most));
        let mut below = vec![pinned.clone()];
        for _ in 0..between {
            let name = format!("sub {}", below.len());
            below.insert(0, below[0].issue(ca(&name)));
        }
        let leaf = below[0].issue(server(&[HOST]));
        // The last sub-CA's key, cross-signed: the other stack's path does not go through the limited one at all.
        let twin = pki.rogue.cross_sign(&below[0]);
        let mut nodes: Vec<&Node> = vec![&leaf];
        nodes.extend(&below);
        if between > 0 {
            nodes.push(&twin);
        }
        let shown = chain(&nodes);
        let trusts = [
            (pki.trusted(), Anchors::Same),
            (pki.trusted(), Anchors::Guessed),
            (Pki::elsewhere(), Anchors::Guessed),
        ];
        for (trust, anchors) in trusts {
            let result = verify(&shown, trust, anchors, &policy(&[&pinned.pin()]));
            assert_eq!(outcome(result).ok(), expected, "{most} {between} {anchors:?}");
        }
    }
}

#[test]
fn copies_of_a_pinned_ca_do_not_stand_in_for_it() {
    let pki = Pki::new();
    // Its key under the rogue root's name, expired: who goes by names takes it for the rogue root's issuer or twin.
    let params = dated(ca("rogue"), FROM - 100, FROM - 50);
    let copy = pki.root.cross_sign(&Node { params, ..pki.intermediate.clone() });
    let namesake = pki.rogue.issue(ca("intermediate"));
    for (leaf, shown) in [
        (pki.rogue.issue(server(&[HOST])), vec![copy.clone(), pki.rogue.clone()]),
        (
            namesake.issue(server(&[HOST])),
            vec![pki.intermediate.clone(), namesake.clone(), pki.rogue.clone()],
        ),
        (
            namesake.issue(server(&[HOST])),
            vec![namesake.clone(), pki.intermediate.clone(), pki.root.clone()],
        ),
    ] {
        let mut nodes = vec![&leaf];
        nodes.extend(&shown);
        for pin in [pki.intermediate.pin(), copy.whole(), pki.intermediate.whole(), pki.root.pin()]
        {
            for (trust, anchors) in
                [(pki.trusted(), Anchors::Same), (pki.trusted(), Anchors::Guessed)]
            {
                let result = verify(&chain(&nodes), trust, anchors, &policy(&[&pin]));
                assert_eq!(outcome(result), Err(MISMATCH.to_owned()));
            }
        }
    }
}

#[test]
fn roles_dates_and_policies_hold() {
    let pki = Pki::new();
    let Pki { leaf, intermediate, root, .. } = &pki;
    let shown = chain(&[leaf, intermediate, root]);
    let old = intermediate.issue(dated(server(&[HOST]), NOW - 100, NOW - 1));
    let entry = |body: String| format!(r#"{{ "hosts": {{ "{HOST}": {{ {body} }} }} }}"#);
    for (name, shown, policy, expected) in [
        ("leaf as ca", &shown, entry(format!(r#""ca": ["{}"]"#, leaf.pin())), Err(MISMATCH)),
        (
            "issuer as leaf",
            &shown,
            entry(format!(r#""leaf": ["{}"]"#, intermediate.pin())),
            Err(MISMATCH),
        ),
        ("issuer as ca", &shown, entry(format!(r#""ca": ["{}"]"#, intermediate.pin())), Ok(1)),
        ("leaf as leaf", &shown, entry(format!(r#""leaf": ["{}"]"#, leaf.pin())), Ok(0)),
        (
            "an expired leaf",
            &chain(&[&old, intermediate]),
            policy(&[&old.pin()]),
            Err("CERT_HAS_EXPIRED"),
        ),
        (
            "nothing shown",
            &Vec::new(),
            policy(&[&leaf.pin()]),
            Err("ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        ),
        ("garbage", &vec![vec![0x30, 0].into()], policy(&[&leaf.pin()]), Err("CERT_REJECTED")),
        (
            "expired entry",
            &shown,
            entry(format!(r#""pins": ["{}"], "expires": "2020-01-01T00:00:00Z""#, leaf.pin())),
            Err("ERR_TLS_PIN_EXPIRED"),
        ),
        (
            "unlisted",
            &shown,
            format!(r#"{{ "hosts": {{ "b.example": ["{}"] }} }}"#, leaf.pin()),
            Err("ERR_TLS_PIN_UNLISTED"),
        ),
    ] {
        for (trust, anchors) in
            [(pki.trusted(), Anchors::Same), (Pki::elsewhere(), Anchors::Guessed)]
        {
            let result = verify(shown, trust, anchors, &policy);
            assert_eq!(outcome(result), expected.map_err(ToOwned::to_owned), "{name} {anchors:?}");
        }
    }
}

#[test]
fn what_a_looser_policy_lets_through_is_told_with_its_path() {
    let pki = Pki::new();
    let shown = chain(&[&pki.leaf, &pki.intermediate, &pki.root]);
    let report =
        format!(r#"{{ "hosts": {{ "{HOST}": {{ "pins": ["{WRONG}"], "mode": "report" }} }} }}"#);
    let unlisted =
        format!(r#"{{ "unlisted": "report", "hosts": {{ "b.example": ["{WRONG}"] }} }}"#);
    for (policy, excused) in [(&report, Excused::Mismatch), (&unlisted, Excused::Unlisted)] {
        for trust in [pki.trusted(), Pki::elsewhere()] {
            let verified = verify(&shown, trust, Anchors::Guessed, policy).unwrap();
            assert_eq!(verified.excused, Some(excused.clone()));
            assert_eq!(verified.path.len(), 3, "{excused:?}");
        }
    }
    let allowed = unlisted.replace("report", "allow");
    let verified = verify(&shown, pki.trusted(), Anchors::Same, &allowed).unwrap();
    assert_eq!((verified.excused, verified.matched), (None, None));
}

#[test]
fn with_the_pins_as_the_only_trust_nothing_but_the_leaf_counts() {
    let device = Node::root(server(&[HOST]));
    let pki = Pki::new();
    let shown = chain(&[&pki.leaf, &pki.intermediate, &pki.root]);
    let report =
        format!(r#"{{ "hosts": {{ "{HOST}": {{ "pins": ["{WRONG}"], "mode": "report" }} }} }}"#);
    let unlisted = format!(r#"{{ "unlisted": "allow", "hosts": {{ "b.example": ["{WRONG}"] }} }}"#);
    for (name, shown, policy, expected) in [
        ("the device", &chain(&[&device]), policy(&[&device.pin()]), Ok(0)),
        ("a leaf", &shown, policy(&[&pki.leaf.whole()]), Ok(0)),
        ("its issuer", &shown, policy(&[&pki.intermediate.pin()]), Err(MISMATCH)),
        ("a mismatch in report mode", &shown, report, Err(MISMATCH)),
        ("unlisted", &shown, unlisted, Err("ERR_TLS_PIN_UNLISTED")),
    ] {
        let result = verify(shown, Trust::PinOnly, Anchors::Guessed, &policy);
        assert_eq!(outcome(result), expected.map_err(ToOwned::to_owned), "{name}");
    }
}

/// Path building by names would try every order of these, once for each pinned key.
#[test]
fn what_is_beside_the_path_by_name_alone_is_left_out() {
    let pki = Pki::new();
    let fake = pki.rogue.issue(server(&[HOST]));
    let mut nodes = vec![fake.clone()];
    for _ in 0..6 {
        // Its issuer by name, and the pinned key under that name.
        nodes.push(Node::root(ca("rogue")));
        nodes.push(pki.root.cross_sign(&Node { params: ca("rogue"), ..pki.intermediate.clone() }));
    }
    nodes.push(pki.rogue.clone());
    nodes.push(pki.intermediate.clone());
    let nodes: Vec<&Node> = nodes.iter().collect();
    let verifier = PathVerifier {
        trust: pki.trusted(),
        crls: Crls::new(Vec::new()),
        algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
        max_intermediates: None,
    };
    assert_eq!(verifier.issued(&chain(&nodes)), chain(&[&fake, &pki.rogue]));
    let honest = chain(&[&pki.leaf, &pki.rogue, &pki.root, &fake, &pki.intermediate]);
    let path = chain(&[&pki.leaf, &pki.intermediate, &pki.root]);
    assert_eq!(verifier.issued(&honest), path);
    for trust in [pki.trusted(), Pki::elsewhere()] {
        let result =
            verify(&chain(&nodes), trust, Anchors::Guessed, &policy(&[&pki.intermediate.pin()]));
        assert_eq!(outcome(result), Err(MISMATCH.to_owned()));
    }
}
