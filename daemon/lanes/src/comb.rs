//! Digits of the tables of odd multiples.

/// The entry that holds the absolute value of digit `window` of v, and whether it is negative.
///
/// The digit is d = 2 b − (2^w − 1) for the window's bits b, and |d| is entry (|d| − 1) / 2: for
/// b ≥ 2^(w−1) the low bits of b, else the complement of them.
#[inline]
pub(crate) fn digit<const WORDS: usize>(
    v: &[u64; WORDS],
    width: usize,
    window: usize,
) -> (usize, bool) {
    let (limb, shift) = (window * width / 64, window * width % 64);
    let mut bits = v.get(limb).map_or(0, |low| low >> shift);
    if shift + width > 64 {
        bits |= v.get(limb + 1).map_or(0, |high| high << (64 - shift));
    }
    let entries = 1u64 << (width - 1);
    let negative = bits & entries == 0;
    let index = if negative { !bits } else { bits } & (entries - 1);
    (usize::try_from(index).unwrap_or(0), negative)
}
