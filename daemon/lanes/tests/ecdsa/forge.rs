//! Signatures good and bad, ordinary and constructed, and what three libraries say of them. The
//! includer has a module `library` beside this one that says which curve it is.

use aws_lc_rs::digest as aws_digest;
use aws_lc_rs::signature as aws;
use ecdsa::signature::hazmat::PrehashVerifier;
use elliptic_curve::BatchNormalize;
use elliptic_curve::ff::{BatchInverter, Field, PrimeField};
use elliptic_curve::ops::{Invert, Reduce};
use elliptic_curve::point::{AffineCoordinates, DecompressPoint};
use elliptic_curve::sec1::ToSec1Point;
use elliptic_curve::subtle::Choice;
use ring::signature as ring;

use super::library::{
    AWS_DIGEST, AWS_LC, AffinePoint, BYTES, FieldBytes, ORDER, PRIME, PRIME_LESS_ORDER,
    ProjectivePoint, RING, Scalar, ecdsa, elliptic_curve,
};
use ecdsa::{Signature, VerifyingKey};

/// An uncompressed point.
pub(crate) type Sec1 = [u8; 1 + 2 * BYTES];

/// One check, with enough to ask the libraries too.
#[derive(Clone, Debug)]
pub(crate) struct Specimen {
    pub(crate) sec1: Sec1,
    /// The bytes that were hashed, if the digest is not constructed. *ring* verifies only messages.
    pub(crate) message: Option<Vec<u8>>,
    pub(crate) hash: [u8; BYTES],
    pub(crate) der: Vec<u8>,
}

impl Specimen {
    /// `None` where there is no message.
    pub(crate) fn ring_says(&self) -> Option<bool> {
        let key = ring::UnparsedPublicKey::new(RING, &self.sec1);
        Some(key.verify(self.message.as_ref()?, &self.der).is_ok())
    }

    pub(crate) fn aws_lc_says(&self) -> bool {
        let key = aws::ParsedPublicKey::new(AWS_LC, self.sec1);
        self.aws_lc_with(&key.expect("a key"))
    }

    /// With a key that was parsed before.
    pub(crate) fn aws_lc_with(&self, key: &aws::ParsedPublicKey) -> bool {
        let digest = aws_digest::Digest::import_less_safe(&self.hash, AWS_DIGEST);
        key.verify_digest_sig(&digest.expect("a digest"), &self.der).is_ok()
    }

    pub(crate) fn crate_says(&self) -> bool {
        let key = VerifyingKey::from_sec1_bytes(&self.sec1).expect("a key");
        Signature::from_der(&self.der)
            .is_ok_and(|signature| key.verify_prehash(&self.hash, &signature).is_ok())
    }
}

/// A key pair with an ephemeral key or two, for signing fast.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) secret: Scalar,
    pub(crate) sec1: Sec1,
}

/// Makes specimens, the same for the same seed.
pub(crate) struct Forge {
    pub(crate) random: fastrand::Rng,
    pub(crate) signers: Vec<Signer>,
    /// (1 / k, x of k · G mod n).
    ephemeral: Vec<(Scalar, Scalar)>,
}

impl Forge {
    /// `signers` ordinary keys, and the keys ±G, ±2G, ±3G, 2^8 G, 2^128 G and G/2.
    pub(crate) fn new(seed: u64, signers: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut secrets: Vec<_> = (0..signers).map(|_| scalar(&mut random)).collect();
        for small in [1, 2, 3] {
            secrets.extend([Scalar::from(small as u64), -Scalar::from(small as u64)]);
        }
        let two = Scalar::from(2u64);
        secrets.extend([two.pow([8]), two.pow([128]), inverse(two)]);
        let ephemeral = (0..512)
            .map(|_| {
                let k = scalar(&mut random);
                (inverse(k), x_mod_n(&(ProjectivePoint::GENERATOR * k)))
            })
            .collect();
        Self { random, signers: secrets.into_iter().map(Signer::new).collect(), ephemeral }
    }

    /// With one key, and for [`with_multiples`](Self::with_multiples) only.
    pub(crate) fn with_signer(signer: Signer) -> Self {
        let random = fastrand::Rng::with_seed(0);
        Self { random, signers: vec![signer], ephemeral: Vec::new() }
    }

    /// A good signature over a random message.
    pub(crate) fn good(&mut self, signer: usize) -> Specimen {
        let mut message = vec![0; self.random.usize(0..100)];
        self.random.fill(&mut message);
        let hash = digest(&message);
        let (k_inverse, r) = self.ephemeral[self.random.usize(..self.ephemeral.len())];
        let signer = &self.signers[signer];
        let s = k_inverse * (number(&hash) + r * signer.secret);
        Specimen { sec1: signer.sec1, message: Some(message), hash, der: der_of(&r, &s) }
    }

    /// A signature of any kind, by any key.
    pub(crate) fn any(&mut self) -> Specimen {
        let signer = self.random.usize(..self.signers.len());
        let mut specimen = self.good(signer);
        match self.random.u8(..16) {
            0..8 => {}
            8 => self.flip(&mut specimen.der),
            9 => {
                let message = specimen.message.get_or_insert_default();
                message.push(0);
                specimen.hash = digest(message);
            }
            10 => specimen.sec1 = self.signers[self.random.usize(..self.signers.len())].sec1,
            11 => {
                let r = self.edge_bytes();
                let s = self.edge_bytes();
                specimen.der = der(&r, &s);
            }
            12 => {
                let signature = Signature::from_der(&specimen.der).expect("a signature");
                let (r, s) = (*signature.r(), *signature.s());
                specimen.der = der_of(&r, &-s);
            }
            13 => self.deform(&mut specimen.der),
            _ => specimen = self.constructed(signer),
        }
        specimen
    }

    /// A signature with chosen multiples u1 of G and u2 of the key, good unless they cancel out.
    pub(crate) fn with_multiples(&self, signer: usize, u1: Scalar, u2: Scalar) -> Specimen {
        let signer = &self.signers[signer];
        let point = ProjectivePoint::GENERATOR * (u1 + u2 * signer.secret);
        let r = if point == ProjectivePoint::IDENTITY { Scalar::ONE } else { x_mod_n(&point) };
        let s = r * inverse(u2);
        let hash = (u1 * s).to_repr().into();
        Specimen { sec1: signer.sec1, message: None, hash, der: der_of(&r, &s) }
    }

    /// A good signature whose point has the x coordinate `x`, below p, if there is such a point.
    /// Its key is what makes it good.
    pub(crate) fn with_x(&mut self, x: &[u8; BYTES]) -> Option<Specimen> {
        let point = AffinePoint::decompress(x.into(), Choice::from(self.random.u8(..2)));
        let point = ProjectivePoint::from(Option::<AffinePoint>::from(point)?);
        let r = number(x);
        let mut message = vec![0; 20];
        self.random.fill(&mut message);
        let hash = digest(&message);
        let s = scalar(&mut self.random);
        let signed = point * s - ProjectivePoint::GENERATOR * number(&hash);
        let sec1 = sec1_of(&(signed * inverse(r)));
        Some(Specimen { sec1, message: Some(message), hash, der: der_of(&r, &s) })
    }

    fn constructed(&mut self, signer: usize) -> Specimen {
        self.multiples(signer).0
    }

    /// A signature with multiples at the edges, and whether it is good: they may cancel out.
    pub(crate) fn multiples(&mut self, signer: usize) -> (Specimen, bool) {
        let u1 = number(&self.edge_bytes());
        let u2 = number(&self.edge_bytes());
        let nonzero = |u: Scalar| if bool::from(u.is_zero()) { Scalar::ONE } else { u };
        let secret = self.signers[signer].secret;
        let (u1, u2) = match self.random.u8(..4) {
            0 => (-(u2 * secret), u2), // cancels out
            1 => (u2 * secret, u2),
            _ => (u1, u2),
        };
        let u2 = nonzero(u2);
        let good = u1 + u2 * secret != Scalar::ZERO;
        (self.with_multiples(signer, u1, u2), good)
    }

    pub(crate) fn flip(&mut self, bytes: &mut [u8]) {
        let bit = self.random.usize(..bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }

    /// Breaks the encoding, most of the time.
    pub(crate) fn deform(&mut self, der: &mut Vec<u8>) {
        let place = self.random.usize(..der.len());
        match self.random.u8(..5) {
            0 => der.truncate(place),
            1 => der.insert(place, self.random.u8(..)),
            2 => drop(der.remove(place)),
            3 => der.push(0),
            _ => {
                // A zero before r, with the lengths made right.
                der.insert(4, 0);
                der[1] += 1;
                der[3] += 1;
            }
        }
    }

    /// A number of `BYTES`, often near one where something changes.
    pub(crate) fn edge_bytes(&mut self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let near = |base: &[u8; BYTES], random: &mut fastrand::Rng| {
            let mut bytes = *base;
            let low = u64::from_be_bytes(bytes[BYTES - 8..].try_into().expect("8 bytes"));
            let moved = low.wrapping_add(random.u64(..5)).wrapping_sub(2);
            bytes[BYTES - 8..].copy_from_slice(&moved.to_be_bytes());
            bytes
        };
        match self.random.u8(..8) {
            0 => return near(&ORDER, &mut self.random),
            1 => return near(&PRIME, &mut self.random),
            2 => bytes[BYTES - 1] = self.random.u8(..4),
            3 => bytes[self.random.usize(..BYTES)] = 1 << self.random.u8(..8),
            4 => bytes = [0xff; BYTES],
            5 => {
                // p − n, give or take: below it, r + n is a candidate too.
                return near(&PRIME_LESS_ORDER, &mut self.random);
            }
            6 => {
                // Runs of ones and zeros.
                let mut run = 0;
                for byte in &mut bytes {
                    if self.random.u8(..4) == 0 {
                        run = !run;
                    }
                    *byte = run;
                }
            }
            _ => self.random.fill(&mut bytes),
        }
        bytes
    }
}

impl Signer {
    pub(crate) fn new(secret: Scalar) -> Self {
        Self { secret, sec1: sec1_of(&(ProjectivePoint::GENERATOR * secret)) }
    }
}

/// A number mod n that is not zero.
pub(crate) fn scalar(random: &mut fastrand::Rng) -> Scalar {
    let mut bytes = [0; BYTES];
    random.fill(&mut bytes);
    bytes[BYTES - 1] |= 1;
    number(&bytes)
}

/// Any number of `BYTES`, mod n.
pub(crate) fn number(bytes: &[u8; BYTES]) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(bytes.into())
}

fn inverse(scalar: Scalar) -> Scalar {
    Invert::invert_vartime(&scalar).into_option().expect("not zero")
}

/// Ephemeral keys that are used once: each is the one before it plus a fixed one.
pub(crate) struct Fresh {
    keys: Vec<Scalar>,
    points: Vec<ProjectivePoint>,
    step: (Scalar, AffinePoint),
    /// (1 / k, x of k · G mod n), to be used.
    ready: Vec<(Scalar, Scalar)>,
}

impl Fresh {
    /// Series that go on side by side, to share inversions.
    const SERIES: usize = 256;

    pub(crate) fn new(random: &mut fastrand::Rng) -> Self {
        let keys: Vec<_> = (0..Self::SERIES).map(|_| scalar(random)).collect();
        let points = keys.iter().map(|key| ProjectivePoint::GENERATOR * key).collect();
        let step = scalar(random);
        let step = (step, (ProjectivePoint::GENERATOR * step).to_affine());
        Self { keys, points, step, ready: Vec::new() }
    }

    /// A good signature over a random message, and its numbers.
    pub(crate) fn good(
        &mut self,
        random: &mut fastrand::Rng,
        signer: &Signer,
    ) -> (Scalar, Scalar, Specimen) {
        let mut message = vec![0; random.usize(1..100)];
        random.fill(&mut message);
        let hash = digest(&message);
        let (k_inverse, r) = self.ephemeral();
        let s = k_inverse * (number(&hash) + r * signer.secret);
        let der = der_of(&r, &s);
        (r, s, Specimen { sec1: signer.sec1, message: Some(message), hash, der })
    }

    fn ephemeral(&mut self) -> (Scalar, Scalar) {
        if self.ready.is_empty() {
            let affine = ProjectivePoint::batch_normalize(self.points.as_slice());
            let mut inverses = self.keys.clone();
            let mut scratch = self.keys.clone();
            BatchInverter::invert_with_external_scratch(&mut inverses, &mut scratch);
            let xs = affine.iter().map(|point| number(&point.x().into()));
            self.ready = inverses.into_iter().zip(xs).collect();
            for (key, point) in self.keys.iter_mut().zip(&mut self.points) {
                *key += self.step.0;
                *point += self.step.1;
            }
        }
        self.ready.pop().expect("just made")
    }
}

/// True if a point may have this x coordinate and the signature an r: neither 0 nor n, below p.
pub(crate) fn is_coordinate(x: &[u8; BYTES]) -> bool {
    *x < PRIME && number(x) != Scalar::ZERO
}

/// A point with this x coordinate, which must be that of one.
pub(crate) fn point_with_x(x: &[u8; BYTES]) -> Sec1 {
    let point = AffinePoint::decompress(x.into(), Choice::from(0));
    sec1_of(&ProjectivePoint::from(Option::<AffinePoint>::from(point).expect("on the curve")))
}

/// The same point, its x coordinate written as x + p.
pub(crate) fn plus_prime(point: &Sec1) -> Sec1 {
    let mut out = *point;
    let mut carry = 0;
    for place in (0..BYTES).rev() {
        let sum = u16::from(point[1 + place]) + u16::from(PRIME[place]) + carry;
        out[1 + place] = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "x is small");
    out
}

fn x_mod_n(point: &ProjectivePoint) -> Scalar {
    number(&point.to_affine().x().into())
}

fn sec1_of(point: &ProjectivePoint) -> Sec1 {
    point.to_affine().to_sec1_point(false).as_bytes().try_into().expect("not infinity")
}

pub(crate) fn der_of(r: &Scalar, s: &Scalar) -> Vec<u8> {
    der(&r.to_repr().into(), &s.to_repr().into())
}

/// Two numbers in DER, whatever they are.
pub(crate) fn der(r: &[u8; BYTES], s: &[u8; BYTES]) -> Vec<u8> {
    let mut numbers = Vec::new();
    for number in [r, s] {
        let start = number.iter().position(|&byte| byte != 0).unwrap_or(BYTES - 1);
        let padding = usize::from(number[start] >> 7);
        numbers.extend([2, (BYTES - start + padding) as u8]);
        numbers.extend([0].iter().take(padding));
        numbers.extend(&number[start..]);
    }
    let mut der = vec![0x30, numbers.len() as u8];
    der.extend(numbers);
    der
}

pub(crate) fn digest(message: &[u8]) -> [u8; BYTES] {
    let digest = aws_digest::digest(AWS_DIGEST, message);
    digest.as_ref().try_into().expect("a digest")
}
