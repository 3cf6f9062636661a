//! The kernel for any 64-bit CPU: one signature after the other, one inversion for all.

use super::curve::{Point, affine};
use super::engine::Job;
use super::field::Field;
use super::table::{BaseComb, KeyComb};

/// Jobs that share an inversion.
const GROUP: usize = 64;

/// s · B − h · A of every job, encoded.
pub(crate) fn sums(jobs: &[Job<'_>], base: &BaseComb) -> Vec<[u64; 4]> {
    let encoded = |jobs| {
        affine(&added_up(jobs, base)).into_iter().map(|(x, y)| encode(x, y)).collect::<Vec<_>>()
    };
    jobs.chunks(GROUP).flat_map(encoded).collect()
}

fn added_up(jobs: &[Job<'_>], base: &BaseComb) -> Vec<Point> {
    let sum = |job: &Job<'_>| {
        let mut sum = Point::ZERO;
        for window in 0..BaseComb::WINDOWS {
            sum = sum.add_affine(&base.term(&job.base, window));
        }
        for window in 0..KeyComb::WINDOWS {
            sum = sum.add_affine(&job.table.term(&job.key, window));
        }
        sum
    };
    jobs.iter().map(sum).collect()
}

/// y, and the lowest bit of x above it (RFC 8032 §5.1.2).
pub(crate) fn encode(x: Field, y: Field) -> [u64; 4] {
    let mut words = y.words();
    words[3] |= u64::from(x.is_odd()) << 63;
    words
}
