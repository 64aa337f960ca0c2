//! `cfg` on a variant, on a field and on a handler: what it takes away is nowhere.
use jorb::prelude::*;

#[workflow]
#[derive(Debug, Clone, PartialEq)]
enum Crawl {
    #[state(initial, next(Never, Parse, Done), kick(Never, Parse))]
    Fetch,
    #[cfg(any())]
    #[state(next(Done))]
    Never { missing: DoesNotExist },
    #[cfg(all())]
    #[state(next(Done))]
    Parse {
        html: String,
        #[cfg(any())]
        missing: DoesNotExist,
    },
    #[state(terminal)]
    Done,
    #[cfg(any())]
    #[state(terminal, initial)]
    Gone,
}

#[state]
async fn fetch(_: crawl::Fetch) -> Outcome<crawl::Fetch> {
    Ok(Next::to(crawl::Parse { html: String::new() }))
}

#[cfg(any())]
#[state]
async fn never(_: crawl::Never) -> Outcome<crawl::Never> {
    Ok(Next::to(crawl::Done))
}

#[state]
#[cfg(any())]
async fn never_again(_: crawl::Never) -> Outcome<crawl::Never> {
    Ok(Next::to(crawl::Done))
}

#[state]
#[cfg(all())]
async fn parse(_: crawl::Parse) -> Outcome<crawl::Parse> {
    Ok(Next::to(crawl::Done))
}

fn main() {
    let names: Vec<_> = Crawl::STATES.iter().map(|s| s.name).collect();
    assert_eq!(names, ["Fetch", "Parse", "Done"]);
    assert_eq!((Crawl::STATES[0].next, Crawl::STATES[0].kick), (&["Parse", "Done"][..], &["Parse"][..]));
    assert_eq!((Crawl::Parse { html: String::new() }.index(), Crawl::Done.index()), (1, 2));
    assert_eq!(Crawl::load("Never", None), None);
    assert_eq!(Crawl::load("Parse", Some(r#"{"html":"x"}"#)), Some(Ok(Crawl::Parse { html: "x".into() })));
    assert_eq!(Crawl::Parse { html: "x".into() }.save().1, Ok(Some(r#"{"html":"x"}"#.to_owned())));
    assert_eq!(
        Crawl::GRAPH.mermaid().to_string().lines().map(str::trim).collect::<Vec<_>>(),
        [
            "stateDiagram-v2",
            "[*] --> Fetch",
            "Fetch --> Parse",
            "Fetch --> Done",
            "Fetch --> Parse: kick",
            "Parse --> Done",
            "Done --> [*]",
        ]
    );
}
