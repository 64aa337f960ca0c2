use jorb::prelude::*;

fn main() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Page;

    #[workflow]
    #[derive(Clone)]
    enum Crawl {
        #[state(initial, terminal)]
        Done { page: Page },
    }
}
