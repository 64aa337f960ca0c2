//! `run`
use std::process::ExitCode;

use clap::Args;

use super::{Program, RunFile, Streams, args::RunArgs};
use crate::{BoxError, Error, Processor, Progress, Workflow};

pub(super) fn run<W: Workflow, F: Args>(
    program: &Program<W, F>,
    flags: &F,
    args: &RunArgs,
    file: &RunFile<W>,
    io: &mut Streams<'_>,
) -> Result<ExitCode, BoxError> {
    program.check_app()?;
    let mut run = file.open()?;
    if let Some(seed) = &program.seed {
        seed(flags, &mut run)?;
    }
    if !run.is_seeded() {
        return Err(Error::Unseeded.into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = {
        let _on_runtime = runtime.enter();
        let mut processor = bounded(Processor::new(program.make_app(flags)?), args).stop_on_signals();
        if !args.quiet {
            processor = processor.listener(Progress::stderr());
        }
        let mut processor = (program.processor)(flags, processor);
        runtime.block_on(processor.exec(&mut run))
    };
    // A plain `fn` whose grace period is over may still run: nobody waits for it.
    runtime.shutdown_background();
    let summary = summary?;
    if !args.quiet {
        write!(io.err, "{summary}")?;
    }
    Ok(summary.exit().into())
}

fn bounded<W: Workflow>(mut processor: Processor<W>, args: &RunArgs) -> Processor<W> {
    if let Some(most) = args.max_parked {
        processor = processor.max_parked(most);
    }
    if let Some(n) = args.first {
        processor = processor.first(n);
    }
    processor
}
