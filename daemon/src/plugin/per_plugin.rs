//! Batches of work, a part for each plugin that it concerns, with places of its own for each: one
//! that does not come back holds up nobody who needs another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::Catalog;
use crate::bounded::{Bounded, Unfinished};

/// Places for the work of each plugin.
#[derive(Debug)]
pub(super) struct PerPlugin(HashMap<String, Bounded>);

impl PerPlugin {
    /// With `places` for each plugin of `catalog`.
    pub(super) fn new(catalog: &Catalog, places: usize) -> Self {
        let bounded = |name: &str| (name.to_owned(), Bounded::new(places));
        Self(catalog.instances.iter().map(|instance| bounded(instance.name())).collect())
    }

    /// Has each plugin do its part of `items`, by `deadline`, all of them side by side. `work` answers
    /// every item, in order; the answers come with the positions of the items. An item of a plugin
    /// that does not exist has no answer.
    pub(super) async fn run<T: Send + 'static, A: Send + 'static>(
        &self,
        items: Vec<T>,
        plugin: impl Fn(&T) -> Arc<str>,
        deadline: Instant,
        work: impl Fn(&str, &[T]) -> Vec<A> + Clone + Send + 'static,
    ) -> Vec<(usize, Result<A, Unfinished>)> {
        let mut parts: HashMap<Arc<str>, (Vec<usize>, Vec<T>)> = HashMap::new();
        for (index, item) in items.into_iter().enumerate() {
            let part = parts.entry(plugin(&item)).or_default();
            part.0.push(index);
            part.1.push(item);
        }
        let mut running = JoinSet::new();
        for (plugin, (indices, items)) in parts {
            let Some(places) = self.0.get(&*plugin).cloned() else { continue };
            let work = work.clone();
            running.spawn(async move {
                let done = places.run(deadline, move || work(&plugin, &items)).await;
                answers(indices, done)
            });
        }
        let mut answered = Vec::new();
        while let Some(part) = running.join_next().await {
            // A task does not panic where its work does, and nobody ends it early.
            answered.extend(part.unwrap_or_default());
        }
        answered
    }
}

fn answers<A>(
    indices: Vec<usize>,
    done: Result<Vec<A>, Unfinished>,
) -> Vec<(usize, Result<A, Unfinished>)> {
    match done {
        Ok(answers) => indices.into_iter().zip(answers.into_iter().map(Ok)).collect(),
        Err(why) => indices.into_iter().map(|index| (index, Err(why))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// Of two plugins, `a` and `b`, with one place each.
    fn two() -> PerPlugin {
        PerPlugin(["a", "b"].map(|name| (name.to_owned(), Bounded::new(1))).into())
    }

    #[tokio::test]
    async fn one_that_is_stuck_holds_up_nobody_who_needs_another() {
        let parts = two();
        let (release, stuck) = channel::<()>();
        let stuck = Arc::new(Mutex::new(stuck));
        let work = move |plugin: &str, items: &[u8]| {
            if plugin == "a" {
                stuck.lock().expect("whole").recv().expect_err("released");
            }
            items.iter().map(|item| item * 10).collect()
        };
        let plugin = |item: &u8| ["a", "b", "c"][usize::from(*item % 3)].into();
        for reason in [Unfinished::Late, Unfinished::Busy] {
            let soon = Instant::now() + Duration::from_millis(500);
            let mut answers = parts.run(vec![0, 1, 2, 3, 4], plugin, soon, work.clone()).await;
            answers.sort_by_key(|(index, _)| *index);
            let expected = [(0, Err(reason)), (1, Ok(10)), (3, Err(reason)), (4, Ok(40))];
            assert_eq!(answers, expected);
        }
        drop(release);
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(parts.run(vec![0], plugin, later, work).await, [(0, Ok(0))]);
    }
}
