//! Bytes that many may hold at once.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Bytes that are cheap to clone: clones share them. They never change.
///
/// Nothing is copied on the way in, so that whatever owns the samples (a chunk, a buffer, a memory
/// map) can be sent from in place.
///
/// ```
/// use std::sync::Arc;
/// use speadway::item::Bytes;
///
/// let samples: Vec<u8> = vec![1, 2, 3];
/// let bytes = Bytes::from(samples);
/// let same = bytes.clone();
/// assert_eq!(bytes.as_ptr(), same.as_ptr());
/// assert_eq!(Bytes::from(b"abc").len(), 3);
/// // Anything that can be seen as bytes may be shared.
/// let text: Bytes = Bytes::Shared(Arc::new(String::from("text")));
/// assert_eq!(*text, *b"text");
/// ```
#[derive(Clone)]
pub enum Bytes {
    /// Bytes that live as long as the program.
    Static(&'static [u8]),
    /// Bytes owned by something shared.
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl Bytes {
    /// Whether both are the same memory, not only equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(&raw const **self, &raw const **other)
    }

    /// A part of the bytes, which shares their memory; `None` if it is not within them.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let part = self.get(range.clone())?;
        Some(match self {
            Self::Static(bytes) => Self::Static(bytes.get(range)?),
            Self::Shared(_) if part.len() == self.len() => self.clone(),
            Self::Shared(_) => Self::Shared(Arc::new(Part { whole: self.clone(), range })),
        })
    }
}

/// A part of shared bytes.
struct Part {
    whole: Bytes,
    range: Range<usize>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        self.whole.get(self.range.clone()).unwrap_or_default()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Shared(owner) => (**owner).as_ref(),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Static(&[])
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(Arc::new(bytes))
    }
}

impl From<Arc<[u8]>> for Bytes {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(Arc::new(bytes))
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Bytes {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::Static(bytes)
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A heap's worth of numbers in a log line would help nobody.
        const SHOWN: usize = 32;
        write!(f, "{} B: \"{}", self.len(), self.get(..SHOWN).unwrap_or(self).escape_ascii())?;
        f.write_str(if self.len() > SHOWN { "\"..." } else { "\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_and_equals_need_not() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        assert!(bytes.is_same(&bytes.clone()));
        let equal = Bytes::from(Arc::<[u8]>::from([1, 2, 3]));
        assert!(bytes == equal && !bytes.is_same(&equal));
        assert_eq!(Bytes::default().len(), 0);
    }

    #[test]
    fn parts_share_with_the_whole() {
        let bytes = Bytes::from(vec![1, 2, 3, 4]);
        let part = bytes.slice(1..4).unwrap().slice(1..2).unwrap();
        assert_eq!(*part, [3]);
        assert_eq!(part.as_ptr(), bytes[2..].as_ptr());
        assert_eq!(bytes.slice(2..5), None);
        assert_eq!(Bytes::from(b"abc").slice(0..1), Some(Bytes::from(b"a")));
    }

    #[test]
    fn long_ones_are_shown_short() {
        assert_eq!(format!("{:?}", Bytes::from(b"ab\n")), "3 B: \"ab\\n\"");
        let long = format!("{:?}", Bytes::from(vec![b'x'; 100]));
        assert_eq!(long, format!("100 B: \"{}\"...", "x".repeat(32)));
    }
}
