//! Odd signed digits: `x = sum d_j 2^(window j)`, every d_j odd and of magnitude below `2^window`.
//!
//! No digit is zero, so a chain of point additions has no case where nothing is added. Exactly the
//! odd x of magnitude below `2^(window count)` have such digits, and each has one list of them.

use super::modl::signed;
use crate::field25519::Int;
use crate::ground::Builder;
use crate::lookup::{Selected, TableId};

/// Looks the digits of `x` up in a table whose keys are the odd digits. If x has no such digits,
/// the last one is a key that the table does not have.
pub fn select_digits(
    g: &mut Builder,
    table: TableId,
    x: Int,
    window: usize,
    count: usize,
) -> Vec<Selected> {
    let mut rest = x;
    (0..count)
        .map(|j| {
            let last = j + 1 == count;
            let digit = if last { rest } else { odd_digit(rest, window) };
            let key = digit
                .to_i128()
                .and_then(|d| i64::try_from(d).ok())
                .unwrap_or(0);
            let selected = g.select(table, key);
            rest = (rest - signed(selected.key.value())).shift_down(window);
            selected
        })
        .collect()
}

/// The odd digit with which `x - digit` is a multiple of `2^window`, for an odd x.
fn odd_digit(x: Int, window: usize) -> Int {
    x.low_bits(window + 1) - Int::power_of_two(window)
}
