//! Looking twice at what others may be writing.

use std::thread::sleep;
use std::time::Duration;

/// Between two looks: longer than a small file takes to be written in place.
const APART: Duration = Duration::from_millis(100);
/// Looks at most: half a second, after which what keeps changing is taken as it is.
const LOOKS_MAX: usize = 6;

/// The finding of `look`; if that is `doubtful`, because a file may be read while it is written,
/// once two looks at it agree, or after half a second. Blocks.
///
/// # Errors
/// Those of `look`.
pub fn agreeing<T: PartialEq, E>(
    look: impl Fn() -> Result<T, E>,
    doubtful: impl Fn(&T) -> bool,
) -> Result<T, E> {
    let mut found = look()?;
    for _ in 1..LOOKS_MAX {
        if !doubtful(&found) {
            break;
        }
        sleep(APART);
        let again = look()?;
        let agrees = again == found;
        found = again;
        if agrees {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The result of looks that find `finds`, the last one for ever, and how many looks there were.
    fn looks(finds: &[u8]) -> (u8, usize) {
        let count = Cell::new(0);
        let look = || {
            let nth = count.replace(count.get() + 1);
            Ok::<_, ()>(*finds.get(nth).or(finds.last()).unwrap())
        };
        let found = agreeing(look, |&found| found != 0).unwrap();
        (found, count.get())
    }

    #[test]
    fn doubt_ends_with_a_good_look_or_two_that_agree() {
        assert_eq!(looks(&[0]), (0, 1));
        assert_eq!(looks(&[1, 0]), (0, 2));
        assert_eq!(looks(&[1, 1, 0]), (1, 2));
        assert_eq!(looks(&[1, 2, 2, 0]), (2, 3));
    }

    #[test]
    fn what_keeps_changing_is_taken_as_it_is() {
        assert_eq!(looks(&[1, 2, 3, 4, 5, 6, 7, 8]), (6, LOOKS_MAX));
    }
}
