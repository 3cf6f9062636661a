//! Each reader on its corpus and on mutations of it.

use super::readers::reader;
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
    jwt,
    jwks,
    openpgp_certificate,
    openpgp_signature,
);

#[test]
fn every_reader_is_tested() {
    let tests = include_str!("targets.rs");
    for (name, _) in super::readers::READERS {
        assert!(tests.contains(&format!("    {name},")), "{name} is not run");
    }
}

/// What every target must not be: a reader that reads anything.
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
