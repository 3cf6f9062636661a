//! Who a client certificate names. That it is good, the TLS handshake has found.

use der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use der::{Decode, Encode};
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::error::AuthError;
use super::principal::Principal;
use crate::public_key;

/// `commonName`, RFC 5280 appendix A.
const COMMON_NAME: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("2.5.4.3");

/// The needed parts of a client certificate, read once for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    principal: Result<Principal, AuthError>,
    /// Unix seconds; the last at which it is valid.
    not_after: i64,
}

impl ClientCertificate {
    /// Reads the end entity's certificate.
    pub fn read(certificate: &[u8]) -> Self {
        let Ok(certificate) = Certificate::from_der(certificate) else {
            return Self { principal: Err(AuthError::Certificate), not_after: i64::MIN };
        };
        let not_after =
            certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
        Self {
            principal: judge_key(&certificate).and_then(|()| principal(&certificate)),
            not_after: i64::try_from(not_after).unwrap_or(i64::MAX),
        }
    }

    /// Who it names, as long as it is valid: a connection may outlive it. `now` in Unix seconds.
    pub fn principal(&self, now: i64) -> Result<Principal, AuthError> {
        match now <= self.not_after {
            true => self.principal.clone(),
            false => Err(AuthError::Expired),
        }
    }
}

/// Refuses a key that others than its owner sign with: they could show the certificate, too.
fn judge_key(certificate: &Certificate) -> Result<(), AuthError> {
    let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
    let judged = spki.map(|der| public_key::judge(&der).is_ok());
    if judged == Ok(true) { Ok(()) } else { Err(AuthError::CertificateKey) }
}

/// `mtls:` and the one SAN URI, as SPIFFE has it; else `mtls:dns:` and the first SAN DNS name; else
/// `mtls:cn:` and the subject's common name. The three cannot be taken for each other.
fn principal(certificate: &Certificate) -> Result<Principal, AuthError> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.map_err(|_| AuthError::Certificate)?.map(|(_, names)| names.0);
    let names = names.unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    let dns = names.iter().find_map(|name| match name {
        GeneralName::DnsName(dns) => Some(dns.as_str()),
        _ => None,
    });
    let name = match (uris.next(), uris.next(), dns) {
        (Some(uri), None, _) if uri.contains("://") => uri.to_owned(),
        (Some(_), _, _) => return Err(AuthError::Certificate),
        (None, _, Some(dns)) => format!("dns:{}", plain(dns)?.to_ascii_lowercase()),
        (None, _, None) if names.is_empty() => format!("cn:{}", plain(&common_name(certificate)?)?),
        (None, _, None) => return Err(AuthError::Certificate),
    };
    format!("mtls:{name}").parse().map_err(|_| AuthError::Certificate)
}

/// A name that does not look like a URI.
fn plain(name: &str) -> Result<&str, AuthError> {
    match name.is_empty() || name.contains(['/', ':']) {
        true => Err(AuthError::Certificate),
        false => Ok(name),
    }
}

/// The only one of the subject.
fn common_name(certificate: &Certificate) -> Result<String, AuthError> {
    let mut found =
        certificate.tbs_certificate().subject().iter().filter(|name| name.oid == COMMON_NAME);
    let (Some(name), None) = (found.next(), found.next()) else {
        return Err(AuthError::Certificate);
    };
    let value = &name.value;
    let text = value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str().to_owned())
        .or_else(|_| {
            value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str().to_owned())
        })
        .or_else(|_| value.decode_as::<Ia5StringRef<'_>>().map(|text| text.as_str().to_owned()));
    text.map_err(|_| AuthError::Certificate)
}
