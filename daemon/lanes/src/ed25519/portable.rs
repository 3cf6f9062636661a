//! The kernel for any 64-bit CPU: one signature after the other, one inversion for all.

use super::curve::Point;
use super::engine::Job;
use super::field::Field;
use super::table::{BaseComb, KeyComb};

/// Jobs that share an inversion.
const GROUP: usize = 64;

/// s · B − h · A of every job, encoded.
pub(crate) fn sums(jobs: &[Job<'_>], base: &BaseComb) -> Vec<[u64; 4]> {
    jobs.chunks(GROUP).flat_map(|jobs| encoded(&added_up(jobs, base))).collect()
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

fn encoded(points: &[Point]) -> Vec<[u64; 4]> {
    let mut product = Field::ONE;
    let mut before = Vec::with_capacity(points.len());
    for point in points {
        before.push(product);
        product = product.mul(point.z);
    }
    let mut inverse = product.invert();
    let mut out = Vec::with_capacity(points.len());
    for (point, before) in points.iter().zip(before).rev() {
        let z = inverse.mul(before);
        inverse = inverse.mul(point.z);
        out.push(encode(point.x.mul(z), point.y.mul(z)));
    }
    out.reverse();
    out
}

/// y, and the lowest bit of x above it (RFC 8032 §5.1.2).
pub(crate) fn encode(x: Field, y: Field) -> [u64; 4] {
    let mut words = y.words();
    words[3] |= u64::from(x.is_odd()) << 63;
    words
}
