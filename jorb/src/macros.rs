//! The macros, with an example that runs.

/// Turns an enum of states into a [`Workflow`](crate::Workflow).
///
/// ```
/// use jorb::prelude::*;
///
/// /// Clients: built fresh in each process, never saved.
/// pub struct App {
///     pages: fn(&str) -> Option<String>,
/// }
///
/// /// What the states of one job share: saved with the job.
/// #[derive(Debug, Clone, Serialize, Deserialize)]
/// pub struct Page {
///     url: String,
/// }
///
/// /// The life of one page.
/// #[workflow(app = App, job = Page)]
/// #[derive(Debug, Clone, PartialEq)]
/// pub enum Crawl {
///     /// Download the page.
///     #[state(initial, next(Parse, Gone))]
///     Fetch,
///     /// Find its title and links.
///     #[state(next(Done), kick(Fetch))]
///     Parse { html: String },
///     #[state(terminal)]
///     Done,
///     #[state(terminal)]
///     Gone { status: u16 },
/// }
///
/// #[state(concurrency = 4, rate = "10/s", retries = 5, timeout = "30s")]
/// async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
///     match (cx.app.pages)(&cx.job.url) {
///         Some(html) => Ok(Next::to(crawl::Parse { html })),
///         None => Ok(Next::to(crawl::Gone { status: 404 })),
///     }
/// }
///
/// #[state(concurrency = 2)]
/// fn parse(crawl::Parse { html }: crawl::Parse) -> Outcome<crawl::Parse> {
///     let links = html.split_whitespace().filter(|word| word.starts_with("https:"));
///     let kicks = links.map(|url| Kick::new(crawl::Fetch, Page { url: url.to_owned() }).once(url));
///     Ok(Next::to(crawl::Done).kick(kicks))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // Handlers stay functions: call them in tests.
/// let app = App { pages: |_| Some("read https://example.org/ next".to_owned()) };
/// let mut cx = Cx::test(app, (), Page { url: "https://example.org".to_owned() });
/// let next = fetch(crawl::Fetch, &mut cx).await.unwrap();
/// let html = "read https://example.org/ next".to_owned();
/// assert_eq!(next.as_move().to, Crawl::Parse { html: html.clone() });
/// let next = parse(crawl::Parse { html }).unwrap();
/// assert_eq!(next.as_move().kicks[0].once.as_deref(), Some("https://example.org/"));
///
/// // The graph that the compiler checked is the picture, too; it also stands in the docs of the enum.
/// assert_eq!(Crawl::GRAPH.to_string().lines().next(), Some(">  Fetch  -> Parse, Gone"));
/// # }
/// ```
///
/// The enum is left as written. Beside it comes a module of its name in snake case, with one struct per variant,
/// as visible as the enum: handlers take and return those. Each is a [`State`](crate::State); moves and kicks
/// between them that the graph does not list do not compile.
///
/// The enum must be `Clone`, and so must be the types of its fields, with serde's traits: a job is saved as the
/// name of its state and the fields of its struct. So must be the two contexts. The enum itself needs no serde.
///
/// Fields and contexts are written as JSON with every step, so large data belongs into a file, whose name they keep.
///
/// When rustc says "expected non-macro attribute, found attribute macro `state`", the enum lacks its `#[workflow]`.
pub use jorb_macros::workflow;

/// Makes a function the [`Handler`](crate::Handler) of the state that it takes.
///
/// ```
/// use std::{path::PathBuf, time::Duration};
///
/// use jorb::{Rate, prelude::*};
///
/// #[workflow]
/// #[derive(Debug, Clone)]
/// pub enum Build {
///     #[state(initial, next(Publish))]
///     Compile { package: String },
///     #[state(next(Done))]
///     Publish { archive: PathBuf },
///     #[state(terminal)]
///     Done,
/// }
///
/// // A plain `fn` runs on the blocking pool, where it may take its time.
/// #[state(concurrency = 8, timeout = "1h")]
/// fn compile(state: build::Compile) -> Outcome<build::Compile> {
///     let archive = PathBuf::from(state.package).with_extension("tar");
///     std::fs::write(&archive, "what was built")?;
///     Ok(Next::to(build::Publish { archive })) // the file's name: the state is saved as JSON
/// }
///
/// const REGISTRY: Rate = Rate::literal("1/5s");
/// const PATIENCE: Duration = Duration::from_secs(90);
///
/// #[state(rate = REGISTRY, burst = 3, retries = 10, backoff = "1s..5m", timeout = PATIENCE)]
/// async fn publish(state: build::Publish, cx: &mut Cx<Build>) -> Outcome<build::Publish> {
///     if !state.archive.exists() {
///         return Err(Fault::fatal("nothing was built"));
///     }
///     println!("attempt {}", cx.attempt());
///     Ok(Next::to(build::Done))
/// }
///
/// # fn main() {
/// let publish = Build::STATES[1].policy.unwrap();
/// assert_eq!((publish.burst, publish.retries, publish.timeout), (Some(3), 10, Some(PATIENCE)));
/// # }
/// ```
///
/// The function is left as written, so a test may call it with [`Cx::test`](crate::Cx::test). It takes `(state)` or
/// `(state, cx: &mut Cx<W>)` and returns [`Outcome`](crate::Outcome), or a `Result` with any error that makes a
/// [`Fault`](crate::Fault). An `async fn` runs on the runtime, and its future must be `Send`; a plain `fn` runs on the
/// blocking pool, and the way there costs tens of µs. No more than 500 of them run at once,
/// whatever the states allow: the pool has 512 threads, and the store needs one. With `batch(..)` the function takes several
/// jobs: a [`Batch`](crate::Batch).
pub use jorb_macros::state;

/// Declares a limit that states share.
///
/// ```
/// use jorb::{Limiter, prelude::*};
///
/// #[workflow]
/// #[derive(Debug, Clone)]
/// enum Change {
///     #[state(initial, next(Merge))]
///     Propose,
///     #[state(next(Done))]
///     Merge,
///     #[state(terminal)]
///     Done,
/// }
///
/// /// What they let us ask for.
/// #[limiter(rate = "5000/h", burst = 100, concurrency = 20)]
/// struct GitHub;
///
/// #[state(concurrency = 16, limits(GitHub))]
/// async fn propose(_: change::Propose) -> Outcome<change::Propose> {
///     Ok(Next::to(change::Merge))
/// }
///
/// #[state(concurrency = 16, rate = "1/s", limits(GitHub))]
/// async fn merge(_: change::Merge) -> Outcome<change::Merge> {
///     Ok(Next::to(change::Done))
/// }
/// # assert_eq!((GitHub::SPEC.name, Change::STATES[1].limits), ("GitHub", &[GitHub::SPEC][..]));
/// ```
///
/// A step starts when its state has a free slot and each of its limiters a permit: it takes all of them at once, or
/// none, so that nothing is held while something else is waited for. Who asks first is served first, whichever
/// state it is in: of the jobs at the heads of their lines, the one that could have started earliest.
pub use jorb_macros::limiter;
