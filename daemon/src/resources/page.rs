//! Pages of a listing: how many, and where to go on.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::error::ResourceError;

/// Google's maximum for attestors, notes and occurrences.
const SIZE_MAX: usize = 1_000;
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
    /// What is on it.
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

    /// How many items to ask for: one more than the page holds shows whether there is another.
    pub(super) fn limit(&self) -> usize {
        self.size + 1
    }

    /// The name that the page before ended with.
    pub(super) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The page out of up to [`Cursor::limit`] items.
    pub(super) fn page<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > self.size;
        items.truncate(self.size);
        let next_page_token = match items.last() {
            Some(last) if more => self.token(&name(last)),
            _ => String::new(),
        };
        Page { items, next_page_token }
    }

    fn token(&self, last: &str) -> String {
        URL_SAFE_NO_PAD.encode([&self.listing, last.as_bytes()].concat())
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

    fn page(cursor: &Cursor, count: usize) -> Page<String> {
        cursor.page((0..count).map(|i| format!("n{i}")).collect(), Clone::clone)
    }

    #[test]
    fn a_token_continues_where_its_page_ended() {
        let first = Cursor::new(&request(2, ""), 20, "notes of p").unwrap();
        assert_eq!((first.limit(), first.after()), (3, None));
        let shown = page(&first, 3);
        assert_eq!(shown.items, ["n0", "n1"]);
        let second = Cursor::new(&request(2, &shown.next_page_token), 20, "notes of p").unwrap();
        assert_eq!(second.after(), Some("n1"));
        assert_eq!(page(&second, 2).next_page_token, "");
        assert_eq!(page(&second, 0).next_page_token, "");
    }

    #[test]
    fn sizes_have_a_default_and_a_maximum() {
        let size = |size| Cursor::new(&request(size, ""), 20, "l").map(|cursor| cursor.limit() - 1);
        assert_eq!(size(0), Ok(20));
        assert_eq!(size(1_000), Ok(1_000));
        assert_eq!(size(1_001), Ok(1_000));
        assert_eq!(size(i64::MAX), Ok(1_000));
        assert_eq!(size(-1), Err(ResourceError::invalid("pageSize", "must not be negative")));
    }

    #[test]
    fn a_token_of_another_listing_is_refused() {
        let token = page(&Cursor::new(&request(1, ""), 20, "a").unwrap(), 2).next_page_token;
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
