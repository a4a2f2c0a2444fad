//! `quorate demo`: the whole product on this machine, or its certificates alone.

mod certificates;
mod network;
pub(super) mod processes;

use crate::args::DemoArgs;
use crate::failure::Failure;
use crate::output::Report;

pub(super) fn run(args: &DemoArgs) -> Result<Report, Failure> {
    if args.certificates {
        certificates::run(args)
    } else {
        network::run(args)
    }
}
