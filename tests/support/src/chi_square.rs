//! Pearson's chi-square test of counts against promised shares.
//!
//! The level: a test rejects above the quantile of the standard normal deviate `Z` = 6.5, one-sided
//! 4e-11. Fewer than 1000 tests are made, so by Bonferroni a run of everything raises a false alarm
//! with probability below 4e-8. That leaves a factor of 25 to the stated 1e-6 for the error of the
//! approximations.

/// The deviate of the level of one test.
pub const Z: f64 = 6.5;

/// The deviate of the power: a planted defect passes with probability below 3e-7.
const POWER_Z: f64 = 5.0;

/// The expected count below which cells are merged: the tail of a count with a small mean is
/// heavier than the normal one.
const SMALL: f64 = 500.0;

/// A statistic and its degrees of freedom. The sum of two is one again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fit {
    pub statistic: f64,
    pub freedom: f64,
}

impl Fit {
    pub fn of(counts: &[u64], shares: &[f64]) -> Self {
        assert_eq!(counts.len(), shares.len());
        let total = counts.iter().sum::<u64>() as f64;
        let mut cells: Vec<(f64, f64)> = shares
            .iter()
            .zip(counts)
            .map(|(&share, &count)| (share * total, count as f64))
            .collect();
        for &(expected, count) in &cells {
            assert!(expected > 0.0 || count == 0.0, "no key belongs in this cell, {count} are");
        }
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut expected, mut count) = (0.0, 0.0);
        let mut fit = Self { statistic: 0.0, freedom: -1.0 };
        for cell in cells {
            expected += cell.0;
            count += cell.1;
            if expected >= SMALL {
                fit.statistic += (count - expected) * (count - expected) / expected;
                fit.freedom += 1.0;
                (expected, count) = (0.0, 0.0);
            }
        }
        assert!(fit.freedom >= 1.0, "too few keys, or one cell only");
        fit
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { statistic: self.statistic + other.statistic, freedom: self.freedom + other.freedom }
    }

    pub fn threshold(self) -> f64 {
        threshold(self.freedom)
    }

    pub fn rejects(self) -> bool {
        self.statistic > self.threshold()
    }
}

/// The quantile by Wilson and Hilferty: the cube root of chi-square over its degrees of
/// freedom is nearly normal. At this level it lies above the exact quantile, never below:
/// 56.7 for 43.6 at one degree of freedom, 73.8 for 70.2 at ten, 166.5 for 165.3 at 63.
fn threshold(freedom: f64) -> f64 {
    let variance = 2.0 / (9.0 * freedom);
    freedom * (1.0 - variance + Z * variance.sqrt()).powi(3)
}

/// The noncentrality that each key adds if cells get the shares `off` for `shares`.
pub fn noncentrality(shares: &[f64], off: &[f64]) -> f64 {
    let cell = |(&p, &q): (&f64, &f64)| if p > 0.0 { (q - p) * (q - p) / p } else { 0.0 };
    shares.iter().zip(off).map(cell).sum()
}

/// The noncentrality at which a test rejects, up to the deviate of the power. Noncentral
/// chi-square has the mean `freedom + x` and the variance `2 (freedom + 2 x)`; its lower tail
/// is lighter than the normal one.
pub fn needed_noncentrality(freedom: f64) -> f64 {
    let mut x = threshold(freedom) - freedom;
    while freedom + x - POWER_Z * (2.0 * (freedom + 2.0 * x)).sqrt() < threshold(freedom) {
        x *= 1.02;
    }
    x
}

/// Returns the number of keys that show a defect that adds `noncentrality` with each.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some millions")]
pub fn keys_needed(freedom: f64, noncentrality: f64) -> u64 {
    (needed_noncentrality(freedom) / noncentrality).ceil() as u64
}

/// Returns whether `count` of `total` is within the level's bounds of `share`. A share of 0 or 1 is
/// exact.
pub fn plausible(count: u64, total: u64, share: f64) -> bool {
    let (count, total) = (count as f64, total as f64);
    let expected = share * total;
    (count - expected).abs() <= Z * (expected * (1.0 - share)).sqrt() + 1e-6
}
