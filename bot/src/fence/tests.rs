//! What is decided on which evidence.

use super::*;

const fn census(asked: u32, on_my_node: u32, elsewhere: u32) -> Census {
    Census { asked, on_my_node, elsewhere }
}

#[test]
fn a_pod_is_fenced_only_when_everything_has_been_silent_for_thirty_seconds() {
    use PeersSeen::{Fewer, Half, NotAsked};
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let table = [
        // API server, gate, peers, and whether it is fenced at 100 s.
        (70, 70, PeersSeen::None, true),
        (71, 70, PeersSeen::None, false),
        (70, 71, PeersSeen::None, false),
        (0, 0, NotAsked, false),
        (0, 0, Fewer(1), false),
        (0, 0, Fewer(2), true),
        (99, 0, Fewer(9), false),
        (0, 99, Fewer(9), false),
        (0, 0, Half(at(71)), false),
        (0, 0, Half(at(70)), true),
    ];
    for (api, gate, peers, expected) in table {
        let evidence = Evidence { api: at(api), gate: at(gate), peers };
        assert_eq!(cut_off(&evidence, at(100)), expected, "API {api}, gate {gate}, {peers:?}");
    }
}

#[test]
fn half_of_the_pods_on_other_nodes_are_enough_and_those_on_ones_own_do_not_count() {
    let now = Instant::now();
    let first = |census| PeersSeen::NotAsked.after(census, now);
    let table = [
        (census(0, 0, 0), PeersSeen::None),
        (census(3, 3, 0), PeersSeen::None),
        (census(1, 0, 0), PeersSeen::Fewer(1)),
        (census(1, 0, 1), PeersSeen::Half(now)),
        (census(4, 0, 2), PeersSeen::Half(now)),
        (census(5, 0, 2), PeersSeen::Fewer(1)),
        (census(5, 1, 2), PeersSeen::Half(now)),
        // Two pods of four on the lost node see each other, and that is no help.
        (census(3, 1, 0), PeersSeen::Fewer(1)),
    ];
    for (census, expected) in table {
        assert_eq!(first(census), expected, "{census:?}");
    }
}

#[test]
fn one_bad_round_proves_nothing_and_a_good_one_begins_anew() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let (bad, good) = (census(4, 0, 1), census(4, 0, 3));
    let seen = PeersSeen::NotAsked.after(good, at(0));
    assert_eq!(seen.after(bad, at(29)), PeersSeen::Half(at(0)));
    let seen = seen.after(bad, at(30)).after(bad, at(35));
    assert_eq!(seen, PeersSeen::Fewer(2));
    assert_eq!(seen.after(good, at(40)), PeersSeen::Half(at(40)));
}
