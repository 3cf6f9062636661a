//! Mutations of bytes, the same for the same seed.

/// Longest input, in bytes: enough to nest, repeat and overflow whatever is bounded by a count.
pub(crate) const INPUT_BYTES_MAX: usize = 64 << 10;

/// Pieces that readers stumble over, beside those of the corpus.
const PIECES: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"'",
    b":",
    b",",
    b"\\",
    b"\n",
    b"- ",
    b"? ",
    b"&a ",
    b"*a",
    b"!!int ",
    b"<<: ",
    b"---\n",
    b"...\n",
    b"|2-\n",
    b">+\n",
    b"#",
    b"\t",
    b"\0",
    b"\x7f",
    b"\xff",
    b"\xc3\x28",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"18446744073709551616",
    b"0x10",
    b"**",
    b"@sha256:",
    b"\xf0\x9f\x92\xa9",
    b"%25",
];

/// A source of numbers: xorshift64*, good enough to choose mutations by.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        usize::try_from((self.next() >> 16) % end).unwrap_or(0)
    }
}

/// A mutation of an input out of `pool`, which is not empty.
pub(crate) fn mutated(pool: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = pool[random.below(pool.len())].clone();
    for _ in 0..=random.below(4) {
        mutate(&mut bytes, pool, random);
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn mutate(bytes: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    let (at, to) = range(bytes.len(), random);
    match random.below(10) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..to)),
        2 => repeat(bytes, at, to, random),
        3 => insert(bytes, at, PIECES[random.below(PIECES.len())]),
        4 => replace(bytes, at, to, PIECES[random.below(PIECES.len())]),
        5 => {
            let other = &pool[random.below(pool.len())];
            let (from, until) = range(other.len(), random);
            insert(bytes, at, &other[from..until]);
        }
        6 => {
            let other = &pool[random.below(pool.len())];
            let (from, until) = range(other.len(), random);
            replace(bytes, at, to, &other[from..until]);
        }
        7 => number(bytes, random),
        8 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

/// A stretch of `len` bytes, mostly short.
fn range(len: usize, random: &mut Random) -> (usize, usize) {
    let at = random.below(len + 1);
    let longest = if random.below(8) == 0 { len } else { 24 };
    (at, (at + random.below(longest + 1)).min(len))
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(bytes.splice(at..at, piece.iter().copied()));
}

fn replace(bytes: &mut Vec<u8>, at: usize, to: usize, piece: &[u8]) {
    drop(bytes.splice(at..to, piece.iter().copied()));
}

/// Repeats a stretch, now and then up to the longest input: that is how nesting gets deep.
fn repeat(bytes: &mut Vec<u8>, at: usize, to: usize, random: &mut Random) {
    let stretch = bytes[at..to].to_vec();
    let room = INPUT_BYTES_MAX.saturating_sub(bytes.len()) / stretch.len().max(1);
    let times = if random.below(16) == 0 { room } else { random.below(8).min(room) };
    insert(bytes, at, &stretch.repeat(times));
}

/// Puts another number in the place of one.
fn number(bytes: &mut Vec<u8>, random: &mut Random) {
    let digits: Vec<_> =
        bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(i, _)| i).collect();
    if digits.is_empty() {
        return;
    }
    let at = digits[random.below(digits.len())];
    let end = bytes[at..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| at + n);
    let numbers = ["0", "-1", "65536", "4294967296", "9223372036854775808", "1.5", "1e400"];
    replace(bytes, at, end, numbers[random.below(numbers.len())].as_bytes());
}
