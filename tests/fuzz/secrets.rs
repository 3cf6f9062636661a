//! No reader of key material says anything of it. Real secrets in every form that people keep them
//! in are mangled as people and tools mangle them, and given to every reader: by its own door and by
//! every wrong one. In no error and no log line stands a part of the secret.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hallmark::auth::Guard;
use hallmark::auth::written::{AuthSection, AuthSource, Jwt};
use hallmark::config::file::File;
use hallmark::tls::{Tls, TlsFiles};
use hallmark_plugin_api::host::{Instance, PluginImage, Services};
use hallmark_plugin_api::{Item, LogLevel, Material};
use hallmark_tests::gpg::{Gpg, MADE};
use hallmark_tests::keys::{Key, openssl, write};
use hallmark_tests::pki::Authority;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::mutate::{Random, mutated};
use super::readers::plugins::{self, NOW};

/// Mutations of each secret, beside those that are listed.
const MUTATIONS: usize = 60;
/// Bytes of a secret that nobody may see in a row.
const WINDOW: usize = 6;

/// A file that holds a secret.
struct Secret {
    name: &'static str,
    content: Vec<u8>,
    /// The bytes to be kept, of which no part is in the public half.
    bytes: Vec<u8>,
}

/// Secrets as OpenSSL and GnuPG write them.
fn secrets(dir: &Path) -> Vec<Secret> {
    let p256 = Key::generate("ECDSA_P256_SHA256");
    let ed25519 = Key::generate("ED25519");
    let rsa = Key::generate("RSA_SIGN_PKCS1_2048_SHA256");
    let path = |key: &Key, name| key.write(dir, name).0.to_string_lossy().into_owned();
    let (p256_path, rsa_path) = (path(&p256, "p256"), path(&rsa, "rsa"));
    let sec1 = openssl(&["pkey", "-in", &p256_path, "-traditional"]);
    let pkcs1 = openssl(&["pkey", "-in", &rsa_path, "-traditional"]);
    let p256_der = openssl(&["pkey", "-in", &p256_path, "-outform", "DER", "-traditional"]);
    let rsa_der = openssl(&["pkey", "-in", &rsa_path, "-outform", "DER", "-traditional"]);
    let ed25519_der = body(&ed25519.private_pem);
    // SEC 1: version, OCTET STRING of 32 bytes.
    let scalar = p256_der[7..39].to_vec();
    let point = &p256_der[p256_der.len() - 64..];
    let jwk = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "kid": "release", "use": "sig", "alg": "ES256",
        "d": URL_SAFE_NO_PAD.encode(&scalar),
        "x": URL_SAFE_NO_PAD.encode(&point[..32]), "y": URL_SAFE_NO_PAD.encode(&point[32..]),
    }]});
    let gpg = Gpg::new();
    let fingerprint = gpg.key("ed25519");
    let openpgp = gpg.run(MADE, &["--export-secret-keys", &fingerprint], b"");
    let armored = gpg.run(MADE, &["--armor", "--export-secret-keys", &fingerprint], b"");
    // The MPI of 32 bytes at the end of the first packet, before the checksum.
    let first = 2 + usize::from(openpgp[1]);
    let seed = openpgp[first - 34..first - 2].to_vec();
    let pin = b"xQ7z-4711-vZk9-0815-pLw3";
    let token = STANDARD.encode(Sha256::digest(b"a token"));
    let of = |name, content: &[u8], bytes: &[u8]| Secret {
        name,
        content: content.to_vec(),
        bytes: bytes.to_vec(),
    };
    vec![
        of("PKCS #8 of P-256", p256.private_pem.as_bytes(), &scalar),
        of("SEC 1", &sec1, &scalar),
        of("SEC 1 in DER", &p256_der, &scalar),
        of("PKCS #8 of Ed25519", ed25519.private_pem.as_bytes(), &ed25519_der[16..48]),
        of("PKCS #1", &pkcs1, &rsa_der[rsa_der.len() - 900..]),
        of("PKCS #8 of RSA", rsa.private_pem.as_bytes(), &rsa_der[rsa_der.len() - 900..]),
        of("JWK", jwk.to_string().as_bytes(), &scalar),
        of("OpenPGP, armored", &armored, &seed),
        of("OpenPGP", &openpgp, &seed),
        of("PIN", pin, pin),
        of("token", token.as_bytes(), token.as_bytes()),
    ]
}

fn body(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).expect("base64")
}

/// The strings that a reader may not say of a secret in `file`: each window of its bytes as they
/// are, in hexadecimal, in base64 as the file has it, and as lists of decimals.
struct Forbidden {
    raw: HashSet<Vec<u8>>,
    text: HashSet<String>,
}

impl Forbidden {
    fn of(secret: &Secret) -> Self {
        let windows = || secret.bytes.windows(WINDOW);
        let raw = windows().map(<[u8]>::to_vec).collect();
        let list = |window: &[u8], between: &str, form: fn(&u8) -> String| {
            window.iter().map(form).collect::<Vec<_>>().join(between)
        };
        let mut text = HashSet::new();
        for window in windows() {
            text.insert(list(window, "", |byte| format!("{byte:02x}")));
            text.insert(list(window, "", |byte| format!("{byte:02X}")));
            text.insert(list(window, " ", |byte| format!("{byte:02x}")));
            text.insert(list(window, ":", |byte| format!("{byte:02x}")));
            text.insert(list(window, ", ", ToString::to_string));
            text.insert(list(window, ",", ToString::to_string));
            text.insert(list(window, " ", ToString::to_string));
        }
        for alignment in 0..3.min(secret.bytes.len()) {
            for encoded in [
                STANDARD.encode(&secret.bytes[alignment..]),
                URL_SAFE_NO_PAD.encode(&secret.bytes[alignment..]),
            ] {
                let inside = &encoded.as_bytes()[..encoded.len().saturating_sub(4)];
                for window in inside.windows(8) {
                    text.insert(String::from_utf8_lossy(window).into_owned());
                    // The characters of an armor, as a library lists a text that it cannot read.
                    text.insert(list(window, ", ", ToString::to_string));
                }
            }
        }
        Self { raw, text }
    }

    fn stands_in(&self, said: &str) -> bool {
        // All windows of text have a few lengths only, so looking is cheap.
        let lengths: HashSet<usize> = self.text.iter().map(String::len).collect();
        let bytes = said.as_bytes();
        bytes.windows(WINDOW).any(|window| self.raw.contains(window))
            || lengths.iter().any(|&length| {
                bytes.windows(length).any(|window| {
                    std::str::from_utf8(window).is_ok_and(|window| self.text.contains(window))
                })
            })
    }
}

/// As people and tools mangle keys: copied through shells, YAML, JSON, Windows, base64.
fn mangled(content: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(content).into_owned();
    let utf16 = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes);
    let mut all: Vec<Vec<u8>> = [" ", "", "\r", "\r\n", "\\n", "\n    ", " \n", "\n\n", "\t", "|"]
        .iter()
        .map(|ends| text.replace('\n', ends).into_bytes())
        .collect();
    all.extend([
        content.to_vec(),
        text.replace("PRIVATE", "PUBLIC").into_bytes(),
        text.replace("PRIVATE", "PUBLIC").replace('\n', " ").into_bytes(),
        text.replace("-----BEGIN", "----BEGIN").into_bytes(),
        text.replace("BEGIN ", "BEGIN").into_bytes(),
        text.replacen("-----\n", "-----", 1).into_bytes(),
        text.replace("-----\n", "\n").into_bytes(),
        text.lines().skip(1).collect::<Vec<_>>().join("\n").into_bytes(),
        text.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
        text.to_lowercase().into_bytes(),
        format!("\"{text}\"").into_bytes(),
        format!("key: {text}").into_bytes(),
        format!("{{\"keys\":[{text}]}}").into_bytes(),
        format!("Comment: {text}").into_bytes(),
        STANDARD.encode(content).into_bytes(),
        content.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(),
        utf16.collect(),
        [content, content].concat(),
        [b"\xef\xbb\xbf", content].concat(),
    ]);
    all.extend((0..content.len()).step_by(content.len() / 40 + 1).map(|at| content[..at].to_vec()));
    all.extend((0..content.len()).step_by(content.len() / 40 + 1).map(|at| content[at..].to_vec()));
    all
}

/// The daemon, as a plugin sees it: remembers what it is told, and has one secret.
#[derive(Default)]
struct Listener {
    told: Mutex<Vec<String>>,
    secret: Vec<u8>,
}

impl Services for Listener {
    fn log(&self, _level: LogLevel, target: &str, text: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(format!("{target} {text}"));
    }
    fn log_level(&self) -> LogLevel {
        LogLevel::Debug
    }
    fn keys_changed(&self) {}
    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        (name == "secret").then(|| self.secret.clone())
    }
    fn unix_now(&self) -> i64 {
        NOW.now
    }
}

fn image(plugin: &str) -> &'static Arc<PluginImage> {
    static IMAGES: OnceLock<[Arc<PluginImage>; 2]> = OnceLock::new();
    let images = IMAGES.get_or_init(|| ["pkix", "pgp"].map(plugins::image));
    if plugin == "pkix" { &images[0] } else { &images[1] }
}

/// All that a plugin says of a file that was given it in every way.
fn plugin_says(
    plugin: &str,
    form: &str,
    config: &serde_json::Value,
    content: &[u8],
) -> Vec<String> {
    let listener = Arc::new(Listener { secret: content.to_vec(), ..Listener::default() });
    let mut said = Vec::new();
    match Instance::create(image(plugin), &config.to_string(), Arc::clone(&listener) as _) {
        Err(error) => said.push(format!("{error} {error:?}")),
        Ok(instance) => {
            if let Err(error) = instance.snapshot(&NOW) {
                said.push(format!("{error} {error:?}"));
            }
            let material = Material { form, data: content, algorithm: None };
            if let Err(error) = instance.resolve_keys(&material, &NOW) {
                said.push(format!("{error} {error:?}"));
            }
            let item = Item {
                key_handle: 0,
                algorithm: None,
                key: &[],
                message: b"m",
                signature: content,
            };
            said.push(format!("{:?}", instance.decode_batch(None, &[item], &NOW)));
        }
    }
    said.append(&mut listener.told.lock().unwrap_or_else(PoisonError::into_inner));
    said
}

fn plugins_say(file: &Path, content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    // A text that begins with a slash is a path, and a path may be shown.
    let no_path = text.trim_start_matches('/');
    let configs = [
        ("pkix", "pkix", json!({"signing_keys": [{"path": file}]})),
        ("pkix", "pkix", json!({"sources": [{"path": file}]})),
        ("pkix", "pkix", json!({"sources": [{"path": no_path}]})),
        ("pkix", "pkix", json!({"refresh_secs": text})),
        ("pgp", "pgp", json!({"signing_keys": [{"path": file}]})),
        ("pgp", "pgp", json!({"signing_keys": [{"path": file, "passphrase": "secret"}]})),
        ("pgp", "pgp", json!({"keyrings": [{"path": file}]})),
        ("pgp", "pgp", json!({"expired_key": text})),
    ];
    let says = configs
        .iter()
        .flat_map(|(plugin, form, config)| plugin_says(plugin, form, config, content));
    says.collect()
}

/// All that the daemon's own readers say.
fn daemon_says(dir: &Path, file: &Path, content: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    let mut tell = |error: Option<String>| said.extend(error);
    let tls = |cert: &Path, key: &Path, ca: Option<&Path>| {
        let files = TlsFiles {
            cert: cert.to_owned(),
            key: key.to_owned(),
            client_ca: ca.map(Path::to_owned),
            client_crl: None,
        };
        Tls::load(files).err().map(|error| format!("{error} {error:?}"))
    };
    let (cert, key) = (dir.join("server.pem"), dir.join("server.key"));
    tell(tls(&cert, file, None));
    tell(tls(file, &key, None));
    tell(tls(&cert, &key, Some(file)));
    let guard = |source| Guard::load(source).err().map(|error| format!("{error} {error:?}"));
    tell(guard(AuthSource::File(file.to_owned())));
    let jwt = Jwt {
        issuer: "https://issuer.example.com".to_owned(),
        audiences: vec!["hallmark".to_owned()],
        jwks: file.to_owned(),
        algorithms: vec!["ES256".to_owned()],
        claim: "sub".to_owned(),
        prefix: "user:".to_owned(),
    };
    let section = AuthSection { jwt: vec![jwt], ..AuthSection::default() };
    tell(guard(AuthSource::Inline(section)));
    let text = String::from_utf8_lossy(content).into_owned();
    for (nth, toml) in [
        text.clone(),
        format!("[[tokens]]\nprincipal = 'user:a'\nsha256 = '''{text}'''"),
        format!("[[tokens]]\nprincipal = '''{text}'''\nsha256 = '{}'", "0".repeat(64)),
        format!("tokens = '''{text}'''"),
        format!("'{text}' = 'user:a'"),
        format!("tokens = {text}"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = write(dir, &format!("{nth}.toml"), toml.as_bytes());
        tell(guard(AuthSource::File(path.clone())));
        tell(File::read(&path).err().map(|error| format!("{error} {error:?}")));
    }
    said
}

#[test]
fn no_reader_says_anything_of_a_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Authority::new("servers").server();
    let secrets = secrets(dir.path());
    let pool: Vec<_> = secrets.iter().map(|secret| secret.content.clone()).collect();
    // Side by side, for plugins wait before they take a damaged file for what it is.
    let counts: Vec<_> = std::thread::scope(|scope| {
        let hold = |(nth, secret)| {
            let (dir, pool, server) = (dir.path().join(format!("{nth}")), &pool, &server);
            scope.spawn(move || {
                std::fs::create_dir(&dir).expect("a directory");
                server.write(&dir, "server");
                hold(secret, &dir, pool, Random::new(4_711 + nth as u64))
            })
        };
        let held: Vec<_> = secrets.iter().enumerate().map(hold).collect();
        held.into_iter().map(|held| held.join().expect("nothing is said")).collect()
    });
    let (inputs, spoken) = counts.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    assert!(inputs > 1_500 && spoken > inputs, "{inputs} inputs, {spoken} sentences");
}

/// Gives a secret, mangled in every way, to every reader. Answers how many inputs those were, and
/// how much was said of them.
fn hold(secret: &Secret, dir: &Path, pool: &[Vec<u8>], mut random: Random) -> (usize, usize) {
    let forbidden = Forbidden::of(secret);
    let own = [secret.content.clone()];
    let random_ones = (0..MUTATIONS).map(|nth| match nth % 8 {
        // One in eight is spliced with the other secrets.
        0 => mutated(pool, &mut random),
        _ => mutated(&own, &mut random),
    });
    let all: Vec<_> = mangled(&secret.content).into_iter().chain(random_ones).collect();
    let mut spoken = 0;
    for content in &all {
        let file = write(dir, "secret", content);
        let mut said = plugins_say(&file, content);
        said.extend(daemon_says(dir, &file, content));
        for said in &said {
            assert!(
                !forbidden.stands_in(said),
                "{}: of a secret in this form\n{}\na reader says\n{said}",
                secret.name,
                String::from_utf8_lossy(content)
            );
        }
        spoken += said.len();
    }
    (all.len(), spoken)
}

/// The test can fail: what libraries say of such input is found.
#[test]
fn what_stands_in_a_text_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    for secret in secrets(dir.path()) {
        let forbidden = Forbidden::of(&secret);
        let bytes = &secret.bytes[3..3 + WINDOW];
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(forbidden.stands_in(&format!("error: {hex}!")), "{}", secret.name);
        assert!(forbidden.stands_in(&format!("input: {bytes:?}")), "{}", secret.name);
        let base64 = STANDARD.encode(&secret.bytes[3..15]);
        assert!(forbidden.stands_in(&format!("near {base64}")), "{}", secret.name);
        assert!(!forbidden.stands_in("the PEM block `PRIVATE KEY` of line 1 is damaged"));
    }
}
