//! Certificates to rehearse an attack with: a server, and those who pretend to be it under a CA that the client
//! trusts as well. Made when they are asked for, good for an hour, known to nobody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};

use crate::pinning::{Algorithm, Pin};

const INTERMEDIATE: &str = "Genuine Intermediate";

/// A certificate chain in PEM, leaf first, and the leaf's private key in PEM.
#[derive(Clone, Debug)]
pub struct Server {
    pub chain: String,
    pub key: String,
}

/// A server and its impostors. Every one of them is on a valid path to one of the `roots`.
#[derive(Clone, Debug)]
pub struct Cast {
    pub roots: Vec<String>,
    pub genuine: Server,
    /// Pins of the genuine server's key, of its intermediate's and its root's.
    pub pins: [Pin; 3],
    /// Another CA's certificate for the same names.
    pub impostor: Server,
    /// The same, by an intermediate with the name of the genuine one, and with that one's certificate, expired, between:
    /// who goes by names takes it for part of the path.
    pub masked: Server,
}

/// Makes them for these names, DNS names or IP addresses.
///
/// # Errors
/// A name that no certificate can carry.
pub fn cast(names: &[String]) -> Result<Cast, Error> {
    let (root, root_key) = authority("Genuine Root")?;
    let (rogue, rogue_key) = authority("Impostor Root")?;
    let roots = vec![root.self_signed(&root_key)?.pem(), rogue.self_signed(&rogue_key)?.pem()];
    let root = Issuer::from_params(&root, &root_key);
    let rogue = Issuer::from_params(&rogue, &rogue_key);

    let (middle, middle_key) = authority(INTERMEDIATE)?;
    let middle_pem = middle.signed_by(&middle_key, &root)?.pem();
    let mut old = middle.clone();
    dated(&mut old, -200, -100);
    let old_pem = old.signed_by(&middle_key, &root)?.pem();
    let issuer = Issuer::from_params(&middle, &middle_key);
    let (genuine, genuine_key) = server(names, &issuer)?;

    let (impostor, impostor_key) = server(names, &rogue)?;

    let (twin, twin_key) = authority(INTERMEDIATE)?;
    let twin_pem = twin.signed_by(&twin_key, &rogue)?.pem();
    let (masked, masked_key) = server(names, &Issuer::from_params(&twin, &twin_key))?;

    let pin = |key: &KeyPair| Pin::of_spki(Algorithm::Sha256, &key.subject_public_key_info());
    Ok(Cast {
        pins: [pin(&genuine_key), pin(&middle_key), pin(&root_key)],
        roots,
        genuine: Server { chain: genuine + &middle_pem, key: genuine_key.serialize_pem() },
        impostor: Server { chain: impostor, key: impostor_key.serialize_pem() },
        masked: Server { chain: masked + &old_pem + &twin_pem, key: masked_key.serialize_pem() },
    })
}

fn authority(name: &str) -> Result<(CertificateParams, KeyPair), Error> {
    let mut params = named(name, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // By the name and not by the key: namesakes have the same.
    params.key_identifier_method = KeyIdMethod::PreSpecified(name.into());
    Ok((params, KeyPair::generate()?))
}

/// A certificate in PEM, and its key.
fn server(names: &[String], issuer: &Issuer<'_, &KeyPair>) -> Result<(String, KeyPair), Error> {
    let mut params = named("server", names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?.pem(), key))
}

fn named(name: &str, names: &[String]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    dated(&mut params, -60, 60);
    Ok(params)
}

/// Valid in these minutes from now.
pub(crate) fn dated(params: &mut CertificateParams, from: i64, to: i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at = |minutes: i64| {
        let seconds = now.saturating_add_signed(minutes * 60);
        date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    (params.not_before, params.not_after) = (at(from), at(to));
}
