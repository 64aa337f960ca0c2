//! A command line for workflow programs: `run`, `status`, `jobs`, `redrive` and the rest, with one line of `main`.
//!
//! [`Program`] is where to start.
use std::{
    any::{Any, TypeId},
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::{BoxError, Processor, Run, Workflow};

mod args;
mod cancel;
mod drive;
mod file;
mod hold;
mod job;
mod jobs;
mod json;
mod named;
mod redrive;
mod status;
mod transfer;
mod tune;

pub use args::OF_RUN;
pub use file::RunFile;

use args::{Own, Verb};

/// A workflow program: its command line, and what the commands need of it.
///
/// `F` are the program's own flags. They come before the subcommand; those that are optional may come behind it too,
/// unless a subcommand has one of the same name. Those that only matter when the run is driven get the heading [`OF_RUN`]. The
/// subcommands are:
///
/// | command | what it does |
/// | --- | --- |
/// | `run` (or nothing) | drives the run until nothing is left to do; makes and seeds it first if it is new |
/// | `status` | jobs by state |
/// | `jobs` | lists jobs, or shows all of one |
/// | `report` | what failed and why, and what to do about it |
/// | `redrive` | moves jobs to another state, or tries them again |
/// | `cancel` | has jobs stay where they are, and run no more |
/// | `hold`, `release` | stops a state, or a key of a limiter, and lets it go on |
/// | `tune` | changes the rate, the burst or the concurrency of a state or of a shared limiter |
/// | `export`, `import` | to and from JSON Lines |
/// | `graph` | the states and their edges |
///
/// Those that only look also work while another process drives the run. `run` exits as
/// [`Exit`](crate::Exit) says, the others with 0, or 1 after an error; all of them with 2 when the arguments are
/// wrong.
///
/// ```no_run
/// use std::{path::PathBuf, process::ExitCode};
///
/// use jorb::prelude::*;
///
/// #[workflow(job = String)]
/// #[derive(Debug, Clone)]
/// enum Greet {
///     #[state(initial, next(Done))]
///     Hello,
///     #[state(terminal)]
///     Done,
/// }
///
/// #[state(concurrency = 8)]
/// async fn hello(_: greet::Hello, cx: &mut Cx<Greet>) -> Outcome<greet::Hello> {
///     cx.job.insert_str(0, "hello ");
///     Ok(Next::to(greet::Done))
/// }
///
/// #[derive(clap::Args)]
/// struct Flags {
///     /// Where to work.
///     #[arg(long, default_value = ".")]
///     work: PathBuf,
/// }
///
/// fn main() -> ExitCode {
///     jorb::cli::Program::<Greet, Flags>::new()
///         .store(|flags| flags.work.join("greet.jorb"))
///         .seed(|_, run| {
///             run.seed((), |jobs| jobs.add(Kick::new(greet::Hello, "world".into())))
///         })
///         .main()
/// }
/// ```
#[must_use = "it does nothing before `main`"]
pub struct Program<W: Workflow, F: Args = NoFlags> {
    store: Box<dyn Fn(&F) -> PathBuf>,
    app: Option<MakeApp<W, F>>,
    seed: Option<Seed<W, F>>,
    processor: Adjust<W, F>,
    commands: Vec<(Command, Custom<W, F>)>,
    about: Option<String>,
}

type MakeApp<W, F> = Box<dyn Fn(&F) -> Result<<W as Workflow>::App, BoxError>>;
type Seed<W, F> = Box<dyn Fn(&F, &mut Run<W>) -> Result<bool, BoxError>>;
type Adjust<W, F> = Box<dyn Fn(&F, Processor<W>) -> Processor<W>>;
type Custom<W, F> = Box<dyn Fn(&F, &ArgMatches, &RunFile<W>, &mut dyn Write) -> Result<ExitCode, BoxError>>;

/// No flags of the program's own.
#[derive(Debug, Args)]
#[group(skip)]
#[command(about = None::<&str>)] // this doc comment is not for `--help`
pub struct NoFlags {}

impl<W: Workflow, F: Args> Default for Program<W, F> {
    fn default() -> Self {
        Program::new()
    }
}

impl<W: Workflow, F: Args> Program<W, F> {
    /// A program whose run is in `<workflow>.jorb`, that seeds nothing and has no commands of its own.
    pub fn new() -> Self {
        Program {
            store: Box::new(|_| format!("{}.jorb", W::NAME.to_lowercase()).into()),
            app: None,
            seed: None,
            processor: Box::new(|_, processor| processor),
            commands: Vec::new(),
            about: None,
        }
    }

    /// Where the run is, unless `--store` says otherwise. A file that ends in `.json` is a
    /// [`JsonStore`](crate::JsonStore), any other a [`SqliteStore`](crate::SqliteStore).
    pub fn store(mut self, path: impl Fn(&F) -> PathBuf + 'static) -> Self {
        self.store = Box::new(path);
        self
    }

    /// How the app is built, on the runtime that will drive the run, and for `run` only. Not needed when the app is
    /// `()`.
    pub fn app<E: Into<BoxError>>(mut self, app: impl Fn(&F) -> Result<W::App, E> + 'static) -> Self {
        self.app = Some(Box::new(move |flags| app(flags).map_err(Into::into)));
        self
    }

    /// How the run is seeded: `run` calls it each time, before it drives the run. See [`Run::seed`].
    pub fn seed<E: Into<BoxError>>(
        mut self,
        seed: impl Fn(&F, &mut Run<W>) -> Result<bool, E> + 'static,
    ) -> Self {
        self.seed = Some(Box::new(move |flags, run| seed(flags, run).map_err(Into::into)));
        self
    }

    /// What the program does, for its `--help`. The doc comment of `F` says it as well.
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// Changes the processor before it drives the run: more listeners, another grace period. It is called on the runtime that will
    /// drive the run: take a [`Handle`](crate::Handle) of it here, `processor.handle()`, and give that to a task.
    pub fn processor(mut self, change: impl Fn(&F, Processor<W>) -> Processor<W> + 'static) -> Self {
        self.processor = Box::new(change);
        self
    }

    /// Adds a subcommand. What it writes to the stream that it gets goes to standard output; when nobody reads any
    /// more (`| head`), it ends without a word.
    pub fn command(
        mut self,
        command: Command,
        run: impl Fn(&F, &ArgMatches, &RunFile<W>, &mut dyn Write) -> Result<ExitCode, BoxError> + 'static,
    ) -> Self {
        self.commands.push((command, Box::new(run)));
        self
    }

    /// Does what the arguments of this process say. What it returns is for `main` to return.
    #[must_use]
    pub fn main(self) -> ExitCode {
        // No `StdoutLock`: a handler may print as well.
        let mut out = io::BufWriter::new(io::stdout());
        self.main_with(std::env::args_os(), &mut out, &mut io::stderr())
    }

    /// As [`Program::main`], with other arguments (the first of which is the program's name) and other streams, for
    /// tests. Progress bars and what handlers print still go to the process's own.
    pub fn main_with(
        self,
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> ExitCode {
        let done = self.dispatch(args, &mut Streams { out, err });
        let done = done.and_then(|code| out.flush().map(|()| code).map_err(BoxError::from));
        done.unwrap_or_else(|e| report_error(&*e, out, err))
    }

    fn dispatch(
        self,
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        io: &mut Streams<'_>,
    ) -> Result<ExitCode, BoxError> {
        let mut clap = self.clap();
        let matches = clap.try_get_matches_from_mut(args)?;
        let flags = F::from_arg_matches(&matches)?;
        let own = Own::from_arg_matches(&matches)?;
        let path = own.store.clone().unwrap_or_else(|| (self.store)(&flags));
        let file = RunFile::at(path);
        own.check(&mut clap, matches.subcommand_name())?;
        let custom = matches.subcommand().and_then(|(name, matches)| {
            let (_, run) = self.commands.iter().find(|(command, _)| command.get_name() == name)?;
            Some((run, matches))
        });
        if let Some((run, matches)) = custom {
            return run(&flags, matches, &file, io.out);
        }
        let done = ExitCode::SUCCESS;
        match own.verb.unwrap_or(Verb::Run(own.run)) {
            Verb::Run(args) => return drive::run(&self, &flags, &args, &file, io),
            Verb::Status(args) => status::status(&mut file.read()?, &args, io.out)?,
            Verb::Jobs(args) => jobs::jobs(&mut file.read()?, &args, io.out)?,
            Verb::Report { json: true } => json::write(io.out, &file.read()?.report()?)?,
            Verb::Report { json: false } => write!(io.out, "{}", file.read()?.report()?)?,
            Verb::Redrive(args) => redrive::redrive(file.open_old()?, &args, io.err)?,
            Verb::Cancel(args) => cancel::cancel(file.open_old()?, &args, io.err)?,
            Verb::Export { file: to } => transfer::export(&file, to.as_deref(), io)?,
            Verb::Import { file: from, check } => transfer::import(&file, &from, check, io.err)?,
            Verb::Hold(args) => hold::set(file.open_old()?, &args, true, io.err)?,
            Verb::Release(args) => hold::set(file.open_old()?, &args, false, io.err)?,
            Verb::Tune(args) => tune::tune(file.open_old()?, &args, io.err)?,
            Verb::Graph { text: true } => write!(io.out, "{}", W::GRAPH)?,
            Verb::Graph { text: false } => write!(io.out, "{}", W::GRAPH.mermaid())?,
        }
        Ok(done)
    }

    fn clap(&self) -> Command {
        // Usage shows the name that the program was called by.
        let command = Own::augment_args(Command::new(W::NAME)).next_help_heading(None::<&str>);
        // The program's flags last: they may say what the program is about.
        let command = F::augment_args(command);
        let command = match &self.about {
            Some(about) => command.about(about.clone()),
            None => command,
        };
        let command = command.subcommands(self.commands.iter().map(|(command, _)| command.clone()));
        args::allow_behind_subcommands(command, F::augment_args(Command::new("")).get_arguments())
    }

    /// Asked before a run is made that cannot be driven.
    fn check_app(&self) -> Result<(), BoxError> {
        if self.app.is_none() && TypeId::of::<W::App>() != TypeId::of::<()>() {
            return Err("this program cannot build its app: call `Program::app`".into());
        }
        Ok(())
    }

    fn make_app(&self, flags: &F) -> Result<W::App, BoxError> {
        if let Some(app) = &self.app {
            return app(flags);
        }
        let nothing: Box<dyn Any> = Box::new(());
        match nothing.downcast() {
            Ok(app) => Ok(*app),
            Err(_) => Err("this program cannot build its app: call `Program::app`".into()),
        }
    }
}

/// Where a command writes.
struct Streams<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

fn report_error(
    error: &(dyn std::error::Error + 'static),
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        let to: &mut dyn Write = if usage.use_stderr() { err } else { out };
        let _ = write!(to, "{}", usage.render()).and_then(|()| to.flush());
        return u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    // Who reads us has seen enough: `jobs | head`.
    let disk = |error: &crate::Error| error.io().map(io::Error::kind);
    let kind = error.downcast_ref().and_then(disk).or(error.downcast_ref().map(io::Error::kind));
    if kind == Some(io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let _ = out.flush();
    let _ = writeln!(err, "error: {}", crate::error::with_causes(error));
    ExitCode::FAILURE
}

/// A text in one line of at most so many characters.
fn one_line(text: &str, most: usize) -> String {
    let mut line: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        line.push_str("..");
    }
    line
}
