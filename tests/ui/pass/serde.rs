//! What fields and variants say to serde is what is saved, whether the enum derives it too or not.
use jorb::prelude::*;

#[workflow]
#[derive(Debug, Clone, PartialEq)]
pub enum Crawl {
    #[state(initial, next(Parse))]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    Fetch {
        page_url: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<String>,
        #[serde(rename = "n", with = "text")]
        number: u64,
        #[serde(skip)]
        scratch: u8,
    },
    #[state(next(Store))]
    Parse(#[serde(with = "text")] u64),
    #[state(next(Done))]
    Store {
        #[serde(default = "one")]
        copies: u8,
    },
    // What it kept in an earlier version is ignored.
    #[state(terminal, initial)]
    Done,
    #[state(terminal, initial)]
    Gone {},
    #[state(terminal, initial)]
    Lost(),
}

fn one() -> u8 {
    1
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(n: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(n)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

#[workflow]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Own {
    #[state(initial, next(Done))]
    #[serde(rename_all = "camelCase", default)]
    Start {
        #[serde(default)]
        the_page: u8,
    },
    #[state(terminal)]
    Done,
}

impl Default for own::Start {
    fn default() -> Self {
        own::Start { the_page: 7 }
    }
}

macro_rules! to {
    ($($name:ident($state:ty) -> $next:expr;)*) => { $(
        #[state]
        async fn $name(_: $state) -> Outcome<$state> {
            Ok(Next::to($next))
        }
    )* };
}

to! {
    fetch(crawl::Fetch) -> crawl::Parse(1);
    parse(crawl::Parse) -> crawl::Store { copies: 2 };
    store(crawl::Store) -> crawl::Done;
    start(own::Start) -> own::Done;
}

#[track_caller]
fn saved(state: Crawl, text: Option<&str>) {
    let (state, saved) = state.save();
    assert_eq!(saved, Ok(text.map(str::to_owned)));
    assert_eq!(Crawl::load(state.name(), text), Some(Ok(state)));
}

fn main() {
    let fetch = |links| Crawl::Fetch { page_url: "x".into(), links, number: 3, scratch: 0 };
    saved(fetch(vec![]), Some(r#"{"pageUrl":"x","n":"3"}"#));
    saved(fetch(vec!["y".into()]), Some(r#"{"pageUrl":"x","links":["y"],"n":"3"}"#));
    assert!(Crawl::load("Fetch", Some(r#"{"pageUrl":"x","n":"3","m":1}"#)).unwrap().is_err());
    saved(Crawl::Parse(9), Some(r#""9""#));
    saved(Crawl::Done, None);
    saved(Crawl::Gone {}, None);
    saved(Crawl::Lost(), None);
    // A state without fields gained one that has a default; one lost all of its fields.
    assert_eq!(Crawl::load("Store", None), Some(Ok(Crawl::Store { copies: 1 })));
    assert_eq!(Crawl::load("Gone", Some(r#"{"status":404}"#)), Some(Ok(Crawl::Gone {})));

    let start = Own::Start { the_page: 1 };
    assert_eq!(start.clone().save().1, Ok(Some(r#"{"thePage":1}"#.to_owned())));
    assert_eq!(serde_json::to_string(&start).unwrap(), r#"{"kind":"Start","thePage":1}"#);
    assert_eq!(Own::load("Start", None), Some(Ok(Own::Start { the_page: 0 })));
}
