//! Envelopes, taken apart by the demonstration plugin: `SIG` and the raw signature.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hallmark_core::envelope::{Enclosed, Envelopes, Refusal, Sealed};
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::Unavailable;

use super::super::Decoders;
use super::World;

fn sealed(decoder: &str, signature: &'static [u8]) -> Sealed {
    let payload = Bytes::from_static(b"payload");
    Sealed { decoder: decoder.into(), payload, signature: Bytes::from_static(signature) }
}

async fn open(world: &World, sealed: Vec<Sealed>, deadline: Instant) -> Envelopes {
    Decoders::new(world.catalog.clone(), 1).open(sealed, deadline).await
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn what_a_plugin_finds_comes_back_with_its_envelope() {
    let world = World::new();
    let (good, bad) = (sealed("demo", b"SIGraw"), sealed("demo", b"no envelope"));
    let opened = open(&world, vec![good.clone(), bad.clone()], soon()).await;
    let [Enclosed::Signed(signed)] = opened.opened(&good).unwrap() else { panic!("{opened:?}") };
    assert_eq!((signed.key_id.as_str(), &signed.signature[..]), ("demo:one", &b"raw"[..]));
    assert_eq!((&signed.message[..], &signed.payload), (&b"payload"[..], &None));
    assert_eq!(signed.signed_at, Some(UnixTime(1_700_000_000)));
    let [Enclosed::Refused { refusal, .. }] = opened.opened(&bad).unwrap() else {
        panic!("{opened:?}")
    };
    assert_eq!(*refusal, Refusal::Malformed);
}

#[tokio::test]
async fn a_plugin_that_fails_or_is_late_leaves_it_undetermined() {
    let world = World::new();
    // The plugin gives more signatures of this one than a blob may have.
    let broken = sealed("demo", b"SIG*many");
    let opened = open(&world, vec![broken.clone()], soon()).await;
    assert_eq!(opened.opened(&broken), Err(Unavailable::Decoder));
    let errors: u64 = world.catalog.instances().iter().map(|one| one.call_errors).sum();
    assert_eq!(errors, 1);

    let nobody = sealed("nobody", b"SIGraw");
    let opened = open(&world, vec![nobody.clone()], soon()).await;
    assert_eq!(opened.opened(&nobody), Err(Unavailable::Decoder));
    assert_eq!(opened.opened(&broken), Err(Unavailable::Decoder), "was not asked for");

    // Every place is taken by a batch that does not come back.
    let full = Decoders::new(world.catalog.clone(), 0);
    let late = sealed("demo", b"SIGraw");
    let opened = full.open(vec![late.clone()], Instant::now()).await;
    assert_eq!(opened.opened(&late), Err(Unavailable::Deadline));
}
