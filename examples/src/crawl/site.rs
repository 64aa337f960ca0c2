//! The server: documentation over HTTP, for this machine only.
use std::{
    fmt, io,
    net::SocketAddr,
    path::{Component, Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri, header::RETRY_AFTER},
    response::{Html, IntoResponse, Response},
};
use tokio::{fs, net::TcpListener};

/// One request in so many is told to come back later.
const REFUSE_EVERY: usize = 100;

/// What is served.
pub(crate) enum Docs {
    /// The files in a folder.
    Folder(PathBuf),
    /// So many pages that are made up when they are asked for.
    MadeUp(usize),
}

impl Docs {
    /// The given folder, or so many pages; if neither is said, the Rust book of the toolchain, if it came with one.
    pub(crate) fn find(folder: Option<PathBuf>, pages: Option<usize>) -> Self {
        match (folder, pages) {
            (Some(folder), _) => Docs::Folder(folder),
            (None, Some(pages)) => Docs::MadeUp(pages),
            (None, None) => rust_book().map_or(Docs::MadeUp(400), Docs::Folder),
        }
    }

    async fn page(&self, path: &str) -> Option<String> {
        match self {
            Docs::Folder(folder) => {
                let path = Path::new(path.trim_start_matches('/'));
                let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
                fs::read_to_string(folder.join(path)).await.ok().filter(|_| inside)
            }
            Docs::MadeUp(pages) => {
                let number =
                    path.strip_prefix("/page-").and_then(|rest| rest.strip_suffix(".html")?.parse().ok());
                let number = if path == "/index.html" { Some(0) } else { number };
                number.filter(|n| n < pages).map(|n| made_up(n, *pages))
            }
        }
    }
}

fn rust_book() -> Option<PathBuf> {
    let rustc = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(rustc.stdout).ok()?;
    let book = Path::new(sysroot.trim()).join("share/doc/rust/html/book");
    book.join("index.html").is_file().then_some(book)
}

/// A tree with two children to a page, links back, and now and then one that leads nowhere.
fn made_up(n: usize, pages: usize) -> String {
    let children = [2 * n + 1, 2 * n + 2].into_iter().filter(|child| *child < pages);
    let parent = (n > 2).then(|| (n - 1) / 2);
    let nowhere = (n % 50 == 49).then_some(pages + n);
    let links =
        children.chain(parent).chain(nowhere).map(|to| format!("<a href=\"page-{to}.html\">{to}</a>\n"));
    let links: String = links.collect();
    format!("<title>Page {n}</title>\n<a href=\"index.html\">Home</a>\n{links}")
}

impl fmt::Display for Docs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Docs::Folder(folder) => write!(f, "{}", folder.display()),
            Docs::MadeUp(pages) => write!(f, "{pages} made-up pages"),
        }
    }
}

struct Site {
    docs: Docs,
    requests: AtomicUsize,
}

/// Serves `docs` from now on, at the address that it gives.
pub(crate) async fn serve(docs: Docs) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let site = Arc::new(Site { docs, requests: AtomicUsize::new(0) });
    let routes = Router::new().fallback(answer).with_state(site);
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(address)
}

async fn answer(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let nth = site.requests.fetch_add(1, Ordering::Relaxed);
    if nth % REFUSE_EVERY == REFUSE_EVERY - 1 {
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")]).into_response();
    }
    match site.docs.page(uri.path()).await {
        Some(html) => Html(html).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
