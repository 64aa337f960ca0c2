//! Two workflows in one module, each key of the enum, handlers in another module, constants as values, a
//! handler without the sugar.
use std::{sync::Arc, time::Duration};

use jorb::{Backoff, Handler, Policy, Rate, prelude::*};

#[workflow(app = Limits, states = crawling, name = "crawl/2")]
#[derive(Debug, Clone, PartialEq)]
pub enum Crawl {
    #[state(initial, next(Done, Fetch), kick(Fetch, Look), alias = "Get", alias = "Load")]
    Fetch(String, u8),
    #[state(initial, next(Done))]
    Look,
    // A job may be kicked into a terminal state: it has ended then, and is there to be seen.
    #[state(terminal)]
    Done,
}
pub struct Limits(u8);

// The structs derive only what stands below `#[workflow]`.
#[derive(Clone)]
#[workflow(job = Vec<u8>)]
pub(crate) enum Build {
    #[state(initial, next(Done), kick(Done))]
    Start { rev: String },
    #[state(terminal)]
    Done { ok: bool },
}

mod handlers {
    use super::*;

    pub const WORKERS: usize = 3;
    const SERVICE: Rate = Rate::new(5, Duration::from_secs(1));
    const LIMIT: Duration = Duration::from_secs(90);
    const TRIES: u32 = 2;

    #[state(concurrency = 2 * WORKERS, rate = SERVICE, burst = 5, timeout = LIMIT, retries = 0)]
    pub async fn fetch(
        crawling::Fetch(url, depth): crawling::Fetch,
        cx: &mut Cx<Crawl>,
    ) -> Outcome<crawling::Fetch> {
        let Cx { app, job, .. } = cx; // disjoint borrows, also across an await
        let (limits, job): (&Arc<Limits>, &mut ()) = (app, job);
        std::future::ready(()).await;
        *job = ();
        if depth > limits.0 {
            return Ok(Next::to(crawling::Done));
        }
        let children = [Kick::new(crawling::Fetch(url.clone(), depth + 1), ()).once(url.as_str())];
        let looks = [Kick::new(crawling::Look, ())];
        Ok(Next::to(crawling::Fetch(url, depth + 1)).kick(children).kick(looks).after(LIMIT))
    }

    // Blocking, without a context, with another error type and a value that is not `Send`.
    #[state(retries = TRIES, backoff = Backoff::new(Duration::ZERO, Duration::from_secs(1)))]
    fn start(build::Start { rev }: build::Start) -> Result<Next<build::Start>, std::io::Error> {
        let not_send = std::rc::Rc::new(rev);
        let child = Kick::new(build::Done { ok: true }, vec![1]);
        Ok(Next::to(build::Done { ok: not_send.is_empty() }).kick([child]))
    }
}

impl Handler for crawling::Look {
    const POLICY: Policy = Policy::DEFAULT.concurrency(2);
    async fn run(self, cx: &mut Cx<Crawl>) -> Outcome<Self> {
        cx.job = ();
        Ok(Next::to(crawling::Done))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!((Crawl::NAME, Build::NAME), ("crawl/2", "Build"));
    let [fetch, look, done] = Crawl::STATES else { unreachable!() };
    assert_eq!((fetch.aliases, fetch.kick), (&["Get", "Load"][..], &["Fetch", "Look"][..]));
    assert_eq!((fetch.initial, look.initial, done.initial), (true, true, false));
    let policy = fetch.policy.unwrap();
    assert_eq!((policy.concurrency, policy.burst, policy.retries, policy.blocking), (6, Some(5), 0, false));
    assert_eq!((policy.rate, policy.timeout), (Some("5/s".parse().unwrap()), Some(Duration::from_secs(90))));
    assert_eq!(look.policy.unwrap().concurrency, 2);
    let start = Build::STATES[0].policy.unwrap();
    assert_eq!((start.retries, start.backoff.min(), start.blocking), (2, Duration::ZERO, true));

    for name in ["Fetch", "Get", "Load"] {
        assert_eq!(Crawl::load(name, Some(r#"["x",3]"#)), Some(Ok(Crawl::Fetch("x".into(), 3))));
    }

    let mut cx = Cx::<Crawl>::test(Limits(3), (), ());
    let step = Crawl::Fetch("x".into(), 3).dispatch(&mut cx).unwrap().await.unwrap();
    assert_eq!((step.to, step.after), (Crawl::Fetch("x".into(), 4), Duration::from_secs(90)));
    let kicked: Vec<_> = step.kicks.into_iter().map(|k| (k.state, k.once)).collect();
    assert_eq!(kicked, [(Crawl::Fetch("x".into(), 4), Some("x".into())), (Crawl::Look, None)]);
    let step = Crawl::Look.dispatch(&mut cx).unwrap().await.unwrap();
    assert_eq!(step.to, Crawl::Done);

    let mut cx = Cx::<Build>::test((), (), vec![]);
    let step = Build::Start { rev: String::new() }.dispatch(&mut cx).unwrap().await.unwrap();
    assert!(matches!(step.to, Build::Done { ok: true }));
    assert_eq!(step.kicks[0].context, [1]);
}
