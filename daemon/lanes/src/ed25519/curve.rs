//! Points of −x² + y² = 1 + d x² y². −1 is a square and d is none, so that the addition law has no
//! exception.

use super::field::{Field, P};
use super::scalar::{ORDER, words};

/// d = −121665 / 121666.
pub(crate) const D: Field = Field::new([
    0x75eb_4dca_1359_78a3,
    0x0070_0a4d_4141_d8ab,
    0x8cc7_4079_7779_e898,
    0x5203_6cee_2b6f_fe73,
]);
/// A square root of −1.
const I: Field = Field::new([
    0xc4ee_1b27_4a0e_a0b0,
    0x2f43_1806_ad2f_e478,
    0x2b4d_0099_3dfb_d7a7,
    0x2b83_2480_4fc1_df0b,
]);

/// The base point (RFC 8032 §5.1).
pub(crate) const BASE: Point = {
    let x = [
        0xc956_2d60_8f25_d51a,
        0x692c_c760_9525_a7b2,
        0xc0a4_e231_fdd6_dc5c,
        0x2169_36d3_cd6e_53fe,
    ];
    let y = [
        0x6666_6666_6666_6658,
        0x6666_6666_6666_6666,
        0x6666_6666_6666_6666,
        0x6666_6666_6666_6666,
    ];
    let t = [
        0x6dde_8ab3_a5b7_dda3,
        0x20f0_9f80_7751_52f5,
        0x66ea_4e8e_64ab_e37d,
        0x6787_5f0f_d78b_7665,
    ];
    Point { x: Field::new(x), y: Field::new(y), z: Field::ONE, t: Field::new(t) }
};

/// A point (X/Z, Y/Z) with T = XY/Z.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: Field,
    pub(crate) y: Field,
    pub(crate) z: Field,
    pub(crate) t: Field,
}

/// x and y of every point, with one inversion. No Z is ever zero on this curve.
pub(crate) fn affine(points: &[Point]) -> Vec<(Field, Field)> {
    let mut product = Field::ONE;
    let mut before = Vec::with_capacity(points.len());
    for point in points {
        before.push(product);
        product = product.mul(point.z);
    }
    let mut inverse = product.invert();
    let mut coordinates = Vec::with_capacity(points.len());
    for (point, before) in points.iter().zip(before).rev() {
        let z = inverse.mul(before);
        inverse = inverse.mul(point.z);
        coordinates.push((point.x.mul(z), point.y.mul(z)));
    }
    coordinates.reverse();
    coordinates
}

/// An affine point as it is added: y + x, y − x, 2 d x y.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addend {
    pub(crate) plus: Field,
    pub(crate) minus: Field,
    pub(crate) product: Field,
}

impl Point {
    pub(crate) const ZERO: Self =
        Self { x: Field::ZERO, y: Field::ONE, z: Field::ONE, t: Field::ZERO };

    /// A public key that generates the group of prime order, in its one canonical encoding. Others
    /// are not for lanes: libraries verify with them as they see fit.
    pub(crate) fn from_key(bytes: &[u8; 32]) -> Option<Self> {
        let mut y = words(bytes);
        let odd = y[3] >> 63 == 1;
        y[3] &= u64::MAX >> 1;
        if !y.iter().rev().lt(P.iter().rev()) {
            return None;
        }
        let y = Field::new(y);
        let x = root(y)?;
        if x.is_zero() {
            return None;
        }
        let x = if x.is_odd() == odd { x } else { x.neg() };
        let point = Self { x, y, z: Field::ONE, t: x.mul(y) };
        point.times_order().is_zero().then_some(point)
    }

    /// `add-2008-hwcd-3` of the Explicit-Formulas Database.
    pub(crate) fn add(&self, other: &Self) -> Self {
        let twice = |value: Field| value.add(value);
        let a = self.y.sub(self.x).mul(other.y.sub(other.x));
        let b = self.y.add(self.x).mul(other.y.add(other.x));
        let c = twice(self.t.mul(D)).mul(other.t);
        let d = twice(self.z.mul(other.z));
        finish(a, b, c, d)
    }

    /// The same with an affine point, seven products.
    #[inline]
    pub(crate) fn add_affine(&self, other: &Addend) -> Self {
        let a = self.y.sub(self.x).mul(other.minus);
        let b = self.y.add(self.x).mul(other.plus);
        let c = self.t.mul(other.product);
        finish(a, b, c, self.z.add(self.z))
    }

    pub(crate) fn double(&self) -> Self {
        self.add(self)
    }

    fn is_zero(&self) -> bool {
        self.x.is_zero() && self.y == self.z
    }

    fn times_order(&self) -> Self {
        let mut sum = Self::ZERO;
        for bit in (0..253).rev() {
            sum = sum.double();
            if ORDER[bit / 64] >> (bit % 64) & 1 == 1 {
                sum = sum.add(self);
            }
        }
        sum
    }
}

#[inline]
fn finish(a: Field, b: Field, c: Field, d: Field) -> Point {
    let (e, f, g, h) = (b.sub(a), d.sub(c), d.add(c), b.add(a));
    Point { x: e.mul(f), y: g.mul(h), z: f.mul(g), t: e.mul(h) }
}

/// A root x of x² = (y² − 1) / (d y² + 1), if there is one (RFC 8032 §5.1.3).
fn root(y: Field) -> Option<Field> {
    let u = y.square().sub(Field::ONE);
    let v = D.mul(y.square()).add(Field::ONE);
    let v3 = v.square().mul(v);
    let x = u.mul(v3).mul(u.mul(v3.square()).mul(v).to_p58());
    let square = v.mul(x.square());
    if square == u {
        Some(x)
    } else if square == u.neg() {
        Some(x.mul(I))
    } else {
        None
    }
}
