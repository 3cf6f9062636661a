//! Pages of a listing: how many, and where to go on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::error::ResourceError;

/// Google's maximum for attestors, notes and occurrences.
const SIZE_MAX: usize = 1_000;
/// Bytes of the items of one page, the last aside. A page that is full before it has the items asked
/// for is shorter and has a token for the next, as in Google's service.
const BYTES_MAX: usize = 4 << 20;
/// Items read at a time. Of these, what the page has no room for is read in vain.
const STEP: usize = 16;
/// A token holds a hash and one resource name, which is 600 bytes at the most.
const TOKEN_BYTES_MAX: usize = 1_024;
/// Bytes of the hash that ties a token to its listing.
const HASH_BYTES: usize = 8;

/// The page that a client asks for, as it asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// `pageSize`; absent or 0 asks for the default, more than 1000 for 1000.
    pub size: Option<i64>,
    /// `pageToken`; empty asks for the first page.
    pub token: String,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items on it.
    pub items: Vec<T>,
    /// Asks for the next page; empty on the last one.
    pub next_page_token: String,
}

/// A [`PageRequest`] that holds for one listing.
#[derive(Debug)]
pub(super) struct Cursor {
    size: usize,
    after: Option<String>,
    listing: [u8; HASH_BYTES],
}

impl Cursor {
    /// Reads a request for a page of `listing`, any text that says what is listed and how it is
    /// filtered. A token of another listing is refused: it would silently skip resources.
    pub(super) fn new(
        request: &PageRequest,
        size_default: usize,
        listing: &str,
    ) -> Result<Self, ResourceError> {
        let size = match request.size.unwrap_or(0) {
            0 => size_default,
            size => usize::try_from(size)
                .map_err(|_| ResourceError::invalid("pageSize", "must not be negative"))?
                .min(SIZE_MAX),
        };
        let listing = hash(listing);
        let after = match request.token.as_str() {
            "" => None,
            token => Some(open(token, listing)?),
        };
        Ok(Self { size, after, listing })
    }

    /// Fills the page. `read` answers at most so many items after that name; `bytes` is what an
    /// item takes, about.
    pub(super) fn fill<T, E>(
        &self,
        mut read: impl FnMut(Option<&str>, usize) -> Result<Vec<T>, E>,
        name: impl Fn(&T) -> String,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<Page<T>, E> {
        let (mut items, mut room, mut after) = (Vec::new(), BYTES_MAX, self.after.clone());
        loop {
            // One more than the page holds shows whether there is another.
            let wanted = (self.size + 1 - items.len()).min(STEP);
            let found = read(after.as_deref(), wanted)?;
            let is_last = found.len() < wanted;
            for item in found {
                if items.len() == self.size || room == 0 {
                    let next_page_token = self.token(&after.unwrap_or_default());
                    return Ok(Page { items, next_page_token });
                }
                room = room.saturating_sub(bytes(&item));
                after = Some(name(&item));
                items.push(item);
            }
            if is_last {
                return Ok(Page { items, next_page_token: String::new() });
            }
        }
    }

    fn token(&self, last: &str) -> String {
        URL_SAFE_NO_PAD.encode([&self.listing, last.as_bytes()].concat())
    }
}

/// Bytes of the texts in a resource, about what its JSON takes.
pub(super) fn text_bytes(json: &Map<String, Value>) -> usize {
    json.iter().map(|(name, value)| name.len() + value_bytes(value) + 4).sum()
}

/// As [`text_bytes`], of any value.
pub(super) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(elements) => elements.iter().map(|one| value_bytes(one) + 1).sum(),
        Value::Object(members) => text_bytes(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn open(token: &str, listing: [u8; HASH_BYTES]) -> Result<String, ResourceError> {
    let refuse = |problem: &str| ResourceError::invalid("pageToken", problem);
    if token.len() > TOKEN_BYTES_MAX {
        return Err(refuse("is not one that this service gave: too long"));
    }
    let bytes =
        URL_SAFE_NO_PAD.decode(token).map_err(|_| refuse("is not one that this service gave"))?;
    let Some((of, last)) = bytes.split_first_chunk::<HASH_BYTES>() else {
        return Err(refuse("is not one that this service gave"));
    };
    if *of != listing {
        return Err(refuse(
            "belongs to another listing: ask again with the same parent and filter",
        ));
    }
    String::from_utf8(last.to_vec()).map_err(|_| refuse("is not one that this service gave"))
}

fn hash(listing: &str) -> [u8; HASH_BYTES] {
    let mut short = [0; HASH_BYTES];
    short.copy_from_slice(&Sha256::digest(listing.as_bytes())[..HASH_BYTES]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(size: i64, token: &str) -> PageRequest {
        PageRequest { size: Some(size), token: token.to_owned() }
    }

    /// A page of `count` items of so many bytes, named by their numbers.
    fn page(cursor: &Cursor, count: usize, bytes: usize) -> Page<usize> {
        let mut most = 0;
        let read = |after: Option<&str>, limit| {
            most = most.max(limit);
            let first = after.map_or(0, |after| after.parse::<usize>().unwrap() + 1);
            Ok::<_, ResourceError>((first..count).take(limit).collect())
        };
        let page = cursor.fill(read, ToString::to_string, |_| bytes).unwrap();
        assert!(most <= STEP);
        page
    }

    /// The sizes of all pages.
    fn sizes(size: i64, count: usize, bytes: usize) -> Vec<usize> {
        let (mut sizes, mut found, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let cursor = Cursor::new(&request(size, &token), 20, "l").unwrap();
            let next = page(&cursor, count, bytes);
            sizes.push(next.items.len());
            found.extend(next.items);
            token = next.next_page_token;
            if token.is_empty() {
                assert_eq!(found, (0..count).collect::<Vec<_>>());
                return sizes;
            }
        }
    }

    #[test]
    fn a_token_continues_where_its_page_ended() {
        assert_eq!(sizes(2, 3, 1), [2, 1]);
        assert_eq!(sizes(2, 4, 1), [2, 2]);
        assert_eq!(sizes(2, 0, 1), [0]);
        assert_eq!(sizes(100, 250, 1), [100, 100, 50]);
    }

    #[test]
    fn sizes_have_a_default_and_a_maximum() {
        assert_eq!(sizes(0, 21, 1), [20, 1]);
        for most in [1_000, 1_001, i64::MAX] {
            assert_eq!(sizes(most, 1_001, 1), [1_000, 1]);
        }
        let negative = Cursor::new(&request(-1, ""), 20, "l").unwrap_err();
        assert_eq!(negative, ResourceError::invalid("pageSize", "must not be negative"));
    }

    #[test]
    fn a_page_ends_with_its_bytes_and_holds_one_item_at_least() {
        assert_eq!(sizes(1_000, 9, BYTES_MAX / 4), [4, 4, 1]);
        assert_eq!(sizes(1_000, 3, 2 * BYTES_MAX), [1, 1, 1]);
    }

    #[test]
    fn a_token_of_another_listing_is_refused() {
        let token = page(&Cursor::new(&request(1, ""), 20, "a").unwrap(), 2, 1).next_page_token;
        let error = Cursor::new(&request(1, &token), 20, "b").unwrap_err();
        assert!(error.to_string().starts_with("pageToken: belongs to another listing"), "{error}");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let binary = URL_SAFE_NO_PAD.encode([hash("l").as_slice(), &[0xff]].concat());
        for token in ["!", "YQ", &binary, &"A".repeat(TOKEN_BYTES_MAX + 1)] {
            let error = Cursor::new(&request(1, token), 20, "l").unwrap_err();
            assert!(error.to_string().starts_with("pageToken: is not one"), "{error}");
        }
    }
}
