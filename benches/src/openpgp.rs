//! Cold decisions per second on OpenPGP signatures against `gpgv` and against rPGP's own
//! verification of the same ones: same core, turn about, every signature for the first time.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use pgp::composed::{
    ArmorOptions, KeyType, Message, MessageBuilder, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey,
};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::hash::HashAlgorithm;
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Password};
use serde_json::json;

use crate::cold::{decide, thread_seconds};
use crate::corpus::{self, Attested};
use crate::daemon::{Caches, Daemon};
use crate::report::Line;
use crate::stats::{Pairs, Rate};
use crate::{Options, cores};

/// The ratio that the daemon must reach of either: it does the same work and records it, too.
const AIM: f64 = 1.0;
/// Images of one side of a pair: a signature of RSA-4096 takes ten milliseconds to make.
const RSA_IMAGES: u64 = 500;
const P256_IMAGES: u64 = 4_000;
/// Of these, how many `gpgv` is asked about: each takes a process.
const GPGV_IMAGES: usize = 100;

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Line>> {
    let rsa = Kind {
        names: ["openpgp rsa-4096 rpgp", "openpgp rsa-4096 gpgv"],
        key_type: KeyType::Rsa(4096),
        images: RSA_IMAGES,
    };
    let p256 = Kind {
        names: ["openpgp p-256 rpgp", "openpgp p-256 gpgv"],
        key_type: KeyType::ECDSA(ECCCurve::P256),
        images: P256_IMAGES,
    };
    let mut lines = rsa.run(options)?;
    lines.extend(p256.run(options)?);
    Ok(lines)
}

/// One kind of key.
struct Kind {
    names: [&'static str; 2],
    key_type: KeyType,
    images: u64,
}

impl Kind {
    fn run(self, options: &Options) -> anyhow::Result<Vec<Line>> {
        let dir = tempfile::tempdir()?;
        let daemon = Daemon::start(dir.path(), Caches::DEFAULT)?;
        let signer = Signer::generate(self.key_type)?;
        daemon.set_up(signer.setup()?)?;
        let rounds = 2 * options.pairs as u64 + 1;
        let images = signer.attest(0..self.images * rounds)?;
        daemon.file(&images)?;
        eprintln!("  filed {} attestations", images.len());
        let mut lots = images.chunks(usize::try_from(self.images)?);
        decide(&daemon, lots.next().context("a lot to warm up with")?)?;
        let lots: Vec<_> = lots.collect();
        let (by_rpgp, by_gpgv) = lots.split_at(options.pairs);
        let rpgp = Pairs::measure(
            options.pairs,
            |nth| decide(&daemon, by_rpgp[nth]),
            |nth| signer.verify(by_rpgp[nth]),
        )?;
        let gpgv = Gpgv::new(dir.path(), &signer)?;
        let gpgv = Pairs::measure(
            options.pairs,
            |nth| decide(&daemon, by_gpgv[nth]),
            |nth| gpgv.verify(&by_gpgv[nth][..GPGV_IMAGES]),
        )?;
        let line = |name, against, pairs: &Pairs| {
            Line::new(name)
                .ratio(against, pairs, AIM)
                .fact("decisions/cpu s", format!("{:.0}", pairs.ours.median()))
                .fact("theirs", format!("{:.0}", pairs.theirs.median()))
                .fact("distinct signatures", images.len())
        };
        let [first, second] = self.names;
        Ok(vec![line(first, "vs_rpgp", &rpgp), line(second, "vs_gpgv", &gpgv)])
    }
}

struct Signer {
    secret: SignedSecretKey,
    public: SignedPublicKey,
    key_id: Arc<str>,
}

impl Signer {
    fn generate(key_type: KeyType) -> anyhow::Result<Self> {
        let mut params = SecretKeyParamsBuilder::default();
        params.key_type(key_type).can_certify(true).can_sign(true);
        params.primary_user_id("release <release@example.com>".to_owned());
        let secret = params.build()?.generate(rand::thread_rng())?;
        let public = secret.to_public_key();
        let fingerprint = public.fingerprint();
        let hex: String = fingerprint.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Self { secret, public, key_id: hex.into() })
    }

    fn setup(&self) -> anyhow::Result<Vec<(&'static str, String, serde_json::Value)>> {
        let armored = self.public.to_armored_string(ArmorOptions::default())?;
        Ok(corpus::setup(&json!({"asciiArmoredPgpPublicKey": armored})))
    }

    /// As `gpg --armor --sign` does, without compression.
    fn attest(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<Vec<Attested>> {
        let attest = |number| {
            let payload = corpus::payload(number);
            let mut builder = MessageBuilder::from_bytes("", payload.clone());
            builder.sign(&self.secret.primary_key, Password::empty(), HashAlgorithm::Sha256);
            let signed = builder.to_armored_string(rand::thread_rng(), ArmorOptions::default())?;
            Ok(Attested {
                image: corpus::image(number),
                payload,
                signature: signed.into_bytes(),
                key_id: Arc::clone(&self.key_id),
            })
        };
        numbers.map(attest).collect()
    }

    /// rPGP alone, on a thread of its own on the core of the daemon, which has nothing to do.
    fn verify(&self, images: &[Attested]) -> anyhow::Result<Rate> {
        let looping = || -> anyhow::Result<Rate> {
            cores::pin(cores::SERVER)?;
            let (started, used) = (Instant::now(), thread_seconds());
            for image in images {
                let (mut message, _) = Message::from_armor(image.signature.as_slice())?;
                anyhow::ensure!(message.as_data_vec()? == image.payload, "another payload");
                message.verify(&self.public)?;
            }
            let (elapsed, used) = (started.elapsed().as_secs_f64(), thread_seconds() - used);
            Ok(Rate::new(images.len() as u64, used, elapsed))
        };
        let looped = std::thread::scope(|scope| scope.spawn(looping).join());
        looped.ok().context("the loop panicked")?
    }
}

/// A process for each signature.
struct Gpgv {
    dir: PathBuf,
    keyring: PathBuf,
}

impl Gpgv {
    fn new(dir: &Path, signer: &Signer) -> anyhow::Result<Self> {
        let keyring = dir.join("keyring.gpg");
        std::fs::write(&keyring, signer.public.to_bytes()?)?;
        Ok(Self { dir: dir.to_owned(), keyring })
    }

    fn verify(&self, images: &[Attested]) -> anyhow::Result<Rate> {
        let file = |nth: usize| self.dir.join(format!("{nth}.asc"));
        for (nth, image) in images.iter().enumerate() {
            std::fs::write(file(nth), &image.signature)?;
        }
        let (started, used) = (Instant::now(), cores::used_by_children()?);
        for nth in 0..images.len() {
            let mut command = cores::on_server_core("gpgv");
            command.arg("--keyring").arg(&self.keyring).args(["--output", "-"]).arg(file(nth));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            anyhow::ensure!(command.status()?.success(), "gpgv refuses {nth}");
        }
        let used = (cores::used_by_children()? - used).as_secs_f64();
        Ok(Rate::new(images.len() as u64, used, started.elapsed().as_secs_f64()))
    }
}
