//! Numbers and names of the enums. Operators see them in metrics, and C sees them as integers. Both
//! are stable: a number or a name never gets another meaning.

/// Implements `ALL`, `name` and `from_number` for a field-less `#[repr(u8)]` enum.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The numbers and names, for `src/capi/enum_names.rs`.
            #[cfg(feature = "capi")]
            #[allow(dead_code, reason = "C does not see every enum")]
            pub(crate) const NAMED: crate::enums::Named =
                &[$((Self::$variant as u8, $name)),+];

            /// Returns the stable `snake_case` name, fit for a metric's label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Returns the value with a stable number.
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
