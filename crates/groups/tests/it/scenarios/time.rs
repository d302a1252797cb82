//! Time-outs, and what survives a new coordinator.

use crate::script::check;

#[test]
fn session_ends() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > at 6000
        > beat g @1 gen=1
        #3 beat NONE
        > at 15999
        > at 16000
        16000 log group g gen=2 type=consumer protocol=null leader=null since=16000
        > beat g @1 gen=2
        #4 beat UNKNOWN_MEMBER_ID
        ",
    );
}

#[test]
fn commits_keep_a_session() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > at 6000
        > commit g @1 gen=1 t-0=1
        log offset g t-0 1 v4
        #3 commit t-0=NONE
        > at 15999
        > at 16000
        16000 log group g gen=2 type=consumer protocol=null leader=null since=16000
        ",
    );
}

#[test]
fn waiting_keeps_a_session_but_not_a_new_members() {
    check(
        "
        > join g v=3 rebalance=400000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3 rebalance=400000
        > at 9000
        > beat g @1 gen=1
        #4 beat REBALANCE_IN_PROGRESS
        > at 18000
        > join g id=@1 rebalance=400000
        #5 join @1 gen=2 consumer/range leader=@1 @1 @3
        #3 join @3 gen=2 consumer/range leader=@1
        > at 20000
        > sync g @3 gen=2
        > at 100000
        28000 #6 sync REBALANCE_IN_PROGRESS
        38000 log group g gen=3 type=consumer protocol=null leader=null since=38000
        > beat g @3 gen=2
        #7 beat UNKNOWN_MEMBER_ID
        > describe g
        #8 describe g Empty consumer/- NONE
        ",
    );
}

#[test]
fn new_member_waits_five_minutes() {
    check(
        "
        > join g v=3 rebalance=600000 session=1000000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3 rebalance=600000
        > at 299999
        > at 300000
        300000 #3 join UNKNOWN_MEMBER_ID - protocol=
        > describe g
        #4 describe g PreparingRebalance consumer/- NONE @1=a
        ",
    );
}

#[test]
fn sessions_start_anew_when_loaded() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > join g id=@1
        #3 join @1 gen=2 consumer/range leader=@1 @1 @2
        #2 join @2 gen=2 consumer/range leader=@1
        > sync g @1 gen=2 @1=a @2=b
        log group g gen=2 type=consumer protocol=range leader=@1 since=0 @1=a @2=b
        #4 sync NONE a
        > sync g @2 gen=2
        #5 sync NONE b
        > at 9000
        > reload
        > describe g
        #6 describe g Stable consumer/range NONE @1=a @2=b
        > at 12000
        > beat g @1 gen=2
        #7 beat NONE
        > at 19000
        > join g id=@1
        #8 join @1 gen=3 consumer/range leader=@1 @1
        > sync g @1 gen=3 @1=ab
        log group g gen=3 type=consumer protocol=range leader=@1 since=19000 @1=ab
        #9 sync NONE ab
        > reload
        > sync g @1 gen=3
        #10 sync NONE ab
        ",
    );
}

#[test]
fn waiting_requests_are_told_of_the_end() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g v=3
        > join h v=3
        log group h gen=0 type=- protocol=null leader=null since=0
        #4 join @4 gen=1 consumer/range leader=@4 @4
        > join h v=3
        > join h id=@4
        #6 join @4 gen=2 consumer/range leader=@4 @4 @5
        #5 join @5 gen=2 consumer/range leader=@4
        > sync h @5 gen=2
        > reload
        #3 join NOT_COORDINATOR @3 protocol=
        #7 sync NOT_COORDINATOR
        > describe g h
        #8 describe g Stable consumer/range NONE @1=a h Empty -/- NONE
        ",
    );
}

#[test]
fn new_member_that_beats_lives_from_beat_to_beat() {
    check(
        "
        > join g v=3 session=90000 rebalance=90000
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > sync g @1 gen=1 @1=a
        log group g gen=1 type=consumer protocol=range leader=@1 since=0 @1=a
        #2 sync NONE a
        > join g session=6000
        #3 join MEMBER_ID_REQUIRED @3
        > join g id=@3 session=20000
        > at 8000
        > beat g @3 gen=1
        #5 beat REBALANCE_IN_PROGRESS
        > at 28000
        28000 #4 join UNKNOWN_MEMBER_ID -
        > join g session=6000
        #6 join MEMBER_ID_REQUIRED @6
        > join g id=@6 session=20000
        > at 36000
        > commit g @6 gen=1 t-0=1
        log offset g t-0 1 v4
        #8 commit t-0=NONE
        > at 56000
        56000 #7 join UNKNOWN_MEMBER_ID -
        > describe g
        #9 describe g PreparingRebalance consumer/- NONE @1=a
        ",
    );
}

#[test]
fn leader_is_known_after_loading() {
    check(
        "
        > join g v=3
        log group g gen=0 type=- protocol=null leader=null since=0
        #1 join @1 gen=1 consumer/range leader=@1 @1
        > join g v=3
        > leave g @1
        #2 join @2 gen=2 consumer/range leader=@2 @2
        #3 leave NONE @1=NONE
        > join g v=3
        > join g id=@2
        #5 join @2 gen=3 consumer/range leader=@2 @2 @4
        #4 join @4 gen=3 consumer/range leader=@2
        > sync g @2 gen=3 @2=a @4=b
        log group g gen=3 type=consumer protocol=range leader=@2 since=0 @2=a @4=b
        #6 sync NONE a
        > join g instance=i
        > leave g @2
        #8 leave NONE @2=NONE
        > join g id=@4
        #9 join @4 gen=4 consumer/range leader=@4 @4 @7/i
        #7 join @7 gen=4 consumer/range leader=@4
        > sync g @4 gen=4 @4=a @7=b
        log group g gen=4 type=consumer protocol=range leader=@4 since=0 @4=a @7=b
        #10 sync NONE a
        > join g instance=a
        > join g id=@4
        > join g id=@7 instance=i
        #11 join @11 gen=5 consumer/range leader=@4
        #12 join @4 gen=5 consumer/range leader=@4 @11/a @4 @7/i
        #13 join @7 gen=5 consumer/range leader=@4
        > sync g @4 gen=5 @4=a @7=b @11=c
        log group g gen=5 type=consumer protocol=range leader=@4 since=0 @11=c @4=a @7=b
        #14 sync NONE a
        > reload
        > join g instance=a
        log group g gen=5 type=consumer protocol=range leader=@4 since=0 @15=c @4=a @7=b
        #15 join @15 gen=5 consumer/range leader=@4
        ",
    );
}
