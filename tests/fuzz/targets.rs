//! Each reader on its corpus and on mutations of it.

use std::collections::BTreeSet;
use std::path::Path;

use super::readers::{READERS, reader};
use super::run::fuzz;

/// One test for each reader, so that they run side by side.
macro_rules! fuzzed {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            fuzz(stringify!($name), reader(stringify!($name)).expect("a reader"));
        }
    )+};
}

fuzzed!(
    policy_yaml,
    policy_json,
    document,
    attestor,
    note,
    occurrence,
    platform_policy,
    payload,
    image_reference,
    allowlist_pattern,
    allow_pattern,
    trusted_directory,
    iam_policy,
    occurrence_filter,
    decision_request,
    audit_log,
    configuration,
    public_key,
    pkix_key,
    openpgp_certificate,
    openpgp_signature,
    jwt,
    jwks,
    client_certificate,
    admission_review,
    image_review,
    provider_request,
    api_request,
    page_token,
    update_mask,
    browser_headers,
    connection,
    ndjson_stream,
);

#[test]
fn every_reader_is_tested() {
    let tests = include_str!("targets.rs");
    for (name, _) in READERS {
        assert!(tests.contains(&format!("    {name},")), "{name} is not run");
    }
}

/// `make fuzz` runs what has a corpus, and its page says of each reader what it reads and what
/// became of it.
#[test]
fn every_reader_has_seeds_and_a_line_in_the_table() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries.map(|entry| name(entry.expect("an entry"))).collect()
    };
    let mut without_reader = names(&corpora);
    for (reader, _) in READERS {
        without_reader.remove(reader);
        let seeds = names(&corpora.join(reader));
        for kind in ["good-", "bad-"] {
            assert!(seeds.iter().any(|seed| seed.starts_with(kind)), "{reader} has no {kind} seed");
        }
        let table = include_str!("../libfuzzer/README.md");
        assert!(table.contains(&format!("| `{reader}` |")), "{reader} is not in the table");
    }
    assert!(without_reader.is_empty(), "{without_reader:?} have no reader");
}

/// No target may be a reader that reads anything.
#[test]
fn a_target_that_fails_says_on_which_input() {
    let failed = std::panic::catch_unwind(|| {
        fuzz("allowlist_pattern", |input| -> Result<(), String> {
            assert!(!input.contains(&b'*'), "a fault");
            reader("allowlist_pattern").expect("a reader")(input)
        });
    });
    let message = failed.expect_err("fails").downcast::<String>().expect("a message");
    assert!(message.contains("allowlist_pattern failed on"), "{message}");
    assert!(message.contains("HALLMARK_FUZZ_SEED=") && message.contains('*'), "{message}");
}
