//! X.509 certificates as carriers of a key and of the time it is valid in. No chain is built: who
//! names a certificate trusts its key.

use der::{Decode, Encode};
use x509_cert::Certificate;
use x509_cert::ext::pkix::KeyUsage;

use crate::key::{Key, KeyError};

/// Why a certificate gives no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    /// Not one canonical DER certificate.
    #[error("not an X.509 certificate in DER")]
    Der,
    /// Its issuer allows other uses only.
    #[error("the certificate's key usage does not allow digital signatures")]
    KeyUsage,
    /// Its key is not one to check signatures with.
    #[error("the certificate's key: {0}")]
    Key(#[from] KeyError),
}

impl From<der::Error> for CertificateError {
    fn from(_: der::Error) -> Self {
        Self::Der
    }
}

/// The seconds since 1970 a key is valid in, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    /// The first second.
    pub(crate) not_before: i64,
    /// The last second.
    pub(crate) not_after: i64,
}

/// The key of a certificate and when it is valid.
pub(crate) fn key(certificate_der: &[u8]) -> Result<(Key, Validity), CertificateError> {
    let certificate = Certificate::from_der(certificate_der)?;
    let content = certificate.tbs_certificate();
    if let Some((_, usage)) =
        content.get_extension::<KeyUsage>().map_err(|_| CertificateError::Der)?
        && !usage.digital_signature()
        && !usage.non_repudiation()
    {
        return Err(CertificateError::KeyUsage);
    }
    let key = Key::from_spki_der(&content.subject_public_key_info().to_der()?)?;
    let seconds = |time: x509_cert::time::Time| {
        i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
    };
    let validity = content.validity();
    let (not_before, not_after) = (seconds(validity.not_before), seconds(validity.not_after));
    Ok((key, Validity { not_before, not_after }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Kind};

    const DAYS_30: i64 = 30 * 86_400;

    #[test]
    fn the_key_comes_with_the_time_of_its_certificate() {
        for kind in Kind::OPENSSL {
            let (key, validity) = key(&fixture::certificate_der(kind, &[])).unwrap();
            assert_eq!(key.spki_der, fixture::public_der(kind), "{kind:?}");
            assert_eq!(validity.not_after - validity.not_before, DAYS_30, "{kind:?}");
            let known = 1_700_000_000;
            assert!(validity.not_before > known, "{validity:?}");
        }
    }

    #[test]
    fn key_usage_is_respected() {
        let with = |usage| key(&fixture::certificate_der(Kind::P256, &["-addext", usage]));
        with("keyUsage=critical,digitalSignature").unwrap();
        with("keyUsage=nonRepudiation").unwrap();
        assert_eq!(with("keyUsage=critical,keyCertSign"), Err(CertificateError::KeyUsage));
    }

    #[test]
    fn damage_is_refused() {
        let der = fixture::certificate_der(Kind::P256, &[]);
        let cut = key(&der[..der.len() - 1]);
        assert!(matches!(cut, Err(CertificateError::Der)));
        let trailing = key(&[der.as_slice(), &[0]].concat());
        assert!(matches!(trailing, Err(CertificateError::Der)));
    }
}
