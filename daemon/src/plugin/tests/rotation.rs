//! Tests of when keys are asked for again, and when those that are unavailable end.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::super::{KeyError, SignError};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(20);

fn keys(catalog: &Catalog, id: &str) -> Result<usize, KeyError> {
    catalog.resolve(&reference(id)).map(|resolved| resolved.keys.len())
}

/// Keeps a catalog fresh and tells of changes.
fn kept_fresh(catalog: &Arc<Catalog>) -> (JoinHandle<()>, UnboundedReceiver<()>) {
    let (tell, told) = unbounded_channel();
    let fresh = Arc::clone(catalog).keep_fresh(move || tell.send(()).unwrap());
    (tokio::spawn(fresh), told)
}

#[test]
fn the_last_good_keys_serve_for_the_grace_and_no_longer() {
    let world = World::rotating("", Rotation { stale_grace: MINUTE, ..Rotation::default() });
    let catalog = &world.catalog;
    world.set_mode("fail");
    assert!(!catalog.refresh());
    let failed = Instant::now();
    catalog.attend(failed + MINUTE - Duration::from_secs(5));
    assert!(!catalog.take_difference());
    assert_eq!(keys(catalog, "demo:keys/p256"), Ok(1));
    let status = &catalog.instances()[0];
    assert!(status.overdue.is_some() && !status.withdrawn);

    catalog.attend(failed + MINUTE);
    assert!(catalog.take_difference());
    let Err(KeyError::Unavailable(why)) = keys(catalog, "demo:keys/p256") else { panic!("keys") };
    let expected = "plugin `demo`: its last keys are more than 60 s out of date: the token is gone";
    assert_eq!(why, expected);
    let error = catalog.sign("demo", "demo:one", b"payload").unwrap_err();
    assert!(matches!(error, SignError::Unavailable { .. }), "{error}");
    let status = &catalog.instances()[0];
    assert!(status.withdrawn && status.snapshot_age.is_some() && status.keys == 0);
    catalog.attend(failed + MINUTE);
    assert!(!catalog.take_difference(), "once");

    world.set_mode("");
    assert!(catalog.refresh());
    assert_eq!(keys(catalog, "demo:keys/p256"), Ok(1));
    let status = &catalog.instances()[0];
    assert!(!status.withdrawn && status.overdue.is_none());
}

/// One that does not even fail: the time to live of the demonstration plugin is a minute.
#[test]
fn a_source_that_does_not_answer_is_overdue_from_the_end_of_its_time_to_live() {
    let world = World::rotating("", Rotation { stale_grace: MINUTE, ..Rotation::default() });
    let now = Instant::now();
    world.catalog.attend(now + 2 * MINUTE - Duration::from_secs(5));
    assert_eq!(keys(&world.catalog, "demo:keys/p256"), Ok(1));
    world.catalog.attend(now + 2 * MINUTE);
    assert!(matches!(keys(&world.catalog, "demo:keys/p256"), Err(KeyError::Unavailable(_))));
}

#[test]
fn keys_do_not_all_disappear_unless_they_may() {
    let world = World::new();
    world.set_mode("none");
    assert!(!world.catalog.refresh());
    assert_eq!(keys(&world.catalog, "demo:keys/p256"), Ok(1));
    let error = world.catalog.instances()[0].last_error.clone().unwrap();
    assert!(error.contains("`allow_empty`"), "{error}");

    let world = World::rotating("", Rotation { allow_empty: true, ..Rotation::default() });
    world.set_mode("none");
    assert!(world.catalog.refresh());
    assert!(matches!(keys(&world.catalog, "demo:keys/p256"), Err(KeyError::Material(_))));
    // One that never had any is merely empty.
    assert_eq!(World::in_mode("none").catalog.instances()[0].last_error, None);
}

#[tokio::test]
async fn an_unknown_key_has_its_source_asked() {
    let world = World::new();
    let (fresh, mut told) = kept_fresh(&world.catalog);
    world.set_mode("more");
    keys(&world.catalog, "demo:keys/other").unwrap_err();
    tokio::time::timeout(LONG, told.recv()).await.unwrap().unwrap();
    assert_eq!(keys(&world.catalog, "demo:keys/other"), Ok(1));
    let refreshes = world.catalog.instances()[0].refreshes;
    assert_eq!((refreshes.due, refreshes.unknown_key), (1, 1));
    fresh.abort();
}

#[test]
fn unknown_keys_are_no_reason_where_they_are_known_or_not_wanted() {
    let due = |world: &World, id: &str| {
        world.catalog.unknown_key(&KeyId::from(id));
        world.catalog.instances[0].is_due(Instant::now())
    };
    let world = World::new();
    for id in ["demo:keys/p256", "other:key", "release"] {
        assert!(!due(&world, id), "{id}");
    }
    assert!(due(&world, "DEMO:x"));
    let never = Rotation { unknown_key_interval: None, ..Rotation::default() };
    assert!(!due(&World::rotating("", never), "demo:x"));
}
