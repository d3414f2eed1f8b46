//! `!fib n`: a Fibonacci number the slow way, on every CPU of the pod.
//!
//! The naive recursion is the example of work that would silence a bot if it ran on the event loop. Here it runs on
//! the pod's job pool: first "calculating ...", then the result is edited in, while the gateway does not notice.

use std::time::Instant;

use shard_bot::{Command, CommandError, Context, Input, Parameter, Reply};

/// Above it branches run side by side; below, one thread is faster than dividing the work.
const CUT_OFF: u32 = 24;

/// Computes a Fibonacci number.
pub struct Fib;

impl Command for Fib {
    fn name(&self) -> &'static str {
        "fib"
    }

    fn description(&self) -> &'static str {
        "A Fibonacci number, computed the slow way on every CPU of the pod"
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::integer("n", "which number", 0..=45)]
    }

    async fn run(&self, input: Input, ctx: Context) -> Result<Reply, CommandError> {
        let n = u32::try_from(input.integer("n")?).map_err(CommandError::other)?;
        Ok(Reply::later(format!("calculating fib({n}) ..."), async move {
            let begun = Instant::now();
            let result = ctx.jobs().run(move || fib(n)).await?;
            Ok(format!("fib({n}) = {result} ({:.1?})", begun.elapsed()))
        }))
    }
}

fn fib(n: u32) -> u64 {
    match n {
        0 | 1 => u64::from(n),
        _ if n < CUT_OFF => fib(n - 1) + fib(n - 2),
        _ => {
            let (one, two) = rayon::join(|| fib(n - 1), || fib(n - 2));
            one + two
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_right_on_both_sides_of_the_cut_off() {
        let found: Vec<u64> = [0, 1, 2, 10, 23, 24, 30].map(fib).to_vec();
        assert_eq!(found, [0, 1, 1, 55, 28_657, 46_368, 832_040]);
    }
}
