//! The payload of a signed policy: a policy, and from when to when and before which others it counts.
//!
//! Signatures are none of this module's business: what it reads has been verified, or is about to be signed.

use super::error::Invalid;
use super::json::{Json, check_keys};
use super::policy::Policy;
use super::policy_json::{moment, policy};

/// A policy that was signed. Its own expiry is no later than that of what was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Counts up: a lower one never follows.
    pub version: u64,
    /// Unix seconds.
    pub not_before: Option<i64>,
    /// Unix seconds.
    pub expires: i64,
    pub policy: Policy,
}

/// The greatest integer that every reader of JSON has the same number for (RFC 8259, section 6).
const MOST: u64 = (1 << 53) - 1;

impl Signed {
    /// Reads `{ "version": 7, "notBefore": "…", "expires": "…", "policy": { "hosts": { … } } }`; all but `notBefore` must
    /// be there.
    ///
    /// # Errors
    ///
    /// As [`Policy::from_json`], and a period that ends before it begins. The policy must have `hosts`: a bare list or a
    /// shorthand is refused.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let json: Json = serde_json::from_str(text).map_err(|error| {
            Invalid::new(
                format!("the payload is not JSON: {error}"),
                "sign it with `tls-pinning sign`",
            )
        })?;
        let Json::Object(members) = json else {
            return Err(json.instead_of("an object"));
        };
        check_keys(&members, &["version", "notBefore", "expires", "policy"])?;
        let (mut version, mut not_before, mut expires, mut signed) = (None, None, None, None);
        for (key, value) in members {
            match key.as_str() {
                "version" => count(&value).map(|count| version = Some(count)),
                "notBefore" => moment(value).map(|at| not_before = Some(at)),
                "expires" => moment(value).map(|at| expires = Some(at)),
                _ => whole_policy(value).map(|policy| signed = Some(policy)),
            }
            .map_err(|error| error.at(key))?;
        }
        let version = version.ok_or_else(|| missing("version"))?;
        let expires = expires.ok_or_else(|| missing("expires"))?;
        let mut policy = signed.ok_or_else(|| missing("policy"))?;
        if not_before.is_some_and(|from| from >= expires) {
            return Err(
                Invalid::new("it expires before it begins", "write a later moment").at("expires")
            );
        }
        policy.expires = Some(policy.expires.map_or(expires, |own| own.min(expires)));
        Ok(Self { version, not_before, expires, policy })
    }
}

fn count(value: &Json) -> Result<u64, Invalid> {
    match value {
        Json::Integer(count) if (1..=MOST).contains(count) => Ok(*count),
        other => Err(other.instead_of("an integer from 1 to 9007199254740991")),
    }
}

/// One that names its hosts: a bare list has no place for an expiry.
fn whole_policy(value: Json) -> Result<Policy, Invalid> {
    match value {
        Json::Object(members) => policy(members).map_err(|error| {
            let apart = !error.place.is_empty() && !error.place.starts_with(['.', '[']);
            error.at(if apart { "." } else { "" })
        }),
        other => Err(other.instead_of("a policy with `hosts`")),
    }
}

fn missing(key: &str) -> Invalid {
    Invalid::new(format!("the payload has no `{key}`"), "sign it with `tls-pinning sign`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pinning::{Host, Refusal};

    const A: &str = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    /// 2027-03-01T00:00:00Z
    const MARCH: i64 = 1_803_859_200;

    fn payload(rest: &str) -> String {
        format!(r#"{{"version": 7, "expires": "2027-03-01T00:00:00Z", {rest}}}"#)
    }

    fn policy_of(more: &str) -> String {
        format!(r#""policy": {{"hosts": {{"a.example": ["{A}"]}}{more}}}"#)
    }

    #[test]
    fn a_payload_caps_its_policy() {
        for (more, expires) in [
            ("", MARCH),
            (r#", "expires": "2027-02-01T00:00:00Z""#, MARCH - 28 * 86_400),
            (r#", "expires": "2027-04-01T00:00:00Z", "unlisted": "allow""#, MARCH),
        ] {
            let signed = Signed::from_json(&payload(&policy_of(more))).unwrap();
            assert_eq!((signed.version, signed.not_before, signed.expires), (7, None, MARCH));
            assert_eq!(signed.policy.expires(), Some(expires), "{more}");
            // It says so itself: no copy of it lives longer.
            let copy = Policy::from_json(&signed.policy.to_json().to_string()).unwrap();
            assert_eq!(copy, signed.policy);
            for host in ["a.example", "unlisted.example"] {
                let host = Host::parse(host).unwrap();
                assert_eq!(copy.decide(&host, 443, expires), Err(Refusal::PolicyExpired(expires)));
                assert_ne!(
                    copy.decide(&host, 443, expires - 1),
                    Err(Refusal::PolicyExpired(expires))
                );
            }
        }
    }

    #[test]
    fn what_is_not_a_payload_is_refused_at_its_place() {
        let policy = policy_of("");
        for (text, place, problem) in [
            ("[]".to_owned(), "", "an array stands where"),
            (format!(r#"{{"expires": "2027-03-01T00:00:00Z", {policy}}}"#), "", "no `version`"),
            (format!(r#"{{"version": 7, {policy}}}"#), "", "no `expires`"),
            (payload(r#""notBefore": "2027-01-01T00:00:00Z""#), "", "no `policy`"),
            (payload(&format!(r#"{policy}, "version": 8"#)), "", "`version` is repeated"),
            (payload(&format!(r#"{policy}, "mode": "x""#)), "", "\"mode\" is unknown"),
            (
                payload(&format!(r#"{policy}, "notBefore": "2027-03-01T00:00:00Z""#)),
                "expires",
                "before it begins",
            ),
            (payload(&format!(r#"{policy}, "notBefore": "soon""#)), "notBefore", "RFC 3339"),
            (format!(r#"{{"version": 0, {policy}}}"#), "version", "a number stands where"),
            (format!(r#"{{"version": 9007199254740992, {policy}}}"#), "version", "a number"),
            (format!(r#"{{"version": 1.0, {policy}}}"#), "version", "a number"),
            (format!(r#"{{"version": -1, {policy}}}"#), "version", "a number"),
            (format!(r#"{{"version": "7", {policy}}}"#), "version", "a string"),
            (payload(&format!(r#""policy": ["{A}"]"#)), "policy", "an array stands where"),
            (
                payload(&format!(r#""policy": {{"a.example": "{A}"}}"#)),
                "policy",
                "\"a.example\" is unknown",
            ),
            (
                payload(r#""policy": {"hosts": {"a.example": []}}"#),
                "policy.hosts[\"a.example\"]",
                "empty",
            ),
        ] {
            let error = Signed::from_json(&text).expect_err(&text);
            assert_eq!(error.place, place, "{text}: {error}");
            assert!(error.problem.contains(problem), "{text}: {error}");
        }
    }
}
