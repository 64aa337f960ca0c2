//! The table on a terminal.
use std::{fmt::Write as _, io::Write, time::Duration};

use super::{meter::Meter, table};
use crate::Overview;

/// A terminal, or what a test takes for one.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    size: fn() -> (u16, u16),
    colours: bool,
    /// Lines that are there.
    drawn: usize,
}

impl Screen {
    /// `size` gives rows and columns, as they are now.
    pub(super) fn on(out: impl Write + Send + 'static, size: fn() -> (u16, u16), colours: bool) -> Self {
        Screen { out: Box::new(out), size, colours, drawn: 0 }
    }

    /// Draws the table over the one that is there.
    pub(super) fn draw(&mut self, overview: &Overview, meter: &Meter, elapsed: Duration) {
        let (height, width) = (self.size)();
        let lines = table::lines(overview, meter, elapsed, (width.into(), height.into()), self.colours);
        // All in one write, each line over the old one: nothing flickers. The cursor ends up below the table, where
        // what a terminal echoes (`^C`) does no harm, and is gone with the next table.
        let mut text = String::from("\r");
        if self.drawn > 0 {
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        for line in &lines {
            let _ = write!(text, "{line}\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        // Without a terminal nobody looks.
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::progress::table::tests::overview;

    #[derive(Clone)]
    struct Terminal(Arc<Mutex<vt100::Parser>>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().process(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        fn shows(&self) -> Vec<String> {
            self.0.lock().unwrap().screen().contents().lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn a_table_replaces_the_one_before_and_leaves_what_is_above() {
        let mut terminal = Terminal(Arc::new(Mutex::new(vt100::Parser::new(10, 80, 0))));
        terminal.write_all(b"$ crawl\r\n").unwrap();
        let mut screen = Screen::on(terminal.clone(), || (10, 80), true);
        let mut run = overview(5);
        screen.draw(&run, &Meter::new(), Duration::ZERO);
        assert_eq!(terminal.shows().len(), 1 + 7);
        terminal.write_all(b"^C").unwrap();
        run.states[0].waiting = 1;
        screen.draw(&run, &Meter::new(), Duration::ZERO);
        let shown = terminal.shows();
        assert_eq!((shown.len(), shown[0].as_str()), (1 + 7, "$ crawl"), "{shown:?}");
        assert!(shown[2].starts_with("CheckOut ") && shown[7].starts_with("0 of 1 ended"), "{shown:?}");
        // A long list that becomes short leaves nothing behind.
        screen.draw(&overview(2), &Meter::new(), Duration::ZERO);
        assert_eq!(terminal.shows().len(), 1 + 4);
    }

    #[test]
    fn a_table_that_fills_the_terminal_does_not_scroll() {
        let terminal = Terminal(Arc::new(Mutex::new(vt100::Parser::new(6, 40, 100))));
        let mut screen = Screen::on(terminal.clone(), || (6, 40), false);
        let mut run = overview(15);
        run.states.iter_mut().for_each(|state| state.waiting = 1);
        for _ in 0..3 {
            screen.draw(&run, &Meter::new(), Duration::ZERO);
        }
        assert_eq!(terminal.shows().len(), 5);
        let mut parser = terminal.0.lock().unwrap();
        parser.screen_mut().set_scrollback(100);
        assert_eq!(parser.screen().scrollback(), 0, "nothing went up and away");
    }
}
