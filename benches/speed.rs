//! The cost of tokenpin compared with its peers, in one process.
//!
//! Every benchmark that has peers checks first that all of them do the same work. `report.py` reads
//! the names: a group, a function and a parameter.

mod cold;
mod cookie_value;
mod decide;
mod fixtures;
mod ids;
mod jump;
mod keyed;
mod peers;
mod select;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    jump::bench(&mut criterion);
    select::bench(&mut criterion);
    keyed::bench(&mut criterion);
    cookie_value::bench(&mut criterion);
    decide::bench(&mut criterion);
    ids::bench(&mut criterion);
    cold::bench(&mut criterion);
    criterion.final_summary();
}
