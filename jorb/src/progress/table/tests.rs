use super::*;

/// Of so many states, the last of which is terminal.
pub(in crate::progress) fn overview(states: usize) -> Overview {
    const NAMES: [&str; 15] = [
        "CheckOut",
        "Edit",
        "Build",
        "OpenReview",
        "WaitForReview",
        "AnswerTheReviewersQuestions",
        "Rebase",
        "Merge",
        "Deploy",
        "Watch",
        "RollBack",
        "Notify",
        "Archive",
        "CleanUp",
        "Done",
    ];
    let state = |i: usize| StateOverview {
        name: NAMES[i],
        terminal: states > 1 && i == states - 1,
        held: false,
        waiting: 0,
        executing: 0,
        delayed: 0,
        completed: 0,
        joining: 0,
        parked: 0,
        cancelled: 0,
        errors: 0,
        waits: None,
    };
    Overview {
        states: (0..states).map(state).collect(),
        limiters: Vec::new(),
        tuned: Vec::new(),
        throttles: 0,
        suspects: 0,
        ending: None,
        uncommitted: 0,
    }
}

fn busy(states: usize) -> Overview {
    let mut run = overview(states);
    for (i, state) in (0..).zip(&mut run.states) {
        let n = if state.terminal { 0 } else { 10_u64.pow(i % 8) };
        (state.waiting, state.executing, state.delayed) = (3 * n, n.min(64), n / 2);
        (state.completed, state.parked, state.errors) = (12_345 * n, n / 10, n / 7);
    }
    run.states[states - 1].completed = 98_765_432;
    run
}

fn visible(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or("").to_owned();
    first + &parts.map(|part| part.split_once('m').map_or("", |(_, text)| text)).collect::<String>()
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let run = busy(15);
    let mut meter = Meter::new();
    meter.update(Duration::from_secs(1), &overview(15));
    meter.update(Duration::from_secs(2), &run);
    for width in 1..200 {
        let plain = lines(&run, &meter, Duration::from_secs(100_000), (width, 50), false);
        assert_eq!(plain.len(), 17);
        for line in &plain {
            assert!(line.chars().count() < width.max(2), "{width}: {line}");
        }
        let coloured = lines(&run, &meter, Duration::from_secs(100_000), (width, 50), true);
        let visible: Vec<String> = coloured.iter().map(|line| visible(line).replace('━', "x")).collect();
        assert_eq!(visible, plain.iter().map(|line| line.replace('━', "x")).collect::<Vec<_>>());
    }
}

#[test]
fn a_low_terminal_shows_states_in_which_something_is_to_do() {
    let mut run = overview(15);
    run.states[9].waiting = 1;
    let shown = lines(&run, &Meter::new(), Duration::ZERO, (80, 10), false);
    assert_eq!(shown.len(), 3);
    assert!(shown[1].starts_with("Watch "), "{shown:?}");
    let busy = lines(&busy(15), &Meter::new(), Duration::ZERO, (80, 10), false);
    assert_eq!(busy.len(), 9);
}

#[test]
fn the_table_at_80_columns() {
    let mut run = overview(4);
    run.states[3].name = "Done";
    run.states[3].completed = 1_204;
    run.states[0] = StateOverview {
        waiting: 8_796,
        executing: 4,
        delayed: 12,
        completed: 1_300,
        joining: 0,
        parked: 1,
        errors: 3,
        ..run.states[0].clone()
    };
    run.states[1].held = true;
    run.states[1].waiting = 95;
    run.states[2].name = "AnswerTheReviewersQuestions";
    let mut meter = Meter::new();
    meter.update(Duration::ZERO, &overview(4));
    meter.update(Duration::from_secs(10), &run);
    let expected = [
        "                    waiting running delayed    done     /s   left errors parked",
        "CheckOut      ━x───    8796       4      12    1300    130   1:07      3      1",
        "Edit          ─────      95                                  held",
        "AnswerTheRev…",
        "Done                                           1204    120",
        "1,204 of 10,112 ended  11 %  130 steps/s  0:14 elapsed  1:13 left  1 parked",
    ];
    let shown = lines(&run, &meter, Duration::from_secs(14), (80, 24), false);
    assert_eq!(shown.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected);
    run.suspects = 2;
    let shown = lines(&run, &meter, Duration::from_secs(14), (80, 24), false);
    assert!(shown[5].starts_with("1,204 of 10,112 ended  2 to run alone  11 %  "), "{}", shown[5]);
}
