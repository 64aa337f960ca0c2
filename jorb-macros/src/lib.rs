//! The macros behind `jorb`. Use them through that crate.
//!
//! One pass per file: `args` reads attribute keys, `attrs` other people's, `model` turns the enum into a checked
//! `model::Workflow`, `graph` proves things about it and draws it, `expand` prints Rust. `handler` does the same,
//! smaller, for one function.
use proc_macro::TokenStream;

mod args;
mod attrs;
mod error;
mod expand;
mod graph;
mod handler;
mod limiter;
mod model;

// The first half of each text, with an example that runs, stands where `jorb` exports the macro.

/// # Keys on the enum
///
/// `#[workflow(app = App, overall = Site, job = Page, name = "crawl", states = crawl)]`, each of them optional:
///
/// | key | value | default |
/// | --- | --- | --- |
/// | `app` | a type: clients and functions, built in each process, never saved; `Send + Sync` | `()` |
/// | `overall` | a type: what all jobs of a run share, saved with the run | `()` |
/// | `job` | a type: what the states of one job share, saved with the job | `()` |
/// | `name` | a text: the workflow's name in the store | the enum's name |
/// | `states` | the name of the generated module, where the default is taken | the enum's name in snake case |
///
/// # Keys on a variant
///
/// `#[state(initial, next(Parse, Gone), kick(Fetch), on_failure(Gone), alias = "Get")]`
///
/// | key | meaning |
/// | --- | --- |
/// | `initial` | jobs may be added here; at least one variant has it |
/// | `terminal` | a job that comes here has ended: no handler, no `next`; at least one variant has it |
/// | `next(..)` | states that a job may move to; every variant has it that is not terminal |
/// | `kick(..)` | states in which it may create jobs, terminal ones among them |
/// | `on_failure(..)` | the state that a job moves to, instead of being parked, when a step has failed for good: its attempts or its time are used up, or the fault was fatal. It is made of the failed one by `impl From<Failed<crawl::Fetch>> for crawl::Gone`. A handler may go there only if `next` lists it too |
/// | `alias = ".."` | a name that the state had in older stores; may be repeated |
///
/// Every state must be reachable from an initial one, if only by a failure, and a terminal one must be reachable from every
/// state without one.
///
/// # Attributes
///
/// Docs and `cfg`s of a variant and of its fields hold for its struct, too. The derives below `#[workflow]` that are
/// safe to repeat are repeated: `Debug`, `Clone`, `Copy`, `PartialEq`, `Eq`, `PartialOrd`, `Ord` and `Hash`.
/// `#[serde(..)]` on a field says how it is saved; so do `rename_all`, `deny_unknown_fields`, `default` and `bound` on
/// a variant. Others would change under which name a state is saved, and are refused: that is what `alias` is for.
/// Paths in the texts of serde's attributes are resolved in the generated module, which imports all of its parent.
///
/// A workflow is declared in a module, not in a function, and is not generic.
#[proc_macro_attribute]
pub fn workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::workflow(args.into(), &item.into()).into()
}

/// # Keys on a function
///
/// Each is optional, and each value may be a constant of the type in the second column:
///
/// | key | value | meaning | default |
/// | --- | --- | --- | --- |
/// | `concurrency` | `usize`, at least 1 | steps in flight at once | 1 |
/// | `rate` | `"10/s"`, `"5000/h"`, `"1/250ms"`, or a `Rate` | steps that may start in a time | no limit |
/// | | `adaptive("10/s", min = "1/s", max = "80/s")`; the bounds are optional | a rate that follows what the service answers: it starts there, a throttle slows it down, it remembers where that was, and probes beyond it now and then | |
/// | | `aimd("10/s", min = "1/s", max = "80/s")` | the same by additive increase and multiplicative decrease | |
/// | `burst` | `u32`, at least 1; with `rate` only | starts that may follow each other at once after a quiet time | what 5 ms of the rate are, at least 1 |
/// | `retries` | `u32` | attempts after the first one | 0: the first error parks the job |
/// | `backoff` | `"200ms..30s"`, or a `Backoff`; with `retries` or `give_up_after` only | shortest and longest wait between attempts; it doubles, with jitter | `"1s..60s"` |
/// | `retry_if` | a function, `fn(&(dyn Error + 'static)) -> bool`; with `retries` or `give_up_after` only | whether an error is worth another attempt; if not, it is as a fatal one | all are |
/// | `give_up_after` | `"1h"`, or a `Duration` above zero | no attempt of a step starts later than this after its first one did, in whichever process; without `retries`, there are as many as fit | no limit |
/// | `timeout` | `"30s"`, or a `Duration` above zero | longest time that one step may take | no limit |
/// | `crashes` | `u32`, at least 1, better 2 or more | a job is parked whose step killed the process so many times while it ran alone | nobody counts: it is tried for ever |
/// | `limits(A, B)` | types with [`#[limiter(..)]`](macro@limiter) | limits that states share; a step starts when all of them let it | none |
/// | `batch(max = 100)` | `u32`, at least 1 | a step takes up to so many jobs, and the function a `Batch`; not with `crashes` | one job |
/// | `batch(.., wait = "2s")` | `"2s"`, or a `Duration` | how long the first job of a batch waits for others | it does not |
/// | `batch(.., per_job)` | | `rate`, and those of limiters, count each job of a batch, and not the step; `burst` is `max` then unless it is given | they count the step |
///
/// Units are `ms`, `s`, `m`, `h` and `d`, numbers are whole. A text that cannot be read does not compile.
///
/// # Which errors, and for how long
///
/// `retry_if` is asked about what the handler gave back as `Err(..)`, or by `?`. It is not asked where there is no error, after
/// a panic or a timeout; nor where the handler itself has said what is to follow, by `Fault::fatal`, `Fault::throttled`, or
/// a delay: `Fault::retry(e).after(d)`. If it panics, the step is tried again as any, and its error says so too.
///
/// `error.downcast_ref::<reqwest::Error>()` finds what `?` boxed; what that wraps is behind `error.source()`, and
/// `RetryIf` has an example that looks through all causes. Of an `anyhow::Error` only the causes below what was added with
/// `context` are found: it hides the type of the outermost one.
///
/// `give_up_after` counts from the start of the first attempt. So a job does not use its time up in the line before that,
/// but it does in all that comes after: waits, throttling, a limiter, a state that is held, a program that is not running.
/// When the next attempt would start too late, the step has failed for good, and does not wait for that. An attempt that has
/// started is not cut: `timeout` does that. Being throttled costs no attempt, and without `give_up_after` it may go on for ever.
///
/// # Several jobs in one step
///
/// With `batch(max = 100, wait = "2s")` the function takes `(batch: Batch<S>)` or `(batch: Batch<S>, cx: &mut BatchCx<W>)` and
/// returns `BatchOutcome<S>`, or a `Result` of `Finished<S>` and any error that makes a `Fault`. `Batch` in the documentation of jorb
/// says what is promised, with an example.
///
/// # Steps that kill the process
///
/// A panic is caught; a segfault in a C library, `process::abort`, a stack overflow and the system's answer to too much
/// memory are not. A job whose step does that every time would keep its run from ever ending: each start of the program dies
/// on it. With `crashes = 3` its state notes, in a file beside the run, which jobs its slots run. When the run is driven again
/// after the process died, those jobs are suspects: they run before everything else, one after the other, and nothing else
/// runs meanwhile. However such a lone run ends, the job is a suspect no more; only when the process dies in it, that
/// counts. At the third time the job is parked when the run is driven next, with an error that says so, or goes where
/// `on_failure` leads; redriven, it has all three again. So it costs four deaths of the process, one among others and three alone,
/// and is parked at the fifth start. `status`, `report`, the progress and `Overview` say how many suspects there are.
///
/// - Whatever ends the process during a lone run counts, `kill -9` by an operator too: so take 2 or more.
/// - All jobs that were in flight in such states when the process was killed run alone once. Where steps take long and
///   many run at once, that takes its time; a stop by Ctrl-C leaves no suspects.
/// - A suspect that waits for a permit of its limiters is waited for; one whose state is held is not, and runs alone once that
///   is released.
/// - Only states with `crashes` note their jobs: a step that kills the process from another state is not found.
/// - The notes are for the death of a process, and not synced to the disk; when power fails they may be lost, or some
///   of them, and then nobody is suspected. How often a step killed the process is synced before each lone run.
/// - It costs one or two small writes per step to the system's cache, of about a microsecond each. Stores without a file
///   have no notes: a run in memory forgets its jobs with its process.
#[proc_macro_attribute]
pub fn state(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::state(args.into(), &item.into()).into()
}

/// # Keys
///
/// At least one of `rate` and `concurrency`. Each value may be a constant of the type in the second column:
///
/// | key | value | meaning | default |
/// | --- | --- | --- | --- |
/// | `rate` | `"10/s"`, `"5000/h"`, `"1/250ms"`, or a `Rate` | steps that may start in a time | no limit |
/// | | `adaptive("10/s", min = "1/s", max = "80/s")`; the bounds are optional | a rate that follows what the service answers: it starts there, a throttle slows it down, it remembers where that was, and probes beyond it now and then | |
/// | | `aimd("10/s", min = "1/s", max = "80/s")` | the same by additive increase and multiplicative decrease | |
/// | `burst` | `u32`, at least 1; with `rate` only | starts that may follow each other at once after a quiet time | what 5 ms of the rate are, at least 1 |
/// | `concurrency` | `usize`, at least 1 | steps in flight at once, of all states together | no limit |
/// | `weighted` | none; with `rate` only | a step costs what `Weighted` says | each costs 1 |
/// | `keyed` | none | all of it holds for each key that `Keyed` gives: for each host, tenant or model | one for all |
#[proc_macro_attribute]
pub fn limiter(args: TokenStream, item: TokenStream) -> TokenStream {
    limiter::limiter(args.into(), &item.into()).into()
}
