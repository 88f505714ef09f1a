//! What an earlier landing left counts, after a kill and after a stop.

use super::*;

#[test]
fn a_killed_landing_goes_on_with_what_is_missing() {
    let scratch = Scratch::new("landing-kill-source");
    build_tree(&scratch.0);
    let sent = Sent::of(&scratch.0);
    for part in [1, 40, 150, 290, 420] {
        let place = Place::new(&format!("landing-kill-{part}"));
        let mut landing = place.land(false);
        pages(&landing, &sent);
        serve(&landing, &sent, |asked| asked >= part);
        let kept = await_kept(&landing, 1);
        landing.stop();
        let landing = place.land(false);
        assert_eq!(landing.here().unwrap().0, sent.pages.len() as u32);
        pages(&landing, &sent);
        landing.finish(sent.pages.len() as u32).unwrap();
        let (landed, asked) = serve(&landing, &sent, |_| false);
        assert_eq!(landed.unwrap().digest, sent.digest);
        assert!(asked + kept <= total(&sent), "{asked} of {} after {kept}", total(&sent));
        assert_eq!(landing.problems(), []);
        assert_eq!(landing.covered(), size_of(&scratch.0));
        place.assert_like(&scratch.0);
    }
}

#[test]
fn what_came_before_a_stop_need_not_come_again() {
    let scratch = Scratch::new("landing-stop-source");
    build_tree(&scratch.0);
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing-stop");
    let mut landing = place.land_with(Overwrite::Never, LONG);
    pages(&landing, &sent);
    let (_, came) = serve(&landing, &sent, |asked| asked >= 200);
    landing.stop();
    let landing = place.land(false);
    pages(&landing, &sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().digest, sent.digest);
    assert_eq!(asked + came, total(&sent));
    place.assert_like(&scratch.0);
}
#[test]
fn what_is_here_of_a_file_counts_though_what_follows_it_has_changed() {
    let scratch = Scratch::new("landing-changed-source");
    fs::write(scratch.0.join("large"), pseudo_random(1, 20 << 20)).unwrap();
    fs::write(scratch.0.join("other"), pseudo_random(2, 1 << 20)).unwrap();
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing-changed");
    let mut landing = place.land(false);
    pages(&landing, &sent);
    let first = sent.pages[0].1.fragments.len() as u16;
    give(&landing, &mut landing.arrival(), &sent, 0, &vec![(0, first)]);
    await_kept(&landing, first.into());
    landing.stop();
    fs::write(scratch.0.join("other"), pseudo_random(3, 1 << 20)).unwrap();
    let sent = Sent::of(&scratch.0);
    let mut landing = place.land(false);
    let page = |number: usize| {
        let raw = &sent.pages[number].0;
        assert!(landing.page(number as u32, Codec::Store, raw, raw).unwrap());
    };
    page(0);
    let deadline = Instant::now() + LONG;
    while landing.covered() < sent.pages[0].2.len() as u64 && Instant::now() < deadline {
        landing.news(Duration::from_millis(10)).unwrap();
    }
    (1..sent.pages.len()).for_each(page);
    landing.stop();
    let landing = place.land(false);
    pages(&landing, &sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().digest, sent.digest);
    assert_eq!(asked, total(&sent) - u64::from(first));
    place.assert_like(&scratch.0);
}

#[test]
fn what_is_damaged_on_disk_meanwhile_is_asked_for_again() {
    let scratch = Scratch::new("landing-rot-source");
    fs::write(scratch.0.join("large"), pseudo_random(1, 9 << 20)).unwrap();
    fs::write(scratch.0.join("other"), pseudo_random(2, 9 << 20)).unwrap();
    let sent = Sent::of(&scratch.0);
    let place = Place::new("landing-rot");
    let mut landing = place.land(false);
    pages(&landing, &sent);
    let total = total(&sent);
    let mut arrival = landing.arrival();
    let wants = landing.news(LONG).unwrap().wants;
    for (page, spans) in &wants {
        let spans = spans.iter().map(|(first, count)| (*first, count / 2)).collect();
        give(&landing, &mut arrival, &sent, *page, &spans);
    }
    await_kept(&landing, total / 2);
    landing.stop();
    let part = fs::read_dir(place.target()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&part).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&part, bytes).unwrap();
    let landing = place.land(false);
    pages(&landing, &sent);
    landing.finish(sent.pages.len() as u32).unwrap();
    let (landed, asked) = serve(&landing, &sent, |_| false);
    assert_eq!(landed.unwrap().digest, sent.digest);
    assert!(asked < total && asked > total / 2 - 2, "{asked} of {total}");
    place.assert_like(&scratch.0);
}
