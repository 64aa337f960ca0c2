//! Which throttles are forgiven.
use super::super::noise::Noise;

/// One answer in so many is a throttle, all of them well below the ceiling.
fn hear(noise: &mut Noise, answers: u32, every: u32) {
    for n in 1..=answers {
        noise.hear(true, n % every == 0);
    }
}

/// So many throttles in a row are forgiven.
fn forgiven(noise: &mut Noise) -> usize {
    (0..1000).take_while(|_| noise.forgives()).count()
}

/// After two backoffs that did not help.
fn doubtful() -> Noise {
    let mut noise = Noise::default();
    noise.back_off(true, 8);
    noise.back_off(true, 8);
    noise
}

#[test]
fn nothing_before_two_backoffs_did_not_help() {
    let mut noise = Noise::default();
    noise.back_off(true, 8);
    hear(&mut noise, 1000, 20);
    assert_eq!(forgiven(&mut noise), 0);
    noise.back_off(true, 8);
    hear(&mut noise, 1000, 20);
    assert!(forgiven(&mut noise) > 5);
}

#[test]
fn a_limit_that_fell_refuses_again_at_once() {
    let mut noise = Noise::default();
    for _ in 0..10 {
        noise.back_off(true, 7);
    }
    hear(&mut noise, 1000, 20);
    assert_eq!(forgiven(&mut noise), 0);
}

#[test]
fn backoffs_near_the_ceiling_take_the_doubt_away() {
    let mut noise = doubtful();
    hear(&mut noise, 1000, 20);
    noise.back_off(false, 100);
    noise.hear(true, false);
    assert_eq!(forgiven(&mut noise), 0);
}

#[test]
fn as_many_as_there_are_below_but_no_more_than_a_backoff_takes_away() {
    for (every, least, most) in [(100, 5, 45), (20, 60, 85), (2, 60, 85)] {
        let mut noise = doubtful();
        hear(&mut noise, 1000, every);
        let stock = forgiven(&mut noise);
        let mut all = 0;
        for _ in 0..1000 {
            noise.hear(false, true);
            all += usize::from(noise.forgives());
        }
        assert!((least..=most).contains(&all), "{all} of 1000, and {stock} in stock");
        assert!(stock <= 21, "{stock}");
    }
}

#[test]
fn fifty_answers_say_how_many() {
    let mut noise = doubtful();
    hear(&mut noise, 48, 12);
    forgiven(&mut noise);
    for _ in 0..14 {
        noise.hear(false, false);
    }
    assert!(forgiven(&mut noise) > 0);
}
