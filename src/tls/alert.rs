//! Alerts of the server, by the reasons OpenSSL has for them: Node prints `ERR_SSL_` and the reason.

use rustls::AlertDescription;

use super::failure::{Failure, Phase};

/// A fatal alert from the server, by the reason OpenSSL gives it.
pub fn failure(alert: AlertDescription) -> Failure {
    use AlertDescription as A;
    let (reason, hint) = match alert {
        A::UnexpectedMessage => ("SSLV3_ALERT_UNEXPECTED_MESSAGE", ""),
        A::BadRecordMac => ("SSLV3_ALERT_BAD_RECORD_MAC", ""),
        A::RecordOverflow => ("TLSV1_ALERT_RECORD_OVERFLOW", ""),
        A::HandshakeFailure => (
            "SSLV3_ALERT_HANDSHAKE_FAILURE",
            "; it found no cipher, group, signature or client certificate it accepts",
        ),
        A::NoCertificate => ("SSLV3_ALERT_NO_CERTIFICATE", "; it wants a client certificate"),
        A::BadCertificate => ("SSLV3_ALERT_BAD_CERTIFICATE", "; it refused the client certificate"),
        A::UnsupportedCertificate => {
            ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "; it refused the client certificate")
        }
        A::CertificateRevoked => {
            ("SSLV3_ALERT_CERTIFICATE_REVOKED", "; it refused the client certificate")
        }
        A::CertificateExpired => {
            ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "; it refused the client certificate")
        }
        A::CertificateUnknown => {
            ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "; it refused the client certificate")
        }
        A::IllegalParameter => ("SSLV3_ALERT_ILLEGAL_PARAMETER", ""),
        A::UnknownCA => {
            ("TLSV1_ALERT_UNKNOWN_CA", "; it does not know the CA of the client certificate")
        }
        A::AccessDenied => ("TLSV1_ALERT_ACCESS_DENIED", ""),
        A::DecodeError => ("TLSV1_ALERT_DECODE_ERROR", ""),
        A::DecryptError => ("TLSV1_ALERT_DECRYPT_ERROR", ""),
        A::ProtocolVersion => (
            "TLSV1_ALERT_PROTOCOL_VERSION",
            "; it speaks none of the TLS versions this client allows",
        ),
        A::InsufficientSecurity => ("TLSV1_ALERT_INSUFFICIENT_SECURITY", ""),
        A::InternalError => ("TLSV1_ALERT_INTERNAL_ERROR", ""),
        A::UserCanceled => ("TLSV1_ALERT_USER_CANCELLED", ""),
        A::NoRenegotiation => ("TLSV1_ALERT_NO_RENEGOTIATION", ""),
        A::UnsupportedExtension => ("TLSV1_UNSUPPORTED_EXTENSION", ""),
        A::UnrecognisedName => {
            ("TLSV1_UNRECOGNIZED_NAME", "; it does not serve this name (see `servername`)")
        }
        A::BadCertificateStatusResponse => ("TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE", ""),
        A::UnknownPSKIdentity => ("TLSV1_ALERT_UNKNOWN_PSK_IDENTITY", ""),
        A::CertificateRequired => ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "; give `cert` and `key`"),
        A::NoApplicationProtocol => ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", ""),
        _ => ("SSL_ERROR_SSL", ""),
    };
    Failure::new(
        format!("ERR_SSL_{reason}"),
        Phase::Handshake,
        format!("the server ended the handshake with the alert {alert:?}{hint}"),
    )
}
