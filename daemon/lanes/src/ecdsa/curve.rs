//! Points of y² = x³ − 3x + b, affine, and the complete addition law for when it must not fail.

use super::field::Field;
use super::params::{self, P, WORDS};
use super::scalar::less;
use super::signature::from_be_bytes;

/// A point other than the one at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affine {
    pub(crate) x: Field,
    pub(crate) y: Field,
}

const B: Field = Field::new(params::B);

/// The base point.
pub(crate) const GENERATOR: Affine =
    Affine { x: Field::new(params::GENERATOR_X), y: Field::new(params::GENERATOR_Y) };

impl Affine {
    /// Coordinates below p that satisfy the equation, in the uncompressed form of SEC 1 §2.3.3.
    /// The group has prime order: every such point generates it.
    pub(crate) fn from_sec1(bytes: &[u8; 1 + 16 * WORDS]) -> Option<Self> {
        let (&[4], coordinates) = bytes.split_first_chunk::<1>()? else { return None };
        let (x, y) = coordinates.split_first_chunk::<{ 8 * WORDS }>()?;
        let (x, y) = (from_be_bytes(x), from_be_bytes(y.first_chunk()?));
        if !less(&x, &P) || !less(&y, &P) {
            return None;
        }
        let point = Self { x: Field::new(x), y: Field::new(y) };
        let three = Field::ONE.double().add(Field::ONE);
        let right = point.x.square().sub(three).mul(point.x).add(B);
        (point.y.square() == right).then_some(point)
    }

    /// `None` never happens on this curve: y = 0 would be a point of order two.
    pub(crate) fn double(&self) -> Option<Self> {
        let x_squared_less_one = self.x.square().sub(Field::ONE);
        let three_times = x_squared_less_one.double().add(x_squared_less_one);
        let slope = three_times.mul(self.y.double().invert()?);
        Some(self.along(slope, self.x))
    }

    /// The third point, mirrored, of the line with `slope` through `self` and a point at `x2`.
    pub(crate) fn along(&self, slope: Field, x2: Field) -> Self {
        let x = slope.square().sub(self.x).sub(x2);
        Self { x, y: slope.mul(self.x.sub(x)).sub(self.y) }
    }

    pub(crate) fn neg(&self) -> Self {
        Self { x: self.x, y: self.y.neg() }
    }
}

/// A point (X/Z, Y/Z), infinity included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Projective {
    pub(crate) x: Field,
    y: Field,
    pub(crate) z: Field,
}

impl Projective {
    pub(crate) const INFINITY: Self = Self { x: Field::ZERO, y: Field::ONE, z: Field::ZERO };

    /// Renes, Costello and Batina's complete mixed addition (<https://eprint.iacr.org/2015/1060>,
    /// algorithm 5): right for every pair of points, equal, opposite or infinite alike.
    pub(crate) fn add(&self, other: &Affine) -> Self {
        let triple = |value: Field| value.double().add(value);
        let xx = self.x.mul(other.x);
        let yy = self.y.mul(other.y);
        let xy = other.x.add(other.y).mul(self.x.add(self.y)).sub(xx.add(yy));
        let yz = other.y.mul(self.z).add(self.y);
        let xz = other.x.mul(self.z).add(self.x);
        let z3 = triple(self.z);
        let part = triple(xz.sub(B.mul(self.z)));
        let (minus, plus) = (yy.sub(part), yy.add(part));
        let bxz = triple(B.mul(xz).sub(z3).sub(xx));
        let xx3 = triple(xx).sub(z3);
        Self {
            x: xy.mul(plus).sub(yz.mul(bxz)),
            y: plus.mul(minus).add(xx3.mul(bxz)),
            z: yz.mul(minus).add(xy.mul(xx3)),
        }
    }
}
