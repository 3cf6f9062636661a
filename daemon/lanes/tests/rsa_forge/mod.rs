//! RSA keys that sign in microseconds, and signatures that a library would hardly make.
//!
//! A modulus here is a product of primes of 64 bits. No verifier can tell, and whoever holds the
//! key takes roots modulo each prime: any encoded message, right or wrong, gets its signature.

use std::sync::Arc;

use aws_lc_rs::signature as aws;
use hallmark_lanes::Digest;
use hallmark_lanes::rsa::Padding;
use num_bigint::BigUint;
use ring::signature as ring;
use sha2::digest::Digest as _;
use sha2::{Sha256, Sha384, Sha512};

/// The public exponent.
const EXPONENT: u64 = 65537;

/// A key of either half.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) modulus: BigUint,
    /// `RSAPublicKey` in DER.
    pub(crate) der: Arc<Vec<u8>>,
    primes: Vec<Prime>,
}

/// One factor of a modulus.
#[derive(Clone, Debug)]
struct Prime {
    prime: u64,
    /// 1/65537 mod (prime − 1).
    secret: u64,
    /// modulus / prime.
    others: BigUint,
    /// 1 / others mod prime.
    inverse: u64,
}

impl Key {
    /// A key of 2,048, 3,072 or 4,096 bits.
    pub(crate) fn new(bits: usize, random: &mut fastrand::Rng) -> Self {
        let mut factors = Vec::new();
        while factors.len() < bits / 64 {
            // So close to 2^64 that 64 of them make a number of full length.
            let candidate = random.u64(u64::MAX - (1 << 57)..) | 1;
            if candidate % EXPONENT != 1 && !factors.contains(&candidate) && is_prime(candidate) {
                factors.push(candidate);
            }
        }
        let modulus: BigUint = factors.iter().copied().map(BigUint::from).product();
        assert_eq!(modulus.bits(), bits as u64, "bits of the modulus");
        let der = Arc::new(public_key(&modulus, &[1, 0, 1]));
        let primes = factors.iter().map(|&prime| Prime::new(prime, &modulus)).collect();
        Self { modulus, der, primes }
    }

    /// The number whose 65537th power is `encoded`, as long as the modulus.
    pub(crate) fn sign(&self, encoded: &BigUint) -> Vec<u8> {
        let parts = self.primes.iter().map(|factor| {
            let residue = u64::try_from(encoded % factor.prime).expect("a residue");
            let root = power(residue, factor.secret, factor.prime);
            &factor.others * times(root, factor.inverse, factor.prime)
        });
        let sum: BigUint = parts.sum();
        fixed(&(sum % &self.modulus), self.bytes())
    }

    /// Bytes of the modulus, and of a signature.
    pub(crate) fn bytes(&self) -> usize {
        self.modulus.bits().div_ceil(8) as usize
    }
}

impl Prime {
    fn new(prime: u64, modulus: &BigUint) -> Self {
        let others = modulus / prime;
        let residue = u64::try_from(&others % prime).expect("a residue");
        Self { prime, secret: root(prime - 1), others, inverse: power(residue, prime - 2, prime) }
    }
}

/// 1/65537 mod `order`, which 65537 does not divide: (k · order + 1) / 65537 for the right k.
fn root(order: u64) -> u64 {
    let (order, exponent) = (u128::from(order), u128::from(EXPONENT));
    let k = (1..exponent).find(|k| (k * order + 1) % exponent == 0).expect("coprime");
    ((k * order + 1) / exponent) as u64
}

fn times(a: u64, b: u64, prime: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(prime)) as u64
}

fn power(base: u64, mut exponent: u64, prime: u64) -> u64 {
    let (mut result, mut square) = (1, base % prime);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, square, prime);
        }
        square = times(square, square, prime);
        exponent >>= 1;
    }
    result
}

/// Miller and Rabin's test, with the bases that decide every number of 64 bits.
fn is_prime(n: u64) -> bool {
    let small = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    let (twos, odd) = ((n - 1).trailing_zeros(), (n - 1) >> (n - 1).trailing_zeros());
    small.iter().all(|prime| !n.is_multiple_of(*prime))
        && small.iter().all(|&base| {
            let mut x = power(base, odd, n);
            let mut found = x == 1 || x == n - 1;
            for _ in 1..twos {
                x = times(x, x, n);
                found |= x == n - 1;
            }
            found
        })
}

/// Big-endian, with zeros in front.
pub(crate) fn fixed(number: &BigUint, bytes: usize) -> Vec<u8> {
    let digits = number.to_bytes_be();
    let mut out = vec![0; bytes - digits.len()];
    out.extend(digits);
    out
}

/// `RSAPublicKey`, of a modulus of 128 to 65,000 bytes.
pub(crate) fn public_key(modulus: &BigUint, exponent: &[u8]) -> Vec<u8> {
    let mut magnitude = modulus.to_bytes_be();
    if magnitude[0] & 0x80 != 0 {
        magnitude.insert(0, 0);
    }
    let mut body = vec![0x02, 0x82];
    body.extend((magnitude.len() as u16).to_be_bytes());
    body.extend(magnitude);
    body.extend([0x02, exponent.len() as u8]);
    body.extend(exponent);
    let mut der = vec![0x30, 0x82];
    der.extend((body.len() as u16).to_be_bytes());
    der.extend(body);
    der
}

/// Bytes of a digest.
pub(crate) fn digest_bytes(hash: Digest) -> usize {
    match hash {
        Digest::Sha256 => 32,
        Digest::Sha384 => 48,
        Digest::Sha512 => 64,
    }
}

pub(crate) fn digest(hash: Digest, message: &[u8]) -> Vec<u8> {
    match hash {
        Digest::Sha256 => Sha256::digest(message).to_vec(),
        Digest::Sha384 => Sha384::digest(message).to_vec(),
        Digest::Sha512 => Sha512::digest(message).to_vec(),
    }
}

/// Every hash function there is.
const HASHES: [Digest; 3] = [Digest::Sha256, Digest::Sha384, Digest::Sha512];

/// EMSA-PKCS1-v1_5, RFC 8017 §9.2.
pub(crate) fn pkcs1(hash: Digest, message: &[u8], bytes: usize) -> Vec<u8> {
    let function = 1 + HASHES.iter().position(|&one| one == hash).expect("a function") as u8;
    let digest = digest(hash, message);
    let length = digest.len() as u8;
    let mut info = vec![0x30, 17 + length, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65];
    info.extend([0x03, 0x04, 0x02, function, 0x05, 0x00, 0x04, length]);
    info.extend(digest);
    let mut encoded = vec![0x00, 0x01];
    encoded.resize(bytes - info.len() - 1, 0xff);
    encoded.push(0);
    encoded.extend(info);
    encoded
}

/// The parts that EMSA-PSS puts together, to be deformed.
pub(crate) struct Pss {
    /// Zeros, a one, and the salt.
    pub(crate) block: Vec<u8>,
    pub(crate) hash: Vec<u8>,
    pub(crate) trailer: u8,
}

impl Pss {
    /// RFC 8017 §9.1.1, for a modulus of so many whole bytes.
    pub(crate) fn new(hash: Digest, message: &[u8], salt: &[u8], bytes: usize) -> Self {
        let hashed = digest(hash, message);
        let mut block = vec![0; bytes - hashed.len() - 2 - salt.len()];
        block.push(1);
        block.extend(salt);
        let hash = digest(hash, &[&[0; 8], &hashed[..], salt].concat());
        Self { block, hash, trailer: 0xbc }
    }

    /// Masks the block. The first bit is cleared, as it must be.
    pub(crate) fn encoded(&self, hash: Digest) -> Vec<u8> {
        let mut encoded = self.block.clone();
        for (counter, chunk) in (0u32..).zip(encoded.chunks_mut(self.hash.len())) {
            let mask = digest(hash, &[&self.hash[..], &counter.to_be_bytes()].concat());
            chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        encoded[0] &= 0x7f;
        encoded.extend(&self.hash);
        encoded.push(self.trailer);
        encoded
    }
}

/// A signature to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Specimen {
    /// `RSAPublicKey` in DER.
    pub(crate) key: Arc<Vec<u8>>,
    pub(crate) padding: Padding,
    pub(crate) hash: Digest,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Specimen {
    /// The verdict of *ring* and, on salts that *ring* does not take, of aws-lc-rs.
    pub(crate) fn libraries_say(&self) -> bool {
        let (by_ring, by_aws_lc) = match (self.padding, self.hash) {
            (Padding::Pkcs1, Digest::Sha256) => (&ring::RSA_PKCS1_2048_8192_SHA256, None),
            (Padding::Pkcs1, Digest::Sha384) => (&ring::RSA_PKCS1_2048_8192_SHA384, None),
            (Padding::Pkcs1, Digest::Sha512) => (&ring::RSA_PKCS1_2048_8192_SHA512, None),
            (Padding::Pss, Digest::Sha256) => {
                (&ring::RSA_PSS_2048_8192_SHA256, Some(&SHA256_LONGEST))
            }
            (Padding::Pss, Digest::Sha384) => {
                (&ring::RSA_PSS_2048_8192_SHA384, Some(&SHA384_LONGEST))
            }
            (Padding::Pss, Digest::Sha512) => {
                (&ring::RSA_PSS_2048_8192_SHA512, Some(&SHA512_LONGEST))
            }
        };
        self.ring_says(by_ring) || by_aws_lc.is_some_and(|rules| self.aws_lc_says(rules))
    }

    fn ring_says(&self, rules: &'static ring::RsaParameters) -> bool {
        let key = ring::UnparsedPublicKey::new(rules, &self.key[..]);
        key.verify(&self.message, &self.signature).is_ok()
    }

    fn aws_lc_says(&self, rules: &aws::RsaParameters) -> bool {
        use aws::VerificationAlgorithm;
        rules.verify_sig(&self.key, &self.message, &self.signature).is_ok()
    }
}

static SHA256_LONGEST: aws::RsaParameters =
    aws::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(aws::RsaPssSaltLength::Max);
static SHA384_LONGEST: aws::RsaParameters =
    aws::RSA_PSS_2048_8192_SHA384.with_pss_salt_length(aws::RsaPssSaltLength::Max);
static SHA512_LONGEST: aws::RsaParameters =
    aws::RSA_PSS_2048_8192_SHA512.with_pss_salt_length(aws::RsaPssSaltLength::Max);

/// Makes specimens, the same for the same seed.
pub(crate) struct Forge {
    pub(crate) random: fastrand::Rng,
    keys: Vec<Key>,
    /// Good ones, to be asked again and to be spoilt: signing takes longest.
    pool: Vec<(usize, Specimen)>,
}

/// Good signatures that are kept.
const POOL_MAX: usize = 4096;

impl Forge {
    /// So many keys of each size.
    pub(crate) fn new(seed: u64, keys_of_a_size: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let sizes = [2048, 3072, 4096].into_iter().cycle();
        let keys = sizes.take(3 * keys_of_a_size).map(|bits| Key::new(bits, &mut random)).collect();
        Self { random, keys, pool: Vec::new() }
    }

    /// A good signature by this key.
    pub(crate) fn good(&mut self, key: usize) -> Specimen {
        let (padding, hash, message) = self.request();
        let bytes = self.keys[key].bytes();
        let encoded = match padding {
            Padding::Pkcs1 => pkcs1(hash, &message, bytes),
            Padding::Pss => {
                let longest = bytes - digest_bytes(hash) - 2;
                let length = if self.random.bool() { longest } else { digest_bytes(hash) };
                let salt = self.salt(length);
                Pss::new(hash, &message, &salt, bytes).encoded(hash)
            }
        };
        self.signed(key, padding, hash, message, &encoded)
    }

    /// Anything: good, spoilt, or signed by the key but deformed.
    pub(crate) fn any(&mut self) -> Specimen {
        match self.random.u8(..32) {
            0..4 => self.pooled(),
            4 => self.deformed_pkcs1(),
            5 => self.deformed_pss(),
            6 => self.deformed_bits(),
            7..16 => self.pool_one().1,
            _ => self.spoilt(),
        }
    }

    /// A new good one, which is kept.
    fn pooled(&mut self) -> Specimen {
        let key = self.random.usize(..self.keys.len());
        let specimen = self.good(key);
        if self.pool.len() == POOL_MAX {
            let old = self.random.usize(..POOL_MAX);
            self.pool.swap_remove(old);
        }
        self.pool.push((key, specimen.clone()));
        specimen
    }

    fn pool_one(&mut self) -> (usize, Specimen) {
        if self.pool.is_empty() {
            self.pooled();
        }
        let nth = self.random.usize(..self.pool.len());
        self.pool[nth].clone()
    }

    /// A good one with something changed that needs no key.
    fn spoilt(&mut self) -> Specimen {
        let (key, mut specimen) = self.pool_one();
        let modulus = self.keys[key].modulus.clone();
        let bytes = self.keys[key].bytes();
        let place = self.random.usize(..bytes);
        match self.random.u8(..10) {
            0..3 => specimen.signature[place] ^= 1 << self.random.u8(..8),
            3 => specimen.signature = edge(&modulus, bytes, &mut self.random),
            4 => self.change_length(&mut specimen.signature),
            5 => specimen.message.push(0),
            6 => specimen.hash = self.any_hash(),
            7 => specimen.padding = other_padding(specimen.padding),
            8 => specimen.key = self.any_key(),
            _ => {
                // s + n, where it fits, is the same number to whoever does not compare.
                let above = BigUint::from_bytes_be(&specimen.signature) + &modulus;
                if above.bits() <= 8 * bytes as u64 {
                    specimen.signature = fixed(&above, bytes);
                }
            }
        }
        specimen
    }

    fn change_length(&mut self, signature: &mut Vec<u8>) {
        match self.random.u8(..6) {
            0 => signature.insert(0, 0),
            1 => signature.push(0),
            2 => drop(signature.pop()),
            3 => drop(signature.remove(0)),
            4 => signature.clear(),
            _ => signature.resize(384, 0),
        }
    }

    /// Any encoding with one bit flipped, signed.
    fn deformed_bits(&mut self) -> Specimen {
        let (padding, hash, message) = self.request();
        let key = self.random.usize(..self.keys.len());
        let bytes = self.keys[key].bytes();
        let mut encoded = match padding {
            Padding::Pkcs1 => pkcs1(hash, &message, bytes),
            Padding::Pss => {
                let salt = self.salt(digest_bytes(hash));
                Pss::new(hash, &message, &salt, bytes).encoded(hash)
            }
        };
        // Every other time in what is at the ends: prefix, trailer, hash.
        let places = if self.random.bool() { bytes } else { 4 };
        let mut place = self.random.usize(..places);
        if self.random.bool() {
            place = bytes - 1 - place;
        }
        encoded[place] ^= 1 << self.random.u8(..8);
        self.signed(key, padding, hash, message, &encoded)
    }

    /// An encoding that a lax parser would take for PKCS#1.
    fn deformed_pkcs1(&mut self) -> Specimen {
        let (_, hash, message) = self.request();
        let key = self.random.usize(..self.keys.len());
        let bytes = self.keys[key].bytes();
        let mut encoded = pkcs1(hash, &message, bytes);
        let info = bytes - 19 - digest_bytes(hash);
        let other = self.any_hash();
        match self.random.u8(..9) {
            0 => encoded[1] = self.random.u8(..),
            1 => encoded[info - 1] = self.random.u8(..),
            2 => encoded[self.random.usize(2..info)] = 0,
            3 => encoded[info..info + 19].copy_from_slice(&pkcs1(other, b"", bytes)[info..][..19]),
            4 => {
                // Less padding, and something after the hash.
                let less = self.random.usize(1..info - 10);
                encoded.drain(2..2 + less);
                encoded.resize_with(bytes, || self.random.u8(..));
            }
            5 => {
                // Without the NULL of the parameters.
                encoded.drain(info + 15..info + 17);
                encoded[info + 1] -= 2;
                encoded[info + 3] -= 2;
                encoded.splice(2..2, [0xff; 2]);
            }
            6 => {
                // Without DigestInfo.
                encoded.drain(info..info + 19);
                encoded.splice(2..2, [0xff; 19]);
            }
            7 => encoded[info + self.random.usize(..19)] ^= 1 << self.random.u8(..8),
            _ => encoded[2..info - 1].fill(self.random.u8(..)),
        }
        self.signed(key, Padding::Pkcs1, hash, message, &encoded)
    }

    /// PSS with other salts, trailers, zeros and hashes.
    fn deformed_pss(&mut self) -> Specimen {
        let (_, hash, message) = self.request();
        let key = self.random.usize(..self.keys.len());
        let bytes = self.keys[key].bytes();
        let longest = bytes - digest_bytes(hash) - 2;
        let lengths = [0, 1, 20, 31, 32, 33, 47, 48, 49, 63, 64, 65, longest - 1, longest];
        let length = lengths[self.random.usize(..lengths.len())];
        let salt = self.salt(length);
        let mut pss = Pss::new(hash, &message, &salt, bytes);
        let zeros = longest - length;
        let mut flip_first = false;
        match self.random.u8(..8) {
            0 => pss.trailer = [0xcc, 0xbb, 0, 0xbd][self.random.usize(..4)],
            1 => pss.block[zeros] = self.random.u8(..),
            2 => pss.block[self.random.usize(..=zeros)] ^= 1 << self.random.u8(..8),
            3 => pss.hash[self.random.usize(..digest_bytes(hash))] ^= 1 << self.random.u8(..8),
            4 => flip_first = true,
            5 => pss.block[self.random.usize(..=longest)] ^= 1 << self.random.u8(..8),
            _ => {}
        }
        let mut encoded = pss.encoded(hash);
        encoded[0] |= if flip_first { 0x80 } else { 0 };
        self.signed(key, Padding::Pss, hash, message, &encoded)
    }

    fn signed(
        &self,
        key: usize,
        padding: Padding,
        hash: Digest,
        message: Vec<u8>,
        encoded: &[u8],
    ) -> Specimen {
        let key = &self.keys[key];
        let signature = key.sign(&BigUint::from_bytes_be(encoded));
        Specimen { key: Arc::clone(&key.der), padding, hash, message, signature }
    }

    fn request(&mut self) -> (Padding, Digest, Vec<u8>) {
        let padding = if self.random.bool() { Padding::Pkcs1 } else { Padding::Pss };
        let hash = self.any_hash();
        let length = self.random.usize(..40);
        (padding, hash, self.salt(length))
    }

    fn any_hash(&mut self) -> Digest {
        HASHES[self.random.usize(..HASHES.len())]
    }

    fn any_key(&mut self) -> Arc<Vec<u8>> {
        Arc::clone(&self.keys[self.random.usize(..self.keys.len())].der)
    }

    fn salt(&mut self, length: usize) -> Vec<u8> {
        let mut salt = vec![0; length];
        self.random.fill(&mut salt);
        salt
    }
}

fn other_padding(padding: Padding) -> Padding {
    match padding {
        Padding::Pkcs1 => Padding::Pss,
        Padding::Pss => Padding::Pkcs1,
    }
}

/// A signature around the ends of what is allowed.
fn edge(modulus: &BigUint, bytes: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let numbers = [
        BigUint::ZERO,
        BigUint::from(1u8),
        BigUint::from(2u8),
        modulus - 1u8,
        modulus.clone(),
        modulus + 1u8,
        (BigUint::from(1u8) << (8 * bytes)) - 1u8,
        modulus >> 1u8,
    ];
    fixed(&numbers[random.usize(..numbers.len())], bytes)
}
