//! Numbers and names of the enums, which operators see in metrics and C sees as
//! integers. Both are stable: a number or a name is never given another meaning.

/// Implements `ALL`, `name` and `from_number` for a field-less `#[repr(u8)]` enum.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Their numbers and names, for `src/capi/enum_names.rs`.
            #[cfg(feature = "capi")]
            #[allow(dead_code, reason = "C does not see every enum")]
            pub(crate) const NAMED: crate::enums::Named =
                &[$((Self::$variant as u8, $name)),+];

            /// The stable `snake_case` name, fit for a metric's label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The value of a stable number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                $(if number == Self::$variant as u8 { return Some(Self::$variant); })+
                None
            }
        }
    };
}

pub(crate) use named;

#[cfg(feature = "capi")]
pub(crate) type Named = &'static [(u8, &'static str)];
