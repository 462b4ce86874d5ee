//! Lists of words, packed into one string of bytes. A table of pointers would be several times as
//! large, and would need relocation when a library is loaded.

/// `COUNT` words, together `LEN` bytes.
pub(crate) struct Words<const COUNT: usize, const LEN: usize> {
    text: [u8; LEN],
    /// The end of each word.
    ends: [u16; COUNT],
    front: Front,
}

/// The lengths and first letters of some words, a bit for each. Most texts that are not among them
/// differ here.
#[derive(Clone, Copy)]
struct Front {
    lens: u32,
    letters: u32,
}

impl Front {
    /// Of one word.
    const fn of(word: &[u8]) -> Self {
        let len = if word.len() < 31 { word.len() } else { 31 };
        let letters = if let [first, ..] = word { 1 << (*first & 31) } else { 0 };
        Self { lens: 1 << len, letters }
    }
}

/// Returns the length of all words together.
pub(crate) const fn len_of(words: &[&[u8]]) -> usize {
    let (mut len, mut i) = (0, 0);
    while i < words.len() {
        len += words[i].len();
        i += 1;
    }
    len
}

impl<const COUNT: usize, const LEN: usize> Words<COUNT, LEN> {
    #[expect(clippy::cast_possible_truncation, reason = "checked")]
    pub(crate) const fn of(words: &[&[u8]]) -> Self {
        assert!(words.len() == COUNT && LEN <= u16::MAX as usize);
        let front = Front { lens: 0, letters: 0 };
        let (mut made, mut len, mut i) = (Self { text: [0; LEN], ends: [0; COUNT], front }, 0, 0);
        while i < COUNT {
            let word = Front::of(words[i]);
            made.front.lens |= word.lens;
            made.front.letters |= word.letters;
            let mut at = 0;
            while at < words[i].len() {
                made.text[len] = words[i][at];
                (len, at) = (len + 1, at + 1);
            }
            made.ends[i] = len as u16;
            i += 1;
        }
        made
    }

    pub(crate) const fn list(&self) -> List<'_> {
        List { text: &self.text, ends: &self.ends, front: self.front }
    }
}

/// The same words, without their number in the type.
#[derive(Clone, Copy)]
pub(crate) struct List<'w> {
    text: &'w [u8],
    ends: &'w [u16],
    front: Front,
}

impl<'w> List<'w> {
    pub(crate) fn get(self, i: usize) -> Option<&'w [u8]> {
        let start = match i.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(usize::from(start)..usize::from(*self.ends.get(i)?))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'w [u8]> {
        (0..).map_while(move |i| self.get(i))
    }

    #[inline(never)]
    pub(crate) fn contains(self, word: &[u8]) -> bool {
        let front = Front::of(word);
        if self.front.lens & front.lens == 0 || self.front.letters & front.letters != front.letters
        {
            return false;
        }
        let mut start = 0;
        self.ends.iter().any(|&end| {
            let (from, to) = (core::mem::replace(&mut start, usize::from(end)), usize::from(end));
            to.wrapping_sub(from) == word.len() && self.text.get(from..to) == Some(word)
        })
    }
}

/// Packs the words of a constant.
macro_rules! words {
    ($name:ident, $words:expr) => {
        pub(crate) static $name: crate::words::Words<
            { $words.len() },
            { crate::words::len_of($words) },
        > = crate::words::Words::of($words);
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use std::prelude::rust_2024::*;

    use super::*;

    const LIST: &[&[u8]] = &[b"one", b"", b"three"];
    words!(SOME, LIST);

    #[test]
    fn the_compiler_packs_words_as_the_machine_does() {
        let words = std::hint::black_box(LIST);
        assert_eq!(len_of(words), 8);
        let made = Words::<3, 8>::of(words);
        for list in [made.list(), SOME.list()] {
            assert!(list.iter().eq(words.iter().copied()));
            assert_eq!((list.get(2), list.get(3)), (Some(&b"three"[..]), None));
            assert!(words.iter().all(|word| list.contains(word)));
            for other in ["on", "oneth", "thre", "threes", "One", "t", "two"] {
                assert!(!list.contains(other.as_bytes()), "{other}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "COUNT")]
    fn a_list_has_as_many_words_as_its_type_says() {
        Words::<2, 8>::of(std::hint::black_box(LIST));
    }

    #[test]
    #[should_panic(expected = "LEN")]
    fn the_end_of_every_word_fits_in_16_bits() {
        Words::<3, { 1 << 16 }>::of(std::hint::black_box(LIST));
    }
}
