//! The DSSE pre-authentication encoding.

use std::io::Write;

/// The payload type that `gcloud … attestations sign-and-create --pae-encode-payload` and cosign
/// sign under. The type is stored nowhere, so a verifier has to know it.
pub const COSIGN_SIMPLE_SIGNING_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The bytes a DSSE signature covers:
/// `DSSEv1 SP len(type) SP type SP len(payload) SP payload`, lengths in bytes, decimal.
pub fn encode(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    // 48: `DSSEv1`, four spaces and two lengths of at most 19 digits.
    let mut encoded = Vec::with_capacity(payload_type.len() + payload.len() + 48);
    write!(encoded, "DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len())
        .expect("a Vec takes every write");
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the DSSE specification, `protocol.md`.
    #[test]
    fn the_vector_of_the_specification_holds() {
        let encoded = encode("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn lengths_count_bytes_and_empty_parts_stay_apart() {
        assert_eq!(encode("", b""), b"DSSEv1 0  0 ");
        assert_eq!(encode("é", "€".as_bytes()), "DSSEv1 2 é 3 €".as_bytes());
    }
}
