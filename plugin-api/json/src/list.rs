//! Lists whose reading ends early.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A list of at most `MAX` items. Reading ends with the first one beyond, so that a body of small
/// items does not come to many times its size in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtMost<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> IntoIterator for AtMost<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

struct List<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
    type Value = AtMost<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::custom(format_args!("a list of more than {MAX} items")));
            }
            items.push(item);
        }
        Ok(AtMost(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::from_str;

    #[test]
    fn one_item_more_than_the_most_is_refused_where_it_stands() {
        assert_eq!(from_str::<AtMost<u8, 2>>("[1, 2]").unwrap(), AtMost(vec![1, 2]));
        let error = from_str::<AtMost<u8, 2>>("[1, 2, 3, 400]").unwrap_err().to_string();
        assert!(error.starts_with("a list of more than 2 items"), "{error}");
        assert!(error.contains("column 10"), "{error}");
        from_str::<AtMost<u8, 2>>("{}").unwrap_err();
    }
}
