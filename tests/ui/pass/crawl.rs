//! The example of the docs: contexts, three kinds of variants, kicks, a plain `fn` beside an `async fn`.
use jorb::prelude::*;

pub struct App;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    host: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    url: String,
    links: usize,
}

/// The life of one page.
#[workflow(app = App, overall = Site, job = Page)]
#[derive(Debug, Clone, PartialEq)]
pub enum Crawl {
    /// Download the page.
    #[state(initial, next(Parse, Gone))]
    Fetch,
    /// Find its title and links.
    #[state(next(Store), kick(Fetch))]
    Parse { html: String },
    #[state(next(Done))]
    Store(String),
    #[state(terminal)]
    Done,
    #[state(terminal)]
    Gone { status: u16 },
}

#[state(concurrency = 4, rate = "10/s", burst = 2, retries = 5, backoff = "200ms..30s", timeout = "30s")]
async fn fetch(_: crawl::Fetch, cx: &mut Cx<Crawl>) -> Outcome<crawl::Fetch> {
    match cx.job.url.as_str() {
        "slow" => Err(Fault::throttled(None)),
        "gone" => Ok(Next::to(crawl::Gone { status: 404 })),
        url => Ok(Next::to(crawl::Parse { html: format!("{}/{url}", cx.overall.host) })),
    }
}

#[state(concurrency = 2)]
fn parse(crawl::Parse { html }: crawl::Parse, cx: &mut Cx<Crawl>) -> Outcome<crawl::Parse> {
    cx.job.links = 2;
    let links = ["a", "b"].map(|url| Page { url: url.to_owned(), links: 0 });
    let kick = |page: Page| {
        let key = page.url.clone();
        Kick::new(crawl::Fetch, page).once(key)
    };
    Ok(Next::to(crawl::Store(html)).kick(links.map(kick)))
}

#[state]
async fn store(_: crawl::Store) -> Outcome<crawl::Store> {
    Ok(Next::to(crawl::Done))
}

fn main() {
    let names: Vec<&str> = Crawl::STATES.iter().map(|s| s.name).collect();
    assert_eq!(names, ["Fetch", "Parse", "Store", "Done", "Gone"]);
    assert_eq!(Crawl::NAME, "Crawl");

    let fetch = Crawl::STATES[0].policy.unwrap();
    assert_eq!((fetch.concurrency, fetch.burst, fetch.retries, fetch.blocking), (4, Some(2), 5, false));
    assert_eq!(fetch.rate.unwrap().to_string(), "10/s");
    assert_eq!(fetch.backoff.to_string(), "200ms..30s");
    assert_eq!(fetch.timeout, Some(std::time::Duration::from_secs(30)));
    assert!(Crawl::STATES[1].policy.unwrap().blocking);
    assert!(Crawl::STATES[3].terminal() && !Crawl::STATES[2].terminal());

    let states = [
        Crawl::Fetch,
        Crawl::Parse { html: "x".into() },
        Crawl::Store("y".into()),
        Crawl::Done,
        Crawl::Gone { status: 410 },
    ];
    let texts = [None, Some(r#"{"html":"x"}"#), Some(r#""y""#), None, Some(r#"{"status":410}"#)];
    for (i, (state, text)) in states.into_iter().zip(texts).enumerate() {
        assert_eq!(state.index(), i);
        let (state, saved) = state.save();
        assert_eq!(saved, Ok(text.map(str::to_owned)));
        assert_eq!(Crawl::load(state.name(), text), Some(Ok(state)));
    }
    assert_eq!(Crawl::load("Fetsh", None), None);
    assert!(matches!(Crawl::load("Gone", Some(r#"{"status":"x"}"#)), Some(Err(_))));

    let page = Page { url: "x".into(), links: 0 };
    let mut cx = Cx::<Crawl>::test(App, Site { host: "example.org".into() }, page);
    let next = parse(crawl::Parse { html: "z".into() }, &mut cx).unwrap();
    assert_eq!(next.as_move().to, Crawl::Store("z".into()));
    let kicked: Vec<_> =
        next.as_move().kicks.iter().map(|k| (k.context.url.as_str(), k.once.as_deref())).collect();
    assert_eq!(kicked, [("a", Some("a")), ("b", Some("b"))]);
    assert_eq!(cx.job.links, 2);
    assert!(Crawl::Done.dispatch(&mut cx).is_none() && Crawl::Fetch.dispatch(&mut cx).is_some());

    assert_eq!(
        Crawl::GRAPH.to_string(),
        ">  Fetch  -> Parse, Gone\n   Parse  -> Store  kicks Fetch\n   Store  -> Done\n=  Done\n=  Gone\n"
    );
}
